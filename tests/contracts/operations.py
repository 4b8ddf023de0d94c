"""What is asked of a queue in the life of a job, by workers and operators: each to be prepared, then looked at."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import TypeAlias

from queuectl.adapters.sql.engine.transactions import Database, Dialect
from queuectl.adapters.sql.postgresql.claim import PostgresClaim, ScanCursor, _end
from queuectl.application.operate.cancel import cancel_job
from queuectl.application.operate.enqueue import enqueue_jobs
from queuectl.application.operate.inspect import attempts_of, find_job, outputs_of, search_jobs, status_of
from queuectl.application.operate.metrics import metrics_of
from queuectl.application.operate.retry import remove_all_dead, remove_dead_job, retry_all_dead, retry_dead_job
from queuectl.container import Container
from queuectl.domain.attempt import AttemptEnd
from queuectl.domain.job import PRIORITIES, Job, JobRequest, State
from queuectl.domain.worker import Lease, WorkerState
from queuectl.settings import Settings
from tests.builders import HOUR, NOON, SECOND, a_failure, a_job, a_lease, a_policy, a_result, a_worker, settled
from tests.contracts.recording import Recording, Told

WORKER = "w-1"


class Desk:
    """Both sides of the queue at a URL, at noon: the operator's, and that of its one worker, `w-1`.

    What its database is told is recorded. The jobs that it adds are the first that a claim takes.
    """

    def __init__(
        self, url: str, directory: Path, *, through: Callable[[Dialect], Dialect] = lambda dialect: dialect
    ) -> None:
        """`through`: what its database is used through."""
        container = Container(settings=Settings(database_url=url, log_dir=directory, busy_timeout=SECOND))
        self._recording = Recording()
        self.database: Database = container.database()
        self.dialect = self.database.dialect
        self.database.dialect = self._recording.of(through(self.dialect))
        container.clock.override(lambda: NOON)  # the server's clock is asked when it was not for a while
        container.storage().open()
        self.jobs = container.jobs()
        self.work = container.work()
        self.claim = container.backend().claim
        self.workers = container.workers()
        self.queue = container.queue()
        self.close: Callable[[], None] = container.storage().close
        self._ids = (f"own-{number:06}" for number in count())
        self._leases = count(1)
        self.workers.register(a_worker(WORKER))

    def told(self, ask: Callable[[], object]) -> Sequence[Told]:
        """What the database is told when this is asked."""
        self._recording.told.clear()
        ask()
        return tuple(self._recording.told)

    def lease(self) -> Lease:
        """A lease for another claim of the worker."""
        return a_lease(next(self._leases), worker=WORKER)

    def add(self, number: int, **overrides: object) -> Sequence[Job]:
        """Add so many due jobs."""
        jobs = [a_job(job_id, **{"priority": 10} | overrides) for job_id in islice(self._ids, number)]
        self.jobs.add(jobs)
        return jobs

    def ended(self, number: int) -> Sequence[AttemptEnd]:
        """Add and claim so many jobs; their ends, not yet settled."""
        self.add(number)
        runs = self.work.claim(self.lease(), queues=(), limit=number, at=NOON)
        result = a_result(output=b"done\n")
        return [run.ended(result, NOON + SECOND) for run in runs]


Ask: TypeAlias = Callable[[], object]
Operation: TypeAlias = Callable[[Desk], Ask]
"""Prepares the queue for something, and returns what does it."""


def enqueue(desk: Desk, number: int) -> Ask:
    requests = [JobRequest(command="true")] * number
    return lambda: enqueue_jobs(desk.queue, requests, cwd="/")


def claim(desk: Desk, number: int, *, due: bool = True, queues: Sequence[str] = ()) -> Ask:
    if due:
        desk.add(number, queue=queues[0] if queues else "default")
    return lambda: desk.work.claim(desk.lease(), queues=queues, limit=number, at=NOON)


def claim_on(desk: Desk) -> Ask:
    """Where the last one left off."""
    desk.add(1)
    if isinstance(desk.claim, PostgresClaim):
        desk.claim.cursor = ScanCursor((), dict.fromkeys(PRIORITIES, _end(NOON)), until=math.inf)
    return lambda: desk.work.claim(desk.lease(), queues=(), limit=1, at=NOON)


def settle(desk: Desk) -> Ask:
    [ended] = desk.ended(1)
    return lambda: desk.work.settle([ended], settled)


def settle_and_claim(desk: Desk, number: int, *, due: bool = True) -> Ask:
    ended = desk.ended(number)
    if due:
        desk.add(number)
    queues = () if due else ("nothing-in-it",)
    return lambda: desk.work.settle_and_claim(ended, settled, desk.lease(), queues=queues, limit=number, at=NOON)


def renew(desk: Desk) -> Ask:
    return lambda: desk.workers.renew(WORKER, state=WorkerState.RUNNING, at=NOON, until=NOON + HOUR)


def first_due(desk: Desk, *queues: str) -> Ask:
    return lambda: desk.work.first_due(queues=queues)


def cancel_requests(desk: Desk) -> Ask:
    desk.add(3)
    [run] = desk.work.claim(desk.lease(), queues=(), limit=1, at=NOON)
    return lambda: desk.work.cancel_requests(WORKER, [run.job.id])


def held_by(desk: Desk) -> Ask:
    return lambda: desk.work.held_by(WORKER)


def suspects(desk: Desk) -> Ask:
    return lambda: desk.workers.expired_or_local(at=NOON, machine="machine-1", beyond=NOON + HOUR)


def claim_suspects(desk: Desk, number: int, *, queues: Sequence[str] = ()) -> Ask:
    desk.add(number, suspect=True)
    return lambda: desk.work.claim(desk.lease(), queues=queues, limit=1, at=NOON, suspects=True)


def claim_beside_suspects(desk: Desk) -> Ask:
    desk.add(20, suspect=True)
    desk.add(10)
    return lambda: desk.work.claim(desk.lease(), queues=(), limit=10, at=NOON, suspects=False)


def rescue(desk: Desk, number: int) -> Ask:
    lease = desk.lease()._replace(worker=f"lost-{number}")
    desk.workers.register(a_worker(lease.worker))
    desk.add(number)
    desk.work.claim(lease, queues=(), limit=number, at=NOON)

    def lost(job: Job, _alone: bool) -> Job:
        return job.settled(a_failure(), NOON + SECOND, a_policy(), 0)

    return lambda: desk.work.rescue(lease.worker, lost, at=NOON, proved_dead=True)


def status(desk: Desk) -> Ask:
    return lambda: status_of(desk.queue)


def list_jobs(desk: Desk, *states: State, queues: Sequence[str] = ()) -> Ask:
    """`queuectl list`, as JSON."""

    def ask() -> object:
        return outputs_of(desk.queue, search_jobs(desk.queue, states=states, queues=queues, limit=51))

    return ask


def info(desk: Desk) -> Ask:
    [ended] = desk.ended(1)
    return lambda: (find_job(desk.queue, ended.job_id), attempts_of(desk.queue, ended.job_id))


def metrics(desk: Desk, *, detailed: bool) -> Ask:
    return lambda: metrics_of(desk.queue, window=HOUR, detailed=detailed)


def cancel(desk: Desk) -> Ask:
    [job] = desk.add(1)
    return lambda: cancel_job(desk.queue, job.id)


def dead(desk: Desk, number: int) -> Sequence[str]:
    return [job.id for job in desk.add(number, state=State.DEAD, finished_at=NOON)]


def retry(desk: Desk) -> Ask:
    [job_id] = dead(desk, 1)
    return lambda: retry_dead_job(desk.queue, job_id)


def retry_all(desk: Desk) -> Ask:
    dead(desk, 10)
    return lambda: next(retry_all_dead(desk.queue))


def remove(desk: Desk) -> Ask:
    [job_id] = dead(desk, 1)
    return lambda: remove_dead_job(desk.queue, job_id)


def remove_all(desk: Desk) -> Ask:
    dead(desk, 10)
    return lambda: next(remove_all_dead(desk.queue))


WRITING: Mapping[str, Operation] = {
    "enqueue 1 job": partial(enqueue, number=1),
    "enqueue 1000 jobs": partial(enqueue, number=1000),
    "enqueue 20000 jobs": partial(enqueue, number=20_000),
    "claim 1 job": partial(claim, number=1),
    "claim 10 jobs": partial(claim, number=10),
    "claim, nothing due": partial(claim, number=10, due=False, queues=("nothing-in-it",)),
    "claim of a queue": partial(claim, number=10, queues=("a",)),
    "claim of two queues": partial(claim, number=10, queues=("a", "b")),
    "claim, from where it left off": claim_on,
    "claim a suspect": partial(claim_suspects, number=1),
    "claim a suspect of a queue": partial(claim_suspects, number=1, queues=("default",)),
    "claim a suspect of two queues": partial(claim_suspects, number=1, queues=("a", "default")),
    "claim beside suspects": claim_beside_suspects,
    "settle": settle,
    "settle 1 and claim 1": partial(settle_and_claim, number=1),
    "settle 10 and claim 10": partial(settle_and_claim, number=10),
    "settle 1, nothing due": partial(settle_and_claim, number=1, due=False),
    "renew": renew,
    "rescue 1 job": partial(rescue, number=1),
    "rescue 10 jobs": partial(rescue, number=10),
    "cancel": cancel,
    "dlq retry": retry,
    "dlq retry --all": retry_all,
    "dlq remove": remove,
    "dlq remove --all": remove_all,
}

READING: Mapping[str, Operation] = {
    "first due": first_due,
    "first due of a queue": lambda desk: first_due(desk, "a"),
    "first due of two queues": lambda desk: first_due(desk, "a", "b"),
    "asked to cancel": cancel_requests,
    "held by a worker": held_by,
    "suspects": suspects,
    "status": status,
    "list": list_jobs,
    "list --state": lambda desk: list_jobs(desk, State.FAILED),
    "list --state --state": lambda desk: list_jobs(desk, State.COMPLETED, State.FAILED),
    "list --queue": lambda desk: list_jobs(desk, queues=["rare"]),
    "list --state --queue": lambda desk: list_jobs(desk, State.COMPLETED, queues=["rare"]),
    "list --state --state --queue": lambda desk: list_jobs(desk, State.COMPLETED, State.FAILED, queues=["rare"]),
    "list --queue --queue": lambda desk: list_jobs(desk, queues=["rare", "none"]),
    "dlq list": lambda desk: list_jobs(desk, State.DEAD),
    "info": info,
    "metrics": partial(metrics, detailed=False),
    "metrics --detailed": partial(metrics, detailed=True),
}

OPERATIONS = {**READING, **WRITING}
"""In this order: what reads finds the queue as it was."""
