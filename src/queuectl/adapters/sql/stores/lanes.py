"""Lanes: a worker chooses between them, as the jobs of one may be claimed by the same workers under the same limits.

Jobs of which nobody asks anything share lane 0, whatever their queue. A queue with limits, a pause, or workers of its
own has lanes of its own, and so has each set of labels that jobs need. A claim looks only into lanes that are open and
that its worker serves: so what waits in others costs it nothing.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta

from queuectl.adapters.host.clock import elapsed
from queuectl.adapters.sql.backend import Claiming
from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.domain.job import CLAIMABLE, Job, State

SHARED = 0
"""The lane of all jobs of which nobody asks anything."""

PIECE = 2000
"""Jobs that are moved to another lane in a transaction."""

LONGEST_READER = timedelta(seconds=10)
"""The time for which transactions that have read the lanes are waited for: a dump may take hours, and stores no job."""


class Lanes:
    """The lanes as a transaction sees them."""

    def __init__(self, c: Connection) -> None:
        self._c = c
        self._read()

    def of(self, queue: str, needs: Collection[str]) -> int:
        """The lane of a job of that queue that needs these labels; it is made if there is none."""
        place = (queue if queue in self._separate else "", tuple(needs))
        if place == ("", ()):
            return SHARED
        if place not in self._ids:
            self._add(*place)
        return self._ids[place]

    def are_separate(self, queue: str) -> bool:
        """True if the queue has lanes of its own."""
        return queue in self._separate

    def separate(self, queue: str) -> None:
        """Give a queue lanes of its own."""
        if not self.are_separate(queue):
            self._add(queue, ())

    def _add(self, queue: str, needs: Sequence[str]) -> None:
        queries.add_lane(self._c, queue=queue, needs=needs)
        self._read()

    def _read(self) -> None:
        rows = queries.all_lanes(self._c)
        self._ids = {(row.queue, tuple(row.needs)): row.id for row in rows}
        self._separate = {row.queue for row in rows if row.queue}


def place_waiting(c: Connection, seqs: Sequence[int]) -> None:
    """Move these waiting jobs to their lanes. Parked ones are free to be claimed there: a claim parks them again."""
    lanes = Lanes(c)
    moved: dict[int, list[int]] = {}
    for row in queries.needs_of(c, seqs=seqs):
        moved.setdefault(lanes.of(row.queue, row.needs), []).append(row.seq)
    for lane, those in moved.items():
        queries.move_to_lane(c, lane=lane, seqs=those)


def place_again(c: Connection, jobs: Iterable[Job]) -> None:
    """Have those of these jobs that wait from now on in their lanes, which may have come or gone while they did not."""
    ids = [job.id for job in jobs if job.state in CLAIMABLE]
    if ids and (strays := queries.strays_of(c, ids=ids)):
        place_waiting(c, strays)


def separate(database: Database, queue: str, own: Claiming) -> None:
    """Give a queue lanes of its own, and move its waiting jobs there. Raises DatabaseUnavailable.

    From the first commit on, claims see that it has them.
    """
    is_new = not database.read(lambda c: Lanes(c).are_separate(queue))
    if is_new:
        database.write(lambda c: Lanes(c).separate(queue))
    place_all(database, queue, own, is_new=is_new)


def place_all(database: Database, queue: str, own: Claiming, *, is_new: bool) -> None:
    """Move the waiting jobs of a queue to its lanes, or, where it has none, to those of all queues.

    `is_new`: its lanes were just made, or removed. Then jobs that are being enqueued may stand in the wrong one when
    they are committed, as their transactions have read the lanes before: those are waited for, and moved as well.
    """
    _move_all(database, queue, own)
    if is_new:
        _wait_for_readers(database, own)
        _move_all(database, queue, own)


def _wait_for_readers(database: Database, own: Claiming) -> None:
    """Wait for the end of the transactions that have read the lanes until now, but for those that take long."""
    before = set(database.read(own.lane_readers))
    deadline = elapsed() + LONGEST_READER
    while before and elapsed() < deadline:
        time.sleep(0.01)
        before &= set(database.read(own.lane_readers))


def _move_all(database: Database, queue: str, own: Claiming) -> None:
    for state in CLAIMABLE:
        after: int | None = 0
        while after is not None:
            after = _move_piece(database, queue, state, after, own)


def _move_piece(database: Database, queue: str, state: State, after: int, own: Claiming) -> int | None:
    """Move the next jobs after that number; the last one's number, or None: there were none."""
    found = database.read(lambda c: queries.waiting_elsewhere(c, state=state, after=after, queue=queue, limit=PIECE))
    if not found:
        return None
    database.write(lambda c: _moved(c, found, own))
    return found[-1].seq


def _moved(c: Connection, found: Sequence[queries.WaitingElsewhereRow], own: Claiming) -> None:
    own.hold_keys(c, {row.key for row in found if row.key is not None})
    place_waiting(c, [row.seq for row in found])
    expose(c, [row.key for row in found])


def expose(c: Connection, keys: Iterable[str | None]) -> None:
    """Let the next jobs go that are parked for these keys, which are held.

    A key comes once for each job that has left its place to others: so as many go in each lane.
    """
    places = Counter(key for key in keys if key is not None)
    for key, left in sorted(places.items()):  # not as a batch: see `PostgresClaiming.store_settled`
        for _ in range(left):
            if not queries.expose(c, key=key):
                break
