"""What is asked of a queue in the life of a job, by workers and operators: each to be prepared, then looked at."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import TypeAlias

from queuectl.adapters.sql.engine.transactions import Database, Dialect
from queuectl.adapters.sql.postgresql.claim import PostgresClaiming, ScanCursor, _end
from queuectl.application.operate.cancel import cancel_job
from queuectl.application.operate.enqueue import enqueue_jobs
from queuectl.application.operate.explain import explain, first_reasons
from queuectl.application.operate.inspect import attempts_of, find_job, outputs_of, search_jobs, status_of
from queuectl.application.operate.metrics import metrics_of
from queuectl.application.operate.queues import pause_queue, queues_of
from queuectl.application.operate.retry import remove_all_dead, remove_dead_job, retry_all_dead, retry_dead_job
from queuectl.container import Container
from queuectl.domain.attempt import AttemptEnd
from queuectl.domain.job import PRIORITIES, Job, JobRequest, OnDuplicate, State
from queuectl.domain.limits import Rate
from queuectl.domain.ports.work import Claim
from queuectl.domain.worker import Lease, WorkerState
from queuectl.settings import Settings
from tests.builders import DAY, HOUR, NOON, SECOND, a_failure, a_job, a_lease, a_policy, a_result, a_worker, settled
from tests.contracts.recording import Call, Recording

WORKER = "w-1"


class QueueHarness:
    """Both sides of the queue at a URL, at noon: the operator's, and that of its one worker, `w-1`.

    What its database is called with is recorded. The jobs that it adds are the first that a claim takes.
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
        self.claiming = container.backend().claiming
        self.workers = container.workers()
        self.queues = container.queues()
        self.queue = container.queue()
        self.close: Callable[[], None] = container.storage().close
        self._ids = (f"own-{number:06}" for number in count())
        self._leases = count(1)
        self.batches = count()
        self.workers.register(a_worker(WORKER))

    @staticmethod
    def needs_lanes(name: str) -> bool:
        """True for what a worker of some queues does, the first time of which makes lanes for them."""
        return name.endswith(("of a queue", "of two queues", "limited", "rated", "keyed")) and not name.startswith(
            "list"
        )

    def make_lanes(self) -> None:
        self.work.first_due(queues=("a", "b", "default"))

    def calls_of(self, ask: Callable[[], object]) -> Sequence[Call]:
        """What the database is told when this is asked."""
        self._recording.calls.clear()
        ask()
        return tuple(self._recording.calls)

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
        self.claiming.cursor = None  # also on SQLite, which has none
        runs = self.work.claim(Claim(self.lease(), queues=(), limit=number, at=NOON))
        result = a_result(output=b"done\n")
        return [run.ended(result, NOON + SECOND) for run in runs]


LONG_AGO = NOON - 1000 * DAY

Ask: TypeAlias = Callable[[], object]
Operation: TypeAlias = Callable[[QueueHarness], Ask]
"""Prepares the queue for something, and returns what does it."""


def enqueue(harness: QueueHarness, number: int) -> Ask:
    requests = [JobRequest(command="true")] * number
    return lambda: enqueue_jobs(harness.queue, requests, cwd="/")


def enqueue_unique(harness: QueueHarness, number: int, *, held: int = 0, **said: OnDuplicate) -> Ask:
    """Jobs with unique keys, of which the first so many are held."""
    batch = next(harness.batches)

    def requests(count: int) -> Sequence[JobRequest]:
        keys = [f"key-{batch}-{each}" for each in range(count)]
        return [JobRequest(command="true", queue="unique", unique=key, **said) for key in keys]

    if held:
        enqueue_jobs(harness.queue, requests(held), cwd="/")
    return lambda: enqueue_jobs(harness.queue, requests(number), cwd="/")


def claim(harness: QueueHarness, number: int, *, due: bool = True, queues: Sequence[str] = ()) -> Ask:
    if due:
        harness.add(number, queue=queues[0] if queues else "default")
    at = NOON if due else LONG_AGO
    return lambda: harness.work.claim(Claim(harness.lease(), queues=queues, limit=number, at=at))


def claim_on(harness: QueueHarness) -> Ask:
    """Where the last one left off."""
    harness.add(1)
    if isinstance(harness.claiming, PostgresClaiming):
        harness.claiming.cursor = ScanCursor((), {(0, it): _end(NOON) for it in PRIORITIES}, until=math.inf)
    return lambda: harness.work.claim(Claim(harness.lease(), queues=(), limit=1, at=NOON))


