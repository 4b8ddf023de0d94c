"""What every Measurements promises; see its docstrings in queuectl.domain.ports."""

from datetime import timedelta

import pytest

from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.job import State, WaitsFor
from queuectl.domain.metrics import Backlog, Percentiles, Totals
from queuectl.domain.ports.metrics import Measurements
from queuectl.domain.ports.work import Claim
from tests.builders import (
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    a_failure,
    a_job,
    a_job_that_is,
    a_lease,
    a_loss,
    a_result,
    a_worker,
    settled,
)
from tests.contracts.conftest import QueueStore

TIMEOUT = a_result(Outcome.TIMEOUT, error="timed out")
RELEASED = a_result(Outcome.RELEASED)


def test_every_state_is_counted_also_those_without_jobs(store: QueueStore) -> None:
    assert store.measurements.counts() == dict.fromkeys(State, 0)
    store.jobs.add([a_job("job-1"), a_job("job-2"), a_job_that_is(State.DEAD, job_id="job-3")])
    assert store.measurements.counts() == dict.fromkeys(State, 0) | {State.PENDING: 2, State.DEAD: 1}


def test_due_jobs_are_counted_by_queue(store: QueueStore) -> None:
    assert store.measurements.due(at=NOON) == {}
    later = a_job("job-4", queue="reports", run_at=NOON + SECOND)
    failed = a_job_that_is(State.FAILED, job_id="job-5", queue="mail")._replace(run_at=NOON)
    dead = a_job_that_is(State.DEAD, job_id="job-6")
    store.jobs.add([a_job("job-1"), a_job("job-2"), a_job("job-3", queue="mail"), later, failed, dead])
    assert store.measurements.due(at=NOON) == {"default": 2, "mail": 2}


def test_jobs_that_wait_run_or_are_dead_are_counted_by_queue_state_and_needs(store: QueueStore) -> None:
    assert store.measurements.backlog(at=NOON) == []
    store.jobs.add([a_job("running", queue="mail", priority=9)])
    store.work.claim(Claim(a_lease(), limit=1, at=NOON))
    store.jobs.add(
        [
            a_job("due", queue="mail", run_at=NOON - MINUTE),
            a_job("due-too", queue="mail", run_at=NOON - SECOND),
            a_job("later", queue="mail", run_at=NOON + SECOND),
            a_job("of-a-key", queue="mail", waits_for=WaitsFor.KEY, key="k", key_limit=1),
            a_job("of-others", queue="mail", waits_for=WaitsFor.JOBS, run_at=NOON - HOUR),
            a_job("needs", queue="mail", needs=("gpu",)),
            a_job_that_is(State.FAILED, job_id="failed"),
            a_job_that_is(State.DEAD, job_id="dead"),
            a_job_that_is(State.COMPLETED, job_id="completed"),
            a_job_that_is(State.CANCELLED, job_id="cancelled", queue="old"),
        ]
    )
    assert store.measurements.backlog(at=NOON) == [
        Backlog("default", State.DEAD, (), 1),
        Backlog("default", State.FAILED, (), 1),
        Backlog("mail", State.PENDING, (), 5, 3, NOON - MINUTE),
        Backlog("mail", State.PENDING, ("gpu",), 1, 1, NOON),
        Backlog("mail", State.PROCESSING, (), 1),
    ]


@pytest.mark.parametrize("detailed", [False, True])
def test_of_nothing_there_is_nothing_to_tell(measurements: Measurements, detailed: bool) -> None:
    metrics = measurements.metrics(since=NOON, detailed=detailed)
    assert not any(metrics.attempts.values())
    assert (metrics.completed, metrics.dead, metrics.retried, metrics.most_attempts) == (0, 0, 0, 0)
    assert metrics.wait == metrics.run == Percentiles()
    assert (list(metrics.workers), list(metrics.queues)) == ([], [])


class Shop:
    """Runs jobs by hand: each waits `waits` from noon and runs for `runs`."""

    def __init__(self, store: QueueStore) -> None:
        self.store = store
        self.leases = 0

    def run(
        self,
        job_id: str,
        *results: RunResult,
        waits: timedelta = SECOND,
        runs: timedelta = SECOND,
        worker: str = "w-1",
        **overrides: object,
    ) -> None:
        self.store.jobs.add([a_job(job_id, **overrides)])
        at = NOON + waits
        for result in results:
            self.leases += 1
            lease = a_lease(self.leases, worker=worker)
            [run] = self.store.work.claim(Claim(lease, queues=(), limit=1, at=at))
            assert run.job.id == job_id
            [done] = self.store.work.settle([run.ended(result, at + runs)], settled)
            assert done.job is not None
            at = done.job.run_at + waits


