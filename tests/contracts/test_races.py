"""Limits and keys under workers, operators and enqueuers that race each other: seen from outside, and by the history.

`QUEUECTL_RACES=60` has each race run for so many seconds, with other seeds each time.
"""

import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from queuectl.adapters.host.clock import elapsed, now
from queuectl.adapters.sql.postgresql import claim as claiming
from queuectl.adapters.sql.stores import claims
from queuectl.domain.attempt import AttemptEnd, Outcome
from queuectl.domain.errors import Conflict
from queuectl.domain.job import CLAIMABLE, Job, State
from queuectl.domain.limits import Rate
from queuectl.domain.ports.work import Claim, Run, Sweep
from queuectl.domain.queues import EVERY, Pause
from tests.builders import ANN, HOUR, NOON, SECOND, a_job, a_lease, a_loss, a_policy, a_result, a_worker, settled
from tests.contracts.conftest import QueueStore, at_url
from tests.contracts.observing import RUNS, Database, Observer, faults_of_history, settled_in_time
from tests.postgres.plugin import emptied

SECONDS = float(os.environ.get("QUEUECTL_RACES", "2"))
SEEDS = [1, 2] if "QUEUECTL_RACES" not in os.environ else random.sample(range(10**6), 2)
WORKERS = 6

KEYS = {f"key-{number}": 1 + number % 3 for number in range(40)}
MAX_CONCURRENCY = 6
RATE = Rate(20, SECOND)
POLICY = a_policy(backoff_base="1.01", max_losses="1000")
NEEDS = [(), (), ("gpu",)]


@pytest.fixture(autouse=True)
def claims_take_the_time_they_take(
    monkeypatch: pytest.MonkeyPatch, claims_take_no_time: None, walks_from_the_beginning: None
) -> None:
    monkeypatch.setattr(claims, "elapsed", elapsed)
    monkeypatch.setattr(claiming, "LONG_WALK", 0.01)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return emptied(request.getfixturevalue("session_postgres_url"))
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    at_url(url, tmp_path).close()
    return url


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[QueueStore]:
    store = at_url(url, tmp_path)
    yield store
    store.close()


def ended(job: Job, end: AttemptEnd) -> Job:
    """A failure is tried again at once, or nearly."""
    after = job.settled(end.result, end.at, POLICY, 0)
    return after._replace(run_at=end.at + timedelta(milliseconds=30)) if after.state is State.FAILED else after


