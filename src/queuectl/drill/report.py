"""The verdict on a drill: its counts, as JSON and as people read it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from queuectl.domain.errors import QueueError
from queuectl.drill.judge import History, Invariant, Violation, check
from queuectl.drill.plan import Fault
from queuectl.presentation.formatting import counted, span
from queuectl.presentation.tables import Grid
from queuectl.presentation.views import View, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a drill. `orphans` is None where processes cannot be seen."""

    jobs: int
    attempts: int
    runs: int
    lost: int
    overlaps: int
    orphans: int | None
    unexplained: int
    slowest_rescue: timedelta | None
    faults: Mapping[Fault, int]
    violations: Sequence[Violation]


def report_on(history: History, *, faults: Mapping[Fault, int], rescues: Collection[timedelta]) -> Report:
    """The verdict on what a drill has seen.

    `rescues` are the times from each fault that cost an attempt its worker to the moment when its job was taken back.
    """
    violations = check(history)

    def count(invariant: Invariant) -> int:
        return sum(it.invariant is invariant for it in violations)

    return Report(
        jobs=len(history.jobs),
        attempts=len(history.attempts),
        runs=sum(entry.what == "start" for entry in history.ledger),
        lost=count(Invariant.NO_LOSS),
        overlaps=count(Invariant.NO_OVERLAP),
        orphans=None if history.processes is None else count(Invariant.NO_ORPHANS),
        unexplained=count(Invariant.NO_UNEXPLAINED_RUN),
        slowest_rescue=max(rescues, default=None),
        faults=dict(faults),
        violations=violations,
    )


def drill_view(report: Report) -> View:
    """The outcome of a drill, and how often it did what."""
    return {
        "jobs": report.jobs,
        "attempts": report.attempts,
        "runs": report.runs,
        "lost": report.lost,
        "overlaps": report.overlaps,
        "orphans": report.orphans,
        "unexplained": report.unexplained,
        "slowest_rescue": seconds(report.slowest_rescue),
        "faults": {str(fault): report.faults.get(fault, 0) for fault in Fault},
        "broken": [{"promise": str(it.invariant), "job": it.job, "message": it.message} for it in report.violations],
    }


def drill_grid(report: Report) -> Grid:
    """The outcome of a drill."""

    def none_of(count: int | None) -> str:
        return "not looked for: no /proc" if count is None else f"{count:,}"

    done = ", ".join(f"{fault} {counted(count, 'time')}" for fault, count in sorted(report.faults.items()) if count)
    rows = [
        ("faults", done or "none"),
        ("jobs", f"{report.jobs:,}, run in {counted(report.attempts, 'attempt')}"),
        ("lost", none_of(report.lost)),
        ("overlaps", none_of(report.overlaps)),
        ("orphans", none_of(report.orphans)),
        ("unexplained double runs", none_of(report.unexplained)),
        ("slowest rescue", "none was needed" if report.slowest_rescue is None else span(report.slowest_rescue)),
        ("verdict", "a promise was broken" if report.violations else "every promise was kept"),
    ]
    return Grid(columns=["", ""], rows=rows, wrap=True, header=False)


def broken_promise(report: Report, seed: int) -> QueueError:
    """The error for a drill with violations."""
    first = report.violations[0]
    return QueueError(
        f"a promise was broken, {first.invariant}: {first.message} (seed {seed}; {len(report.violations)} in all)",
        hint=f"`queuectl drill --seed {seed} --keep` repeats it and leaves the queue to look at",
    )
