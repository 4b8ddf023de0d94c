"""What every `Work` promises of jobs with a key, and of jobs that need labels."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial

import pytest

from queuectl.domain.job import Job, State, WaitsFor
from queuectl.domain.ports.jobs import Jobs
from queuectl.domain.ports.work import Claim, Run, Sweep, Work
from tests.builders import (
    ANN,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    a_failure,
    a_job,
    a_lease,
    a_loss,
    a_policy,
    a_result,
    a_worker,
    settled,
)
from tests.contracts.conftest import QueueStore
from tests.postgres import servers

KEY = {"key": "db-main", "key_limit": 1}
TWO = {"key": "db-main", "key_limit": 2}


class Claims:
    """A worker of the queue, claim by claim."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._number = 0

    def __call__(self, limit: int = 10, *, at: datetime = NOON, **asked: object) -> Sequence[Run]:
        self._number += 1
        return self.work.claim(Claim(a_lease(self._number), limit, at, **asked))  # type: ignore[arg-type]

    def ids(self, limit: int = 10, **asked: object) -> list[str]:
        return [run.job.id for run in self(limit, **asked)]


@pytest.fixture
def claims(work: Work) -> Claims:
    return Claims(work)


@pytest.fixture
def run_sql(store: QueueStore) -> Callable[[str], object]:
    """Runs a statement of somebody who has opened the database by hand."""
    if store.url is None:
        pytest.skip("no other process can reach it")
    if store.url.startswith("sqlite"):
        path = store.url.removeprefix("sqlite:///")

        def in_file(text: str) -> None:
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute(text)

        return in_file
    return partial(servers.execute, store.url)


def end(work: Work, run: Run, *, at: datetime = NOON + SECOND, **failure: object) -> Job:
    result = a_failure(**failure) if failure else a_result()
    [ended] = work.settle([run.ended(result, at)], settled)
    assert ended.job is not None
    return ended.job


def test_of_a_key_one_job_runs_at_a_time_whichever_queues_they_are_in(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job("one", **KEY), a_job("two", queue="other", **KEY), a_job("three", **KEY)])
    [run] = claims()
    assert run.job.id == "one"
    assert claims() == []
    end(work, run)
    [run] = claims(at=NOON + MINUTE)
    assert run.job.id == "two"
    assert claims() == []


def test_as_many_run_as_the_limit_of_the_key_says(jobs: Jobs, claims: Claims) -> None:
    jobs.add([a_job(str(number), **TWO) for number in range(5)])
    assert claims.ids(limit=1) == ["0"]
    assert claims.ids() == ["1"]
    assert claims() == []


def test_each_job_goes_by_its_own_limit(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job("alone", **KEY), a_job("beside", **TWO)])
    [alone, beside] = claims()
    end(work, alone)
    jobs.add([a_job("later", **KEY)])
    assert claims() == []
    end(work, beside)
    assert claims.ids() == ["later"]


def test_a_full_key_at_the_front_holds_up_no_other_job(jobs: Jobs, claims: Claims) -> None:
    jobs.add([a_job(f"{number:03}", priority=9, **KEY) for number in range(300)])
    jobs.add([a_job("plain"), a_job("other", key="other", key_limit=1)])
    assert claims.ids(limit=2) == ["000", "plain"]
    assert claims.ids(limit=2) == ["other"]


def test_jobs_that_came_one_by_one_are_passed_over_too(jobs: Jobs, claims: Claims) -> None:
    for number in range(60):
        jobs.add([a_job(f"{number:03}", priority=9, **KEY)])
    jobs.add([a_job("plain")])
    assert claims.ids(limit=1) == ["000"]
    assert claims.ids(limit=1) == ["plain"]


def test_a_job_whose_key_is_full_waits_for_it(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job("one", **KEY), a_job("two", **KEY), a_job("plain")])
    [run, _] = claims()
    claims()
    assert jobs.find("two").waits_for is WaitsFor.KEY
    end(work, run)
    assert jobs.find("two").waits_for is None


def test_of_those_that_wait_for_a_key_the_first_in_claim_order_is_next(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job("one", priority=9, **KEY), a_job("low", priority=1, **KEY), a_job("high", priority=8, **KEY)])
    jobs.add([a_job("early", priority=8, run_at=NOON - HOUR, **KEY)])
    order = []
    for minute in range(4):
        [run] = claims(at=NOON + minute * MINUTE)
        order.append(run.job.id)
        assert claims(at=NOON + minute * MINUTE) == []
        end(work, run, at=NOON + minute * MINUTE + SECOND)
    assert order == ["one", "early", "high", "low"]


