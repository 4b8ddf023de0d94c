"""Results as people read them on a terminal, as plain values; the command line's `terminal` draws them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from queuectl.application.operate.inspect import Status
from queuectl.application.operate.queues import Overview, QueueNow
from queuectl.domain.attempt import Attempt, Outcome
from queuectl.domain.dependency import Parent
from queuectl.domain.job import Job
from queuectl.domain.metrics import Metrics
from queuectl.domain.ports.storage import Finding
from queuectl.domain.reasons import Reason
from queuectl.presentation.columns import (
    ALWAYS_SHOWN,
    ATTEMPT,
    DEAD_JOB,
    FINDING,
    HIDDEN,
    JOB,
    LOCAL_SETTING,
    METRICS,
    QUEUE,
    SETTING,
    TOTALS,
    WIDE_JOB,
    WORKER,
    JobRow,
    MetricsRow,
    Result,
    SettingRow,
    last_output,
    parent_shown,
    pause_words,
    worker_rows,
)
from queuectl.presentation.formatting import Mark, escaped, shown_output

Row = TypeVar("Row")

MAX_LINES, MAX_BYTES = 50, 10_000
"""The part of an output that is shown: more would push all else out of sight."""


class Grid(NamedTuple):
    """A table. When the terminal is too narrow its last `elastic` columns give way: cut or, with `wrap`, wrapped.

    `below` has a text for each row, shown dim and indented on the lines below it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    below: Sequence[str] = ()
    elastic: int = 1
    wrap: bool = False
    header: bool = True


def grid_of(result: Result[Row], rows: Sequence[Row], *, first: str | None = None) -> Grid:
    """The table of these rows; `first` is another heading for the first column.

    Left out are columns whose rows all have the usual value.
    """
    columns = [
        column
        for column in result.chosen(result.table)
        if column.usual is ALWAYS_SHOWN or any(column.value(row) != column.usual for row in rows)
    ]
    titles = [column.title for column in columns]
    return Grid([first or titles[0], *titles[1:]], [[column.shown(row) for column in columns] for row in rows])


def page_of(result: Result[Row], row: Row) -> Sequence[tuple[str, str]]:
    """The page of one row: labels and texts, the empty ones left out."""
    first = result.chosen(result.page)
    rest = [column for column in result.columns if column.label and column.key not in result.page]
    facts = [(column.label, (column.fact or column.shown)(row)) for column in (*first, *rest)]
    return [(label, text) for label, text in facts if text]


def jobs_grid(
    jobs: Sequence[Job],
    now: datetime,
    lost: Collection[str] = (),
    *,
    dead: bool = False,
    why: Mapping[str, Reason] | None = None,
) -> Grid:
    """A list of jobs, or of `dead` ones: when each died, and of what; `lost` are the ids of the lost workers.

    With `why`, by the ids of the jobs, it says why they wait.
    """
    rows = [JobRow(job, now, lost=lost, why=why.get(job.id) if why else None) for job in jobs]
    if why is not None:
        return grid_of(WIDE_JOB, rows)
    return grid_of(DEAD_JOB, rows)._replace(elastic=2) if dead else grid_of(JOB, rows)


def info_parts(
    job: Job,
    history: Sequence[Attempt],
    now: datetime,
    *,
    after: Sequence[Parent] = (),
    lost: Collection[str] = (),
    show_env: bool,
    why: Reason | None = None,
) -> list[Grid | str]:
    """One job for people: its settings, its attempts, and the output of the last one that has ended."""
    facts = [*page_of(JOB, JobRow(job, now, lost=lost, after=after, why=why))]
    facts += [("after", parent_shown(it)) for it in after]
    facts += [("env", escaped(f"{name}={value if show_env else HIDDEN}")) for name, value in job.env.items()]
    if job.stdin is not None:
        facts.append(("stdin", escaped(job.stdin) if show_env else HIDDEN))
    parts: list[Grid | str] = [_page(facts)]
    if history:
        parts += ["", grid_of(ATTEMPT, history)._replace(wrap=True)]
    if output := last_output(history):
        truncated = any(attempt.output.truncated for attempt in history if attempt.output.content is output)
        end, is_whole = _end_of(output)
        remarks = ([] if is_whole else ["its end: --raw shows all"]) + ["its middle was not kept"] * truncated
        parts += ["", "output of the last attempt" + (f" ({'; '.join(remarks)})" if remarks else "") + ":", end]
    return parts


