"""The choice of a claim, by its properties; batches of keyed jobs; rates as text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.duration import MAX_DURATION
from queuectl.domain.job import Job, WaitsFor
from queuectl.domain.limits import (
    MAX_RATE,
    UNLIMITED,
    Candidate,
    Choice,
    Rate,
    Room,
    Start,
    choose,
    parked_behind,
    parse_rate,
)
from tests.builders import MINUTE, NOON, SECOND, a_job

NUMBERS = st.none() | st.lists(st.integers(0, 9), max_size=4, unique=True).map(tuple)
KEYS = st.sampled_from([None, "k", "l"])


class Case(NamedTuple):
    """What a claim has seen under its locks."""

    candidates: Sequence[Candidate]
    running: Mapping[str, int]
    rooms: Mapping[str, Room]
    limit: int

    def choice(self) -> Choice:
        return choose(*self)

    def room(self, queue: str) -> Room:
        return self.rooms.get(queue, UNLIMITED)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Few queues and keys, so that candidates meet at them; a key is locked or not, for all its candidates."""
    locked = {key: draw(st.booleans()) for key in ("k", "l")}
    described = draw(st.lists(st.tuples(st.sampled_from("abc"), KEYS, st.integers(1, 3)), max_size=12))
    candidates = [
        Candidate(seq, queue, key, key and limit, is_key_locked=key is None or locked[key])
        for seq, (queue, key, limit) in enumerate(described)
    ]
    running = draw(st.dictionaries(st.sampled_from("kl"), st.integers(1, 3)))
    rooms = draw(st.dictionaries(st.sampled_from("ab"), st.builds(Room, NUMBERS, NUMBERS)))
    return Case(candidates, running, rooms, draw(st.integers(0, 8)))


def may_start(each: Candidate, case: Case, before: Sequence[Start]) -> bool:
    """Whether a candidate may start beside those that start before it: said once more, from the counts alone."""
    keys = {it.seq: it.key for it in case.candidates}
    in_queue = sum(it.queue == each.queue for it in before)
    with_key = sum(keys[it.seq] == each.key for it in before)
    has_room = all(free is None or in_queue < len(free) for free in case.room(each.queue))
    is_free = each.key is None or case.running.get(each.key, 0) + with_key < (each.key_limit or 1)
    return has_room and is_free and each.is_key_locked


@given(cases())
def test_the_first_that_may_start_do_up_to_the_limit(case: Case) -> None:
    starts = case.choice().starts
    expected: list[int] = []
    for each in case.candidates:
        if len(expected) < case.limit and may_start(each, case, starts[: len(expected)]):
            expected.append(each.seq)
    assert [it.seq for it in starts] == expected


@given(cases())
def test_no_queue_gets_more_than_its_room_and_no_slot_or_start_is_given_twice(case: Case) -> None:
    for queue in "abc":
        starts = [it for it in case.choice().starts if it.queue == queue]
        room = case.room(queue)
        for given_out, free in (([it.slot for it in starts], room.slots), ([it.start for it in starts], room.starts)):
            assert given_out == ([None] * len(starts) if free is None else list(free[: len(starts)]))


@given(cases())
def test_no_job_starts_beside_as_many_of_its_key_as_it_allows(case: Case) -> None:
    candidates = {it.seq: it for it in case.candidates}
    running = Counter(case.running)
    for start in case.choice().starts:
        each = candidates[start.seq]
        if each.key is not None:
            assert running[each.key] < (each.key_limit or 1)
            running[each.key] += 1


@given(cases())
def test_a_job_is_parked_only_where_its_key_was_full_before_the_claim(case: Case) -> None:
    candidates = {it.seq: it for it in case.candidates}
    choice = case.choice()
    assert not set(choice.parked) & {it.seq for it in choice.starts}
    for seq in choice.parked:
        each = candidates[seq]
        assert each.key is not None
        assert each.is_key_locked
        assert case.running.get(each.key, 0) >= (each.key_limit or 1)


@given(cases())
def test_a_claim_with_room_parks_all_that_it_meets_before_it_has_enough(case: Case) -> None:
    """So no later claim meets them again."""
    choice = case.choice()
    if len(choice.starts) == case.limit:
        return
    begun = {it.key for it in case.candidates if it.seq in {start.seq for start in choice.starts}}
    for each in case.candidates:
        started = sum(it.seq < each.seq and it.queue == each.queue for it in choice.starts)
        has_room = all(free is None or started < len(free) for free in case.room(each.queue))
        if each.key is not None and each.key not in begun and has_room and each.is_key_locked:
            assert each.seq in choice.parked


@given(cases())
def test_only_keys_of_others_and_full_queues_are_named(case: Case) -> None:
    choice = case.choice()
    assert choice.busy_keys <= {it.key for it in case.candidates if not it.is_key_locked}
    for queue in choice.full_queues:
        started = sum(it.queue == queue for it in choice.starts)
        assert any(free is not None and started == len(free) for free in case.room(queue))