def settle(harness: QueueHarness) -> Ask:
    [ended] = harness.ended(1)
    return lambda: harness.work.settle([ended], settled)


def settle_and_claim(harness: QueueHarness, number: int, *, due: bool = True) -> Ask:
    ended = harness.ended(number)
    if due:
        harness.add(number)
    at = NOON if due else LONG_AGO
    return lambda: harness.work.settle_and_claim(ended, settled, Claim(harness.lease(), limit=number, at=at))


def settle_and_claim_of(harness: QueueHarness, queue: str, **asked: object) -> Ask:
    """In a queue of its own, one job ends and the next one starts."""
    harness.queues.change("limited", lambda before: before._replace(concurrency=10))
    harness.queues.change("rated", lambda before: before._replace(rate=Rate(10, SECOND)))
    harness.add(3, queue=queue, **asked)
    claim = partial(Claim, limit=1, at=NOON, queues=(queue,))
    ends = [run.ended(a_result(), NOON) for run in harness.work.claim(claim(harness.lease()))]
    return lambda: harness.work.settle_and_claim(ends, settled, claim(harness.lease()))


def renew(harness: QueueHarness) -> Ask:
    return lambda: harness.workers.renew(WORKER, state=WorkerState.RUNNING, at=NOON, until=NOON + HOUR)


def first_due(harness: QueueHarness, *queues: str) -> Ask:
    return lambda: harness.work.first_due(queues=queues)


def cancel_requests(harness: QueueHarness) -> Ask:
    harness.add(3)
    [run] = harness.work.claim(Claim(harness.lease(), queues=(), limit=1, at=NOON))
    return lambda: harness.work.cancel_requests(WORKER, [run.job.id])


def held_by(harness: QueueHarness) -> Ask:
    return lambda: harness.work.held_by(WORKER)


def suspects(harness: QueueHarness) -> Ask:
    return lambda: harness.workers.expired_or_local(at=NOON, machine="machine-1", beyond=NOON + HOUR)


def claim_suspects(harness: QueueHarness, number: int, *, queues: Sequence[str] = ()) -> Ask:
    harness.add(number, suspect=True)
    return lambda: harness.work.claim(Claim(harness.lease(), queues=queues, limit=1, at=NOON, suspects=True))


def claim_beside_suspects(harness: QueueHarness) -> Ask:
    harness.add(20, suspect=True)
    harness.add(10)
    return lambda: harness.work.claim(Claim(harness.lease(), queues=(), limit=10, at=NOON, suspects=False))


def rescue(harness: QueueHarness, number: int) -> Ask:
    lease = harness.lease()._replace(worker=f"lost-{number}")
    harness.workers.register(a_worker(lease.worker))
    harness.add(number)
    harness.work.claim(Claim(lease, queues=(), limit=number, at=NOON))

    def lost(job: Job, _alone: bool) -> Job:
        return job.settled(a_failure(), NOON + SECOND, a_policy(), 0)

    return lambda: harness.work.rescue(lease.worker, lost, at=NOON, proved_dead=True)


def status(harness: QueueHarness) -> Ask:
    return lambda: status_of(harness.queue)


def list_queues(harness: QueueHarness) -> Ask:
    return lambda: queues_of(harness.queue)


def pause(harness: QueueHarness) -> Ask:
    return lambda: pause_queue(harness.queue, "mail")


def list_jobs(harness: QueueHarness, *states: State, **asked: Sequence[str]) -> Ask:
    """`queuectl list`, as JSON."""

    def ask() -> object:
        return outputs_of(harness.queue, search_jobs(harness.queue, states=states, limit=51, **asked))

    return ask


def info(harness: QueueHarness) -> Ask:
    [ended] = harness.ended(1)
    return lambda: (find_job(harness.queue, ended.job_id), attempts_of(harness.queue, ended.job_id))


def why(harness: QueueHarness) -> Ask:
    """Of a job that is among the last."""
    [job] = harness.add(1, priority=1, key="db", key_limit=1, queue="limited", needs=("gpu",))
    return lambda: explain(harness.queue, job.id)


def list_wide(harness: QueueHarness) -> Ask:
    """What `queuectl list --wide` asks beside the list."""
    jobs = harness.add(20, priority=1, run_at=NOON)
    return lambda: first_reasons(harness.queue, jobs)


