"""A claim, step by step: lock what may be needed, look what is taken, choose, and take.

The databases' own part is in each `claim.py`. Locks are taken in one order, also by whoever ends or changes jobs: slots
and starts, then keys, then jobs. A claim waits for none of them: what somebody else has locked it leaves to others.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from queuectl.adapters.host.clock import elapsed
from queuectl.adapters.sql.backend import Claiming, Due, Taken
from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.adapters.sql.stores.lanes import expose, place_waiting
from queuectl.domain.limits import Room, choose
from queuectl.domain.ports.work import Claim

MAX_ROUNDS = 16
"""Looks of one claim for candidates, when those that it finds may not start."""

MAX_PARKED = 1000
"""Jobs that one claim parks: the others are for the next ones, so that a transaction stays short."""

MAX_WIDTH = 256
"""Candidates that are locked at a time."""


def clock_from(claim: Claim) -> Callable[[], datetime]:
    """A clock that goes on from the claim's moment: its transaction may have to wait, and to be made again."""
    begun = elapsed()
    return lambda: claim.at + (elapsed() - begun)


def claim_due(c: Connection, claim: Claim, own: Claiming, now: Callable[[], datetime]) -> Sequence[Taken]:
    """Take due jobs that may start, the first in claim order; `now` is the claim's clock."""
    found = own.find(c, claim, claim.limit, at_once=True, busy_keys=(), full_queues=())
    taken, width, parked = list(found.taken), claim.limit, 0
    busy_keys, full_queues = set[str](), set[str]()
    for _ in range(MAX_ROUNDS):
        if not found.due:
            break
        candidates = _without_strays(c, found.due)
        running = _running(c, candidates)
        rooms = _rooms(c, claim, candidates)
        choice = choose([it.candidate for it in candidates], running, rooms, claim.limit - len(taken))
        if choice.starts:
            # Later than the end of whatever had the key or the slot before: that was committed before it was seen free.
            started = own.take(c, claim, choice.starts, now())
            if not started:  # the worker is given up
                break
            taken += started
        if choice.parked:
            queries.park(c, seqs=choice.parked)
        parked += len(choice.parked)
        is_new = not (choice.busy_keys <= busy_keys and choice.full_queues <= full_queues)
        busy_keys |= choice.busy_keys
        full_queues |= choice.full_queues
        is_done = len(taken) == claim.limit or found.is_all or parked >= MAX_PARKED
        if is_done or not (choice.starts or choice.parked or is_new or len(candidates) < len(found.due)):
            break
        width = min(MAX_WIDTH, max(8, 4 * width)) if choice.parked else width
        found = own.find(c, claim, width, at_once=False, busy_keys=busy_keys, full_queues=full_queues)
    return taken


def _without_strays(c: Connection, due: Sequence[Due]) -> Sequence[Due]:
    """Those that stand in their lane; the others are moved there, to be found by the next look."""
    strays = [it.candidate for it in due if it.is_stray and it.candidate.is_key_locked]
    if strays:
        place_waiting(c, [it.seq for it in strays])
        expose(c, [it.key for it in strays])
    return [it for it in due if not it.is_stray]


def _running(c: Connection, due: Sequence[Due]) -> Mapping[str, int]:
    keys = {it.candidate.key for it in due if it.candidate.is_key_locked and it.candidate.key is not None}
    return {row.key: row.running for row in queries.running_with_keys(c, keys=sorted(keys))} if keys else {}


def _rooms(c: Connection, claim: Claim, due: Sequence[Due]) -> Mapping[str, Room]:
    """The room of each queue with limits, locked."""
    limited = {it.candidate.queue: it for it in due if it.concurrency is not None or it.is_rated}
    rooms = {}
    for queue, it in sorted(limited.items()):
        slots = None if it.concurrency is None else _free_slots(c, queue, it.concurrency, claim.limit)
        starts = tuple(queries.free_starts(c, queue=queue, now=claim.at, limit=claim.limit)) if it.is_rated else None
        rooms[queue] = Room(slots, starts)
    return rooms


def _free_slots(c: Connection, queue: str, concurrency: int, limit: int) -> tuple[int, ...]:
    """Slots that are locked and free: seen by a second statement, as only that sees what was committed before."""
    locked = queries.free_slots(c, queue=queue, concurrency=concurrency, limit=limit)
    if not locked:
        return ()
    taken = set(queries.taken_slots(c, queue=queue, concurrency=concurrency, slots=locked))
    above = sum(slot is not None and slot >= concurrency for slot in taken)
    free = [slot for slot in locked if slot not in taken]
    return tuple(free[: max(0, len(free) - above)])