@pytest.fixture
def shop(store: QueueStore) -> Shop:
    return Shop(store)


def test_attempts_are_counted_by_outcome_and_jobs_by_what_became_of_them(
    shop: Shop, measurements: Measurements
) -> None:
    shop.run("at-once", a_result())
    shop.run("at-last", a_failure(), TIMEOUT, a_result())
    shop.run("never", a_failure(), max_retries=0)
    shop.run("given-back", RELEASED, a_result())
    shop.run("lost", a_loss(), a_result())
    metrics = measurements.metrics(since=NOON, detailed=False)
    assert {outcome: count for outcome, count in metrics.attempts.items() if count} == {
        Outcome.SUCCEEDED: 4,
        Outcome.FAILED: 2,
        Outcome.TIMEOUT: 1,
        Outcome.RELEASED: 1,
        Outcome.LOST: 1,
    }
    assert (metrics.completed, metrics.dead, metrics.retried, metrics.most_attempts) == (4, 1, 3, 3)
    assert (list(metrics.workers), list(metrics.queues)) == ([], [])


def test_the_window_begins_with_its_first_moment(shop: Shop, measurements: Measurements) -> None:
    shop.run("job-1", a_result(), waits=SECOND, runs=SECOND)
    inside = measurements.metrics(since=NOON + 2 * SECOND, detailed=True)
    assert (inside.completed, inside.attempts[Outcome.SUCCEEDED], len(inside.workers)) == (1, 1, 1)
    assert inside.since == NOON + 2 * SECOND
    outside = measurements.metrics(since=NOON + 2 * SECOND + timedelta(microseconds=1), detailed=True)
    assert (outside.completed, outside.attempts.get(Outcome.SUCCEEDED, 0), len(outside.workers)) == (0, 0, 0)
    assert outside.run == Percentiles()


def test_a_job_that_was_run_again_is_no_longer_what_it_was(shop: Shop, measurements: Measurements) -> None:
    shop.run("job-1", a_failure(), max_retries=0)
    shop.store.jobs.change("job-1", lambda job: job.retried(NOON + MINUTE))
    assert measurements.metrics(since=NOON, detailed=False).dead == 0


def test_spreads_are_by_nearest_rank(shop: Shop, measurements: Measurements) -> None:
    for number in range(1, 21):
        shop.run(f"job-{number}", a_result(), waits=number * SECOND, runs=number * MINUTE)
    metrics = measurements.metrics(since=NOON, detailed=False)
    assert metrics.wait == Percentiles(p50=10 * SECOND, p95=19 * SECOND)
    assert metrics.run == Percentiles(p50=10 * MINUTE, p95=19 * MINUTE)


def test_of_one_span_every_percentile_is_that_span(shop: Shop, measurements: Measurements) -> None:
    span = timedelta(hours=50 / 60, microseconds=1)
    shop.run("job-1", a_failure(), runs=span)
    assert measurements.metrics(since=NOON, detailed=False).run == Percentiles(p50=span, p95=span)


def test_attempts_that_did_not_end_by_themselves_are_not_in_the_spreads(shop: Shop, measurements: Measurements) -> None:
    shop.run("job-1", RELEASED, a_loss(), runs=20 * MINUTE)
    metrics = measurements.metrics(since=NOON, detailed=False)
    assert metrics.wait == metrics.run == Percentiles()


def test_the_details_tell_each_worker_and_each_queue(shop: Shop, measurements: Measurements) -> None:
    shop.store.workers.register(a_worker("w-2", lease_expires_at=NOON + 9 * HOUR))
    shop.run("job-1", a_failure(), a_result(), queue="mail", runs=MINUTE)
    shop.run("job-2", TIMEOUT, queue="mail", max_retries=0, worker="w-2", runs=SECOND)
    shop.run("job-3", RELEASED, a_result(), worker="w-2", runs=SECOND)
    metrics = measurements.metrics(since=NOON, detailed=True)
    assert sorted(metrics.workers, key=lambda totals: totals.name) == [
        Totals(name="w-1", succeeded=1, failed=1, busy=2 * MINUTE),
        Totals(name="w-2", succeeded=1, failed=1, busy=3 * SECOND),
    ]
    assert sorted(metrics.queues, key=lambda totals: totals.name) == [
        Totals(name="default", succeeded=1, failed=0, busy=2 * SECOND),
        Totals(name="mail", succeeded=1, failed=2, busy=2 * MINUTE + SECOND),
    ]
