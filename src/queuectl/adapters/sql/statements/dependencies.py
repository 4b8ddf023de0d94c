"""Dependencies between jobs, and batches."""

from collections.abc import Mapping

import sqlalchemy as sa

from queuectl.adapters.sql.schema import (
    BigNumber,
    Count,
    Moment,
    OfState,
    Words,
    batches,
    dependencies,
    jobs,
    optional,
)
from queuectl.adapters.sql.statements import (
    AnySelect,
    among,
    constant,
    each,
    given,
    inserted_unless_there,
    is_one_of,
    many,
    one,
    run,
)
from queuectl.adapters.sql.statements.jobs import LIMIT
from queuectl.domain.dependency import BATCH
from queuectl.domain.job import CLAIMABLE, On, State, WaitsFor

_WAITS = jobs.c.waits_for == constant(WaitsFor.JOBS)
_IS_OPEN: sa.ColumnElement[bool] = sa.literal_column("NOT dependencies.is_met")
_OF_PARENT = dependencies.c.parent == sa.bindparam("parent", type_=Words)
_OF_CHILD = dependencies.c.child == jobs.c.seq
_OPEN_STATES = sorted({*CLAIMABLE, State.PROCESSING})
_OF_BATCH = jobs.c.batch == sa.bindparam("name", type_=Words)

_IN_BATCH = jobs.c.batch == batches.c.name

_NAME = batches.c.name == sa.bindparam("name", type_=Words)


@many
def parents() -> AnySelect:
    """These jobs, locked in the order of their numbers: an end waits for this transaction, or this one sees it."""
    return (
        sa.select(jobs.c.id, jobs.c.state)
        .where(among(jobs.c.id, "ids"))
        .order_by(jobs.c.seq)
        .with_for_update(key_share=True)
    )


@many
def newest_ids() -> AnySelect:
    """The ids of the newest jobs."""
    return sa.select(jobs.c.id).order_by(jobs.c.seq.desc()).limit(LIMIT)


@run
def expect_ends() -> sa.Update:
    """Somebody waits for the ends of these jobs."""
    return sa.update(jobs).where(among(jobs.c.id, "ids")).values(has_dependents=True)


@each
def add_dependency() -> sa.Insert:
    """A dependency of a new job."""
    columns = dependencies.c.child, dependencies.c.parent, dependencies.c.met_by, dependencies.c.is_met
    values = sa.select(jobs.c.seq, *(given(it) for it in columns[1:])).where(jobs.c.id == given(jobs.c.id))
    return sa.insert(dependencies).inline().from_select([it.name for it in columns], values)


@many
def waiting_for() -> AnySelect:
    """The jobs that wait for one of these ends of a parent, locked in the order of their numbers."""
    return (
        sa.select(jobs, dependencies.c.met_by)
        .where(_OF_CHILD, _OF_PARENT, _IS_OPEN, _WAITS, among(dependencies.c.met_by, "ends"))
        .order_by(jobs.c.seq)
        .limit(LIMIT)
        .with_for_update(of=jobs)
    )


@one
def awaited() -> AnySelect:
    """A job that still waits for the parent."""
    return sa.select(jobs.c.id).where(_OF_CHILD, _OF_PARENT, _IS_OPEN, _WAITS).limit(sa.literal_column("1"))


@many
def waiting_ids() -> AnySelect:
    """The ids of the jobs that wait for one of these parents."""
    return sa.select(jobs.c.id).where(_OF_CHILD, among(dependencies.c.parent, "parents"), _IS_OPEN, _WAITS)


@run
def meet() -> sa.Update:
    """The parent's end meets the dependencies of these jobs."""
    are_meant = among(dependencies.c.child, "children", BigNumber)
    return sa.update(dependencies).where(_OF_PARENT, are_meant).values(is_met=True)


@run
def expect_no_more() -> sa.Update:
    """Nobody waits for the end of that job any more."""
    return sa.update(jobs).where(jobs.c.id == sa.bindparam("job_id", type_=Words)).values(has_dependents=False)


@run
def drop_open() -> sa.Delete:
    """The dependencies of that job that are not met."""
    child = sa.select(jobs.c.seq).where(jobs.c.id == sa.bindparam("job_id", type_=Words)).scalar_subquery()
    return sa.delete(dependencies).where(dependencies.c.child == child, _IS_OPEN)


@many
def unresolved() -> AnySelect:
    """Jobs that have ended and for which others wait in vain.

    But for dead ones for whose success they wait: an operator may have them run again.
    """
    child = jobs.alias("child")
    waiting = sa.select(child.c.seq).where(
        child.c.seq == dependencies.c.child,
        dependencies.c.parent == jobs.c.id,
        _IS_OPEN,
        child.c.waits_for == constant(WaitsFor.JOBS),
        dependencies.c.met_by != constant(On.SUCCESS),
    )
    ended: sa.ColumnElement[bool] = sa.literal_column(
        "jobs.has_dependents AND jobs.state IN ('completed', 'dead', 'cancelled')"
    )
    return (
        sa.select(jobs.c.id)
        .where(ended, (jobs.c.state != constant(State.DEAD)) | waiting.exists())
        .order_by(jobs.c.seq)
        .limit(LIMIT)
    )


