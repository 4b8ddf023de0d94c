"""What every adapter of AroundJobs promises; see its docstrings in queuectl.domain.ports."""

from datetime import datetime, timedelta
from itertools import count

import pytest

from queuectl.domain.job import Dependency, On, State, Terms, WaitsFor
from queuectl.domain.limits import Rate
from queuectl.domain.ports.work import Claim, Run
from queuectl.domain.reasons import Holder, Surroundings
from tests.builders import HOUR, MINUTE, NOON, SECOND, a_job, a_lease, a_result, settled
from tests.contracts.conftest import QueueStore


class Shop:
    """A queue with one worker, and what it tells of its jobs at noon."""

    def __init__(self, store: QueueStore) -> None:
        self.store = store
        self._numbers = count(1)

    def add(self, *job_ids: str, **overrides: object) -> None:
        self.store.jobs.add([a_job(job_id, **overrides) for job_id in job_ids])

    def start(self, limit: int = 1) -> list[Run]:
        return list(self.store.work.claim(Claim(a_lease(next(self._numbers)), limit=limit, at=NOON)))

    def end(self, run: Run, after: timedelta) -> None:
        self.store.work.settle([run.ended(a_result(), NOON + after)], settled)

    def set(self, queue: str, **settings: object) -> None:
        self.store.queues.change(queue, lambda before: before._replace(**settings))

    def around(self, job_id: str, at: datetime = NOON) -> Surroundings:
        return self.store.surroundings.of_job(job_id, at=at)

    def before(self, *job_ids: str) -> list[int]:
        return [self.around(job_id).before for job_id in job_ids]

    def before_of_many(self, *job_ids: str) -> list[int]:
        found = self.store.surroundings.of_jobs(job_ids, at=NOON)
        return [found[job_id].before for job_id in job_ids]


@pytest.fixture
def shop(store: QueueStore) -> Shop:
    return Shop(store)


def test_of_an_unknown_job_there_is_nothing(shop: Shop) -> None:
    assert shop.around("nope") == Surroundings()
    assert shop.store.surroundings.of_jobs(["nope"], at=NOON) == {}


def test_jobs_of_higher_priority_that_are_due_and_those_that_came_earlier_go_before(shop: Shop) -> None:
    shop.add("first", "second")
    shop.add("urgent", priority=9)
    shop.add("urgent-later", priority=9, run_at=NOON + HOUR)
    shop.add("low", priority=1)
    shop.add("earlier", run_at=NOON - HOUR)
    assert shop.before("urgent", "earlier", "first", "second", "low") == [0, 1, 2, 3, 4]
    assert shop.before_of_many("urgent", "earlier", "first", "second", "low") == [0, 1, 1, 1, 1]


def test_before_a_job_that_is_not_due_go_those_that_are_due_by_then(shop: Shop) -> None:
    shop.add("now")
    shop.add("soon", priority=9, run_at=NOON + MINUTE)
    shop.add("much-later", priority=9, run_at=NOON + 2 * HOUR)
    shop.add("later", run_at=NOON + HOUR)
    assert shop.before("later") == [2]


def test_a_queue_with_limits_and_jobs_that_need_labels_wait_in_lines_of_their_own(shop: Shop) -> None:
    shop.add("a", "b")
    shop.add("c", "d", queue="gpu")
    shop.add("e", "f", needs=("gpu",))
    shop.set("gpu", concurrency=5)
    assert shop.before("a", "b", "c", "d", "e", "f") == [0, 1, 0, 1, 0, 1]
    assert shop.before_of_many("a", "b", "c", "d", "e", "f") == [0, 1, 0, 1, 0, 1]


def test_nothing_goes_before_a_job_that_runs_or_has_ended(shop: Shop) -> None:
    shop.add("old", "running", "waiting")
    [old] = shop.start()
    shop.start()
    shop.end(old, SECOND)
    assert shop.before("old", "running") == [0, 0]


def test_the_jobs_that_hold_a_queues_slots_are_named(shop: Shop) -> None:
    shop.set("gpu", concurrency=2)
    shop.add("a", "b", "c", queue="gpu")
    shop.add("other")
    shop.start(2)
    found = shop.around("c")
    assert found.queue_running == 2
    assert found.queue_holders == [Holder("a", "w-1", NOON), Holder("b", "w-1", NOON)]
    assert shop.around("other").queue_running == 0
    many = shop.store.surroundings.of_jobs(["c", "other"], at=NOON)
    assert (many["c"].queue_running, many["other"].queue_running) == (2, 0)


@pytest.mark.parametrize("limit", [1, 2])
def test_the_jobs_that_run_with_a_key_are_named_and_those_that_wait_for_it_counted(shop: Shop, limit: int) -> None:
    ids = [f"job-{number}" for number in range(limit + 3)]
    shop.add(*ids, key="db", key_limit=limit)
    shop.add("other", key="another", key_limit=1)
    started = [run.job.id for run in shop.start(limit)]
    assert started == ids[:limit]
    last = shop.around(ids[-1])
    assert last.key_running == limit
    assert [(it.job, it.worker) for it in last.key_holders] == [(job_id, "w-1") for job_id in started]
    assert last.before == 2
    assert shop.store.jobs.find(ids[-1]).waits_for is WaitsFor.KEY
    assert shop.around("other").key_running == 0


def test_a_rate_tells_from_when_on_it_allows_a_start(shop: Shop) -> None:
    shop.set("api", rate=Rate(2, MINUTE))
    shop.add("a", "b", "c", queue="api")
    shop.start()
    assert shop.around("c").next_start is None
    shop.start()
    assert shop.around("c").next_start == NOON + MINUTE
    assert shop.around("c", at=NOON + MINUTE).next_start is None


def test_the_usual_run_is_the_median_of_the_runs_of_the_queue(shop: Shop) -> None:
    shop.add("a", "b", "c")
    shop.add("long", queue="slow")
    for run, seconds in zip(shop.start(4), (1, 30, 3, 600), strict=True):
        shop.end(run, seconds * SECOND)
    shop.add("next")
    shop.add("next-slow", queue="slow")
    shop.add("next-new", queue="new")
    usual = [shop.around(job_id).usual_run for job_id in ("next", "next-slow", "next-new")]
    assert usual == [3 * SECOND, 600 * SECOND, None]


def test_the_parents_that_a_job_waits_for_are_told_with_their_states(shop: Shop) -> None:
    shop.add("built")
    [built] = shop.start()
    shop.end(built, SECOND)
    shop.add("tested")
    shop.add("packed", batch="nightly")
    parents = [
        Dependency("batch:nightly", On.END),
        Dependency("built"),
        Dependency("tested", On.FAILURE),
    ]
    shop.store.jobs.add([a_job("child")], {"child": Terms(after=parents)})
    waited_for = [(parents[0], None), (parents[2], State.PENDING)]
    assert shop.around("child").parents == waited_for
    assert shop.store.surroundings.of_jobs(["child"], at=NOON)["child"].parents == waited_for
    assert shop.before("child") == [0]
