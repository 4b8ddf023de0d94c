"""Cancel jobs, and follow what becomes of those that run."""

from queuectl.application.ends import look_after
from queuectl.application.operate.queue import Queue
from queuectl.domain.job import Job, State
from queuectl.domain.worker import WorkerRecord


def cancel_job(queue: Queue, job_id: str, *, now: bool = False) -> Job:
    """Cancel a job that waits; ask for it of one that runs: see `ended_job`. With `now` its command gets no grace.

    Raises JobNotFound, WrongState.
    """
    at = queue.clock()
    job = queue.jobs.change(job_id, lambda job: job.cancelled(at, queue.operator, now=now))
    look_after([job], dependencies=queue.dependencies, clock=queue.clock)
    return job


def ended_job(queue: Queue, asked: Job) -> Job | None:
    """The job, once the attempt is over that ran when its cancel was asked for; None before. Raises JobNotFound."""
    job = queue.jobs.find(asked.id)
    return None if job.state is State.PROCESSING and job.attempts == asked.attempts else job


def is_watched_by_others(queue: Queue, running: Job) -> bool:
    """Say whether another worker than the job's own has a lease: it takes the job back if the own one is lost."""
    at, own = queue.clock(), running.lease and running.lease.worker
    return any(worker.id != own and worker.lease_expires_at > at for worker in queue.workers.live())


def silent_holder(queue: Queue, running: Job) -> WorkerRecord | None:
    """The worker that runs the job, if it lives but has renewed its lease for half of its length no more."""
    own = running.lease and running.lease.worker
    holder = next((worker for worker in queue.workers.live() if worker.id == own), None)
    if holder is None or queue.clock() < holder.renewed_at + (holder.lease_expires_at - holder.renewed_at) / 2:
        return None
    return holder