@many
def parents_of() -> AnySelect:
    """The dependencies of these jobs, and how their parents stand."""
    child, parent = jobs.alias("child"), jobs.alias("parent")
    state: sa.Label[str] = sa.type_coerce(parent.c.state, optional(OfState)).label("state")
    return (
        sa.select(child.c.id, dependencies.c.parent, dependencies.c.met_by, dependencies.c.is_met, state)
        .select_from(
            child.join(dependencies, dependencies.c.child == child.c.seq).outerjoin(
                parent, parent.c.id == dependencies.c.parent
            )
        )
        .where(among(child.c.id, "ids"))
        .order_by(child.c.seq, dependencies.c.parent)
    )


@many
def waiting_for_dead() -> AnySelect:
    """The jobs that wait for the success of dead ones."""
    child = jobs.alias("child")
    return (
        sa.select(child.c.seq)
        .distinct()
        .where(
            jobs.c.state == constant(State.DEAD),
            jobs.c.has_dependents,
            dependencies.c.parent == jobs.c.id,
            dependencies.c.child == child.c.seq,
            _IS_OPEN,
            child.c.waits_for == constant(WaitsFor.JOBS),
        )
    )


# Batches.


@each
def add_batch() -> Mapping[str, sa.ClauseElement]:
    """A batch, unless it is there."""
    return inserted_unless_there(batches, [batches.c.name, batches.c.created_at])


@many
def hold_batches() -> AnySelect:
    """These batches, locked: nobody finishes them, or sees them finished, until the transaction ends."""
    return sa.select(batches.c.name).where(among(batches.c.name, "names")).order_by(batches.c.name).with_for_update()


@run
def open_batches() -> sa.Update:
    """These batches have jobs again that have not ended."""
    return (
        sa.update(batches)
        .where(among(batches.c.name, "names"), batches.c.finished_at.is_not(None))
        .values(finished_at=None)
    )


@one
def open_in_batch() -> AnySelect:
    """A job of the batch that waits or runs."""
    return sa.select(jobs.c.id).where(_OF_BATCH, is_one_of(jobs.c.state, _OPEN_STATES)).limit(sa.literal_column("1"))


@run
def finish_batch() -> sa.Update:
    """The batch has no job that waits or runs."""
    at = sa.bindparam("at", type_=Moment)
    return sa.update(batches).where(_NAME, batches.c.finished_at.is_(None)).values(finished_at=at)


@many
def counts_of_batches() -> AnySelect:
    """The number of jobs of these batches in each state."""
    total = sa.func.count(type_=Count).label("total")
    name = sa.type_coerce(jobs.c.batch, Words).label("name")
    are_meant = among(jobs.c.batch, "names"), jobs.c.batch.is_not(None)
    return sa.select(name, jobs.c.state, total).where(*are_meant).group_by(jobs.c.batch, jobs.c.state)


@many
def ended_batches() -> AnySelect:
    """Batches of which no job waits or runs, and that are not finished."""
    is_open = sa.select(jobs.c.seq).where(_IN_BATCH, is_one_of(jobs.c.state, _OPEN_STATES)).exists()
    has_ended = batches.c.finished_at.is_(None) & ~is_open
    return sa.select(batches.c.name).where(has_ended).order_by(batches.c.name).limit(LIMIT)


@many
def awaited_batches() -> AnySelect:
    """Batches that are finished and still awaited, other than for the success of jobs that are dead."""
    child = jobs.alias("child")
    is_dead = sa.select(jobs.c.seq).where(_IN_BATCH, jobs.c.state == constant(State.DEAD)).exists()
    is_awaited = (
        sa.select(dependencies.c.child)
        .where(
            dependencies.c.parent == sa.literal_column(f"'{BATCH}'", sa.Text()).concat(batches.c.name),
            _IS_OPEN,
            child.c.seq == dependencies.c.child,
            child.c.waits_for == constant(WaitsFor.JOBS),
            ~is_dead | (dependencies.c.met_by != constant(On.SUCCESS)),
        )
        .exists()
    )
    is_finished = batches.c.finished_at.is_not(None)
    return sa.select(batches.c.name).where(is_finished, is_awaited).order_by(batches.c.name).limit(LIMIT)


@one
def batch() -> AnySelect:
    """The batch."""
    return sa.select(batches).where(_NAME)


@many
def newest_batches() -> AnySelect:
    """The batches, the newest first."""
    return sa.select(batches).order_by(batches.c.created_at.desc(), batches.c.name).limit(LIMIT)