class Racer:
    """One of those who race, with connections of its own."""

    def __init__(self, url: str, directory: Path, seed: int, name: str) -> None:
        self.store: QueueStore = at_url(url, directory)
        self.random = random.Random(f"{seed} {name}")
        self.name = name

    def race(self, until: float) -> None:
        while time.monotonic() < until:
            time.sleep(self.random.random() * 0.004)
            self.act()

    def act(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """Leave the queue as one who goes home."""


class Worker(Racer):
    """Claims, settles and gives back; now and then it is lost, and rescued by itself."""

    def __init__(self, url: str, directory: Path, seed: int, name: str) -> None:
        super().__init__(url, directory, seed, name)
        self.held: list[Run] = []
        self.numbers = count(self.random.getrandbits(64) << 32)
        self.labels = self.random.choice([(), ("gpu",)])
        self.register()

    def register(self) -> None:
        self.id = f"{self.name}.{next(self.numbers)}"
        at = now()
        self.store.workers.register(a_worker(self.id, started_at=at, lease_expires_at=at + HOUR))

    def claim(self, limit: int) -> Claim:
        queues = self.random.choice([(), (), (), ("limited", "rated"), ("plain", "late")])
        lease = a_lease(next(self.numbers), worker=self.id)
        return Claim(lease, limit, now(), queues, self.labels)

    def ends(self) -> Sequence[AttemptEnd]:
        some = self.random.randint(0, len(self.held))
        out, self.held = self.held[:some], self.held[some:]
        outcomes = self.random.choices([Outcome.SUCCEEDED, Outcome.FAILED, Outcome.RELEASED], [15, 3, 2], k=some)
        return [run.ended(a_result(outcome), now()) for run, outcome in zip(out, outcomes, strict=True)]

    def act(self) -> None:
        match self.random.choices(["settle", "claim", "both", "die"], [40, 40, 30, 1])[0]:
            case "settle":
                self.store.work.settle(self.ends(), ended)
            case "claim" if len(self.held) < 6:
                self.held += self.store.work.claim(self.claim(self.random.randint(1, 4)))
            case "both":
                self.held += self.store.work.settle_and_claim(self.ends(), ended, self.claim(2))[1]
            case "die":
                self.die()

    def die(self) -> None:
        at = now()
        self.store.work.rescue(
            self.id,
            lambda job, alone: job.settled(a_loss(), at, POLICY, 0, alone=alone),
            at=at,
            proved_dead=True,
        )
        self.held.clear()
        self.register()

    def finish(self) -> None:
        self.store.work.settle([run.ended(a_result(), now()) for run in self.held], ended)


class Enqueuer(Racer):
    """Enqueues single jobs and batches, with and without keys."""

    added = 0

    def act(self) -> None:
        waiting = self.store.measurements.counts()[State.PENDING]
        if waiting < 1500:
            jobs = [self.job() for _ in range(self.random.choice([1, 1, 1, 60]))]
            self.store.jobs.add(jobs)

    def job(self) -> Job:
        self.added += 1
        key = self.random.choice([None, *KEYS])
        at = now()
        return a_job(
            f"job-{self.added:06}",
            queue=self.random.choice(["plain", "plain", "limited", "rated", "late"]),
            priority=self.random.randint(1, 10),
            key=key,
            key_limit=key and KEYS[key],
            needs=self.random.choice(NEEDS),
            created_at=at,
            run_at=at + self.random.choice([0, 0, 0, 1]) * SECOND / 20,
        )


class Operator(Racer):
    """Cancels waiting jobs, parked or not; pauses; changes a limit; gives the queue `late` its first settings late."""

    def act(self) -> None:
        match self.random.choices(["cancel", "pause", "resume", "limit", "late"], [20, 2, 3, 2, 1])[0]:
            case "cancel":
                self.cancel()
            case "pause":
                pause = Pause(now(), ANN, self.random.choice([None, now() + SECOND / 20]))
                name = self.random.choice([EVERY, "plain", "limited", "rated"])
                self.store.queues.change(name, lambda before: before.paused(pause))
            case "resume":
                for name in (EVERY, "plain", "limited", "rated"):
                    self.store.queues.change(name, lambda before: before.resumed())
            case "limit":
                concurrency = self.random.randint(1, MAX_CONCURRENCY)
                self.store.queues.change("limited", lambda before: before._replace(concurrency=concurrency))
            case "late":
                self.store.queues.change("late", lambda before: before.resumed())

    def cancel(self) -> None:
        waiting = self.store.jobs.search(states=list(CLAIMABLE), limit=200)
        try:
            if waiting:
                job = self.random.choice(waiting)
                self.store.jobs.change(job.id, lambda before: before.cancelled(now(), ANN))
        except Conflict:
            pass  # it has ended meanwhile

    def finish(self) -> None:
        for name in (EVERY, "plain", "limited", "rated"):
            self.store.queues.change(name, lambda before: before.resumed())


def run_all(racers: Sequence[Racer], seconds: float) -> list[BaseException]:
    """Have them race for so long; their errors."""
    errors: list[BaseException] = []
    until = time.monotonic() + seconds

    def run(racer: Racer) -> None:
        try:
            racer.race(until)
            racer.finish()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=run, args=(racer,), name=racer.name) for racer in racers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def drain(store: QueueStore) -> None:
    """Run all that a worker gets that is alone, an hour after the other."""
    begun = now()
    store.workers.register(a_worker("last", started_at=begun, lease_expires_at=begun + 10_000 * HOUR))
    for turn in count(1):
        at = begun + turn * HOUR
        runs = store.work.claim(Claim(a_lease(turn, worker="last"), 16, at, labels=["gpu"]))
        if not runs:
            return
        store.work.settle([run.ended(a_result(), at) for run in runs], ended)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_limit_is_passed_and_nothing_is_stranded_whoever_races(
    url: str, tmp_path: Path, seed: int, store: QueueStore
) -> None:
    store.queues.change("limited", lambda before: before._replace(concurrency=3))
    store.queues.change("rated", lambda before: before._replace(rate=RATE))
    racers: list[Racer] = [Worker(url, tmp_path, seed, f"worker-{number}") for number in range(WORKERS)]
    racers += [Enqueuer(url, tmp_path, seed, "enqueuer"), Operator(url, tmp_path, seed, "operator")]
    outside = Database(url)
    deadlocks = outside.deadlocks()
    observer = Observer(url, keys=KEYS, queues={"limited": MAX_CONCURRENCY})
    observer.start()
    errors = run_all(racers, SECONDS)
    observer.stop()
    history = outside.rows(RUNS)
    for racer in racers:
        racer.store.close()
    assert errors == []
    assert observer.breaches[:10] == []
    limits = {"limited": MAX_CONCURRENCY}
    assert list(faults_of_history(history, keys=KEYS, queues=limits, rates={"rated": RATE})) == []
    assert settled_in_time(outside, deadlocks) == 0
    assert observer.looks > 20
    assert observer.parked > 0, "the race had too little to do"
    assert store.work.sweep_keys("", limit=1000) == Sweep([], ""), "there is something to repair"
    drain(store)
    assert [job.id for job in store.jobs.search(states=[*CLAIMABLE, State.PROCESSING])] == []
    outside.close()


def test_a_job_of_a_key_begins_after_the_end_of_the_last_one_however_long_its_claim_waited(
    store: QueueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction may wait for a lock, or be made again; the claim's moment is older then."""
    waited = [timedelta()]
    monkeypatch.setattr(claims, "elapsed", lambda: waited[0])
    store.workers.register(a_worker("w-1"))
    store.jobs.add([a_job("one", key="k", key_limit=1), a_job("two", key="k", key_limit=1)])
    [run] = store.work.claim(Claim(a_lease(1), 1, NOON))

    def slowly(job: Job, end: AttemptEnd) -> Job:
        waited[0] += 5 * SECOND
        return settled(job, end)

    _, [second] = store.work.settle_and_claim(
        [run.ended(a_result(), NOON + 4 * SECOND)], slowly, Claim(a_lease(2), 1, NOON)
    )
    assert second.job.started_at == NOON + 5 * SECOND
