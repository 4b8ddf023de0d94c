"""Statements of workers: claims, ends of attempts, rescues. The `claim.sql` of each database has those that differ."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from queuectl.adapters.sql.schema import (
    BigNumber,
    Count,
    Flag,
    Moment,
    Number,
    OfWorker,
    Stored,
    Words,
    attempts,
    jobs,
    list_of,
    optional,
    workers,
)
from queuectl.adapters.sql.statements import (
    POSTGRESQL,
    SQLITE,
    AnySelect,
    among,
    constant,
    each,
    given,
    is_one_of,
    many,
    one,
    only,
    run,
    written,
)
from queuectl.domain.attempt import Outcome
from queuectl.domain.job import State
from queuectl.domain.worker import WorkerState

FOLDER = Path(__file__).parents[1]

SETTINGS = Stored("settings", Words.column_type, or_none=True)

CLAIMING: Mapping[str, TypeEngine[Any]] = {
    "by_worker": Words,
    "by_lease": Words,
    "now": Moment,
    "queues": optional(list_of(Words)),
    "labels": list_of(Words),
    "lane": Number,
    "lanes": list_of(Number),
    "priority": Number,
    "with_suspects": Flag,
    "at_once": Flag,
    "limit": Number,
    "busy_keys": list_of(Words),
    "full_queues": list_of(Words),
    "cursor_lanes": list_of(Number),
    "cursor_priorities": list_of(Number),
    "cursor_run_ats": list_of(BigNumber),
    "cursor_seqs": list_of(BigNumber),
    "seqs": list_of(BigNumber),
    "slots": list_of(Number),
    "start_queues": list_of(Words),
    "starts": list_of(Number),
    "keys": list_of(Words),
}

IS_PROCESSING = jobs.c.state == constant(State.PROCESSING)
IS_LIVE = is_one_of(workers.c.state, [WorkerState.RUNNING, WorkerState.STOPPING])
_HELD = sa.select(sa.func.count(type_=Count)).select_from(jobs).where(jobs.c.worker == workers.c.id, IS_PROCESSING)
HOLDING = _HELD.scalar_subquery()


def _claiming(language: str, name: str, *columns: sa.ColumnElement[Any]) -> dict[str, sa.ClauseElement]:
    names = [column.name for column in jobs.columns]
    return {language: written(FOLDER / language / "claim.sql", name, CLAIMING, ", ".join(names)).columns(*columns)}


def _labelled(name: str, column_type: TypeEngine[Any]) -> sa.ColumnElement[Any]:
    return sa.bindparam(name, type_=column_type).label(name)


_SETTINGS = _labelled("settings", SETTINGS)
_IS_STARTED = _labelled("is_started", Flag)

_LIMITS = (_labelled("concurrency", optional(Number)), _labelled("rate_count", optional(Number)))

_FOUND = (
    *jobs.columns,
    _SETTINGS,
    _IS_STARTED,
    _labelled("is_taken", Flag),
    _labelled("due_seq", BigNumber),
    _labelled("due_run_at", BigNumber),
    _labelled("due_priority", Number),
    _labelled("due_lane", Number),
    _labelled("due_queue", Words),
    _labelled("due_key", optional(Words)),
    _labelled("due_key_limit", optional(Number)),
    *_LIMITS,
    _labelled("is_stray", Flag),
    _labelled("needs_more", Flag),
    _labelled("is_key_locked", Flag),
)

_DUE = (jobs.c.seq, jobs.c.run_at, jobs.c.queue, jobs.c.key, jobs.c.key_limit)


@many
def claim_jobs() -> Mapping[str, sa.ClauseElement]:
    """Due jobs in claim order: taken by a worker, and their attempts started, or else the candidates, locked."""
    return _claiming(POSTGRESQL, "claim_jobs", *_FOUND)


@many
def claim_suspects() -> Mapping[str, sa.ClauseElement]:
    """The suspects among the candidates, locked."""
    return _claiming(POSTGRESQL, "claim_suspects", *_FOUND)


@many
def take_chosen() -> Mapping[str, sa.ClauseElement]:
    """The chosen of the candidates, taken by a worker, and their attempts, started."""
    return _claiming(POSTGRESQL, "take_chosen", *jobs.columns, _SETTINGS, _IS_STARTED)


@many
def served_lanes() -> Mapping[str, sa.ClauseElement]:
    """The lanes, and which of them a worker serves, from when on."""
    columns = (_labelled("id", Number), _labelled("queue", Words), *_LIMITS)
    return _claiming(SQLITE, "served_lanes", *columns, _labelled("opens_at", BigNumber), _labelled("is_served", Flag))


@many
def due_jobs() -> Mapping[str, sa.ClauseElement]:
    """Due jobs of a lane and a priority, in order."""
    return _claiming(SQLITE, "due_jobs", *_DUE)


@many
def due_suspects() -> Mapping[str, sa.ClauseElement]:
    """Due suspects, in order."""
    return _claiming(SQLITE, "due_suspects", jobs.c.lane, *_DUE)


@many
def take_jobs() -> Mapping[str, sa.ClauseElement]:
    """The jobs of these numbers, taken by a worker."""
    return _claiming(SQLITE, "take_jobs", *jobs.columns, _SETTINGS)


@many
def start_attempts() -> Mapping[str, sa.ClauseElement]:
    """The ids of the jobs of which an attempt was started."""
    return _claiming(SQLITE, "start_attempts", attempts.c.job_id)


@many
def running_with_keys() -> Mapping[str, sa.ClauseElement]:
    """The number of jobs that run with each of these keys."""
    columns = _labelled("key", Words), _labelled("running", Count)
    return _claiming(SQLITE, "running_with_keys", *columns) | _claiming(POSTGRESQL, "running_with_keys", *columns)


@only
def first_due() -> Mapping[str, sa.ClauseElement]:
    """The earliest moment at which a waiting job may start, and that of suspects."""
    columns = _labelled("run_at", optional(Moment)), _labelled("suspect_run_at", optional(Moment))
    return _claiming(POSTGRESQL, "first_due", *columns)


@only
def first_run_at() -> Mapping[str, sa.ClauseElement]:
    """The earliest `run_at` of the jobs that wait in a lane."""
    return _claiming(SQLITE, "first_run_at", _labelled("run_at", optional(BigNumber)))


@many
def first_suspects() -> AnySelect:
    """The earliest `run_at` of the suspects that wait in each lane."""
    earliest = sa.func.min(sa.type_coerce(jobs.c.run_at, sa.BigInteger), type_=BigNumber).label("run_at")
    is_waiting = jobs.c.worker.is_(None) & jobs.c.waits_for.is_(None)
    return sa.select(jobs.c.lane, earliest).where(sa.literal_column("suspect"), is_waiting).group_by(jobs.c.lane)


@run
def forget_start() -> sa.Delete:
    """The attempt that a claim has started of the job of that number."""
    of_it = sa.select(jobs.c.id).where(jobs.c.seq == sa.bindparam("seq", type_=BigNumber)).scalar_subquery()
    return sa.delete(attempts).where(attempts.c.job_id == of_it, attempts.c.lease_id == given(attempts.c.lease_id))


@many
def held_by() -> AnySelect:
    """The jobs that run under any lease of the worker."""
    return (
        sa.select(jobs).where(jobs.c.worker == sa.bindparam("worker", type_=Words), IS_PROCESSING).order_by(jobs.c.seq)
    )


@many
def cancel_requests() -> AnySelect:
    """Of these jobs, those whose cancel was asked for; what has ended since may be among them.

    Found by id alone: where somebody holds a snapshot open, the other indexes keep all that a worker has held.
    """
    return sa.select(jobs).where(among(jobs.c.id, "ids"), jobs.c.cancel_requested_at.is_not(None))


# Settling.


@many
def jobs_to_settle() -> AnySelect:
    """These jobs, locked in the order in which whoever enqueues locks parents."""
    return sa.select(jobs).where(among(jobs.c.id, "ids")).order_by(jobs.c.seq).with_for_update()


@run
def store_settled() -> Mapping[str, sa.ClauseElement]:
    """Store locked jobs as the ends of their attempts have made them."""
    return {POSTGRESQL: written(FOLDER / POSTGRESQL / "settle.sql", "store_settled", _lists(jobs))}


@run
def end_attempts() -> Mapping[str, sa.ClauseElement]:
    """Store the ends of attempts, unless they have ended."""
    return {POSTGRESQL: written(FOLDER / POSTGRESQL / "settle.sql", "end_attempts", _lists(attempts))}


def _lists(table: sa.Table) -> Mapping[str, TypeEngine[Any]]:
    return {column.name: list_of(column.type) for column in table.columns if isinstance(column.type, Stored)}


_ATTEMPT = (attempts.c.job_id == given(attempts.c.job_id), attempts.c.number == given(attempts.c.number))
_OWN_ATTEMPT = (*_ATTEMPT, attempts.c.lease_id == given(attempts.c.lease_id))


@each
def end_attempt() -> sa.Update:
    """Store the end of an attempt, unless it has ended."""
    names = ("finished_at", "ran", "outcome", "exit_code", "signal", "error", "output", "output_truncated")
    return (
        sa.update(attempts)
        .where(*_ATTEMPT, attempts.c.outcome.is_(None))
        .values({it: given(attempts.c[it]) for it in names})
    )


@one
def own_attempt() -> AnySelect:
    """The stored end of the attempt that ran under that lease, locked."""
    end = (attempts.c.outcome, attempts.c.finished_at, attempts.c.output, attempts.c.output_truncated)
    return sa.select(*end).where(*_OWN_ATTEMPT).with_for_update()


@run
def store_late() -> sa.Update:
    """The late result of that attempt, and its output."""
    names = ("late", "output", "output_truncated")
    return sa.update(attempts).where(*_OWN_ATTEMPT).values({name: given(attempts.c[name]) for name in names})


# Rescuing.


@one
def worker_to_rescue() -> AnySelect:
    """The lease of a live worker, locked; nothing when another rescuer has the lock.

    With it comes how many jobs the worker holds, also those that `held_to_rescue` leaves to a later rescue.
    """
    return (
        sa.select(workers.c.lease_expires_at, workers.c.renewed_at, HOLDING.label("jobs"))
        .where(workers.c.id == sa.bindparam("worker", type_=Words), IS_LIVE)
        .with_for_update(skip_locked=True)
    )


@many
def held_to_rescue() -> AnySelect:
    """The jobs that run under any lease of the worker, locked.

    What is locked already may stay so until the server ends the transaction of a host that is cut off. It is left to a
    later rescue: waiting for it would hold up the rescuer, and with it every worker there is.
    """
    return held_by().with_for_update(skip_locked=True)


@one
def lost_by() -> AnySelect:
    """One of the attempts of the worker that were lost already, since some moment."""
    return (
        sa.select(attempts.c.job_id)
        .where(
            attempts.c.finished_at >= sa.bindparam("since", type_=Moment),
            attempts.c.worker == given(attempts.c.worker),
            attempts.c.outcome == constant(Outcome.LOST),
        )
        .limit(1)
    )


@run
def end_worker() -> sa.Update:
    """Mark a worker as ended, if it holds nothing: a worker that has ended is never rescued."""
    holds = sa.select(jobs.c.id).where(jobs.c.worker == workers.c.id, IS_PROCESSING).exists()
    return (
        sa.update(workers)
        .where(workers.c.id == sa.bindparam("worker", type_=Words), IS_LIVE, ~holds)
        .values(state=sa.bindparam("state", type_=OfWorker), ended_at=sa.bindparam("ended_at", type_=Moment))
    )
