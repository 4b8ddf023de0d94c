"""The settings of queues, and the rows of their limits."""

from collections.abc import Mapping

import sqlalchemy as sa

from queuectl.adapters.sql.schema import (
    WAITING,
    BigNumber,
    Count,
    Moment,
    Number,
    Span,
    Words,
    config,
    jobs,
    lanes,
    queues,
    slots,
)
from queuectl.adapters.sql.statements import (
    POSTGRESQL,
    AnySelect,
    among,
    constant,
    given,
    inserted,
    inserted_unless_there,
    load,
    many,
    one,
    only,
    run,
)
from queuectl.adapters.sql.statements.jobs import LIMIT
from queuectl.adapters.sql.statements.work import IS_PROCESSING
from queuectl.domain.limits import SlotKind

_QUEUE = sa.bindparam("queue", type_=Words)
_OF_KIND = sa.and_(slots.c.queue == _QUEUE, slots.c.kind == given(slots.c.kind))


@many
def queues_set() -> AnySelect:
    """The settings of all queues of which something was set."""
    return sa.select(queues)


@run
def add_queue() -> Mapping[str, sa.ClauseElement]:
    """The row of a queue, unless it is there."""
    return inserted_unless_there(queues, [queues.c.name])


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


@many
def starts_used() -> AnySelect:
    """The starts of each queue with a rate that are not free yet at a moment, and when the first of all is."""
    used = sa.func.count(type_=Count).filter(slots.c.free_at > sa.bindparam("at", type_=Moment)).label("used")
    first = sa.func.min(slots.c.free_at, type_=Moment).label("free_at")
    return sa.select(slots.c.queue, used, first).where(slots.c.kind == constant(SlotKind.START)).group_by(slots.c.queue)


@many
def waiting_of() -> AnySelect:
    """The next jobs of a queue that wait in that state, after a number."""
    after = jobs.c.seq > sa.bindparam("after", type_=BigNumber)
    return (
        sa.select(jobs.c.seq, jobs.c.key)
        .where(jobs.c.state == given(jobs.c.state), after, jobs.c.queue == _QUEUE)
        .order_by(jobs.c.seq)
        .limit(LIMIT)
    )


@run
def move_to_queue() -> sa.Update:
    """These jobs, as far as they wait, belong to that queue from now on."""
    to, at = sa.bindparam("queue", type_=Words), sa.bindparam("at", type_=Moment)
    return sa.update(jobs).where(among(jobs.c.seq, "seqs", BigNumber), WAITING).values(queue=to, updated_at=at)


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
