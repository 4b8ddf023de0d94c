"""Add jobs to the queue."""

from collections.abc import Sequence

from queuectl.application.operate.configure import policy_of
from queuectl.application.operate.queue import Queue
from queuectl.domain.job import JobRequest, jobs_of, terms_of
from queuectl.domain.unique import Added, with_unique_keys


def enqueue_jobs(queue: Queue, requests: Sequence[JobRequest], *, cwd: str) -> Sequence[Added]:
    """Store a job for each request, all or none; the answer for each. Raises DuplicateJob, UniqueKeyTaken."""
    at, policy = queue.clock(), policy_of(queue)
    jobs = jobs_of(requests, queue.new_job_ids(len(requests)), policy=policy, cwd=cwd, at=at)
    return queue.jobs.add(with_unique_keys(jobs, requests), terms_of(jobs, requests))
