"""The verdict on a drill: its counts, as JSON and as people read it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from queuectl.domain.errors import QueueError
from queuectl.drill.judge import History, Invariant, Violation
from queuectl.drill.plan import Fault
from queuectl.presentation.formatting import counted, span
from queuectl.presentation.tables import Grid
from queuectl.presentation.views import View, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The observations of a drill, and the verdict on them.

    `slowest_rescue` is the longest time from a fault that cost an attempt its worker to the moment when its job was
    taken back; None: no rescue was needed.
    """

    history: History
    faults: Mapping[Fault, int]
    slowest_rescue: timedelta | None
    violations: Sequence[Violation]

    @property
    def counts(self) -> Mapping[str, int | None]:
        """The number of each; of orphans None where processes cannot be seen."""
        broken = Counter(it.invariant for it in self.violations)
        return {
            "jobs": len(self.history.jobs),
            "attempts": len(self.history.attempts),
            "runs": sum(entry.what == "start" for entry in self.history.ledger),
            "lost": broken[Invariant.NO_LOSS],
            "overlaps": broken[Invariant.NO_OVERLAP],
            "orphans": None if self.history.processes is None else broken[Invariant.NO_ORPHANS],
            "unexplained": broken[Invariant.NO_UNEXPLAINED_RUN],
        }


def drill_view(report: Report) -> View:
    """The outcome of a drill, and how often it did what."""
    return {
        **report.counts,
        "slowest_rescue": seconds(report.slowest_rescue),
        "faults": {str(fault): report.faults.get(fault, 0) for fault in Fault},
        "broken": [{"promise": str(it.invariant), "job": it.job, "message": it.message} for it in report.violations],
    }


def drill_grid(report: Report) -> Grid:
    """The outcome of a drill."""

    def found(what: str) -> str:
        count = report.counts[what]
        return "not looked for: no /proc" if count is None else f"{count:,}"

    done = ", ".join(f"{fault} {counted(count, 'time')}" for fault, count in sorted(report.faults.items()) if count)
    rows = [
        ("faults", done or "none"),
        ("jobs", f"{found('jobs')}, run in {counted(len(report.history.attempts), 'attempt')}"),
        ("lost", found("lost")),
        ("overlaps", found("overlaps")),
        ("orphans", found("orphans")),
        ("unexplained double runs", found("unexplained")),
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
