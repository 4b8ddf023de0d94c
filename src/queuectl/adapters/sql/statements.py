"""Every statement about jobs, attempts and leases, built once; values are bound at each use.

The locking clauses are PostgreSQL's; SQLite's compiler leaves them out, as its writers exclude each other anyway.
"""

import functools
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import (
    Select,
    Update,
    bindparam,
    exists,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)

from queuectl.adapters.sql.schema import WAITING, Moment, attempts, jobs, workers
from queuectl.domain.job import State
from queuectl.domain.ports import WorkerState

PRIORITIES = range(10, 0, -1)

_NOW = bindparam("now", type_=Moment)
_IS_PROCESSING = jobs.c.state == literal(State.PROCESSING, jobs.c.state.type)
IS_LIVE = workers.c.state.in_([WorkerState.RUNNING, WorkerState.STOPPING])


def queue_values(queues: Collection[str]) -> dict[str, str]:
    """The parameters that name the queues in `claim` and `first_due`."""
    return {f"queue_{number}": name for number, name in enumerate(queues)}


@functools.cache
def claim(queue_count: int) -> Update:
    """Claim up to `:limit` due jobs of `:queue_0` … (none: of every queue) for `:by_worker` under `:by_lease`.

    One probe per priority, high first: each walks its index from the earliest due job and stops at the limit, and the
    outer limit stops the walk over the probes. So the cost does not grow with the jobs that are scheduled for later.
    """
    probes = [_due(priority, queue_count) for priority in PRIORITIES]
    due = select(union_all(*probes).subquery("due").c.seq).limit(bindparam("limit")).cte("claimed")
    # A rescue locks the worker's row FOR UPDATE: this share lock makes each see the other's end, so that no job is
    # claimed for a worker that is being given up. It does not stand in the way of the heartbeat.
    owner = (
        select(workers.c.id)
        .where(
            workers.c.id == bindparam("by_worker"),
            workers.c.state == literal(WorkerState.RUNNING, workers.c.state.type),
            workers.c.lease_expires_at > _NOW,
        )
        .with_for_update(read=True, key_share=True)
        .cte("owner")
    )
    return (
        update(jobs)
        .where(jobs.c.seq.in_(select(due.c.seq)), exists(select(owner.c.id)))
        .values(
            state=literal(State.PROCESSING, jobs.c.state.type),
            worker=bindparam("by_worker"),
            lease_id=bindparam("by_lease"),
            attempts=jobs.c.attempts + 1,
            started_at=_NOW,
            updated_at=_NOW,
            finished_at=None,
        )
        .returning(jobs)
    )


def _due(priority: int, queue_count: int) -> Select[int]:
    """The due jobs of one priority, locked, in order. Of several queues: merged from one probe each."""
    due = select(jobs.c.seq, jobs.c.run_at).where(WAITING, jobs.c.priority == priority, jobs.c.run_at <= _NOW)
    queues = [due.where(jobs.c.queue == bindparam(f"queue_{number}")) for number in range(queue_count)] or [due]
    probes = [
        probe.order_by(jobs.c.run_at, jobs.c.seq)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True)
        .subquery(f"p{priority}_{number}")
        for number, probe in enumerate(queues)
    ]
    if len(probes) == 1:
        return select(probes[0].c.seq)
    merged = union_all(*(select(probe.c.seq, probe.c.run_at) for probe in probes)).subquery(f"m{priority}")
    ordered = select(merged).order_by(merged.c.run_at, merged.c.seq).limit(bindparam("limit")).subquery(f"o{priority}")
    return select(ordered.c.seq)


@functools.cache
def first_due(queue_count: int) -> Select[datetime]:
    """The earliest `run_at` of the waiting jobs of `:queue_0` … (none: of every queue), by one probe per priority."""
    earliest = []
    for priority in PRIORITIES:
        waiting = select(jobs.c.run_at).where(WAITING, jobs.c.priority == priority)
        queues = [waiting.where(jobs.c.queue == bindparam(f"queue_{number}")) for number in range(queue_count)]
        for number, probe in enumerate(queues or [waiting]):
            first = probe.order_by(jobs.c.run_at).limit(1).subquery(f"n{priority}_{number}")
            earliest.append(select(first.c.run_at))
    return select(func.min(union_all(*earliest).subquery("earliest").c.run_at, type_=Moment))


