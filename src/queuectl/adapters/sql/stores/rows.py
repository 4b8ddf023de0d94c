"""Rows as values of the core, also rows that no queuectl of this version has written.

What can be shown of such a row is shown, and why it cannot be read is said with it.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple, TypeVar

from queuectl.adapters.sql.engine.queries import AttemptRow, JobRow, LiveWorkersRow, StoreJob
from queuectl.adapters.sql.engine.values import shortened, shown
from queuectl.domain.attempt import Attempt, Output
from queuectl.domain.job import Job, Spec, State
from queuectl.domain.worker import Lease, Process, WorkerRecord

R = TypeVar("R", bound=NamedTuple)

# Fields have the names of their columns, but for the lease, which has two.
_SPEC = attrgetter(*Spec._fields)
_PROGRESS = attrgetter(*(name for name in Job._fields if name not in ("spec", "lease")))


class Unrunnable(NamedTuple):
    """A job that cannot be run: its number, the job as far as it can be shown, and why."""

    seq: int
    job: Job
    reason: str


def read_job(row: JobRow) -> tuple[Job, str]:
    """The job; and why its row cannot be read, mostly ""."""
    lease = None if row.lease_id is None else Lease(id=row.lease_id, worker=row.worker or "")
    job = Job._make((Spec._make(_SPEC(row)), *_PROGRESS(row), lease))
    reason = row.unreadable
    if not reason and (job.state is State.PROCESSING) is not (lease is not None):
        reason = f"state is {job.state}, lease_id is {shortened(ascii(row.lease_id))}"
    if reason and (job.state is not State.PROCESSING or lease is None):
        job = job._replace(state=State.DEAD, lease=None)
    return job, reason


def shown_job(row: JobRow) -> Job:
    """The job for whoever looks at it. One that cannot be read is dead, unless it runs; its last error says why."""
    job, reason = read_job(row)
    return job._replace(last_error=unreadable(reason)) if reason else job


def runnable(rows: Iterable[JobRow]) -> tuple[list[Job], list[Unrunnable]]:
    """The jobs of these rows, and those that cannot be read."""
    good, bad = [], []
    for row in rows:
        job, reason = read_job(row)
        if reason:
            bad.append(Unrunnable(row.seq, job, unreadable(reason)))
        else:
            good.append(job)
    return good, bad


def unreadable(reason: str) -> str:
    """The last error of a job whose row cannot be read."""
    return f"this row cannot be read: {reason}"


def filled(kind: type[R], source: object, **others: object) -> R:
    """A record whose fields are those of the source, by their names, but for the others."""
    return kind._make([others[it] if it in others else getattr(source, it) for it in kind._fields])


def changed(jobs: Iterable[Job]) -> list[StoreJob]:
    """The rows of jobs that were changed."""
    return [
        filled(StoreJob, job, job_id=job.id, worker=job.lease and job.lease.worker, lease_id=job.lease and job.lease.id)
        for job in jobs
    ]


def read_attempt(row: AttemptRow) -> Attempt:
    """The attempt; where its row cannot be read, its error says why."""
    return filled(
        Attempt,
        row,
        lease=Lease(id=row.lease_id, worker=row.worker),
        error=unreadable(row.unreadable) if row.unreadable else row.error,
        output=Output(content=row.output or b"", truncated=row.output_truncated),
    )


def read_worker(row: LiveWorkersRow) -> WorkerRecord:
    """The worker. Of one whose row cannot be read only the lease counts: its process might be anybody's."""
    worker = row.worker
    if worker.unreadable:
        worker = worker._replace(machine="", pid=0, pid_started=0, supervisor_pid=0, supervisor_started=0)
    return WorkerRecord(
        id=shown(worker.id),
        host=shown(worker.host),
        process=Process(machine=worker.machine, pid=worker.pid, started=worker.pid_started),
        supervisor=Process(machine=worker.machine, pid=worker.supervisor_pid, started=worker.supervisor_started),
        queues=tuple(map(shown, worker.queues)),
        concurrency=worker.concurrency,
        state=worker.state,
        started_at=worker.started_at,
        renewed_at=worker.renewed_at,
        lease_expires_at=worker.lease_expires_at,
        labels=tuple(map(shown, worker.labels)),
        jobs=row.jobs,
    )
