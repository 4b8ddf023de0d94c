"""Limits: the jobs of a queue, or of a key, that run at a time, and the starts of a queue in a span of time.

A queue's concurrency is a set of slots: a job that runs has one of them. Its rate of N in a span is N starts, each
of which is usable again that span after its last use: so no span has more than N. Both are rows that claims lock, so
that what a claim sees free is free for it alone. A key has no rows: a claim counts the jobs that run with it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from queuectl.domain.duration import format_duration, parse_duration
from queuectl.domain.job import Job, WaitsFor

MAX_CONCURRENCY = 10_000

MAX_RATE = 10_000
"""Starts in one span: each is a row."""


class Rate(NamedTuple):
    """At most `starts` in any span of `period`."""

    starts: int
    period: timedelta

    def __str__(self) -> str:
        return f"{self.starts}/{format_duration(self.period)}"


def parse_rate(text: str) -> Rate:
    """The rate that a text such as `100/1m` says. Raises ValueError, with words that fit after the setting's name."""
    count, slash, period = text.strip().partition("/")
    if not (slash and count.isascii() and count.isdigit() and len(count) <= 9 and 1 <= int(count) <= MAX_RATE):
        raise ValueError(f"must be a number of starts from 1 to {MAX_RATE} and a span of time, such as 100/1m")
    try:
        span = parse_duration(period)
    except ValueError:
        raise ValueError("must end in a span of time, such as 100/1m") from None
    if not span:
        raise ValueError("must have a span longer than 0 seconds, such as 100/1m")
    return Rate(int(count), span)


class SlotKind(StrEnum):
    """The two things of which a queue has a number."""

    RUN = "run"
    """A job runs in it."""
    START = "start"
    """A job starts by it; the rate's period later another one may."""


class Candidate(NamedTuple):
    """A due job that a claim has locked, in a queue that has room."""

    seq: int
    queue: str
    key: str | None = None
    key_limit: int | None = None
    is_key_locked: bool = True
    """False: another transaction decides about that key at this moment."""


class Room(NamedTuple):
    """The free slots and starts of a queue that a claim has locked, the next one first; None: it has no such limit."""

    slots: tuple[int, ...] | None = None
    starts: tuple[int, ...] | None = None

    @property
    def is_full(self) -> bool:
        """True if no job of the queue may start."""
        return self.slots == () or self.starts == ()

    def without_first(self) -> "Room":
        """The rest, when a job has started."""
        return Room(self.slots and self.slots[1:], self.starts and self.starts[1:])


UNLIMITED = Room()


class Start(NamedTuple):
    """A job that starts, in that slot of its queue, and by that start of its rate."""

    seq: int
    queue: str
    slot: int | None = None
    start: int | None = None


class Choice(NamedTuple):
    """The fate of each candidate. Those that are named nowhere stay as they are, for a later claim."""

    starts: list[Start]
    parked: list[int]
    """Jobs, by their numbers, that wait for their key from now on."""
    busy_keys: set[str]
    """Keys that another transaction decides about now."""
    full_queues: set[str]
    """Queues in which nothing can start now."""


def choose(
    candidates: Iterable[Candidate], running: Mapping[str, int], rooms: Mapping[str, Room], limit: int
) -> Choice:
    """Choose up to `limit` of the candidates, which come in claim order, to start.

    `running` counts the jobs that run with each key, and `rooms` has the queues with limits; both as of a moment after
    the candidates, the keys and the rooms were locked. A job is parked only when its key was full before this claim:
    the end of one that runs will expose it again.
    """
    choice = Choice([], [], set(), set())
    now_running, left = dict(running), dict(rooms)
    for each in candidates:
        if len(choice.starts) == limit:
            break
        room = left.get(each.queue, UNLIMITED)
        if room.is_full:
            choice.full_queues.add(each.queue)
            continue
        if each.key is not None:
            if not each.is_key_locked:
                choice.busy_keys.add(each.key)
                continue
            runs = now_running.get(each.key, 0)
            if runs >= (each.key_limit or 1):
                if runs == running.get(each.key, 0):
                    choice.parked.append(each.seq)
                continue
            now_running[each.key] = runs + 1
        left[each.queue] = room.without_first()
        choice.starts.append(Start(each.seq, each.queue, *(it[0] if it else None for it in room)))
    return choice


def parked_behind(jobs: Sequence[Job]) -> Sequence[Job]:
    """The new jobs as they are stored: of each key only as many may be claimed as may run, the first in claim order.

    The others wait for those. So no claim has to park them one by one.
    """
    exposed: Counter[tuple[str, str, Sequence[str]]] = Counter()
    parked: dict[str, Job] = {}
    keyed = [job for job in jobs if job.spec.key is not None and job.is_due(job.created_at)]
    for job in sorted(keyed, key=lambda it: it.claim_order):
        place = str(job.spec.key), job.queue, tuple(job.spec.needs)
        if exposed[place] >= (job.spec.key_limit or 1):
            parked[job.id] = job._replace(waits_for=WaitsFor.KEY)
        else:
            exposed[place] += 1
    return [parked.get(job.id, job) for job in jobs] if parked else jobs
