"""Unique keys: who holds them, and how they change hands."""

from collections.abc import Mapping

import sqlalchemy as sa

from queuectl.adapters.sql.schema import BigNumber, Count, Words, jobs, list_of
from queuectl.adapters.sql.statements import POSTGRESQL, AnySelect, among, each, given, many, only, run
from queuectl.adapters.sql.statements.jobs import of_job

KEPT = ("seq", "id", "created_at", "worker", "lease_id")
"""The columns of a job that stay when another replaces it."""


@only
def hold_unique_keys() -> Mapping[str, sa.ClauseElement]:
    """Have nobody else enqueue jobs with these unique keys until the transaction ends.

    By locks like those of `hold_keys`, which are taken after them.
    """
    text = sa.text(
        "SELECT count(pg_advisory_xact_lock(7106, lock)) AS total FROM ("
        "SELECT DISTINCT hashtext(key) & 1023 AS lock FROM unnest(:keys) AS listed (key) ORDER BY 1) AS locks"
    ).bindparams(sa.bindparam("keys", type_=list_of(Words)))
    return {POSTGRESQL: text.columns(sa.bindparam("total", type_=Count).label("total"))}


@many
def unique_holders() -> AnySelect:
    """The jobs that hold these unique keys."""
    return sa.select(jobs).where(jobs.c.unique_held.is_not(None), among(jobs.c.unique_held, "keys"))


@many
def jobs_to_replace() -> AnySelect:
    """These jobs, locked in the order in which all that lock several do it."""
    return sa.select(jobs).where(among(jobs.c.seq, "seqs", BigNumber)).order_by(jobs.c.seq).with_for_update()


@many
def jobs_of_ids() -> AnySelect:
    """The jobs of these ids."""
    return sa.select(jobs).where(among(jobs.c.id, "ids"))


@run
def give_up_unique_keys() -> sa.Update:
    """These jobs hold their unique keys no more."""
    return sa.update(jobs).where(among(jobs.c.id, "ids")).values(unique_held=None)


@each
def replace_job() -> sa.Update:
    """Store another job under this one's number."""
    changing = [column for column in jobs.columns if column.name not in KEPT]
    return sa.update(jobs).where(of_job(jobs.c.id)).values({column.name: given(column) for column in changing})
