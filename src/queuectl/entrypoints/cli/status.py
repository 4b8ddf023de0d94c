"""`queuectl status` and `metrics`: the queue now, and lately."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import click

from queuectl.application.operate.inspect import LostWorker, status_of
from queuectl.application.operate.metrics import metrics_of
from queuectl.application.operate.queues import overview_of
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Command, Duration
from queuectl.presentation.columns import QUEUE, WORKER, worker_rows
from queuectl.presentation.tables import metrics_parts, status_parts
from queuectl.presentation.views import flat, lost_sentence, metrics_view, plain_lines, status_view, timestamp


@click.command("status", cls=Command)
@pass_app
def status(app: App) -> None:
    """Show how many jobs are in each state, the queues, and the live workers, and those that are lost with their jobs.

    Of each queue it says why its jobs do not start: it is paused, full, its rate is used up, or no live worker serves
    it.

    Examples:
      queuectl status
      queuectl status --output json | jq .jobs.dead

    Lines of the plain output: jobs, state, count; where all queues are paused:
    pause, by, until, reason; then for each queue: queue,
    name, waiting, due, running, concurrency, rate, state; then for each worker:
    worker, id, host, pid, state, jobs, seconds since its heartbeat.
    """
    now, overview = status_of(app.queue), overview_of(app.queue)
    plain: list[Sequence[object]] = [("jobs", state, count) for state, count in now.jobs.items()]
    if overview.pause:
        plain += [("pause", overview.pause.by, timestamp(overview.pause.until), overview.pause.reason)]
    plain += [("queue", *line) for line in plain_lines(QUEUE, overview.queues)]
    plain += [("worker", *line) for line in plain_lines(WORKER, worker_rows(now))]
    app.out.write(
        status_view(now, overview),
        plain=plain,
        table=lambda: status_parts(now, overview),
        ids=[each.id for each in now.workers],
    )
    tell_lost(app, now.lost)


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
    measured = metrics_of(app.queue, window=window, detailed=detailed)
    view = metrics_view(measured, window, detailed=detailed)
    app.out.write(view, plain=flat(view), table=lambda: metrics_parts(measured, window, detailed=detailed))


def tell_lost(app: App, lost: Mapping[str, LostWorker]) -> None:
    """Say on stderr of each lost worker what becomes of its jobs; JSON says so itself."""
    if not app.out.is_json:
        for each in lost.values():
            app.note(lost_sentence(each))
