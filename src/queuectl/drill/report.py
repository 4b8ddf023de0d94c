"""What came of a drill, as JSON and as people read it."""

from collections.abc import Mapping

from queuectl.drill.judge import Fault, Report
from queuectl.presentation.formatting import counted, span
from queuectl.presentation.tables import Grid
from queuectl.presentation.views import View, seconds


def drill_view(report: Report, faults: Mapping[Fault, int]) -> View:
    """What came of a drill, and how often it did what."""
    return {
        "jobs": report.jobs,
        "attempts": report.attempts,
        "runs": report.runs,
        "lost": report.lost,
        "overlaps": report.overlaps,
        "orphans": report.orphans,
        "unexplained": report.unexplained,
        "slowest_rescue": seconds(report.slowest_rescue),
        "faults": {str(fault): faults.get(fault, 0) for fault in Fault},
        "broken": [{"promise": it.promise, "job": it.job, "message": it.message} for it in report.broken],
    }


def drill_grid(report: Report, faults: Mapping[Fault, int]) -> Grid:
    """What came of a drill."""

    def none_of(count: int | None) -> str:
        return "not looked for: no /proc" if count is None else f"{count:,}"

    done = ", ".join(f"{fault} {counted(count, 'time')}" for fault, count in sorted(faults.items()) if count)
    rows = [
        ("faults", done or "none"),
        ("jobs", f"{report.jobs:,}, run in {counted(report.attempts, 'attempt')}"),
        ("lost", none_of(report.lost)),
        ("overlaps", none_of(report.overlaps)),
        ("orphans", none_of(report.orphans)),
        ("unexplained double runs", none_of(report.unexplained)),
        ("slowest rescue", "none was needed" if report.slowest_rescue is None else span(report.slowest_rescue)),
        ("verdict", "a promise was broken" if report.broken else "every promise was kept"),
    ]
    return Grid(columns=["", ""], rows=rows, wrap=True, header=False)
