"""What every Queues store promises, and what claims make of it; see its docstrings in queuectl.domain.ports."""

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.adapters.sql.stores import queues as sql_queues
from queuectl.adapters.sql.stores.jobs import _by_columns
from queuectl.adapters.sql.stores.lanes import Lanes
from queuectl.domain.errors import WrongState
from queuectl.domain.job import State, WaitsFor
from queuectl.domain.limits import Rate
from queuectl.domain.ports.queues import DecideSettings
from queuectl.domain.ports.work import Claim, Run
from queuectl.domain.queues import EVERY, Pause, QueueSettings, Starts
from tests.builders import ANN, HOUR, MINUTE, NOON, SECOND, a_job, a_lease, a_result, a_worker, settled
from tests.contracts.conftest import QueueStore
from tests.contracts.operations import QueueHarness
from tests.postgres.plugin import emptied

MICROSECOND = timedelta(microseconds=1)
PAUSE = Pause(NOON, ANN)


class Shop:
    """A queue whose worker claims one job at a time."""

    def __init__(self, store: QueueStore) -> None:
        self.store = store
        self._numbers = count(1)

    def add(self, number: int, queue: str = "gpu", **overrides: object) -> list[str]:
        jobs = [a_job(f"{queue}-{next(self._numbers):03}", queue=queue, **overrides) for _ in range(number)]
        self.store.jobs.add(jobs)
        return [job.id for job in jobs]

    def started(self, limit: int = 100, at: datetime = NOON, queues: Collection[str] = ()) -> list[Run]:
        lease = a_lease(next(self._numbers))
        return list(self.store.work.claim(Claim(lease, limit=limit, at=at, queues=queues)))

    def starts(self, limit: int = 100, at: datetime = NOON, queues: Collection[str] = ()) -> list[str]:
        return [run.job.id for run in self.started(limit, at, queues)]

    def end(self, run: Run, at: datetime = NOON) -> None:
        self.store.work.settle([run.ended(a_result(), at)], settled)

    def set(self, queue: str = "gpu", **settings: object) -> QueueSettings:
        return self.store.queues.change(queue, lambda before: before._replace(**settings))

    def first_due(self, *queues: str) -> datetime | None:
        return self.store.work.first_due(queues=queues).job


@pytest.fixture
def shop(store: QueueStore) -> Shop:
    return Shop(store)


# Settings.


def test_a_new_queue_has_no_settings(store: QueueStore) -> None:
    assert store.queues.all() == {}


def test_settings_are_stored_as_decided(store: QueueStore) -> None:
    pause = Pause(NOON, ANN, NOON + HOUR, "API maintenance")
    decided = QueueSettings("gpu", 2, Rate(100, MINUTE), reserved=True, pause=pause)
    assert store.queues.change("gpu", lambda _: decided) == decided
    assert store.queues.all() == {"gpu": decided}
    assert store.queues.change("gpu", lambda before: before) == decided


def test_the_decision_sees_what_is_stored(store: QueueStore) -> None:
    store.queues.change("gpu", lambda before: before._replace(concurrency=2))
    seen: list[QueueSettings] = []

    def decide(before: QueueSettings) -> QueueSettings:
        seen.append(before)
        return before._replace(concurrency=None)

    assert store.queues.change("gpu", decide) == QueueSettings("gpu")
    assert seen == [QueueSettings("gpu", 2)]


def test_a_decision_that_raises_changes_nothing(store: QueueStore) -> None:
    def decide(_: QueueSettings) -> QueueSettings:
        raise WrongState("no")

    with pytest.raises(WrongState):
        store.queues.change("gpu", decide)
    assert store.queues.all() == {}


def test_two_changes_at_once_are_both_made(store: QueueStore) -> None:
    both = threading.Barrier(2)

    def change(decide: DecideSettings) -> None:
        both.wait(10)
        store.queues.change("gpu", decide)

    with ThreadPoolExecutor() as pool:
        list(pool.map(change, [lambda it: it._replace(concurrency=3), lambda it: it._replace(rate=Rate(5, SECOND))]))
    assert store.queues.all() == {"gpu": QueueSettings("gpu", 3, Rate(5, SECOND))}


# Concurrency.


def test_no_more_jobs_run_than_the_concurrency_and_others_are_not_held_up(shop: Shop) -> None:
    shop.set(concurrency=2)
    first, second, _ = shop.add(3, priority=9)
    plain = shop.add(2, "plain", priority=1)
    assert shop.starts() == [first, second, *plain]
    assert shop.starts() == []


