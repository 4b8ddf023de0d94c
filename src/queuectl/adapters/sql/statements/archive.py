"""Copying a whole queue from one database to another, row by row."""

import sqlalchemy as sa

from queuectl.adapters.sql.schema import (
    BigNumber,
    Count,
    attempts,
    batches,
    dependencies,
    jobs,
    lanes,
    optional,
    queues,
    slots,
    tags,
)
from queuectl.adapters.sql.statements import AnySelect, each, given, inserted, many, one, only, run
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


def _of_chosen(table: sa.Table, seq: sa.Column[int]) -> AnySelect:
    chosen = _PAGE.with_only_columns(jobs.c.seq).subquery("chosen")
    return sa.select(table).join(chosen, chosen.c.seq == seq).order_by(*table.primary_key.columns)


@many
def page_of_dependencies() -> AnySelect:
    """The dependencies of these jobs."""
    return _of_chosen(dependencies, dependencies.c.child)


@many
def page_of_tags() -> AnySelect:
    """The tags of these jobs."""
    return _of_chosen(tags, tags.c.seq)


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


@each
def copy_dependency() -> sa.Insert:
    """Dependencies as they are in another database."""
    return inserted(dependencies)


@each
def copy_tag() -> sa.Insert:
    """Tags as they are in another database."""
    return inserted(tags)


# The tables beside the jobs, which are small: all rows of each. Those of a queue that is copied into are removed first.


@many
def all_slots() -> AnySelect:
    """The slots and the starts of all queues."""
    return sa.select(slots)


@many
def all_batches() -> AnySelect:
    """The batches."""
    return sa.select(batches)


@each
def copy_queue() -> sa.Insert:
    """Queues as they are in another database."""
    return inserted(queues)


@each
def copy_lane() -> sa.Insert:
    """Lanes as they are in another database."""
    return inserted(lanes)


@each
def copy_slot() -> sa.Insert:
    """Slots as they are in another database."""
    return inserted(slots)


@each
def copy_batch() -> sa.Insert:
    """Batches as they are in another database."""
    return inserted(batches)


@run
def clear_queues() -> sa.Delete:
    """The settings of all queues."""
    return sa.delete(queues)


@run
def clear_lanes() -> sa.Delete:
    """All lanes."""
    return sa.delete(lanes)


@run
def clear_slots() -> sa.Delete:
    """All slots and starts."""
    return sa.delete(slots)


@run
def clear_batches() -> sa.Delete:
    """All batches."""
    return sa.delete(batches)
