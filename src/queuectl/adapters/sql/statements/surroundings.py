"""The things around jobs that decide when they start."""

from typing import Any

import sqlalchemy as sa

from queuectl.adapters.sql.schema import (
    WAITING,
    BigNumber,
    Count,
    Moment,
    Number,
    OfState,
    Words,
    attempts,
    dependencies,
    jobs,
    optional,
    queues,
    slots,
)
from queuectl.adapters.sql.statements import AnySelect, among, constant, is_one_of, many, one, only
from queuectl.adapters.sql.statements.jobs import LIMIT
from queuectl.adapters.sql.statements.limits import IN_SLOT
from queuectl.adapters.sql.statements.work import IS_PROCESSING
from queuectl.domain.attempt import RAN
from queuectl.domain.job import WaitsFor
from queuectl.domain.limits import SlotKind

_QUEUE = sa.bindparam("queue", type_=Words)
_KEY = sa.bindparam("key", type_=Words)
_LANE = sa.bindparam("lane", type_=Number)
_PRIORITY = sa.bindparam("priority", type_=Number)
_RUN_AT = sa.bindparam("run_at", type_=Moment)
_SEQ = sa.bindparam("seq", type_=BigNumber)
_IN_LINE = sa.and_(WAITING, jobs.c.waits_for.is_(None), jobs.c.lane == _LANE, jobs.c.priority == _PRIORITY)


@many
def places_of() -> AnySelect:
    """The places of these jobs in their lines."""
    place = (jobs.c.seq, jobs.c.id, jobs.c.state, jobs.c.lane, jobs.c.queue, jobs.c.priority, jobs.c.run_at)
    return sa.select(*place, jobs.c.key, jobs.c.waits_for).where(among(jobs.c.id, "job_ids"))


@many
def parents_to_come() -> AnySelect:
    """The jobs and batches whose ends these jobs still wait for, and the states of the jobs."""
    parent = jobs.alias("parent")
    state = sa.type_coerce(parent.c.state, optional(OfState)).label("state")
    return (
        sa.select(dependencies.c.parent, dependencies.c.child, dependencies.c.met_by, state)
        .select_from(dependencies.outerjoin(parent, parent.c.id == dependencies.c.parent))
        .where(among(dependencies.c.child, "seqs", BigNumber), dependencies.c.is_met.is_(sa.false()))
        .order_by(dependencies.c.child, dependencies.c.parent)
    )


@many
def limits_now() -> AnySelect:
    """The number of jobs in the slots of each of these queues, and the moment from which on its rate allows a start."""
    running = sa.select(sa.func.count(type_=Count)).where(jobs.c.queue == queues.c.name, IN_SLOT).scalar_subquery()
    starts = (slots.c.queue == queues.c.name) & (slots.c.kind == constant(SlotKind.START))
    next_start = sa.select(sa.func.min(slots.c.free_at, type_=optional(Moment))).where(starts).scalar_subquery()
    return sa.select(queues.c.name, running.label("running"), next_start.label("next_start")).where(
        among(queues.c.name, "names")
    )


def _holders(*conditions: sa.ColumnElement[bool]) -> AnySelect:
    return sa.select(jobs.c.id, jobs.c.worker, jobs.c.started_at).where(*conditions)


@many
def holders_of_slots() -> AnySelect:
    """The jobs that run in the first slots of a queue."""
    return _holders(jobs.c.queue == _QUEUE, IN_SLOT).order_by(jobs.c.slot).limit(LIMIT)


@many
def holder_of_key() -> AnySelect:
    """The job that runs with a key that one job at a time may have."""
    return _holders(jobs.c.key == _KEY, IS_PROCESSING, jobs.c.key_limit == sa.literal_column("1"))


@many
def holders_of_key() -> AnySelect:
    """Jobs that run with a key that several may have at a time."""
    return _holders(jobs.c.key == _KEY, IS_PROCESSING, jobs.c.key_limit > sa.literal_column("1")).limit(LIMIT)


@only
def before_in_lane() -> AnySelect:
    """The number of jobs of a lane and a priority that are claimed before that place, counted up to a limit."""
    place: Any = sa.tuple_(jobs.c.run_at, jobs.c.seq)
    before = sa.select(jobs.c.seq).where(_IN_LINE, place < sa.tuple_(_RUN_AT, _SEQ)).limit(LIMIT).subquery("earlier")
    return sa.select(sa.func.count(type_=Count).label("total")).select_from(before)


@one
def first_in_lane() -> AnySelect:
    """The first due job of a lane and a priority."""
    return sa.select(jobs.c.seq).where(_IN_LINE, jobs.c.run_at <= _RUN_AT).order_by(jobs.c.run_at, jobs.c.seq).limit(1)


@only
def before_for_key() -> AnySelect:
    """The number of jobs of a lane that wait for a key before that place, among the first up to a limit."""
    first = (
        sa.select(jobs.c.priority, jobs.c.run_at, jobs.c.seq)
        .where(jobs.c.waits_for == constant(WaitsFor.KEY), jobs.c.key == _KEY, jobs.c.lane == _LANE)
        .order_by(jobs.c.priority.desc(), jobs.c.run_at, jobs.c.seq)
        .limit(LIMIT)
        .subquery("line")
    )
    place: Any = sa.tuple_(first.c.run_at, first.c.seq)
    is_before = (first.c.priority > _PRIORITY) | ((first.c.priority == _PRIORITY) & (place < sa.tuple_(_RUN_AT, _SEQ)))
    return sa.select(sa.func.count(type_=Count).label("total")).select_from(first).where(is_before)


@many
def latest_runs() -> AnySelect:
    """The run times of the last attempts of a queue that ran to an end: of those among the `most` that ended last."""
    latest = (
        sa.select(attempts.c.queue, attempts.c.ran, attempts.c.outcome, attempts.c.finished_at)
        .where(attempts.c.finished_at.is_not(None))
        .order_by(attempts.c.finished_at.desc())
        .limit(sa.bindparam("most", type_=sa.BigInteger()) + 0)
        .subquery("latest")
    )
    is_of_queue = latest.c.queue == _QUEUE
    return (
        sa.select(latest.c.ran)
        .where(is_of_queue, is_one_of(latest.c.outcome, RAN))
        .order_by(latest.c.finished_at.desc())
        .limit(LIMIT)
    )
