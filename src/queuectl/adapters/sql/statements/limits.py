"""Lanes, the slots and starts of queues with limits, and keys. The claims that go by them are in each `claim.sql`."""

from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.sql.expression import TextClause

from queuectl.adapters.sql.schema import (
    BigNumber,
    Count,
    Flag,
    Moment,
    Number,
    Words,
    jobs,
    lanes,
    list_of,
    queues,
    slots,
)
from queuectl.adapters.sql.statements import (
    POSTGRESQL,
    SQLITE,
    AnySelect,
    among,
    constant,
    given,
    inserted_unless_there,
    many,
    only,
    run,
    written,
)
from queuectl.adapters.sql.statements.jobs import LIMIT
from queuectl.domain.job import State, WaitsFor
from queuectl.domain.limits import SlotKind

_IS_RUN = slots.c.kind == constant(SlotKind.RUN)
_IS_START = slots.c.kind == constant(SlotKind.START)
IN_SLOT = sa.and_(jobs.c.state == constant(State.PROCESSING), jobs.c.slot.is_not(None))

_QUEUE = sa.bindparam("queue", type_=Words)


def _running_above() -> sa.ScalarSelect[int]:
    """The jobs of the queue that run in slots beyond its concurrency, which was lowered."""
    above = jobs.c.slot >= sa.bindparam("concurrency", type_=Number)
    return sa.select(sa.func.count(type_=Count)).where(jobs.c.queue == _QUEUE, above, IN_SLOT).scalar_subquery()


@many
def free_slots() -> AnySelect:
    """Up to `limit` slots of a queue in which no job runs, locked.

    And one more for each job that runs beyond the concurrency: each takes one away, so that two claims at once cannot
    pass it either.
    """
    taken = sa.select(jobs.c.seq).where(jobs.c.queue == slots.c.queue, jobs.c.slot == slots.c.slot, IN_SLOT).exists()
    return (
        sa.select(slots.c.slot)
        .where(slots.c.queue == _QUEUE, _IS_RUN, slots.c.slot < sa.bindparam("concurrency", type_=Number), ~taken)
        .order_by(slots.c.slot)
        .limit(LIMIT + _running_above())
        .with_for_update(skip_locked=True)
    )


@many
def taken_slots() -> AnySelect:
    """Of these slots of the queue, and of those beyond its concurrency, the ones in which jobs run."""
    above = jobs.c.slot >= sa.bindparam("concurrency", type_=Number)
    return sa.select(jobs.c.slot).where(jobs.c.queue == _QUEUE, among(jobs.c.slot, "slots", Number) | above, IN_SLOT)


@many
def free_starts() -> AnySelect:
    """Up to `limit` starts of a queue that may be used at that moment, locked."""
    return (
        sa.select(slots.c.slot)
        .where(slots.c.queue == _QUEUE, _IS_START, slots.c.free_at <= sa.bindparam("now", type_=Moment))
        .order_by(slots.c.free_at)
        .limit(LIMIT)
        .with_for_update(skip_locked=True)
    )


@run
def use_starts() -> sa.Update:
    """Those starts of the queue are used: they are free again after its rate's period."""
    period = sa.select(sa.type_coerce(queues.c.rate_period, sa.BigInteger)).where(queues.c.name == _QUEUE)
    free_at = period.scalar_subquery() + sa.bindparam("now", type_=Moment)
    return (
        sa.update(slots)
        .where(slots.c.queue == _QUEUE, _IS_START, among(slots.c.slot, "slots", Number))
        .values(free_at=free_at)
    )


# Keys.


def _held(keys: str, name: str) -> Mapping[str, sa.ClauseElement]:
    text = (
        "SELECT count(pg_advisory_xact_lock(7105, lock)) AS total FROM ("
        "SELECT DISTINCT hashtext(key) & 1023 AS lock FROM {keys} ORDER BY 1) AS locks"
    )
    total = sa.bindparam("total", type_=Count).label("total")
    listed = sa.bindparam(name, type_=list_of(Words))
    return {POSTGRESQL: sa.text(text.format(keys=keys)).bindparams(listed).columns(total)}


