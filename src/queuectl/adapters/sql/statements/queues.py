"""The settings of queues, and the rows of their limits."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from queuectl.adapters.sql.schema import WAITING, Count, Number, Span, Words, config, jobs, lanes, queues, slots
from queuectl.adapters.sql.statements import (
    POSTGRESQL,
    SQLITE,
    AnySelect,
    among,
    given,
    inserted,
    load,
    many,
    one,
    only,
    run,
)
from queuectl.adapters.sql.statements.work import IS_PROCESSING

_QUEUE = sa.bindparam("queue", type_=Words)
_OF_KIND = sa.and_(slots.c.queue == _QUEUE, slots.c.kind == given(slots.c.kind))


@many
def queues_set() -> AnySelect:
    """The settings of all queues of which something was set."""
    return sa.select(queues).order_by(queues.c.name)


@run
def add_queue() -> Mapping[str, sa.ClauseElement]:
    """The row of a queue, unless it is there."""
    values = {"name": given(queues.c.name)}
    return {
        SQLITE: sqlite.insert(queues).inline().values(values).on_conflict_do_nothing(),
        POSTGRESQL: postgresql.insert(queues).inline().values(values).on_conflict_do_nothing(),
    }


@one
def queue_to_change() -> AnySelect:
    """The settings of a queue, locked."""
    return sa.select(queues).where(queues.c.name == given(queues.c.name)).with_for_update()


@run
def store_queue() -> sa.Update:
    """The settings of a queue."""
    values = {it.name: given(it) for it in queues.columns if not it.primary_key}
    return sa.update(queues).where(queues.c.name == given(queues.c.name)).values(values)


@run
def delete_queue() -> sa.Delete:
    """The row of a queue."""
    return sa.delete(queues).where(queues.c.name == _QUEUE)


@many
def slots_of() -> AnySelect:
    """The slots of a queue, or its starts, locked."""
    return sa.select(slots.c.slot, slots.c.free_at).where(_OF_KIND).order_by(slots.c.slot).with_for_update()


@load
def add_slots() -> sa.Insert:
    """More slots or starts of a queue."""
    return inserted(slots)


@run
def delete_starts() -> sa.Delete:
    """These starts of a queue."""
    return sa.delete(slots).where(_OF_KIND, among(slots.c.slot, "slots", Number))


@run
def shift_starts() -> sa.Update:
    """All starts of a queue are free so much later than they were."""
    later = sa.type_coerce(slots.c.free_at, sa.BigInteger) + sa.bindparam("by", type_=Span)
    return sa.update(slots).where(_OF_KIND).values(free_at=later)


@run
def delete_slots() -> sa.Delete:
    """All slots and starts of a queue."""
    return sa.delete(slots).where(slots.c.queue == _QUEUE)


@run
def delete_lanes() -> sa.Delete:
    """The lanes of a queue."""
    return sa.delete(lanes).where(lanes.c.queue == _QUEUE)


@run
def clear_settings_of() -> sa.Delete:
    """The policy of a queue: that of all counts for it again."""
    return sa.delete(config).where(config.c.queue == _QUEUE)


@only
def unfinished() -> AnySelect:
    """The number of jobs of a queue that wait or run."""
    return sa.select(sa.func.count(type_=Count)).where(jobs.c.queue == _QUEUE, WAITING | IS_PROCESSING)


@many
def lane_readers() -> Mapping[str, sa.ClauseElement]:
    """The transactions under way that have read the lanes: they may store jobs by what they read."""
    text = sa.text(
        "SELECT DISTINCT virtualtransaction AS reader FROM pg_locks"
        " WHERE locktype = 'relation' AND relation = 'lanes'::regclass"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND pid <> pg_backend_pid()"
    )
    return {POSTGRESQL: text.columns(sa.bindparam("reader", type_=Words).label("reader"))}