def test_what_waits_already_is_held_by_a_new_limit(shop: Shop) -> None:
    first, *_ = shop.add(3)
    shop.set(concurrency=1)
    assert shop.starts() == [first]


def test_what_waits_for_other_jobs_goes_on_waiting_in_a_queue_that_gets_a_limit(shop: Shop) -> None:
    shop.add(1, waits_for=WaitsFor.JOBS)
    shop.set(concurrency=2)
    assert shop.starts() == []


def test_each_end_lets_the_next_job_start(shop: Shop) -> None:
    shop.set(concurrency=2)
    jobs = shop.add(4)
    one, two = shop.started()
    for run, expected in ((two, jobs[2]), (one, jobs[3])):
        shop.end(run)
        assert shop.starts() == [expected]


def test_jobs_that_run_at_a_time_have_slots_of_their_own(shop: Shop) -> None:
    shop.set(concurrency=3)
    shop.add(5)
    runs = shop.started(limit=2) + shop.started(limit=2)
    assert sorted(run.job.slot for run in runs if run.job.slot is not None) == [0, 1, 2]
    shop.end(runs[1])
    assert [run.job.slot for run in shop.started()] == [runs[1].job.slot]


def test_of_a_lowered_limit_none_starts_until_fewer_run(shop: Shop) -> None:
    shop.set(concurrency=4)
    jobs = shop.add(6)
    runs = shop.started()
    shop.set(concurrency=2)
    for run in runs[:2]:
        shop.end(run)
        assert shop.starts() == []
    shop.end(runs[2])
    assert shop.starts() == [jobs[4]]


def test_a_raised_limit_acts_at_once(shop: Shop) -> None:
    shop.set(concurrency=1)
    jobs = shop.add(4)
    shop.started()
    shop.set(concurrency=3)
    assert shop.starts() == jobs[1:3]


def test_a_limit_that_is_lowered_and_raised_again_counts_what_runs(shop: Shop) -> None:
    shop.set(concurrency=3)
    jobs = shop.add(6)
    shop.started()
    for concurrency in (1, 5):
        shop.set(concurrency=concurrency)
    assert shop.starts() == jobs[3:5]


def test_without_a_limit_all_start(shop: Shop) -> None:
    shop.set(concurrency=1)
    jobs = shop.add(3)
    shop.started()
    shop.set(concurrency=None)
    assert shop.starts() == jobs[1:]


def test_in_no_committed_state_more_run_than_the_limit_however_many_claim_at_once(shop: Shop) -> None:
    shop.set(concurrency=3)
    jobs, done, most = shop.add(60), list[str](), list[int]()

    def work(_: int) -> None:
        while len(done) < len(jobs):
            runs = shop.started(2)
            most.append(len(shop.store.jobs.search(states=[State.PROCESSING])))
            for run in runs:
                shop.end(run)
                done.append(run.job.id)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(done) == jobs
    assert max(most) <= 3


# Rates.


def test_a_rate_lets_so_many_start_in_any_span_to_the_microsecond(shop: Shop) -> None:
    shop.set(rate=Rate(2, MINUTE))
    jobs = shop.add(4)
    assert shop.starts(1) == [jobs[0]]
    assert shop.starts(at=NOON + 20 * SECOND) == [jobs[1]]
    assert shop.starts(at=NOON + MINUTE - MICROSECOND) == []
    assert shop.starts(at=NOON + MINUTE) == [jobs[2]]
    assert shop.starts(at=NOON + 80 * SECOND - MICROSECOND) == []
    assert shop.starts(at=NOON + 80 * SECOND) == [jobs[3]]


def test_the_starts_of_a_rate_count_also_when_their_jobs_have_ended(shop: Shop) -> None:
    shop.set(rate=Rate(1, MINUTE), concurrency=5)
    shop.add(2)
    [run] = shop.started()
    shop.end(run)
    assert shop.starts() == []


def test_a_rate_of_more_starts_adds_them_to_those_that_were_used(shop: Shop) -> None:
    shop.set(rate=Rate(2, MINUTE))
    jobs = shop.add(9)
    shop.started()
    shop.set(rate=Rate(5, MINUTE))
    assert shop.starts() == jobs[2:5]
    assert shop.starts(at=NOON + MINUTE - MICROSECOND) == []


