"""Jobs and their attempts, as those who enqueue and operators see them."""

from typing import Any

import sqlalchemy as sa

from queuectl.adapters.sql.schema import BigNumber, Moment, Number, Words, attempts, jobs, tags
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

FIXED = ("seq", "lane", *Spec._fields)
"""The columns of a job that no transition changes."""

# SQLite prepares a statement anew for each value of a bare LIMIT parameter: ten times what a claim takes otherwise.
LIMIT = sa.bindparam("limit", type_=sa.BigInteger()) + 0


def of_job(column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """That it is about the job `job_id`."""
    return column == sa.bindparam("job_id", type_=Words)


@load
def add_jobs() -> sa.Insert:
    """New jobs, which nobody holds and whose numbers are counted on."""
    return inserted(jobs, [it for it in jobs.columns if it.name not in ("seq", "worker", "lease_id")])


@each
def add_tag() -> sa.Insert:
    """A tag of a job, which is found by it from then on."""
    of_it = sa.select(given(tags.c.tag).label("tag"), jobs.c.seq).where(of_job(jobs.c.id))
    return sa.insert(tags).from_select([tags.c.tag, tags.c.seq], of_it)


@run
def forget_tags() -> sa.Delete:
    """These jobs are found by no tag any more."""
    return sa.delete(tags).where(tags.c.seq.in_(sa.select(jobs.c.seq).where(among(jobs.c.id, "ids"))))


@one
def job() -> AnySelect:
    """The job."""
    return sa.select(jobs).where(of_job(jobs.c.id))


@one
def job_to_change() -> AnySelect:
    """The job, locked."""
    return job().with_for_update()


@each
def store_job() -> sa.Update:
    """Store all that a transition can change of a job."""
    changing = [column for column in jobs.columns if column.name not in FIXED]
    return sa.update(jobs).where(of_job(jobs.c.id)).values({column.name: given(column) for column in changing})


@run
def delete_job() -> sa.Delete:
    """The job, and with it its attempts."""
    return sa.delete(jobs).where(of_job(jobs.c.id))


@run
def delete_jobs() -> sa.Delete:
    """The jobs of these numbers, and with them their attempts."""
    return sa.delete(jobs).where(among(jobs.c.seq, "seqs", BigNumber))


@run
def set_aside() -> sa.Update:
    """Make the job of that number dead, for a reason that is no attempt's."""
    at = sa.bindparam("at", type_=Moment)
    return (
        sa.update(jobs)
        .where(jobs.c.seq == sa.bindparam("seq", type_=BigNumber))
        .values(
            state=constant(State.DEAD),
            worker=None,
            lease_id=None,
            attempts=sa.type_coerce(jobs.c.attempts, sa.Integer) - sa.bindparam("not_started", type_=Number),
            updated_at=at,
            finished_at=at,
            last_error=sa.bindparam("reason", type_=Words),
            unique_held=sa.case((jobs.c.unique_expires_at.is_(None), sa.null()), else_=jobs.c.unique_held),
        )
    )


@many
def taken_ids() -> AnySelect:
    """Those of the ids that belong to jobs."""
    return sa.select(jobs.c.id).where(among(jobs.c.id, "ids"))


@many
def oldest_dead() -> AnySelect:
    """Dead jobs that last changed by a moment, the oldest first, locked.

    The state is a constant: a plan of PostgreSQL's for any state would look for the few dead jobs among all.
    """
    return (
        sa.select(jobs)
        .where(jobs.c.state == constant(State.DEAD), jobs.c.updated_at <= sa.bindparam("until", type_=Moment))
        .order_by(jobs.c.seq)
        .limit(LIMIT)
        .with_for_update()
    )


# A search, composed of what it needs.


@piece
def search() -> AnySelect:
    """Any jobs."""
    return sa.select(jobs)


@piece
def state_is() -> sa.ColumnElement[bool]:
    """Jobs of that state."""
    return jobs.c.state == given(jobs.c.state)


@piece
def queue_is() -> sa.ColumnElement[bool]:
    """Jobs of that queue."""
    return jobs.c.queue == given(jobs.c.queue)


@piece
def key_is() -> sa.ColumnElement[bool]:
    """Jobs with that key."""
    return jobs.c.key == sa.bindparam("key", type_=Words)


@piece
def has_tag() -> sa.ColumnElement[bool]:
    """Jobs with one of these tags."""
    return jobs.c.seq.in_(sa.select(tags.c.seq).where(among(tags.c.tag, "tags")))


@piece
def newest_first() -> list[sa.ColumnElement[Any]]:
    """The newest first."""
    return [jobs.c.seq.desc()]


@piece
def last_ended_first() -> list[sa.ColumnElement[Any]]:
    """Those that ended last first."""
    return [jobs.c.finished_at.desc(), jobs.c.seq.desc()]


@piece
def at_most() -> sa.ColumnElement[int]:
    """At most so many."""
    return LIMIT


# Attempts.


@many
def attempts_of() -> AnySelect:
    """All attempts of the job, the first one first."""
    return sa.select(attempts).where(of_job(attempts.c.job_id)).order_by(attempts.c.number)


@many
def last_outputs() -> AnySelect:
    """The output of the last ended attempt of each of these jobs."""
    ended = attempts.alias("ended")
    last = (
        sa.select(sa.func.max(ended.c.number))
        .where(ended.c.job_id == attempts.c.job_id, ended.c.outcome.is_not(None))
        .scalar_subquery()
    )
    return sa.select(attempts.c.job_id, attempts.c.output).where(
        among(attempts.c.job_id, "ids"), attempts.c.number == last
    )
