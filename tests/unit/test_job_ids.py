import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.adapters.host import ids
from queuectl.adapters.host.ids import ALPHABET, RANDOM_BITS, JobIds

ALL_ONES = 2 ** (RANDOM_BITS - 1) - 1


def number(job_id: str) -> int:
    value = 0
    for digit in job_id:
        value = value * 32 + ALPHABET.index(digit)
    return value


def always(bits: int) -> Callable[[int], int]:
    return lambda _count: bits


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=5))
def test_as_many_as_asked_for_are_made_each_greater_than_the_last(counts: list[int]) -> None:
    new_ids = JobIds()
    made = [new_ids(count) for count in counts]
    assert [len(ids) for ids in made] == counts
    in_turn = [job_id for ids in made for job_id in ids]
    assert in_turn == sorted(set(in_turn))
    assert all(re.fullmatch(f"[{ALPHABET}]{{16}}", job_id) for job_id in in_turn)


def test_one_begins_with_the_moment_at_which_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    [made] = JobIds()(1)
    assert before <= number(made) >> RANDOM_BITS <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("bits", [0, ALL_ONES])
def test_many_follow_one_that_is_random(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids.random, "getrandbits", always(bits))
    first, *others = map(number, JobIds()(5000))
    assert first & (2**RANDOM_BITS - 1) == bits
    assert others == list(range(first + 1, first + 5000))
    assert others[-1] >> RANDOM_BITS == first >> RANDOM_BITS, "they run into the next millisecond"


def test_a_clock_that_goes_back_brings_no_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    new_ids = JobIds()
    early = new_ids(2000)
    monkeypatch.setattr(ids.time, "time_ns", lambda: 0)
    assert number(new_ids(1)[0]) == number(early[-1]) + 1
