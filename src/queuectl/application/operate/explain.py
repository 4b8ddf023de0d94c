"""Explain why a job waits, and when it is likely to start."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from queuectl.application.operate.inspect import working, working_of
from queuectl.application.operate.queue import Queue
from queuectl.domain.job import TERMINAL, Job, State
from queuectl.domain.reasons import Facts, Reason, estimate, reasons


class Explanation(NamedTuple):
    """The reasons why a job does not run at a moment, and the facts behind them."""

    job: Job
    at: datetime
    reasons: Sequence[Reason]
    facts: Facts
    hosts: Mapping[str, str]
    """The hosts of the live workers, by their ids."""

    @property
    def first(self) -> Reason | None:
        """The reason that binds first; None for a job that does not wait."""
        return self.reasons[0] if waits(self.job) else None

    @property
    def before(self) -> int | None:
        """Jobs that go before it, counted to 10,000; None for a job that does not wait."""
        return self.facts.around.before if waits(self.job) else None

    @property
    def estimate(self) -> datetime | None:
        """The moment at which it is likely to start, if nothing else comes before it; None: nobody can know."""
        return estimate(self.job, self.facts, self.reasons, self.at)


def explain(queue: Queue, job_id: str) -> Explanation:
    """All reasons why the job does not run now. Raises JobNotFound."""
    at, job, live = queue.clock(), queue.jobs.find(job_id), queue.workers.live()
    around = queue.surroundings.of_job(job_id, at=at)
    facts = Facts(queue.queues.all(), working_of(queue, live), around)
    return Explanation(job, at, reasons(job, facts, at), facts, {it.id: it.host for it in live})


def first_reasons(queue: Queue, jobs: Sequence[Job]) -> Mapping[str, Reason]:
    """The reason that binds first of each of these jobs that waits, by id."""
    waiting = [job for job in jobs if waits(job)]
    if not waiting:
        return {}
    at = queue.clock()
    around = queue.surroundings.of_jobs([job.id for job in waiting], at=at)
    facts = Facts(queue.queues.all(), working(queue))
    return {job.id: reasons(job, facts._replace(around=around[job.id]), at)[0] for job in waiting if job.id in around}


def waits(job: Job) -> bool:
    """Say whether the job waits: it neither runs nor has ended."""
    return job.state not in TERMINAL and job.state is not State.PROCESSING