@only
def hold_keys() -> Mapping[str, sa.ClauseElement]:
    """Wait for the locks of these keys, which are held until the transaction ends.

    There are 1024, so that no transaction can fill the server's table of locks; in their order, so that two
    transactions that need several do not wait for each other.
    """
    return _held("unnest(:keys) AS listed (key)", "keys")


@only
def hold_keys_of() -> Mapping[str, sa.ClauseElement]:
    """Wait for the locks of the keys that these jobs have."""
    return _held("jobs WHERE id = ANY (:ids) AND key IS NOT NULL", "ids")


@run
def park() -> sa.Update:
    """These jobs wait until their key is free."""
    return sa.update(jobs).where(among(jobs.c.seq, "seqs", BigNumber)).values(waits_for=constant(WaitsFor.KEY))


def _written(name: str) -> TextClause:
    return written(Path(__file__).with_name("keys.sql"), name, {"key": Words, "after": Words, "limit": Number})


@run
def expose() -> Mapping[str, sa.ClauseElement]:
    """Of the jobs that are parked for that key, the first of each lane may be claimed."""
    return {SQLITE: _written("expose_on_sqlite"), POSTGRESQL: _written("expose_on_postgresql")}


@many
def parked_keys() -> sa.ClauseElement:
    """Keys for which jobs are parked, and whether nothing would ever let these go."""
    is_stranded = sa.bindparam("is_stranded", type_=Flag).label("is_stranded")
    return _written("parked_keys").columns(sa.bindparam("key", type_=Words).label("key"), is_stranded)


# Lanes.


@many
def all_lanes() -> AnySelect:
    """The lanes, but for the one that every job is in of which nobody asks anything."""
    return sa.select(lanes)


@run
def add_lane() -> Mapping[str, sa.ClauseElement]:
    """A lane, numbered by the database, unless it is there."""
    return inserted_unless_there(lanes, [lanes.c.queue, lanes.c.needs])


@many
def needs_of() -> AnySelect:
    """The queues of these jobs, and the labels that they need: by these they have their lanes."""
    return sa.select(jobs.c.seq, jobs.c.queue, jobs.c.needs).where(among(jobs.c.seq, "seqs", BigNumber))


@many
def strays_of() -> AnySelect:
    """Of these jobs, those whose queue got lanes of its own, or lost them, when they did not wait."""
    own = sa.select(lanes.c.id).where(lanes.c.queue == jobs.c.queue)
    of_all = sa.select(lanes.c.id).where(lanes.c.queue == "")
    is_shared = (jobs.c.lane == 0) | jobs.c.lane.in_(of_all)
    return sa.select(jobs.c.seq).where(
        among(jobs.c.id, "ids", Words), jobs.c.lane.not_in(own), own.exists() | ~is_shared
    )


@many
def waiting_elsewhere() -> AnySelect:
    """Of the jobs of a queue in a state, those that stand in lanes of all queues, after a number."""
    elsewhere = jobs.c.lane.not_in(sa.select(lanes.c.id).where(lanes.c.queue == _QUEUE))
    is_next = jobs.c.seq > sa.bindparam("after", type_=BigNumber)
    return (
        sa.select(jobs.c.seq, jobs.c.key)
        .where(jobs.c.state == given(jobs.c.state), is_next, jobs.c.queue == _QUEUE, elsewhere)
        .order_by(jobs.c.seq)
        .limit(LIMIT)
    )


@run
def move_to_lane() -> sa.Update:
    """These jobs stand in that lane from now on; those that were parked are free to be claimed there."""
    waits_for = sa.func.nullif(jobs.c.waits_for, constant(WaitsFor.KEY))
    return (
        sa.update(jobs)
        .where(among(jobs.c.seq, "seqs", BigNumber))
        .values(lane=sa.bindparam("lane", type_=Number), waits_for=waits_for)
    )
