"""`queuectl drill`: proof, on the user's own machine and database, that the promises hold."""

import signal
from datetime import timedelta

import click

from queuectl.domain.exit_codes import SIGNALLED
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Command, Duration, Whole
from queuectl.presentation.formatting import counted


@click.command("drill", cls=Command)
@click.option(
    "--for",
    "span",
    type=Duration(),
    default="30s",
    show_default=True,
    metavar="DURATION",
    help="How long faults go on.",
)
@click.option(
    "--jobs", type=Whole(1, 100_000), metavar="N", help="Jobs, 1 to 100,000; else one a second for each worker."
)
@click.option("--workers", type=Whole(1, 64), default=4, metavar="N", help="Worker processes, 1 to 64; else 4.")
@click.option("--seed", type=Whole(0, 10**18), metavar="N", help="Repeat the jobs and faults of an earlier drill.")
@click.option("--keep", is_flag=True, help="Leave the scratch queue, and say where it is.")
@pass_app
def drill(app: App, span: timedelta, jobs: int | None, workers: int, seed: int | None, keep: bool) -> None:
    """Kill, freeze and stop workers of a scratch queue, and report whether every promise was kept.

    The scratch queue is a file beside the configured one, or a schema of the
    configured PostgreSQL database: your own jobs and workers are not touched.
    It is removed at the end. The exit code is 1 if a promise was broken: a
    job lost, two runs of one job at a time, a run that nothing explains, or
    a process left behind.

    Examples:
      queuectl drill
      queuectl drill --for 5m --workers 8
      queuectl drill --seed 17 --keep --output json

    Plain output: name and value of each count.
    """
    from queuectl.drill.plan import Order, new_seed  # the command's entry: its help loads nothing of what it does
    from queuectl.drill.report import broken_promise, drill_grid, drill_view  # as above
    from queuectl.drill.run import Drill, scratch  # as above

    seed = new_seed() if seed is None else seed
    order = Order(span=span, jobs=jobs or max(1, round(span.total_seconds() * workers)), workers=workers, seed=seed)
    clear_away_on_signals()
    with scratch(app.settings, keep=keep) as scene:
        app.note(f"drill of {counted(workers, 'worker')} with {counted(order.jobs, 'job')}, seed {seed}")
        report = Drill(scene, order, app.note).run()
        asked = {"seed": seed, "for": span.total_seconds(), "workers": workers}
        view = {**asked, **drill_view(report), "kept": str(scene.directory) if keep else None}
        plain = [(key, value) for key, value in view.items() if key not in ("faults", "broken")]
        app.out.write(view, plain=plain, table=lambda: [drill_grid(report)])
        if keep:
            app.note(f"kept: {scene.name}; its ledger and logs are in {scene.directory}")
    if report.history.processes is None:
        app.note("processes cannot be seen on this system, which has no /proc: nobody looked for orphans")
    if report.violations:
        raise broken_promise(report, seed)


def clear_away_on_signals() -> None:
    """Have the signals that would end this process raise SystemExit, so that the scratch queue is removed then too."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(SIGNALLED + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
