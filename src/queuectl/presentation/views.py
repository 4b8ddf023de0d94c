"""What the commands give as JSON: pure functions from the domain to documents. Their keys only ever grow."""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from queuectl.application.operate.queue import LostWorker, Status
from queuectl.domain.attempt import Attempt, Outcome
from queuectl.domain.job import Job
from queuectl.domain.policy import SETTINGS
from queuectl.domain.worker import WorkerRecord
from queuectl.presentation.formatting import counted, escaped, local_time
from queuectl.settings import LOCAL

if TYPE_CHECKING:
    from queuectl.domain.metrics import Metrics, Percentiles, Totals
    from queuectl.domain.ports.storage import Finding
    from queuectl.settings import InForce

View = Mapping[str, object]
"""A JSON object."""

HIDDEN = "***"


def job_view(
    job: Job,
    output: bytes | None = None,
    *,
    worker: str | None = None,
    lost: Collection[str] = (),
    show_env: bool = False,
) -> View:
    """One job; `output` is what its last ended attempt wrote, `worker` the last one, for a job that none holds.

    `lost` are the ids of the workers that are lost.
    """
    return {
        "id": job.id,
        "queue": job.queue,
        "command": job.command if isinstance(job.command, str) else list(job.command),
        "state": str(job.state),
        "priority": job.priority,
        "max_retries": job.max_retries,
        "timeout": seconds(job.timeout),
        "run_at": timestamp(job.run_at),
        "created_at": timestamp(job.created_at),
        "updated_at": timestamp(job.updated_at),
        "started_at": timestamp(job.started_at),
        "finished_at": timestamp(job.finished_at),
        "cwd": job.cwd,
        "env": {name: value if show_env else HIDDEN for name, value in job.env.items()},
        "attempts": job.attempts,
        "failures": job.failures,
        "losses": job.losses,
        "worker": job.lease.worker if job.lease else worker,
        "worker_lost": job.lease is not None and job.lease.worker in lost,
        "exit_code": job.exit_code,
        "last_error": job.last_error,
        "output": None if output is None else output.decode(errors="replace"),
        "cancel_requested_at": timestamp(job.cancel_requested_at),
        "cancel_requested_by": job.cancel_requested_by,
        "suspect": job.suspect,
    }


def info_view(job: Job, history: Sequence[Attempt], *, lost: Collection[str] = (), show_env: bool = False) -> View:
    """One job with its attempts, the first one first."""
    worker = history[-1].lease.worker if history else None
    view = job_view(job, last_output(history), worker=worker, lost=lost, show_env=show_env)
    return {**view, "history": [attempt_view(attempt) for attempt in history]}


def last_output(history: Sequence[Attempt]) -> bytes | None:
    """What the last ended attempt wrote."""
    return next((attempt.output.content for attempt in reversed(history) if attempt.outcome), None)


def attempt_view(attempt: Attempt) -> View:
    """One run of a job; `output` is null while it runs."""
    return {
        "attempt": attempt.number,
        "outcome": attempt.outcome and str(attempt.outcome),
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "started_at": timestamp(attempt.started_at),
        "finished_at": timestamp(attempt.finished_at),
        "worker": attempt.lease.worker,
        "host": attempt.host,
        "error": attempt.error,
        "output": attempt.output.content.decode(errors="replace") if attempt.outcome else None,
        "output_truncated": attempt.output.truncated,
        "late": attempt.late and str(attempt.late),
    }


def status_view(status: Status) -> View:
    """The queue at one moment."""
    return {
        "jobs": {str(state): count for state, count in status.jobs.items()},
        "workers": [worker_view(worker, status) for worker in status.workers],
        "at": timestamp(status.at),
    }