def test_a_rate_of_fewer_starts_counts_those_that_were_used_last(shop: Shop) -> None:
    shop.set(rate=Rate(3, MINUTE))
    jobs = shop.add(9)
    for second in (0, 1, 2):
        shop.started(1, NOON + second * SECOND)
    shop.set(rate=Rate(1, MINUTE))
    assert shop.starts(at=NOON + MINUTE + 2 * SECOND - MICROSECOND) == []
    assert shop.starts(at=NOON + MINUTE + 2 * SECOND) == [jobs[3]]


@pytest.mark.parametrize("period", [10 * SECOND, 2 * MINUTE])
def test_another_span_counts_from_the_starts_that_were_made(shop: Shop, period: timedelta) -> None:
    shop.set(rate=Rate(1, MINUTE))
    jobs = shop.add(3)
    shop.started()
    shop.set(rate=Rate(1, period))
    assert shop.first_due() == NOON + period
    assert shop.starts(at=NOON + period - MICROSECOND) == []
    assert shop.starts(at=NOON + period) == [jobs[1]]


def test_a_new_rate_may_be_used_at_once(shop: Shop) -> None:
    jobs = shop.add(3)
    for rate in (Rate(1, MINUTE), None, Rate(2, HOUR)):
        shop.set(rate=rate)
    assert shop.starts() == jobs[:2]


def test_of_a_rate_and_a_concurrency_the_narrower_holds(shop: Shop) -> None:
    shop.set(rate=Rate(3, MINUTE), concurrency=2)
    jobs = shop.add(9)
    runs = shop.started()
    assert [run.job.id for run in runs] == jobs[:2]
    for run in runs:
        shop.end(run)
    assert shop.starts() == [jobs[2]]


# Pauses.


def test_no_job_of_a_paused_queue_starts_until_it_is_resumed(shop: Shop) -> None:
    jobs = shop.add(1)
    shop.set(pause=PAUSE)
    jobs += shop.add(1)
    plain = shop.add(1, "plain")
    assert shop.starts(at=NOON + HOUR / 2) == plain
    shop.set(pause=None)
    assert shop.starts() == jobs


def test_a_pause_ends_by_itself_at_its_moment(shop: Shop) -> None:
    shop.set(pause=PAUSE._replace(until=NOON + MINUTE))
    jobs = shop.add(2)
    assert shop.starts(at=NOON + MINUTE - MICROSECOND) == []
    assert shop.starts(at=NOON + MINUTE) == jobs


def test_a_queue_is_paused_before_its_first_job(shop: Shop) -> None:
    shop.set("new", pause=PAUSE)
    shop.add(1, "new")
    assert shop.starts() == []


def test_what_runs_goes_on_in_a_paused_queue_and_its_retry_waits(shop: Shop) -> None:
    shop.add(1)
    [run] = shop.started()
    shop.set(pause=PAUSE)
    shop.end(run)
    assert shop.starts() == []


@pytest.mark.parametrize("until", [None, NOON + MINUTE])
def test_a_pause_of_all_holds_every_queue(shop: Shop, until: datetime | None) -> None:
    shop.set("gpu", concurrency=5)
    jobs = shop.add(1) + shop.add(1, "plain")
    shop.set(EVERY, pause=PAUSE._replace(until=until))
    assert shop.starts() == shop.starts(queues=["gpu"]) == []
    assert shop.first_due() == until
    if until is None:
        shop.set(EVERY, pause=None)
    assert sorted(shop.starts(at=NOON + MINUTE)) == sorted(jobs)


def test_a_resume_of_all_leaves_a_queue_paused_that_was_paused_by_itself(shop: Shop) -> None:
    shop.add(1)
    shop.set("gpu", pause=PAUSE)
    shop.set(EVERY, pause=PAUSE)
    shop.set(EVERY, pause=None)
    assert shop.starts() == []


# Reserved queues.


def test_only_workers_that_name_a_reserved_queue_serve_it(shop: Shop) -> None:
    jobs = shop.add(1)
    shop.set(reserved=True)
    assert shop.starts() == shop.starts(queues=["plain"]) == []
    assert shop.starts(queues=["plain", "gpu"]) == jobs


def test_a_queue_that_is_no_longer_reserved_is_served_by_all(shop: Shop) -> None:
    jobs = shop.add(1)
    shop.set(reserved=True)
    shop.set(reserved=False)
    assert shop.starts() == jobs


# The first job that is due.


def test_a_full_queue_says_nothing_of_when_its_next_job_is_due(shop: Shop) -> None:
    shop.set(concurrency=1)
    shop.add(2)
    assert shop.first_due() == NOON
    [run] = shop.started()
    assert shop.first_due() is None
    shop.end(run)
    assert shop.first_due() == NOON


