"""What the commands show on a terminal, as plain values; `terminal` draws them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from queuectl.application.operate.queue import Status
from queuectl.domain.attempt import Attempt, Outcome
from queuectl.domain.duration import format_duration
from queuectl.domain.job import TERMINAL, Job, State
from queuectl.domain.worker import WorkerRecord
from queuectl.presentation.formatting import counted, escaped, local_time, relative, shown_command, shown_output, span
from queuectl.presentation.views import HIDDEN, View, failed_attempts, last_output

if TYPE_CHECKING:
    from queuectl.domain.metrics import Metrics, Percentiles, Totals
    from queuectl.domain.ports.storage import Finding


MOST_LINES, MOST_BYTES = 50, 10_000
"""How much of an output is shown: more would push all else out of sight."""


class Mark(str):
    """The name of a state, an outcome or a grade, which has a colour; the same word of a user's own has none."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table. When the terminal is too narrow its last `elastic` columns give way: cut or, with `wrap`, wrapped.

    `below` has a text for each row, shown dim and indented on the lines below it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    below: Sequence[str] = ()
    elastic: int = 1
    wrap: bool = False
    header: bool = True


def jobs_grid(jobs: Sequence[Job], now: datetime, lost: Collection[str] = ()) -> Grid:
    """A list of jobs; queue and priority are shown only when one of them is not the usual.

    `lost` are the ids of the workers that are lost.
    """
    columns = {
        "ID": [job.id for job in jobs],
        "STATE": [Mark(job.state) for job in jobs],
        "QUEUE": [job.queue for job in jobs],
        "PRI": [str(job.priority) for job in jobs],
        "RUNS": [str(job.attempts) for job in jobs],
        "WHEN": [when(job, now, lost) for job in jobs],
        "COMMAND": [shown_command(job.command) for job in jobs],
    }
    if all(job.queue == "default" for job in jobs):
        del columns["QUEUE"]
    if all(job.priority == 5 for job in jobs):
        del columns["PRI"]
    return Grid(columns=list(columns), rows=list(zip(*columns.values(), strict=True)))


def dead_grid(jobs: Sequence[Job], now: datetime, _lost: Collection[str] = ()) -> Grid:
    """The dead letter queue: what died, when and of what."""
    rows = [
        (job.id, str(job.attempts), when(job, now), escaped(job.last_error or ""), shown_command(job.command))
        for job in jobs
    ]
    return Grid(columns=["ID", "RUNS", "WHEN", "LAST ERROR", "COMMAND"], rows=rows, elastic=2)


def when(job: Job, now: datetime, lost: Collection[str] = ()) -> str:
    """The moment that matters in the job's state."""
    if job.state is State.PROCESSING:
        started = f"started {relative(job.started_at or job.updated_at, now)}"
        if job.lease and job.lease.worker in lost:
            started += ", its worker is lost"
        return f"{started}, to be cancelled" if job.cancel_requested_at else started
    if job.state in TERMINAL:
        return f"ended {relative(job.finished_at or job.updated_at, now)}"
    return "due now" if job.run_at <= now else f"due {relative(job.run_at, now)}"


def info_parts(
    job: Job, history: Sequence[Attempt], now: datetime, *, lost: Collection[str] = (), show_env: bool
) -> list[Grid | str]:
    """One job for people: its settings, its attempts, and the output of the last one that has ended."""
    parts: list[Grid | str] = [Grid(columns=["", ""], rows=_facts(job, now, lost, show_env), wrap=True, header=False)]
    if history:
        parts += ["", _history_grid(history)]
    if output := last_output(history):
        truncated = any(attempt.output.truncated for attempt in history if attempt.output.content is output)
        end, is_whole = _end_of(output)
        remarks = ([] if is_whole else ["its end: --raw shows all"]) + ["its middle was not kept"] * truncated
        parts += ["", "output of the last attempt" + (f" ({'; '.join(remarks)})" if remarks else "") + ":", end]
    return parts


def _end_of(output: bytes) -> tuple[str, bool]:
    """The last lines of the output, and whether they are all."""
    lines = shown_output(output[-MOST_BYTES:]).rstrip("\n").split("\n")
    is_whole = len(output) <= MOST_BYTES and len(lines) <= MOST_LINES
    if len(output) > MOST_BYTES and len(lines) > 1:
        del lines[0]  # its beginning is missing
    return "\n".join(lines[-MOST_LINES:]), is_whole


def _facts(job: Job, now: datetime, lost: Collection[str], show_env: bool) -> list[tuple[str, str]]:
    facts = [
        ("job", job.id),
        ("state", Mark(job.state)),
        ("when", when(job, now, lost)),
        ("command", shown_command(job.command)),
        ("last error", escaped(job.last_error or "")),
        ("queue", f"{job.queue}, priority {job.priority}"),
        ("runs", f"{job.attempts}, of which {job.failures} failed; max_retries {job.max_retries}"),
        ("lost", f"{job.losses} of the runs, alone with their worker" if job.losses else ""),
        ("apart", "it runs apart from other jobs: its worker was lost" if job.suspect else ""),
        ("timeout", format_duration(job.timeout) if job.timeout else "none"),
        ("directory", escaped(job.cwd) if job.cwd else "the worker's own"),
        ("created", local_time(job.created_at)),
        ("due", local_time(job.run_at)),
        ("worker", job.lease.worker if job.lease else ""),
        ("cancel", _cancel(job, now)),
    ]
    facts += [("env", escaped(f"{name}={value if show_env else HIDDEN}")) for name, value in job.env.items()]
    return [(label, text) for label, text in facts if text]


