"""Add jobs to the queue."""

from collections.abc import Sequence
from functools import partial

from queuectl.application.operate.queue import Queue
from queuectl.domain.job import Job, JobRequest, jobs_of
from queuectl.domain.policy import Policy


def enqueue_jobs(queue: Queue, requests: Sequence[JobRequest], *, cwd: str) -> Sequence[Job]:
    """Store a job for each request, all or none. Raises DuplicateJob."""
    at, stored = queue.clock(), queue.config.by_queue()
    new_ids = queue.new_job_ids(len(requests))
    jobs = jobs_of(requests, new_ids, policy_of=partial(Policy.of_queue, stored=stored), cwd=cwd, at=at)
    queue.jobs.add(jobs)
    return jobs
