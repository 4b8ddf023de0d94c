"""Add jobs to the queue."""

from collections.abc import Sequence
from functools import partial

from queuectl.application.ends import look_after
from queuectl.application.operate.queue import Queue
from queuectl.domain.job import JobRequest, jobs_of, terms_of
from queuectl.domain.policy import Policy
from queuectl.domain.unique import Added, Enqueued, with_unique_keys


def enqueue_jobs(queue: Queue, requests: Sequence[JobRequest], *, cwd: str) -> Sequence[Added]:
    """Store a job for each request, all or none; the answer for each.

    Raises DuplicateJob, UniqueKeyTaken, InvalidJob, NotFound.
    """
    at, stored = queue.clock(), queue.config.by_queue()
    new_ids = queue.new_job_ids(len(requests))
    jobs = jobs_of(requests, new_ids, policy_of=partial(Policy.of_queue, stored=stored), cwd=cwd, at=at)
    added = queue.jobs.add(with_unique_keys(jobs, requests), terms_of(jobs, requests))
    new = [it.job for it in added if it.how is Enqueued.NEW]
    look_after(new, dependencies=queue.dependencies, clock=queue.clock)
    return added