def _page(facts: Sequence[tuple[str, str]]) -> Grid:
    return Grid(columns=["", ""], rows=facts, wrap=True, header=False)


def _end_of(output: bytes) -> tuple[str, bool]:
    """The last lines of the output, and whether they are all."""
    lines = shown_output(output[-MAX_BYTES:]).rstrip("\n").split("\n")
    is_whole = len(output) <= MAX_BYTES and len(lines) <= MAX_LINES
    if len(output) > MAX_BYTES and len(lines) > 1:
        del lines[0]  # its beginning is missing
    return "\n".join(lines[-MAX_LINES:]), is_whole


def status_parts(status: Status, overview: Overview) -> list[Grid | str]:
    """Jobs by state, the queues, and the live workers."""
    counts = [(Mark(state), f"{count:,}") for state, count in status.jobs.items()]
    parts: list[Grid | str] = [Grid(columns=["JOBS", ""], rows=counts), ""]
    if overview.pause:
        parts += [f"all queues are paused {pause_words(overview.pause, overview.at)}", ""]
    if overview.queues:
        parts += [queues_grid(overview.queues), ""]
    return [*parts, *worker_parts(status)]


def queues_grid(queues: Sequence[QueueNow]) -> Grid:
    """The queues, what waits and runs in each, and why nothing starts."""
    return grid_of(QUEUE, queues)._replace(wrap=True)


def queue_parts(queue: QueueNow) -> list[Grid | str]:
    """One queue for people."""
    return [_page(page_of(QUEUE, queue))]


def worker_parts(status: Status) -> list[Grid | str]:
    """The live workers, or what to do when there are none."""
    if not status.workers:
        return ["no worker is running; `queuectl worker start` starts one"]
    return [grid_of(WORKER, worker_rows(status))]


def metrics_parts(metrics: Metrics, window: timedelta, *, detailed: bool) -> list[Grid | str]:
    """The metrics of a window."""
    parts: list[Grid | str] = [_page(page_of(METRICS, MetricsRow(metrics, window)))]
    if detailed:
        outcomes = [(Mark(outcome), f"{metrics.attempts.get(outcome, 0):,}") for outcome in Outcome]
        parts += ["", Grid(columns=["ATTEMPTS", ""], rows=outcomes)]
        for title, tallies in (("WORKER", metrics.workers), ("QUEUE", metrics.queues)):
            parts += ["", grid_of(TOTALS, tallies, first=title)] if tallies else []
    return parts


def settings_parts(policy: Sequence[SettingRow], local: Sequence[SettingRow]) -> list[Grid | str]:
    """All settings; those of the queue may be missing."""
    parts: list[Grid | str] = [_settings_grid(SETTING, "POLICY", policy), ""] if policy else []
    return [*parts, _settings_grid(LOCAL_SETTING, "LOCAL", [row for row in local if row.value is not None])]


def _settings_grid(result: Result[SettingRow], title: str, settings: Sequence[SettingRow]) -> Grid:
    grid = grid_of(result, settings, first=title)
    rows = [[escaped(cell) for cell in row] for row in grid.rows]
    return grid._replace(rows=rows, below=[row.meaning for row in settings], elastic=2, wrap=True)


def findings_grid(findings: Sequence[Finding]) -> Grid:
    """The findings of `doctor`."""
    return grid_of(FINDING, findings)._replace(wrap=True, header=False)
