"""Results as programs read them: JSON documents, whose keys only ever grow, and tab-separated plain lines."""

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from queuectl.application.operate.inspect import LostWorker, Status
from queuectl.application.operate.queues import Overview
from queuectl.domain.attempt import Attempt
from queuectl.domain.dependency import Parent
from queuectl.domain.job import Job
from queuectl.domain.metrics import Metrics
from queuectl.domain.policy import SETTINGS, StoredSettings
from queuectl.domain.ports.storage import Finding, Grade
from queuectl.domain.reasons import Reason
from queuectl.presentation.columns import (
    ATTEMPT,
    FINDING,
    JOB,
    METRICS,
    QUEUE,
    TOTALS,
    WORKER,
    JobRow,
    MetricsRow,
    Result,
    SettingRow,
    last_output,
    why_code,
    worker_rows,
)
from queuectl.presentation.formatting import counted, escaped, local_time

Row = TypeVar("Row")

View = Mapping[str, object]
"""A JSON object."""


def view_of(result: Result[Row], row: Row) -> View:
    """One row as a JSON object."""
    return {column.key: _json(column.value(row)) for column in result.columns if not column.for_people}


def plain_lines(result: Result[Row], rows: Iterable[Row]) -> Iterator[Sequence[object]]:
    """Each row as the cells of a plain line."""
    columns = result.chosen(result.plain)
    return ([_cell(_json(column.value(row))) for column in columns] for row in rows)


def wide_view(row: JobRow) -> View:
    """One job with the code of the first reason why it waits."""
    return {**view_of(JOB, row), "why": why_code(row)}


def info_view(
    job: Job,
    history: Sequence[Attempt],
    *,
    after: Sequence[Parent] = (),
    lost: Collection[str] = (),
    show_env: bool = False,
    why: Reason | None = None,
) -> View:
    """One job with its attempts, the first one first, and the first reason why it waits."""
    worker = history[-1].lease.worker if history else None
    row = JobRow(job, output=last_output(history), worker=worker, lost=lost, show_env=show_env, after=after, why=why)
    return {**wide_view(row), "history": [view_of(ATTEMPT, attempt) for attempt in history]}


def status_view(status: Status, overview: Overview) -> View:
    """The queue at one moment; `pause` is that of all queues."""
    return {
        "jobs": {str(state): count for state, count in status.jobs.items()},
        "pause": None if overview.pause is None else _members(overview.pause._asdict()),
        "queues": [view_of(QUEUE, it) for it in overview.queues],
        "workers": [view_of(WORKER, row) for row in worker_rows(status)],
        "at": timestamp(status.at),
    }


def lost_sentence(lost: LostWorker) -> str:
    """The news that a worker is lost, and what becomes of its jobs."""
    worker = lost.worker
    how = "its process has ended" if lost.is_dead else "it does not renew its lease"
    said = f"worker {worker.id} (pid {worker.process.pid} on {escaped(worker.host)}) is lost"
    said += f" since {local_time(lost.since)}: {how}"
    if not worker.jobs:
        return f"{said}; it held no job"
    wait = f"{counted(worker.jobs, 'job')} {'waits' if worker.jobs == 1 else 'wait'}"
    if lost.has_others:
        return f"{said}; {wait} until another worker takes {'it' if worker.jobs == 1 else 'them'} back"
    return (
        f"{said}; {wait} for a worker to take {'it' if worker.jobs == 1 else 'them'} back: `queuectl worker start` does"
    )


def metrics_view(metrics: Metrics, window: timedelta, *, detailed: bool) -> View:
    """Metrics of a window; `failed` counts attempts, the other counts are of jobs."""
    view = view_of(METRICS, MetricsRow(metrics, window))
    if not detailed:
        return view
    workers, queues = ([view_of(TOTALS, total) for total in totals] for totals in (metrics.workers, metrics.queues))
    return {**view, "workers": workers, "queues": queues}


def setting_row(key: str, stored: StoredSettings, queue: str = "") -> SettingRow:
    """One setting of the policy, of all queues or of one, with the text in force."""
    chosen, of_all, of_queue = SETTINGS[key], stored.get("", {}), stored.get(queue, {}) if queue else {}
    origin = f"queue {queue}" if key in of_queue else "database" if key in of_all else "default"
    text = of_queue.get(key, of_all.get(key, chosen.default))
    return SettingRow(key, text, chosen.default, origin, chosen.range, chosen.meaning)


def findings_view(findings: Sequence[Finding]) -> View:
    """The findings of `doctor`; `ok` is true when nothing is broken."""
    is_well = all(finding.grade is not Grade.FAIL for finding in findings)
    return {"ok": is_well, "findings": [view_of(FINDING, finding) for finding in findings]}


def timestamp(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with microseconds: texts sort as the moments do."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def seconds(span: timedelta | None) -> float | int | None:
    """The span in seconds, as an integer where it is one."""
    if span is None:
        return None
    number = span.total_seconds()
    return int(number) if number.is_integer() else number


def flat(view: View, prefix: str = "") -> Iterator[Sequence[object]]:
    """The lines of plain output: a name and a value each; those of the attempts are named `history.1.outcome`."""
    for key, value in view.items():
        match value:
            case dict():
                yield from flat(value, f"{prefix}{key}.")
            case list() if value and all(isinstance(each, dict) for each in value):
                for number, each in enumerate(value, start=1):
                    yield from flat(each, f"{prefix}{key}.{number}.")
            case _:
                yield f"{prefix}{key}", _cell(value)


def _cell(value: object) -> object:
    return shlex.join(map(str, value)) if isinstance(value, list) else value


def _json(value: object) -> object:
    write = _WRITERS.get(type(value))
    return value if write is None else write(value)


def _members(value: dict[str, object]) -> dict[str, object]:
    return {key: _json(each) for key, each in value.items()}


_WRITERS: Mapping[type, Callable[..., object]] = {
    datetime: timestamp,
    timedelta: seconds,
    bytes: lambda value: value.decode(errors="replace"),
    tuple: list,
    dict: _members,
}
"""Writers of values that JSON does not have."""