def _cancel(job: Job, now: datetime) -> str:
    if job.cancel_requested_at is None:
        return ""
    return f"asked for by {escaped(job.cancel_requested_by or '')}, {relative(job.cancel_requested_at, now)}"


def _history_grid(history: Sequence[Attempt]) -> Grid:
    rows = [
        (
            str(attempt.number),
            Mark(attempt.outcome or "running"),
            _exit(attempt),
            local_time(attempt.started_at),
            span(attempt.finished_at - attempt.started_at) if attempt.finished_at else "",
            escaped(attempt.host),
            escaped(attempt.error or "") + (f" (reported late: {attempt.late})" if attempt.late else ""),
        )
        for attempt in history
    ]
    columns = ["ATTEMPT", "OUTCOME", "EXIT", "STARTED", "TOOK", "HOST", "ERROR"]
    return Grid(columns=columns, rows=rows, wrap=True)


def _exit(attempt: Attempt) -> str:
    if attempt.signal is not None:
        return f"signal {attempt.signal}"
    return "" if attempt.exit_code is None else str(attempt.exit_code)


def status_parts(status: Status) -> list[Grid | str]:
    """Jobs by state, and the live workers."""
    counts = [(Mark(state), f"{count:,}") for state, count in status.jobs.items()]
    return [Grid(columns=["JOBS", ""], rows=counts), "", *worker_parts(status)]


def worker_parts(status: Status) -> list[Grid | str]:
    """The live workers, or what to do when there are none."""
    if not status.workers:
        return ["no worker is running; `queuectl worker start` starts one"]
    rows = [_worker_row(worker, status) for worker in status.workers]
    return [Grid(columns=["WORKER", "STATE", "JOBS", "HEARTBEAT", "PID", "HOST", "QUEUES"], rows=rows)]


def _worker_row(worker: WorkerRecord, status: Status) -> tuple[str, ...]:
    return (
        worker.id,
        Mark("lost" if worker.id in status.lost else worker.state),
        f"{worker.jobs} of {worker.concurrency}",
        relative(worker.renewed_at, status.at),
        str(worker.process.pid),
        escaped(worker.host),
        ", ".join(worker.queues) or "all",
    )


def metrics_parts(metrics: "Metrics", window: timedelta, *, detailed: bool) -> list[Grid | str]:
    """What happened in the window, for people."""
    ended = metrics.completed + metrics.dead
    per_minute = metrics.completed / (window / timedelta(minutes=1))
    rate = f"{per_minute:,.3g} jobs per minute" if per_minute >= 1 else f"{per_minute * 60:,.3g} jobs per hour"
    facts = [
        ("window", f"the last {span(window)}, since {local_time(metrics.since)}"),
        ("completed", counted(metrics.completed, "job")),
        ("dead", counted(metrics.dead, "job")),
        ("success rate", f"{metrics.completed / ended:.1%} of the jobs that ended" if ended else "no job ended"),
        ("throughput", rate),
        ("failed", counted(failed_attempts(metrics), "attempt")),
        ("wait", _percentiles(metrics.wait)),
        ("run", _percentiles(metrics.run)),
        (
            "retries",
            f"{counted(metrics.retried, 'job')} completed after one; at most {counted(metrics.most_attempts, 'run')}",
        ),
    ]
    parts: list[Grid | str] = [Grid(columns=["", ""], rows=facts, wrap=True, header=False)]
    if detailed:
        outcomes = [(Mark(outcome), f"{metrics.attempts.get(outcome, 0):,}") for outcome in Outcome]
        parts += ["", Grid(columns=["ATTEMPTS", ""], rows=outcomes)]
        for title, rows in (("WORKER", metrics.workers), ("QUEUE", metrics.queues)):
            parts += ["", _totals_grid(title, rows)] if rows else []
    return parts


def _percentiles(percentiles: "Percentiles") -> str:
    if percentiles.p50 is None or percentiles.p95 is None:
        return "no attempt ended"
    return f"half within {span(percentiles.p50)}, 95% within {span(percentiles.p95)}"


def _totals_grid(title: str, totals: "Sequence[Totals]") -> Grid:
    rows = [(each.name, f"{each.succeeded:,}", f"{each.failed:,}", span(each.busy)) for each in totals]
    return Grid(columns=[title, "SUCCEEDED", "FAILED", "BUSY"], rows=rows)


def settings_parts(policy: Sequence[View], local: Sequence[View]) -> list[Grid | str]:
    """All settings; those of the queue may be missing."""
    columns = ("POLICY", "VALUE", "DEFAULT", "RANGE", "FROM")
    parts: list[Grid | str] = [_settings_grid(columns, policy), ""] if policy else []
    return [*parts, _settings_grid(("LOCAL", "VALUE", "FROM"), [view for view in local if view["value"] is not None])]


def _settings_grid(columns: Sequence[str], settings: Sequence[View]) -> Grid:
    keys = ["key", *(column.lower() for column in columns[1:])]
    rows = [[escaped(str(view[key])) for key in keys] for view in settings]
    return Grid(columns=columns, rows=rows, below=[str(view["meaning"]) for view in settings], elastic=2, wrap=True)


def findings_grid(findings: "Sequence[Finding]") -> Grid:
    """What `doctor` found."""
    rows = [
        (Mark(finding.grade), finding.subject, escaped(finding.message) + (f"; {finding.hint}" if finding.hint else ""))
        for finding in findings
    ]
    return Grid(columns=["", "", ""], rows=rows, wrap=True, header=False)
