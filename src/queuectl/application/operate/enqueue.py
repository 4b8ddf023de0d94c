"""Add jobs to the queue."""

from collections.abc import Sequence

from queuectl.application.operate.configure import policy_of
from queuectl.application.operate.queue import Queue
from queuectl.domain.job import Job, JobRequest, job_of


def enqueue_jobs(queue: Queue, requests: Sequence[JobRequest], *, cwd: str) -> Sequence[Job]:
    """Store a job for each request, all or none. Raises DuplicateJob."""
    at, policy = queue.clock(), policy_of(queue)
    new_ids = queue.new_job_ids(len(requests))
    jobs = [
        job_of(request, new_id=new_id, policy=policy, cwd=cwd, at=at)
        for request, new_id in zip(requests, new_ids, strict=True)
    ]
    queue.jobs.add(jobs)
    return jobs
