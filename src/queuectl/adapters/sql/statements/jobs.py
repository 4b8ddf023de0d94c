"""Jobs and their attempts, as those who enqueue and operators see them."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Delete,
    Insert,
    Integer,
    Update,
    bindparam,
    delete,
    func,
    select,
    type_coerce,
    update,
)

from queuectl.adapters.sql.schema import BigNumber, Moment, Number, Words, attempts, jobs
from queuectl.adapters.sql.statements import (
    AnySelect,
    among,
    constant,
    each,
    given,
    inserted,
    load,
    many,
    one,
    piece,
    run,
)
from queuectl.domain.job import Spec, State

FIXED = ("seq", *Spec._fields)
"""The columns of a job that never change."""

# SQLite prepares a statement anew for each value of a bare LIMIT parameter: ten times what a claim takes otherwise.
LIMIT = bindparam("limit", type_=BigInteger()) + 0


def of_job(column: ColumnElement[str]) -> ColumnElement[bool]:
    """That it is about the job `job_id`."""
    return column == bindparam("job_id", type_=Words)


@load
def add_jobs() -> Insert:
    """New jobs, which nobody holds and whose numbers are counted on."""
    return inserted(jobs, [it for it in jobs.columns if it.name not in ("seq", "worker", "lease_id")])


@one
def job() -> AnySelect:
    """The job."""
    return select(jobs).where(of_job(jobs.c.id))


@one
def job_to_change() -> AnySelect:
    """The job, locked."""
    return job().with_for_update()


@each
def store_job() -> Update:
    """What a transition can change of a job."""
    changing = [column for column in jobs.columns if column.name not in FIXED]
    return update(jobs).where(of_job(jobs.c.id)).values({column.name: given(column) for column in changing})


@run
def delete_job() -> Delete:
    """The job, and with it its attempts."""
    return delete(jobs).where(of_job(jobs.c.id))


@run
def delete_jobs() -> Delete:
    """The jobs of these numbers, and with them their attempts."""
    return delete(jobs).where(among(jobs.c.seq, "seqs", BigNumber))


@run
def set_aside() -> Update:
    """Make the job of that number dead, for a reason that is no attempt's."""
    at = bindparam("at", type_=Moment)
    return (
        update(jobs)
        .where(jobs.c.seq == bindparam("seq", type_=BigNumber))
        .values(
            state=constant(State.DEAD),
            worker=None,
            lease_id=None,
            attempts=type_coerce(jobs.c.attempts, Integer) - bindparam("not_started", type_=Number),
            updated_at=at,
            finished_at=at,
            last_error=bindparam("reason", type_=Words),
        )
    )


@many
def taken_ids() -> AnySelect:
    """Those of the ids that belong to jobs."""
    return select(jobs.c.id).where(among(jobs.c.id, "ids"))


@many
def oldest_dead() -> AnySelect:
    """Dead jobs that last changed by a moment, the oldest first, locked.

    The state is a constant: a plan of PostgreSQL's for any state would look for the few dead jobs among all.
    """
    return (
        select(jobs)
        .where(jobs.c.state == constant(State.DEAD), jobs.c.updated_at <= bindparam("until", type_=Moment))
        .order_by(jobs.c.seq)
        .limit(LIMIT)
        .with_for_update()
    )


# A search, composed of what it needs.


@piece
def search() -> AnySelect:
    """Any jobs."""
    return select(jobs)


@piece
def state_is() -> ColumnElement[bool]:
    """Jobs of that state."""
    return jobs.c.state == given(jobs.c.state)


@piece
def queue_is() -> ColumnElement[bool]:
    """Jobs of that queue."""
    return jobs.c.queue == given(jobs.c.queue)


@piece
def newest_first() -> list[ColumnElement[Any]]:
    """The newest first."""
    return [jobs.c.seq.desc()]


@piece
def last_ended_first() -> list[ColumnElement[Any]]:
    """Those that ended last first."""
    return [jobs.c.finished_at.desc(), jobs.c.seq.desc()]


@piece
def at_most() -> ColumnElement[int]:
    """At most so many."""
    return LIMIT


# Attempts.


@many
def attempts_of() -> AnySelect:
    """All attempts of the job, the first one first."""
    return select(attempts).where(of_job(attempts.c.job_id)).order_by(attempts.c.number)


@many
def last_outputs() -> AnySelect:
    """What the last ended attempt of each of these jobs wrote."""
    ended = attempts.alias("ended")
    last = (
        select(func.max(ended.c.number))
        .where(ended.c.job_id == attempts.c.job_id, ended.c.outcome.is_not(None))
        .scalar_subquery()
    )
    return select(attempts.c.job_id, attempts.c.output).where(
        among(attempts.c.job_id, "ids"), attempts.c.number == last
    )
