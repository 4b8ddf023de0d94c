"""Add jobs to the queue."""

from collections.abc import Sequence

from queuectl.application.operate.configure import policy_of
from queuectl.application.operate.queue import Queue
from queuectl.domain.job import Job, JobRequest, jobs_of


def enqueue_jobs(queue: Queue, requests: Sequence[JobRequest], *, cwd: str) -> Sequence[Job]:
    """Store a job for each request, all or none. Raises DuplicateJob."""
    at, policy = queue.clock(), policy_of(queue)
    jobs = jobs_of(requests, queue.new_job_ids(len(requests)), policy=policy, cwd=cwd, at=at)
    queue.jobs.add(jobs)
    return jobs
