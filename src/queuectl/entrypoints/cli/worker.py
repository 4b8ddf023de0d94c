"""`queuectl worker`: start and stop the workers of this machine."""

import click

from queuectl.entrypoints.cli.commands import Group


@click.group("worker", cls=Group)
def worker() -> None:
    """Start and stop the workers that run jobs.

    Example:
      queuectl worker start --count 2
    """
