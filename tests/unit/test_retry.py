from datetime import timedelta
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.retry import Backoff

bases = st.floats(1, 1000)
ceilings = st.timedeltas(timedelta(), timedelta(days=365))
failures = st.integers(1, 1001)


def test_the_bare_curve_is_the_base_to_the_power_of_the_failures() -> None:
    assert [Backoff().after(n).total_seconds() for n in (1, 2, 3)] == [2, 4, 8]


def test_the_curve_ends_at_its_ceiling() -> None:
    backoff = Backoff(ceiling=timedelta(seconds=5))
    assert [backoff.after(n).total_seconds() for n in (2, 3, 1001)] == [4, 5, 5]


@given(bases, ceilings, failures)
def test_no_allowed_value_overflows_or_passes_the_ceiling(base: float, ceiling: timedelta, n: int) -> None:
    assert timedelta() <= Backoff(base=base, ceiling=ceiling).after(n) <= ceiling


@given(bases, ceilings, failures)
def test_the_curve_never_falls(base: float, ceiling: timedelta, n: int) -> None:
    backoff = Backoff(base=base, ceiling=ceiling)
    assert backoff.after(n) <= backoff.after(n + 1)


@given(ceilings, failures, st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_jitter_stretches_by_at_most_its_fraction(ceiling: timedelta, n: int, jitter: float, chance: float) -> None:
    backoff = Backoff(ceiling=ceiling, jitter=jitter)
    assert backoff.after(n) <= backoff.stretched(n, chance) <= backoff.after(n) * (1 + jitter)


def test_without_jitter_chance_has_no_effect() -> None:
    assert Backoff().stretched(3, 0.999) == Backoff().after(3)


def test_full_jitter_comes_close_to_twice_as_long() -> None:
    assert Backoff(jitter=1).stretched(1, 0.5) == timedelta(seconds=3)


def test_the_waits_between_tries_begin_at_the_initial_one_and_grow_to_the_ceiling() -> None:
    waits = Backoff(initial=timedelta(seconds=1), base=3, ceiling=timedelta(seconds=5)).waits()
    assert [wait.total_seconds() for wait in islice(waits, 4)] == [1, 3, 5, 5]


def test_each_wait_between_tries_takes_its_own_chance() -> None:
    chances = iter([0.0, 1.0, 0.5])
    waits = Backoff(ceiling=timedelta(seconds=2), jitter=1).waits(lambda: next(chances))
    assert [wait.total_seconds() for wait in islice(waits, 3)] == [1, 4, 3]
