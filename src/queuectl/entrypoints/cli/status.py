"""`queuectl status` and `metrics`: the queue now, and lately."""

from collections.abc import Sequence
from datetime import timedelta

import click

from queuectl.application.operate.inspect import status_of
from queuectl.application.operate.metrics import metrics_of
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Command
from queuectl.entrypoints.cli.params import Duration


@click.command("status", cls=Command)
@pass_app
def status(app: App) -> None:
    """Show how many jobs are in each state, and the live workers, and those that are lost with their jobs.

    Examples:
      queuectl status
      queuectl status --output json | jq .jobs.dead

    Lines of the plain output: jobs, state, count; then for each worker:
    worker, id, host, pid, state, jobs, seconds since its heartbeat.
    """
    from queuectl.presentation.tables import status_parts
    from queuectl.presentation.views import status_view, worker_cells

    now = status_of(app.queue)
    plain: list[Sequence[object]] = [("jobs", state, count) for state, count in now.jobs.items()]
    plain += [("worker", *worker_cells(worker, now)) for worker in now.workers]
    app.out.write(status_view(now), plain=plain, table=lambda: status_parts(now), ids=[each.id for each in now.workers])
    app.tell_lost(now.lost)


@click.command("metrics", cls=Command)
@click.option(
    "--since", "window", type=Duration(), default="24h", show_default=True, metavar="DURATION", help="How far back."
)
@click.option("--detailed", is_flag=True, help="Attempts by outcome too, and what each worker and queue did.")
@pass_app
def metrics(app: App, window: timedelta, detailed: bool) -> None:
    """Show what the queue got done lately: successes, failures, retries, waiting and run times.

    Examples:
      queuectl metrics --since 1h
      queuectl metrics --detailed --output json | jq .queues

    Plain output has a name and a value on each line; times are in seconds.
    """
    from queuectl.presentation.tables import metrics_parts
    from queuectl.presentation.views import flat, metrics_view

    measured = metrics_of(app.queue, window=window, detailed=detailed)
    view = metrics_view(measured, window, detailed=detailed)
    app.out.write(view, plain=flat(view), table=lambda: metrics_parts(measured, window, detailed=detailed))
