from datetime import timedelta
from threading import Thread

import pytest

from queuectl.application.work.lease import Heartbeat, LeaseTerm
from queuectl.domain.worker import WorkerState
from tests.builders import NOON, SECOND, a_worker
from tests.fakes import ManualClock, ScriptedRunner
from tests.memory import InMemoryWorkers, Memory

LEASE = 30 * SECOND


class HeartbeatHarness:
    """A heartbeat, and all that it is wired to."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.clock = ManualClock(NOON)
        self.workers = InMemoryWorkers(self.memory)
        self.workers.register(a_worker("w-1", lease_expires_at=NOON + LEASE))
        self.runner = ScriptedRunner(self.clock)
        self.heartbeat = Heartbeat(
            "w-1",
            workers=self.workers,
            lease=LeaseTerm(LEASE, elapsed=self.clock.elapsed),
            clock=self.clock,
            wake=self.runner.wake,
        )


@pytest.fixture
def harness() -> HeartbeatHarness:
    return HeartbeatHarness()


def test_a_beat_renews_the_lease_for_its_whole_length_and_tells_the_state(harness: HeartbeatHarness) -> None:
    harness.clock.advance(5 * SECOND)
    harness.heartbeat.state = WorkerState.STOPPING
    harness.heartbeat.renew()
    [worker] = harness.workers.live()
    assert worker.lease_expires_at == NOON + 5 * SECOND + LEASE
    assert worker.state is WorkerState.STOPPING
    assert harness.heartbeat.lease.time_left == LEASE * 2 / 3


def test_the_lease_is_taken_as_lost_after_two_thirds_without_a_renewal(harness: HeartbeatHarness) -> None:
    harness.clock.advance(20 * SECOND - SECOND / 1000)
    assert harness.heartbeat.lease.lost is None
    harness.clock.advance(SECOND / 1000)
    assert harness.heartbeat.lease.lost == "the lease could not be renewed: this process was held up"


def test_the_jobs_can_be_stopped_before_a_lost_lease_ends(harness: HeartbeatHarness) -> None:
    assert LEASE * 2 / 3 + harness.heartbeat.lease.interval < LEASE


def test_a_database_that_does_not_answer_is_named_as_the_reason(harness: HeartbeatHarness) -> None:
    harness.memory.outage = "no route to host"
    harness.heartbeat.renew()
    assert harness.heartbeat.lease.lost is None
    harness.clock.advance(20 * SECOND)
    assert harness.heartbeat.lease.lost == "the lease could not be renewed: no route to host"


def test_a_renewal_counts_from_when_it_was_sent(harness: HeartbeatHarness) -> None:
    renew = harness.workers.renew

    def slowly(*args: object, **asked: object) -> bool:
        renewed = renew(*args, **asked)
        harness.clock.advance(12 * SECOND)
        return renewed

    harness.workers.renew = slowly
    harness.heartbeat.renew()
    assert harness.heartbeat.lease.time_left == 8 * SECOND


def test_a_worker_that_others_gave_up_hears_of_it_at_once(harness: HeartbeatHarness) -> None:
    harness.workers.retire("w-1", at=NOON)
    harness.heartbeat.renew()
    assert harness.heartbeat.lease.lost == "others took the lease for lost and took the jobs back"
    before = harness.clock.now
    harness.runner.wait(SECOND)
    assert harness.clock.now == before


def test_the_beating_ends_when_it_is_closed(harness: HeartbeatHarness) -> None:
    thread = Thread(target=harness.heartbeat.run)
    thread.start()
    harness.heartbeat.close()
    thread.join(10)
    assert not thread.is_alive()


def test_the_beating_ends_when_the_worker_is_given_up(harness: HeartbeatHarness) -> None:
    harness.workers.retire("w-1", at=NOON)
    harness.heartbeat.renew_now()
    thread = Thread(target=harness.heartbeat.run)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert harness.heartbeat.lease.lost


def test_a_renewal_after_the_lease_was_lost_does_not_hide_it(harness: HeartbeatHarness) -> None:
    harness.clock.advance(LEASE * 2 / 3)
    harness.heartbeat.renew()
    assert harness.heartbeat.lease.lost


def test_asked_to_it_beats_before_its_time(harness: HeartbeatHarness) -> None:
    beaten = harness.workers.renew

    def and_close(*args: object, **asked: object) -> bool:
        harness.heartbeat.close()
        return beaten(*args, **asked)

    harness.workers.renew = and_close
    harness.clock.advance(SECOND)
    harness.heartbeat.renew_now()
    harness.heartbeat.run()
    assert harness.workers.live()[0].renewed_at == NOON + SECOND


def test_the_watch_stops_the_jobs_when_the_lease_is_lost_and_kills_them_before_it_ends(
    harness: HeartbeatHarness,
) -> None:
    stops: list[timedelta] = []
    harness.clock.advance(LEASE * 2 / 3)

    def stop(grace: timedelta) -> None:
        stops.append(grace)
        harness.heartbeat.close()  # so that the test need not wait for the grace

    harness.heartbeat.watch(stop)
    assert stops == [LEASE / 6, timedelta()]


def test_the_watch_hears_at_once_that_the_worker_was_given_up(harness: HeartbeatHarness) -> None:
    stops: list[timedelta] = []

    def stop(grace: timedelta) -> None:
        stops.append(grace)
        harness.heartbeat.close()

    thread = Thread(target=harness.heartbeat.watch, args=(stop,))
    thread.start()
    harness.workers.retire("w-1", at=NOON)
    harness.heartbeat.renew()
    thread.join(10)
    assert stops == [LEASE / 6, timedelta()]


def test_the_watch_ends_with_the_worker_and_stops_nothing(harness: HeartbeatHarness) -> None:
    thread = Thread(target=harness.heartbeat.watch, args=(lambda _grace: pytest.fail("nothing was lost"),))
    thread.start()
    harness.heartbeat.close()
    thread.join(10)
    assert not thread.is_alive()


def test_what_is_lost_stays_lost(harness: HeartbeatHarness) -> None:
    harness.clock.advance(LEASE * 2 / 3)
    assert harness.heartbeat.lease.lost
    harness.heartbeat.renew()
    assert harness.heartbeat.lease.lost
