"""Rows as values of the core: also rows that no queuectl of this version has written.

A row may come from a newer version, from a role that may only insert, or from somebody's editor. One of them must hold
up nobody: what can be shown of it is shown, and why it cannot be read is said with it.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from operator import attrgetter

from queuectl.adapters.host.files import printable
from queuectl.adapters.sql.engine.prepared import Row, shortened
from queuectl.domain.attempt import Attempt, Output
from queuectl.domain.job import Job, State
from queuectl.domain.worker import Lease, Process, WorkerRecord

JOB_FIELDS = tuple(name for name in Job._fields if name != "lease")
FIELD_VALUES = attrgetter(*JOB_FIELDS)

MOST = 10**9
"""The greatest number of runs, failures or losses that is believed: well below the end of PostgreSQL's INTEGER."""


def read_job(row: Row) -> tuple[Job, str]:
    """The job; and why its row cannot be read, mostly "". Of such a row, what is no value of the job's is replaced."""
    lease = None if row.lease_id is None else Lease(id=row.lease_id, worker=row.worker)
    job = Job(**dict(zip(JOB_FIELDS, FIELD_VALUES(row), strict=True)), lease=lease)
    reason = row.unreadable
    if not reason and (job.state is State.PROCESSING) is not (lease is not None):
        reason = f"state is {job.state}, lease_id is {_quoted(row.lease_id)}"
    if not reason and all(is_right(value) for is_right, value in zip(_CHECKS, job, strict=True)):
        return job, ""
    return _mended(job, reason)


def shown_job(row: Row) -> Job:
    """The job for whoever looks at it. One that cannot be read is dead, unless it runs; its last error says why."""
    job, reason = read_job(row)
    return job._replace(last_error=unreadable(reason)) if reason else job


def unreadable(reason: str) -> str:
    """The last error of a job whose row cannot be read."""
    return f"this row cannot be read: {reason}"


def read_attempt(row: Row) -> Attempt:
    """The attempt; where its row cannot be read, its error says why."""
    output = row.output if isinstance(row.output, bytes) else str(row.output or "").encode(errors="replace")
    return Attempt(
        job_id=row.job_id,
        number=row.number,
        lease=Lease(id=row.lease_id, worker=row.worker),
        host=row.host,
        started_at=row.started_at,
        finished_at=row.finished_at,
        outcome=row.outcome,
        exit_code=row.exit_code,
        signal=row.signal,
        error=unreadable(row.unreadable) if row.unreadable else row.error,
        output=Output(content=output, truncated=row.output_truncated),
        late=row.late,
    )


def read_worker(row: Row) -> WorkerRecord:
    """The worker. Of one whose row cannot be read only the lease counts: its process might be anybody's."""
    process, supervisor = (row.pid, row.pid_started), (row.supervisor_pid, row.supervisor_started)
    machine = row.machine
    if unreadable_worker(row):
        machine, process, supervisor = "", (0, 0), (0, 0)
    return WorkerRecord(
        id=_text(row.id),
        host=_text(row.host),
        process=Process(machine=machine, pid=process[0], started=process[1]),
        supervisor=Process(machine=machine, pid=supervisor[0], started=supervisor[1]),
        queues=tuple(map(_text, row.queues)),
        concurrency=row.concurrency,
        state=row.state,
        started_at=row.started_at,
        renewed_at=row.renewed_at,
        lease_expires_at=row.lease_expires_at,
        jobs=row.jobs,
    )


def unreadable_worker(row: Row) -> str:
    """Why the worker's row cannot be read; mostly ""."""
    if row.unreadable:
        return row.unreadable
    numbers = {name: getattr(row, name) for name in ("pid", "pid_started", "supervisor_pid", "supervisor_started")}
    texts = {name: getattr(row, name) for name in ("id", "host", "machine")}
    wrong = [name for name, value in numbers.items() if not _is_number(value)]
    wrong += [name for name, value in texts.items() if not _is_text(value)]
    return "; ".join(f"{name} is {_quoted(getattr(row, name))}" for name in wrong)


def _mended(job: Job, reason: str) -> tuple[Job, str]:
    reasons = [reason] if reason else []
    values: list[object] = []
    for name, value, is_right in zip(Job._fields, job, _CHECKS, strict=True):
        if is_right(value):
            values.append(value)
        else:
            reasons.append(f"{name} is {_quoted(value)}")
            values.append(_SUBSTITUTES.get(name, _text)(value))
    mended = Job._make(values)
    if mended.state is not State.PROCESSING or mended.lease is None:
        mended = mended._replace(state=State.DEAD, lease=None)
    return mended, "; ".join(reasons)


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_text_or_none(value: object) -> bool:
    return value is None or _is_text(value)


def _is_argument(value: object) -> bool:
    """Whether a program can be given it: bytes that are no UTF-8 are fine, see `Command`."""
    try:
        return isinstance(value, str) and b"\0" not in value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False


def _is_command(value: object) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(map(_is_argument, value)) and value[0] != ""
    return _is_argument(value)


def _is_environment(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        _is_argument(name) and name and "=" not in name and _is_argument(text) for name, text in value.items()
    )


def _is_argument_or_none(value: object) -> bool:
    return value is None or _is_argument(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int)


def _is_number_or_none(value: object) -> bool:
    return value is None or isinstance(value, int)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= MOST


def _is_span(value: object) -> bool:
    return value is None or (isinstance(value, timedelta) and value > timedelta())


def _is_lease(value: object) -> bool:
    return isinstance(value, Lease) and _is_text(value.id) and _is_text(value.worker)


def _is_decoded(_: object) -> bool:
    """The decoders of moments and states have had their say."""
    return True


_RIGHT: Mapping[str, Callable[[object], bool]] = {
    "id": lambda value: _is_text(value) and value != "",
    "command": _is_command,
    "queue": _is_text,
    "priority": _is_number,
    "max_retries": _is_count,
    "timeout": _is_span,
    "cwd": _is_argument_or_none,
    "env": _is_environment,
    "attempts": _is_count,
    "failures": _is_count,
    "losses": _is_count,
    "exit_code": _is_number_or_none,
    "last_error": _is_text_or_none,
    "cancel_requested_by": _is_text_or_none,
    "lease": lambda value: value is None or _is_lease(value),
}
"""What the value of each field must be for the job to be run."""

_CHECKS = [_RIGHT.get(name, _is_decoded) for name in Job._fields]

_SUBSTITUTES: Mapping[str, Callable[[object], object]] = {
    "priority": lambda _: 0,
    "max_retries": lambda _: 0,
    "timeout": lambda _: None,
    "cwd": lambda _: None,
    "env": lambda _: {},
    "attempts": lambda _: 0,
    "failures": lambda _: 0,
    "losses": lambda _: 0,
    "exit_code": lambda _: None,
    "lease": lambda _: None,
}
"""What stands in for a wrong value; of the others, the text that shows it."""


def _text(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return printable(text) if _is_argument(text) else ascii(text)


def _quoted(value: object) -> str:
    return shortened(ascii(value))