def test_a_better_one_that_comes_later_goes_first(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job("one", **KEY), a_job("two", **KEY)])
    [run] = claims()
    claims()
    jobs.add([a_job("urgent", priority=9, **KEY)])
    end(work, run)
    assert claims.ids() == ["urgent"]


def test_a_key_is_free_while_its_job_waits_for_its_next_try(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job("one", **KEY), a_job("two", **KEY)])
    [run] = claims()
    claims()
    assert end(work, run, exit_code=1).state is State.FAILED
    [run] = claims()
    assert run.job.id == "two"
    assert claims(at=NOON + 10 * MINUTE) == []
    end(work, run, at=NOON + 11 * MINUTE)
    assert claims.ids(at=NOON + 12 * MINUTE) == ["one"]


def test_a_job_that_is_given_back_leaves_its_key_to_the_next(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job("one", priority=1, **KEY), a_job("two", priority=1, **KEY)])
    [run] = claims()
    claims()
    jobs.add([a_job("urgent", priority=9, **KEY)])
    [given_back] = work.settle([run.ended(a_loss()._replace(outcome="released"), NOON + SECOND)], settled)
    assert given_back.job is not None
    assert given_back.job.state is State.PENDING
    assert claims.ids() == ["urgent"]


def test_a_rescue_leaves_the_key_of_a_lost_job_to_the_next(store: QueueStore, claims: Claims) -> None:
    jobs, work = store.jobs, store.work
    jobs.add([a_job("one", **KEY), a_job("two", **KEY)])
    claims()
    claims()
    work.rescue("w-1", lost, at=NOON + SECOND, proved_dead=True)
    assert jobs.find("two").waits_for is None
    store.workers.register(a_worker("w-2"))
    [run] = work.claim(Claim(a_lease(9, worker="w-2"), 10, NOON + MINUTE, suspects=False))
    assert run.job.id == "two"
    assert work.claim(Claim(a_lease(10, worker="w-2"), 10, NOON + MINUTE)) == []


def test_ends_at_once_let_as_many_go_as_they_leave_places(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job(f"{number}", **TWO) for number in range(5)])
    runs = claims()
    assert claims() == []
    work.settle([run.ended(a_result(), NOON + SECOND) for run in runs], settled)
    assert claims.ids() == ["2", "3"]


def test_a_rescue_lets_as_many_go_as_it_takes_back(store: QueueStore, claims: Claims) -> None:
    store.jobs.add([a_job(f"{number}", **TWO) for number in range(5)])
    claims()
    assert claims() == []
    store.work.rescue("w-1", lost, at=NOON + SECOND, proved_dead=True)
    store.workers.register(a_worker("w-2"))
    taken = store.work.claim(Claim(a_lease(9, worker="w-2"), 10, NOON + MINUTE, suspects=False))
    assert [run.job.id for run in taken] == ["2", "3"]


def test_a_key_is_held_until_a_cancelled_command_has_ended(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job("one", **KEY), a_job("two", **KEY)])
    [run] = claims()
    claims()
    jobs.change("one", lambda job: job.cancelled(NOON + SECOND, ANN))
    assert claims() == []
    end(work, run, exit_code=143)
    assert claims.ids() == ["two"]


def test_where_the_next_of_a_key_is_cancelled_the_one_behind_it_goes(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job(name, **KEY) for name in ("one", "two", "three")])
    [run] = claims()
    claims()
    end(work, run)
    jobs.change("two", lambda job: job.cancelled(NOON + SECOND, ANN))
    assert claims.ids() == ["three"]


def test_cancelling_one_that_waits_for_its_key_frees_nothing(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job(name, **KEY) for name in ("one", "two", "three")])
    [run] = claims()
    claims()
    jobs.change("two", lambda job: job.cancelled(NOON + SECOND, ANN))
    assert claims() == []
    end(work, run)
    assert claims.ids() == ["three"]


def test_a_cancelled_one_that_is_run_again_waits_like_any_other(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job("one", **KEY), a_job("two", **KEY)])
    [run] = claims()
    claims()
    jobs.change("two", lambda job: job.cancelled(NOON + SECOND, ANN))
    jobs.change("two", lambda job: job.retried(NOON + SECOND))
    assert claims(at=NOON + MINUTE) == []
    end(work, run)
    assert claims.ids(at=NOON + MINUTE) == ["two"]


