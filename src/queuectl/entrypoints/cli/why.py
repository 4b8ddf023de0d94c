"""`queuectl why`: the reasons why a job waits."""

import click

from queuectl.application.operate.explain import explain
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Command
from queuectl.presentation.explanations import explanation_lines, explanation_view, reason_cells


@click.command("why", cls=Command)
@click.argument("job_id", metavar="ID")
@pass_app
def why(app: App, job_id: str) -> None:
    """Say why a job waits: all reasons, the one that binds first before the others.

    With each comes who holds it up, since when and until when, and what to do
    about it; then how many jobs go before it, and when it is likely to start.

    Examples:
      queuectl why nightly-backup
      queuectl why nightly-backup --output json | jq -r '.reasons[].code'

    Columns of the plain output: code, until, message, hint; a line for each reason.
    """
    found = explain(app.queue, job_id)
    app.out.write(
        explanation_view(found),
        plain=[reason_cells(reason) for reason in found.reasons],
        table=lambda: explanation_lines(found),
    )
