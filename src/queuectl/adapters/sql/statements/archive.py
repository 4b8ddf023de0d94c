"""Copying a whole queue from one database to another, row by row."""

import sqlalchemy as sa

from queuectl.adapters.sql.schema import BigNumber, Count, attempts, jobs, optional
from queuectl.adapters.sql.statements import AnySelect, each, given, inserted, many, one, only
from queuectl.adapters.sql.statements.jobs import LIMIT

_PAGE: AnySelect = (
    sa.select(jobs)
    .where(jobs.c.seq > sa.bindparam("after", type_=BigNumber), jobs.c.seq <= sa.bindparam("up_to", type_=BigNumber))
    .order_by(jobs.c.seq)
    .limit(LIMIT)
)


@only
def extent() -> AnySelect:
    """The number of jobs, and the number of the last one."""
    return sa.select(
        sa.func.count(type_=Count).label("total"), sa.func.max(jobs.c.seq, type_=optional(BigNumber)).label("last")
    ).select_from(jobs)


@many
def page_of_jobs() -> AnySelect:
    """The jobs of the numbers after one and up to another."""
    return _PAGE


@many
def page_of_attempts() -> AnySelect:
    """The attempts of these jobs."""
    chosen = _PAGE.with_only_columns(jobs.c.seq, jobs.c.id).subquery("chosen")
    return sa.select(attempts).join(chosen, chosen.c.id == attempts.c.job_id).order_by(chosen.c.seq, attempts.c.number)


@one
def id_at() -> AnySelect:
    """The id of the job of that number."""
    return sa.select(jobs.c.id).where(jobs.c.seq == given(jobs.c.seq))


@each
def copy_job() -> sa.Insert:
    """Jobs as they are in another database."""
    return inserted(jobs)


@each
def copy_attempt() -> sa.Insert:
    """Attempts as they are in another database."""
    return inserted(attempts)