def test_in_a_batch_of_one_key_the_due_ones_wait_for_the_first(jobs: Jobs) -> None:
    jobs.add([a_job("late", run_at=NOON + HOUR, **KEY), a_job("low", priority=1, **KEY), a_job("high", **KEY)])
    assert [jobs.find(name).waits_for for name in ("late", "low", "high")] == [None, WaitsFor.KEY, None]


def test_one_that_is_not_due_yet_holds_up_none_of_its_key(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job("late", priority=9, run_at=NOON + HOUR, **KEY), a_job("one", **KEY), a_job("two", **KEY)])
    for expected in ("one", "two"):
        [run] = claims()
        assert run.job.id == expected
        end(work, run)
    assert claims() == []
    assert claims.ids(at=NOON + HOUR - SECOND) == []


def test_what_waits_for_a_key_is_not_due(jobs: Jobs, work: Work, claims: Claims) -> None:
    jobs.add([a_job("one", **KEY), a_job("two", **KEY)])
    claims()
    claims()
    assert work.first_due(queues=()).job is None


class TestSweep:
    """What somebody has changed by hand is put right; of all else there is nothing to repair."""

    def test_it_finds_nothing_where_all_is_right(self, jobs: Jobs, work: Work, claims: Claims) -> None:
        jobs.add([a_job(f"{key}-{number}", key=key, key_limit=2) for key in "abc" for number in range(4)])
        claims(limit=4)
        assert work.sweep_keys("", limit=100) == Sweep([], "")

    def test_it_lets_a_job_go_that_nothing_else_would(
        self, store: QueueStore, claims: Claims, run_sql: Callable[[str], object]
    ) -> None:
        store.jobs.add([a_job("one", **KEY), a_job("two", **KEY), a_job("three", **KEY)])
        run_sql("DELETE FROM jobs WHERE id = 'one'")
        assert claims() == []
        assert store.work.sweep_keys("", limit=100) == Sweep(["db-main"], "")
        assert store.work.sweep_keys("", limit=100) == Sweep([], "")
        assert claims.ids() == ["two"]

    def test_it_goes_over_the_keys_piece_by_piece(self, store: QueueStore, run_sql: Callable[[str], object]) -> None:
        store.jobs.add([a_job(f"{number}{key}", key=key, key_limit=1) for key in "abc" for number in range(2)])
        run_sql("DELETE FROM jobs WHERE id LIKE '0%'")
        first = store.work.sweep_keys("", limit=2)
        assert first == Sweep(["a", "b"], "b")
        assert store.work.sweep_keys(first.last, limit=2) == Sweep(["c"], "")


class TestNeeds:
    """A job runs where all its needs are labels."""

    def test_only_a_worker_that_has_all_labels_takes_it(self, jobs: Jobs, claims: Claims) -> None:
        jobs.add([a_job("gpu", priority=9, needs=("gpu", "zone=eu")), a_job("plain")])
        assert claims.ids() == ["plain"]
        assert claims.ids(labels=["gpu"]) == []
        assert claims.ids(labels=["zone=eu", "gpu", "host=a"]) == ["gpu"]

    def test_a_batch_may_be_the_first_that_needs_a_label(self, jobs: Jobs, claims: Claims) -> None:
        jobs.add([a_job(f"{number:03}", needs=("gpu",) if number > 290 else ()) for number in range(300)])
        assert len(claims.ids(limit=300, labels=["gpu"])) == 300

    def test_whatever_a_worker_may_take_it_takes_in_one_order(self, jobs: Jobs, claims: Claims) -> None:
        jobs.add(
            [a_job("a", priority=3, needs=("gpu",)), a_job("b", priority=4), a_job("c", priority=5, needs=("gpu",))]
        )
        assert claims.ids(labels=["gpu"]) == ["c", "b", "a"]

    def test_a_worker_of_one_queue_looks_at_its_labels_too(self, jobs: Jobs, claims: Claims) -> None:
        jobs.add([a_job("a", queue="q", needs=("gpu",)), a_job("b", queue="q"), a_job("c", needs=("gpu",))])
        assert claims.ids(queues=["q"]) == ["b"]
        assert claims.ids(queues=["q"], labels=["gpu"]) == ["a"]

    def test_one_that_nobody_may_take_is_not_due(self, jobs: Jobs, work: Work) -> None:
        jobs.add([a_job("gpu", needs=("gpu",))])
        assert work.first_due(queues=()).job is None
        assert work.first_due(queues=(), labels=["gpu"]).job == NOON


def lost(job: Job, alone: bool) -> Job:
    return job.settled(a_loss(), NOON + SECOND, a_policy(), 0, alone=alone)