def test_a_rated_queue_is_due_at_its_next_start(shop: Shop) -> None:
    shop.set(rate=Rate(2, MINUTE))
    shop.add(3)
    shop.started(1)
    assert shop.first_due() == NOON
    shop.started(1, at=NOON + SECOND)
    assert shop.first_due() == NOON + MINUTE


def test_a_paused_queue_is_due_at_the_end_of_its_pause(shop: Shop) -> None:
    shop.add(1)
    shop.set(pause=PAUSE)
    assert shop.first_due() is None
    shop.set(pause=PAUSE._replace(until=NOON + HOUR))
    assert shop.first_due() == NOON + HOUR
    shop.add(1, "plain", run_at=NOON + MINUTE)
    assert shop.first_due() == NOON + MINUTE


def test_a_reserved_queue_is_due_only_for_those_that_name_it(shop: Shop) -> None:
    shop.set(reserved=True)
    shop.add(1)
    assert (shop.first_due(), shop.first_due("gpu")) == (None, NOON)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"concurrency": 1},
        {"rate": Rate(1, MINUTE)},
        {"rate": Rate(2, 10 * SECOND), "concurrency": 1},
        {"pause": PAUSE._replace(until=NOON + 2 * MINUTE)},
        {"pause": PAUSE},
        {"reserved": True},
    ],
    ids=str,
)
def test_a_claim_finds_something_at_the_moment_that_is_said_and_not_before(
    shop: Shop, settings: dict[str, object]
) -> None:
    shop.set(**settings)
    shop.add(3)
    at = NOON
    for _ in range(4):
        due = shop.first_due()
        if due is None:
            assert shop.starts(at=at + HOUR) == []
            return
        if due > at:
            assert shop.starts(at=due - MICROSECOND) == []
        at = max(at, due)
        assert len(shop.starts(1, at=at)) == 1


# Starts that were used.


def test_the_starts_that_a_rate_has_used_are_told_with_the_next_one(shop: Shop, store: QueueStore) -> None:
    shop.set("gpu", concurrency=1)
    shop.set("api", rate=Rate(2, MINUTE))
    shop.add(3, "api")
    assert store.queues.starts(at=NOON) == {"api": Starts(0, None)}
    shop.started(1)
    assert store.queues.starts(at=NOON) == {"api": Starts(1, None)}
    shop.started(1, at=NOON + SECOND)
    assert store.queues.starts(at=NOON + SECOND) == {"api": Starts(2, NOON + MINUTE)}
    assert store.queues.starts(at=NOON + MINUTE) == {"api": Starts(1, None)}


# Jobs moved to another queue.


def moved(store: QueueStore, *states: State, to: str = "slow") -> int:
    waiting = states or (State.PENDING, State.FAILED)
    return store.queues.move("gpu", to, states=waiting, at=NOON + SECOND)


def test_waiting_jobs_are_moved_and_those_that_run_are_not(shop: Shop, store: QueueStore) -> None:
    first, *others = shop.add(3)
    shop.started(1)
    assert moved(store) == 2
    assert moved(store) == 0
    assert [store.jobs.find(job_id).queue for job_id in (first, *others)] == ["gpu", "slow", "slow"]
    assert store.jobs.find(others[0]).updated_at == NOON + SECOND
    assert shop.starts() == others


def test_moved_jobs_go_by_the_limits_of_their_new_queue(shop: Shop, store: QueueStore) -> None:
    shop.set("gpu", pause=PAUSE)
    shop.set("slow", concurrency=1)
    jobs = shop.add(3)
    moved(store)
    assert shop.starts() == jobs[:1]


def test_jobs_that_are_moved_out_of_a_limited_queue_are_free_of_its_limits(shop: Shop, store: QueueStore) -> None:
    shop.set("gpu", pause=PAUSE)
    jobs = shop.add(2)
    moved(store, to="plain")
    assert shop.starts() == jobs


def test_only_those_of_a_state_are_moved(shop: Shop, store: QueueStore) -> None:
    pending, failed = shop.add(2), shop.add(1, state=State.FAILED)
    assert moved(store, State.FAILED) == 1
    assert [store.jobs.find(it).queue for it in (*failed, *pending)] == ["slow", "gpu", "gpu"]


def test_more_than_a_piece_are_moved_each_once(shop: Shop, store: QueueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_queues, "PIECE", 3)
    shop.add(10)
    assert moved(store) == 10
    assert len(shop.starts()) == 10