@given(cases())
def test_the_same_sights_make_the_same_choice(case: Case) -> None:
    assert case.choice() == case.choice()


@given(cases(), st.data())
def test_a_lower_limit_starts_the_first_of_the_same(case: Case, data: st.DataObject) -> None:
    fewer = data.draw(st.integers(0, case.limit))
    assert case._replace(limit=fewer).choice().starts == case.choice().starts[:fewer]


# Batches.


@st.composite
def batches(draw: st.DrawFn) -> Sequence[Job]:
    described = draw(
        st.lists(
            st.tuples(KEYS, st.integers(1, 3), st.integers(4, 6), st.booleans(), st.sampled_from("ab")), max_size=12
        )
    )
    return [
        a_job(
            f"job-{number}",
            key=key,
            key_limit=key and limit,
            priority=priority,
            queue=queue,
            run_at=NOON + (SECOND if is_later else timedelta()),
        )
        for number, (key, limit, priority, is_later, queue) in enumerate(described)
    ]


@given(batches())
def test_of_a_batch_the_due_ones_are_parked_behind_as_many_of_their_key_and_queue_as_may_run(
    batch: Sequence[Job],
) -> None:
    stored = parked_behind(batch)
    assert [it._replace(waits_for=None) for it in stored] == list(batch)
    for job in stored:
        ahead = [it for it in stored if (it.spec.key, it.queue) == (job.spec.key, job.queue) and it.is_due(NOON)]
        if job.waits_for is WaitsFor.KEY:
            assert job.spec.key is not None
            assert job._replace(waits_for=None).is_due(NOON)
            better = [it for it in ahead if it.claim_order <= job.claim_order]
            assert len(better) >= (job.spec.key_limit or 1)


@given(batches())
def test_what_is_parked_of_a_batch_comes_behind_all_of_its_key_and_limit_that_may_be_claimed(
    batch: Sequence[Job],
) -> None:
    places: dict[object, list[Job]] = {}
    for job in parked_behind(batch):
        if job.spec.key is not None and job._replace(waits_for=None).is_due(NOON):
            places.setdefault((job.spec.key, job.spec.key_limit, job.queue), []).append(job)
    for those in places.values():
        in_order = sorted(those, key=lambda it: it.claim_order)
        assert all(later.waits_for is not None for it, later in pairwise(in_order) if it.waits_for is not None)


def test_a_batch_without_keys_is_stored_as_it_is() -> None:
    batch = [a_job("one"), a_job("two")]
    assert parked_behind(batch) == batch


# Rates.


@given(st.integers(1, MAX_RATE), st.timedeltas(timedelta(microseconds=1), MAX_DURATION))
def test_a_rate_is_read_as_it_is_written(starts: int, period: timedelta) -> None:
    assert parse_rate(str(Rate(starts, period))) == Rate(starts, period)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/1m", Rate(100, MINUTE)),
        (" 1/0.5s ", Rate(1, SECOND / 2)),
        ("007/1", Rate(7, SECOND)),
        ("10000/3650d", Rate(MAX_RATE, MAX_DURATION)),
    ],
)
def test_rates_that_people_write(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be a number of starts from 1 to 10000 and a span of time, such as 100/1m"),
        ("100", "must be a number of starts from 1 to 10000 and a span of time, such as 100/1m"),
        ("/1m", "must be a number of starts from 1 to 10000 and a span of time, such as 100/1m"),
        ("0/1m", "must be a number of starts from 1 to 10000 and a span of time, such as 100/1m"),
        ("10001/1m", "must be a number of starts from 1 to 10000 and a span of time, such as 100/1m"),
        ("-1/1m", "must be a number of starts from 1 to 10000 and a span of time, such as 100/1m"),
        ("1.5/1m", "must be a number of starts from 1 to 10000 and a span of time, such as 100/1m"),
        ("²/1m", "must be a number of starts from 1 to 10000 and a span of time, such as 100/1m"),
        ("9" * 5000 + "/1m", "must be a number of starts from 1 to 10000 and a span of time, such as 100/1m"),
        ("1/", "must end in a span of time, such as 100/1m"),
        ("1/minute", "must end in a span of time, such as 100/1m"),
        ("1/1m/1m", "must end in a span of time, such as 100/1m"),
        ("1/-1s", "must end in a span of time, such as 100/1m"),
        ("1/0s", "must have a span longer than 0 seconds, such as 100/1m"),
    ],
)
def test_what_is_no_rate_is_refused_with_words_that_say_why(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="must") as refused:
        parse_rate(text)
    assert str(refused.value) == words


@given(st.text())
def test_any_other_text_raises_nothing_else(text: str) -> None:
    try:
        rate = parse_rate(text)
    except ValueError:
        return
    assert 1 <= rate.starts <= MAX_RATE
    assert rate.period > timedelta()
