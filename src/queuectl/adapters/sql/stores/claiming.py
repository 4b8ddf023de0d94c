"""Claims, and from where they walk to the first due job.

A claim walks the index of the waiting jobs from the earliest one. PostgreSQL cannot clear away the entries of jobs that
were claimed while somebody holds an older snapshot open (a dump, a report, a forgotten session), and each claim walks
over all of them. So after a walk that took long, the next claims begin where the last one left off. What came to wait
before that place since then, or was locked by another claim, is found by the next walk from the beginning: at once
where a claim finds less than it was asked for, and otherwise within five seconds.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import product

from queuectl.adapters.host.clock import EPOCH
from queuectl.adapters.sql.engine.prepared import MOST_CLAIMED, PRIORITIES, Row, prepared
from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.domain.worker import Lease

LONG_WALK = 0.01
"""Seconds that a claim may take, its way to the server included, before the next ones begin where it left off."""

WORTH, LONGEST = 100, 5.0
"""A walk from the beginning is made again after so many times what it took, and after so many seconds at the latest."""

LATE = timedelta(seconds=1)
"""How long before the moment of a claim places end: for so long an enqueue may be under way with its job's `run_at`."""

Place = tuple[datetime, int]
"""A moment and a job's `seq`."""

BEGINNING: Place = (EPOCH, 0)


@dataclass(frozen=True, slots=True)
class Walk:
    """Where the next claims begin, by priority, until that moment of the monotonic clock."""

    places: Mapping[int, Place]
    until: float

    def moved(self, rows: Sequence[Row], at: datetime) -> "Walk":
        """The same, behind what was claimed at that moment."""
        return replace(self, places={**self.places, **_last_places(rows, at)})


def claim(
    connection: Connection,
    lease: Lease,
    queues: Collection[str],
    limit: int,
    at: datetime,
    walk: Walk | None,
    *,
    suspects: bool | None = None,
) -> tuple[Sequence[Row], Walk | None]:
    """Take up to `limit` due jobs in claim order, from where `walk` says; how the next claim of these queues walks."""
    values = {"by_worker": lease.worker, "by_lease": lease.id, "now": at, **queue_values(queues)}
    if suspects:
        return connection.rows("claim_suspects", {**values, "limit": limit}, (len(queues),)), walk
    rows: list[Row] = []
    if walk is not None and time.monotonic() < walk.until:
        begin: dict[str, object] = {}
        for priority, (moment, seq) in walk.places.items():
            begin |= {f"run_at_{priority}": moment, f"seq_{priority}": seq}
        rows = _taken(connection, values | begin, limit, (len(queues), True, suspects is None))
        if len(rows) == limit:
            return rows, walk.moved(rows, at)
    begun = time.monotonic()
    rows += (others := _taken(connection, values, limit - len(rows), (len(queues), False, suspects is None)))
    took = time.monotonic() - begun
    if took < LONG_WALK or not connection.backend.keeps_the_dead:
        return rows, None
    reached = min((row.priority for row in others), default=0) if len(rows) == limit else 0
    places = {priority: (at - LATE, 0) if priority > reached else BEGINNING for priority in PRIORITIES}
    # Behind the others: the first rows lie beyond the old places, and this walk stopped before it came there.
    return rows, Walk(places, time.monotonic() + min(WORTH * took, LONGEST)).moved(others, at)


def prepare_claims(database: str, queues: Collection[str]) -> None:
    """Make the statements with which a worker claims from these queues, for "sqlite" or "postgresql".

    Before it works, and before it is forked: those for several queues are not compiled ahead of time.
    """
    for resumes, takes_suspects in product((False, True), (False, True)):
        prepared(database, "claim", (len(queues), resumes, takes_suspects))
    prepared(database, "claim_suspects", (len(queues),))
    prepared(database, "first_due", (len(queues),))


def queue_values(queues: Collection[str]) -> Mapping[str, object]:
    """The parameters `:queue_0` and so on."""
    return {f"queue_{number}": name for number, name in enumerate(queues)}


def _taken(
    connection: Connection, values: Mapping[str, object], limit: int, shape: tuple[int, bool, bool]
) -> list[Row]:
    rows: list[Row] = []
    while len(rows) < limit:
        asked = min(limit - len(rows), MOST_CLAIMED)
        rows += (claimed := connection.rows("claim", {**values, "limit": asked}, shape))
        if len(claimed) < asked:
            break
    return rows


def _last_places(rows: Sequence[Row], at: datetime) -> Mapping[int, Place]:
    return {
        priority: min((at - LATE, 0), max((row.run_at, row.seq) for row in rows if row.priority == priority))
        for priority in {row.priority for row in rows}
    }
