"""Run jobs again that have ended; and the dead letter queue, whose jobs are run again or removed."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from queuectl.application.ends import look_after
from queuectl.application.operate.queue import Queue
from queuectl.domain.errors import WrongState
from queuectl.domain.job import Job, State

BATCH = 500
"""Jobs per transaction when a command goes over many."""


class Retried(NamedTuple):
    """A job that will run again, and the number of ends for which it waits no more, as they had not come."""

    job: Job
    dropped: int = 0


def retry_job(queue: Queue, job_id: str) -> Retried:
    """Have a job that has ended run again. Raises JobNotFound, WrongState, UniqueKeyTaken."""
    at, dropped = queue.clock(), 0

    def retried(job: Job) -> Job:
        nonlocal dropped
        dropped = job.blockers
        return job.retried(at)

    return Retried(queue.jobs.change(job_id, retried), dropped)


def retry_dead_job(queue: Queue, job_id: str) -> Job:
    """Have a job of the dead letter queue run again.

    Raises JobNotFound, UniqueKeyTaken, WrongState when it is not in there.
    """
    at = queue.clock()
    return queue.jobs.change(job_id, lambda job: _dead(job).retried(at))


def retry_all_dead(queue: Queue) -> Iterator[Sequence[Job]]:
    """Have every job that is in the dead letter queue now run again; yields those of each transaction.

    One whose unique key another job holds is still dead.
    """
    at = queue.clock()
    while jobs := queue.jobs.change_dead(lambda job: job.retried(at), until=at, limit=BATCH):
        yield jobs


def remove_dead_job(queue: Queue, job_id: str) -> None:
    """Delete a job of the dead letter queue with its history; what waits for its success is cancelled.

    Raises JobNotFound, WrongState.
    """
    removed = queue.jobs.remove(job_id, allow=_dead, at=queue.clock())
    look_after(removed.cancelled, dependencies=queue.dependencies, clock=queue.clock)


def remove_all_dead(queue: Queue) -> Iterator[Sequence[str]]:
    """Delete every job of the dead letter queue; yields the ids of those of each transaction."""
    while (removed := queue.jobs.remove_dead(limit=BATCH, at=queue.clock())).ids:
        look_after(removed.cancelled, dependencies=queue.dependencies, clock=queue.clock)
        yield removed.ids


def waiting_for_dead(queue: Queue) -> int:
    """The number of jobs that would be cancelled if the dead letter queue was emptied."""
    return queue.dependencies.waiting_for_dead()


def _dead(job: Job) -> Job:
    if job.state is not State.DEAD:
        hint = f"`queuectl retry {job.id}` runs any job that has ended again"
        raise WrongState(f"job {job.id} is {job.state}, not in the dead letter queue", hint=hint)
    return job
