"""Add jobs to the queue."""

from collections.abc import Sequence

from queuectl.application.ends import look_after
from queuectl.application.operate.configure import policy_of
from queuectl.application.operate.queue import Queue
from queuectl.domain.job import Job, JobRequest, jobs_of, terms_of


def enqueue_jobs(queue: Queue, requests: Sequence[JobRequest], *, cwd: str) -> Sequence[Job]:
    """Store a job for each request, all or none. Raises DuplicateJob, InvalidJob, NotFound."""
    at, policy = queue.clock(), policy_of(queue)
    jobs = jobs_of(requests, queue.new_job_ids(len(requests)), policy=policy, cwd=cwd, at=at)
    stored = queue.jobs.add(jobs, terms_of(jobs, requests))
    look_after(stored, dependencies=queue.dependencies, clock=queue.clock)
    return stored