def test_one_that_waited_for_its_key_is_moved_and_the_key_still_holds(shop: Shop, store: QueueStore) -> None:
    shop.add(3, key="k", key_limit=1)
    [elsewhere] = shop.add(1, "plain", key="k", key_limit=1, run_at=NOON + SECOND)
    shop.set("slow", pause=PAUSE)
    [run] = shop.started()
    assert moved(store) == 2
    assert shop.starts() == []
    shop.end(run)
    assert shop.starts(at=NOON + SECOND) == [elsewhere]
    shop.set("slow", pause=None)
    assert shop.starts(at=NOON + SECOND) == []


def test_one_that_waits_for_other_jobs_goes_on_waiting(shop: Shop, store: QueueStore) -> None:
    [child] = shop.add(1, waits_for=WaitsFor.JOBS)
    shop.set("gpu", concurrency=1)
    moved(store)
    assert store.jobs.find(child).waits_for is WaitsFor.JOBS
    assert shop.starts() == []


# Forgotten queues.


def test_a_forgotten_queue_is_as_if_nothing_had_been_set(shop: Shop, store: QueueStore) -> None:
    shop.set(concurrency=1, rate=Rate(1, HOUR))
    shop.add(1)
    shop.end(shop.started()[0])
    store.queues.forget("gpu")
    assert store.queues.all() == {}
    jobs = shop.add(3)
    assert shop.starts() == jobs
    shop.set(rate=Rate(1, HOUR))
    later = shop.add(2)
    assert shop.starts() == later[:1]


def test_forgetting_a_queue_of_which_nothing_was_set_is_nothing(store: QueueStore) -> None:
    store.queues.forget("gpu")
    assert store.queues.all() == {}


@pytest.mark.parametrize(
    ("runs", "words"), [(False, "2 of its jobs wait or run"), (True, "1 of its jobs waits or runs")]
)
def test_a_queue_with_unfinished_jobs_is_not_forgotten(shop: Shop, store: QueueStore, runs: bool, words: str) -> None:
    shop.set(concurrency=1)
    shop.add(1 if runs else 2)
    if runs:
        shop.started()
    with pytest.raises(WrongState, match=words):
        store.queues.forget("gpu")
    assert store.queues.all() == {"gpu": QueueSettings("gpu", 1)}


def test_a_queue_that_a_live_worker_names_is_not_forgotten(store: QueueStore) -> None:
    store.workers.register(a_worker("w-2", queues=("plain", "gpu")))
    store.queues.change("gpu", lambda it: it._replace(concurrency=1))
    with pytest.raises(WrongState, match="worker"):
        store.queues.forget("gpu")
    store.workers.retire("w-2", at=NOON)
    store.queues.forget("gpu")
    assert store.queues.all() == {}


# Lanes that are made, or removed, while jobs are being stored: PostgreSQL alone.


@pytest.fixture
def harness(session_postgres_url: str, tmp_path: Path) -> Iterator[QueueHarness]:
    harness = QueueHarness(emptied(session_postgres_url), tmp_path)
    yield harness
    harness.close()


def meanwhile(harness: QueueHarness, change: Callable[[], object]) -> None:
    """A job is stored by what was read of the lanes before the change, and committed after it began."""
    has_read, may_store = threading.Event(), threading.Event()

    def store(c: Connection) -> None:
        lanes = Lanes(c)
        has_read.set()
        may_store.wait(10)
        queries.add_jobs(c, _by_columns([a_job("late", queue="gpu")], [lanes.of("gpu", ())]))

    with ThreadPoolExecutor() as pool:
        storing = pool.submit(harness.database.write, store)
        has_read.wait(10)
        changing = pool.submit(change)
        with pytest.raises(TimeoutError):
            changing.result(0.2)
        may_store.set()
        storing.result(10)
        changing.result(10)


def test_a_job_that_was_being_stored_comes_to_the_lane_of_its_queue(harness: QueueHarness) -> None:
    queues = harness.queue.queues
    meanwhile(harness, lambda: queues.change("gpu", lambda it: it._replace(reserved=True)))
    [run] = harness.work.claim(Claim(a_lease(), limit=1, at=NOON, queues=["gpu"]))
    assert run.job.id == "late"


def test_a_job_that_was_being_stored_in_a_forgotten_lane_is_served(harness: QueueHarness) -> None:
    queues = harness.queue.queues
    queues.change("gpu", lambda it: it._replace(concurrency=1))
    meanwhile(harness, lambda: queues.forget("gpu"))
    [run] = harness.work.claim(Claim(a_lease(), limit=1, at=NOON))
    assert run.job.id == "late"