def worker_view(worker: WorkerRecord, status: Status) -> View:
    """One worker; `heartbeat_age` is the time since it last renewed its lease.

    `state` is what it said of itself last, also when it is `lost`.
    """
    lost = status.lost.get(worker.id)
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.process.pid,
        "supervisor_pid": worker.supervisor.pid,
        "state": str(worker.state),
        "jobs": worker.jobs,
        "heartbeat_age": seconds(max(status.at - worker.renewed_at, timedelta())),
        "concurrency": worker.concurrency,
        "queues": list(worker.queues),
        "started_at": timestamp(worker.started_at),
        "lease_expires_at": timestamp(worker.lease_expires_at),
        "lost": lost is not None,
        "lost_since": timestamp(lost.since) if lost else None,
    }


def worker_cells(worker: WorkerRecord, status: Status) -> Sequence[object]:
    """The plain line of one worker."""
    view = worker_view(worker, status)
    state = "lost" if view["lost"] else view["state"]
    return view["id"], view["host"], view["pid"], state, view["jobs"], view["heartbeat_age"]


def lost_sentence(lost: LostWorker) -> str:
    """That a worker is lost, and what becomes of its jobs."""
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


def metrics_view(metrics: "Metrics", window: timedelta, *, detailed: bool) -> View:
    """What happened in the window; `failed` counts attempts, the other counts are of jobs."""
    ended = metrics.completed + metrics.dead
    view: dict[str, object] = {
        "since": timestamp(metrics.since),
        "window": seconds(window),
        "completed": metrics.completed,
        "failed": failed_attempts(metrics),
        "dead": metrics.dead,
        "success_rate": round(metrics.completed / ended, 6) if ended else None,
        "throughput_per_minute": round(metrics.completed / (window / timedelta(minutes=1)), 6),
        "wait": _percentiles_view(metrics.wait),
        "run": _percentiles_view(metrics.run),
        "retries": {
            "completed_after_retry": metrics.retried,
            "most_attempts": metrics.most_attempts,
        },
        "attempts": {str(outcome): metrics.attempts.get(outcome, 0) for outcome in Outcome},
    }
    if detailed:
        view["workers"] = [_totals_view(totals) for totals in metrics.workers]
        view["queues"] = [_totals_view(totals) for totals in metrics.queues]
    return view


def failed_attempts(metrics: "Metrics") -> int:
    """The attempts that failed or ran out of time."""
    return metrics.attempts.get(Outcome.FAILED, 0) + metrics.attempts.get(Outcome.TIMEOUT, 0)


def setting_view(key: str, stored: Mapping[str, str]) -> View:
    """One setting of the queue's policy, with the text in force."""
    chosen = SETTINGS[key]
    return {
        "key": key,
        "value": stored.get(key, chosen.default),
        "default": chosen.default,
        "from": "database" if key in stored else "default",
        "range": chosen.range,
        "meaning": chosen.meaning,
    }


def local_view(key: str, found: "InForce") -> View:
    """One local setting, with the text in force, as a user may see it."""
    chosen = LOCAL[key]
    return {
        "key": key,
        "value": found.text,
        "default": chosen.default(),
        "from": found.origin,
        "range": chosen.range,
        "meaning": "; ".join(filter(None, (chosen.meaning, ", ".join(chosen.winners)))),
    }


def finding_view(finding: "Finding") -> View:
    """What `doctor` found of one thing."""
    return {
        "subject": finding.subject,
        "grade": str(finding.grade),
        "message": finding.message,
        "hint": finding.hint,
    }


def timestamp(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with microseconds: texts sort as the moments do."""
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


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
            case list():
                yield f"{prefix}{key}", shlex.join(str(each) for each in value)
            case _:
                yield f"{prefix}{key}", value


def _percentiles_view(percentiles: "Percentiles") -> View:
    return {"p50": seconds(percentiles.p50), "p95": seconds(percentiles.p95)}


def _totals_view(totals: "Totals") -> View:
    return {
        "name": totals.name,
        "succeeded": totals.succeeded,
        "failed": totals.failed,
        "busy": seconds(totals.busy),
    }