def oldest(state: State, limit: int) -> Select[*tuple[object, ...]]:
    """Up to `limit` jobs of a state, the oldest first, locked."""
    return select(jobs).where(jobs.c.state == state).order_by(jobs.c.seq).limit(limit).with_for_update()


JOB = select(jobs).where(jobs.c.id == bindparam("job_id"))
JOB_TO_CHANGE = JOB.with_for_update()

STORE_JOB = update(jobs).where(jobs.c.id == bindparam("job_id"))

STORE_SETTLED = STORE_JOB.where(jobs.c.lease_id == bindparam("held_lease"), _IS_PROCESSING).returning(
    jobs.c.cancel_requested_at, jobs.c.cancel_requested_by
)
"""The fence: only the holder of the lease may say how the attempt ended. Tells of a cancel that was asked for."""

START_ATTEMPT = insert(attempts).values(
    # Copied, so that the history outlives the worker's row.
    host=select(workers.c.host).where(workers.c.id == bindparam("by_worker")).scalar_subquery()
)

_ATTEMPT = (attempts.c.job_id == bindparam("of_job"), attempts.c.number == bindparam("attempt"))

END_ATTEMPT = update(attempts).where(*_ATTEMPT, attempts.c.outcome.is_(None))

OWN_ATTEMPT = (
    select(attempts.c.outcome, attempts.c.finished_at, attempts.c.output)
    .where(*_ATTEMPT, attempts.c.lease_id == bindparam("held_lease"))
    .with_for_update()
)

KEEP_LATE = update(attempts).where(*_ATTEMPT, attempts.c.lease_id == bindparam("held_lease"))

_ended = attempts.alias("ended")
_last_ended = (
    select(func.max(_ended.c.number))
    .where(_ended.c.job_id == attempts.c.job_id, _ended.c.outcome.is_not(None))
    .scalar_subquery()
)

LAST_OUTPUTS = select(attempts.c.job_id, attempts.c.output).where(
    attempts.c.job_id.in_(bindparam("ids", expanding=True)), attempts.c.number == _last_ended
)

HELD = select(jobs).where(jobs.c.worker == bindparam("worker"), _IS_PROCESSING).order_by(jobs.c.seq)

ASKED_TO_CANCEL = HELD.where(jobs.c.cancel_requested_at.is_not(None))

# What is locked may stay so until the server ends the transaction of a host that is cut off. It is left to a later
# rescue: waiting for it would hold up the rescuer, and with it every worker there is.
HELD_TO_RESCUE = HELD.with_for_update(skip_locked=True)

WORKER_TO_RESCUE = (
    select(workers.c.lease_expires_at)
    .where(workers.c.id == bindparam("worker"), IS_LIVE)
    .with_for_update(skip_locked=True)
)

END_WORKER = (
    update(workers)
    .where(
        workers.c.id == bindparam("of_worker"), IS_LIVE, ~exists().where(jobs.c.worker == workers.c.id, _IS_PROCESSING)
    )
    .values(state=bindparam("end_state"), ended_at=bindparam("at"))
)
"""A worker that has ended is never rescued, so it must hold nothing by then."""

RENEW = (
    update(workers)
    .where(workers.c.id == bindparam("of_worker"), IS_LIVE)
    .values(state=bindparam("new_state"), renewed_at=bindparam("at"), lease_expires_at=bindparam("until"))
)

_jobs_held = (
    select(func.count()).select_from(jobs).where(jobs.c.worker == workers.c.id, _IS_PROCESSING).scalar_subquery()
)

LIVE_WORKERS = select(workers, _jobs_held.label("jobs")).where(IS_LIVE).order_by(workers.c.started_at, workers.c.id)

SUSPECTS = LIVE_WORKERS.where(
    (workers.c.lease_expires_at <= bindparam("at", type_=Moment)) | (workers.c.machine == bindparam("machine"))
)