def metrics(harness: QueueHarness, *, detailed: bool) -> Ask:
    return lambda: metrics_of(harness.queue, window=HOUR, detailed=detailed)


def cancel(harness: QueueHarness) -> Ask:
    [job] = harness.add(1)
    return lambda: cancel_job(harness.queue, job.id)


def dead(harness: QueueHarness, number: int) -> Sequence[str]:
    return [job.id for job in harness.add(number, state=State.DEAD, finished_at=NOON)]


def retry(harness: QueueHarness) -> Ask:
    [job_id] = dead(harness, 1)
    return lambda: retry_dead_job(harness.queue, job_id)


def retry_all(harness: QueueHarness) -> Ask:
    dead(harness, 10)
    return lambda: next(retry_all_dead(harness.queue))


def remove(harness: QueueHarness) -> Ask:
    [job_id] = dead(harness, 1)
    return lambda: remove_dead_job(harness.queue, job_id)


def remove_all(harness: QueueHarness) -> Ask:
    dead(harness, 10)
    return lambda: next(remove_all_dead(harness.queue))


WRITING: Mapping[str, Operation] = {
    "enqueue 1 job": partial(enqueue, number=1),
    "enqueue 1000 jobs": partial(enqueue, number=1000),
    "enqueue 20000 jobs": partial(enqueue, number=20_000),
    "enqueue a unique job": partial(enqueue_unique, number=1),
    "enqueue one whose key is held": partial(enqueue_unique, number=1, held=1),
    "enqueue one that replaces": partial(enqueue_unique, number=1, held=1, on_duplicate=OnDuplicate.REPLACE),
    "enqueue 1000 unique jobs": partial(enqueue_unique, number=1000, held=500),
    "claim 1 job": partial(claim, number=1),
    "claim 10 jobs": partial(claim, number=10),
    "claim, nothing due": partial(claim, number=10, due=False),
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
    "queue pause": pause,
    "dlq retry": retry,
    "dlq retry --all": retry_all,
    "dlq remove": remove,
    "dlq remove --all": remove_all,
}

READING: Mapping[str, Operation] = {
    "first due": first_due,
    "first due of a queue": lambda harness: first_due(harness, "a"),
    "first due of two queues": lambda harness: first_due(harness, "a", "b"),
    "asked to cancel": cancel_requests,
    "held by a worker": held_by,
    "suspects": suspects,
    "status": status,
    "queue list": list_queues,
    "list": list_jobs,
    "list --state": lambda harness: list_jobs(harness, State.FAILED),
    "list --state --state": lambda harness: list_jobs(harness, State.COMPLETED, State.FAILED),
    "list --queue": lambda harness: list_jobs(harness, queues=["rare"]),
    "list --state --queue": lambda harness: list_jobs(harness, State.COMPLETED, queues=["rare"]),
    "list --state --state --queue": lambda harness: list_jobs(harness, State.COMPLETED, State.FAILED, queues=["rare"]),
    "list --queue --queue": lambda harness: list_jobs(harness, queues=["rare", "none"]),
    "list --key": lambda harness: list_jobs(harness, keys=["none"]),
    "list --tag": lambda harness: list_jobs(harness, tags=["rare"]),
    "list --tag --tag": lambda harness: list_jobs(harness, tags=["rare", "none"]),
    "list --state --tag": lambda harness: list_jobs(harness, State.COMPLETED, tags=["rare"]),
    "dlq list": lambda harness: list_jobs(harness, State.DEAD),
    "info": info,
    "why": why,
    "list --wide, besides": list_wide,
    "metrics": partial(metrics, detailed=False),
    "metrics --detailed": partial(metrics, detailed=True),
}

LIMITED: Mapping[str, Operation] = {
    "settle 1 and claim 1 of a queue": partial(settle_and_claim_of, queue="unlimited"),
    "settle 1 and claim 1, limited": partial(settle_and_claim_of, queue="limited"),
    "settle 1 and claim 1, rated": partial(settle_and_claim_of, queue="rated"),
    "settle 1 and claim 1, keyed": partial(settle_and_claim_of, queue="keyed", key="k", key_limit=2),
}

OPERATIONS = {**READING, **WRITING, **LIMITED}
"""In this order: what reads finds the queue as it was, and then queues get limits."""
