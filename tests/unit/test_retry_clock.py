from queuectl.application.work.retry_clock import BACKOFF, RetryClock
from tests.builders import NOON
from tests.fakes import ManualClock

FIRST = 2 * BACKOFF.initial
"""The longest first wait."""


def a_retry_clock(chance: float = 1.0) -> tuple[RetryClock, ManualClock]:
    time = ManualClock(NOON)
    return RetryClock(elapsed=time.elapsed, chance=lambda: chance), time


def test_the_first_try_is_due_at_once() -> None:
    clock, _ = a_retry_clock()
    assert clock.is_due


def test_the_waits_double_up_to_the_longest_and_begin_anew_when_it_works() -> None:
    clock, time = a_retry_clock()
    waits = []
    for _ in range(9):
        clock.failed()
        waits.append(clock.next_try - time.elapsed())
        assert not clock.is_due
        time.advance(waits[-1])
        assert clock.is_due
    assert waits == [FIRST * 2**number for number in range(7)] + [2 * BACKOFF.ceiling] * 2
    clock.worked()
    clock.failed()
    assert clock.next_try - time.elapsed() == FIRST


def test_jitter_takes_up_to_half_of_a_wait() -> None:
    clock, time = a_retry_clock(chance=0)
    clock.failed()
    assert clock.next_try - time.elapsed() == FIRST / 2


def test_the_beginning_of_trouble_and_its_end_are_told_once() -> None:
    clock, _ = a_retry_clock()
    assert [clock.worked(), clock.failed(), clock.failed(), clock.worked(), clock.worked()] == [
        False,
        True,
        False,
        True,
        False,
    ]
