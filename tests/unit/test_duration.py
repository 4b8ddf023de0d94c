from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from queuectl.domain.duration import MAX_DURATION, format_duration, parse_duration


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (0, 0),
        (90, 90),
        (1.5, 1.5),
        ("90", 90),
        ("1.5", 1.5),
        (" 5m ", 300),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("0.5h", 1800),
        ("1w1d", 8 * 86400),
        ("3650d", 315_360_000),
    ],
)
def test_a_duration_is_understood(said: object, seconds: float) -> None:
    assert parse_duration(said) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "said",
    [
        *(True, False, None, [], {}, b"5m", -1, -0.001, float("nan"), float("inf"), 10**400, 315_360_001),
        *("", " ", "m", "5 m", "5x", "5M", "-5m", "+5m", "1h-5m", "5m!", "1e3", ".5", "5.", "nan", "inf", "1_0"),
        *("\u0665", "5h30", "3651d", "9" * 400, "9" * 400 + "w"),
    ],
    ids=lambda said: repr(said)[:20],
)
def test_anything_else_is_refused(said: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_duration(said)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (300, "5m"), (5400, "1h30m"), (2.5, "2.5s"), (90061, "1d1h1m1s"), (1e-6, "0.000001s")],
)
def test_a_duration_is_written_short(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.timedeltas(timedelta(), MAX_DURATION))
@example(MAX_DURATION - timedelta(microseconds=1))
def test_what_is_written_is_understood_as_the_same(span: timedelta) -> None:
    assert parse_duration(format_duration(span)) == span


@given(st.one_of(st.text(), st.floats(), st.integers()))
def test_nothing_is_worse_than_refused(said: object) -> None:
    with suppress(ValueError):
        assert timedelta() <= parse_duration(said) <= MAX_DURATION
