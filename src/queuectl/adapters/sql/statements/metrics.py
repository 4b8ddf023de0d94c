"""Counts over the whole queue."""

import sqlalchemy as sa
from sqlalchemy.sql.elements import FunctionFilter

from queuectl.adapters.sql.schema import WAITING, BigNumber, Count, Moment, Number, Span, attempts, jobs, optional
from queuectl.adapters.sql.statements import AnySelect, constant, is_one_of, many, one, only
from queuectl.domain.attempt import RAN, Outcome
from queuectl.domain.job import State, WaitsFor

_SINCE = sa.bindparam("since", type_=Moment)
_COUNT = sa.func.count(type_=Count).label("total")


@many
def counts() -> AnySelect:
    """The number of jobs in each state."""
    return sa.select(jobs.c.state, _COUNT).group_by(jobs.c.state)


@many
def due_by_queue() -> AnySelect:
    """The number of jobs of each queue that are due at a moment."""
    is_due = jobs.c.run_at <= sa.bindparam("at", type_=Moment)
    return sa.select(jobs.c.queue, _COUNT).where(WAITING, jobs.c.waits_for.is_(None), is_due).group_by(jobs.c.queue)


@many
def backlog() -> AnySelect:
    """The jobs that wait, run or are dead, by queue, state and needs."""
    is_held = jobs.c.waits_for.is_not(None) & (jobs.c.waits_for != constant(WaitsFor.KEY))
    is_due = (jobs.c.run_at <= sa.bindparam("at", type_=Moment)) & WAITING & ~is_held
    due = sa.func.count(type_=Count).filter(is_due).label("due")
    first = sa.func.min(jobs.c.run_at, type_=optional(Moment)).filter(is_due).label("first_due_at")
    states = [State.PENDING, State.FAILED, State.PROCESSING, State.DEAD]
    return (
        sa.select(jobs.c.queue, jobs.c.state, jobs.c.needs, _COUNT, due, first)
        .where(is_one_of(jobs.c.state, states))
        .group_by(jobs.c.queue, jobs.c.state, jobs.c.needs)
    )


@many
def ended_since() -> AnySelect:
    """Ended attempts by outcome: their number, that of those that were not the first of their job, and the last one's
    number."""
    again = sa.func.count(type_=Count).filter(attempts.c.number > 1).label("again")
    return (
        sa.select(attempts.c.outcome, _COUNT, again, sa.func.max(attempts.c.number, type_=Number).label("most"))
        .where(attempts.c.finished_at >= _SINCE)
        .group_by(attempts.c.outcome)
    )


@only
def died_since() -> AnySelect:
    """The number of jobs that are dead since then.

    By their last attempts, which are found by time: the jobs that have ever died may be many more.
    """
    last = (attempts.c.job_id == jobs.c.id) & (attempts.c.number == jobs.c.attempts)
    return (
        sa.select(_COUNT)
        .select_from(attempts.join(jobs, last))
        .where(
            attempts.c.finished_at >= _SINCE,
            is_one_of(attempts.c.outcome, [Outcome.FAILED, Outcome.TIMEOUT, Outcome.LOST]),
            jobs.c.state == constant(State.DEAD),
        )
    )


def _ranked(span: str) -> AnySelect:
    latest = (
        sa.select(attempts.c[span].label("span"))
        .where(attempts.c.finished_at >= _SINCE, is_one_of(attempts.c.outcome, RAN))
        .order_by(attempts.c.finished_at.desc())
        .limit(sa.bindparam("most", type_=sa.BigInteger()) + 0)
        .subquery("latest")
    )
    return sa.select(latest.c.span).order_by(latest.c.span).limit(1).offset(sa.bindparam("rank", type_=BigNumber))


@one
def ranked_wait() -> AnySelect:
    """The wait after the `rank` shortest ones, of the `most` attempts that ran to an end last."""
    return _ranked("waited")


@one
def ranked_run() -> AnySelect:
    """The run time after the `rank` shortest ones, of the `most` attempts that ran to an end last."""
    return _ranked("ran")


def _totals_by(name: str) -> AnySelect:
    column = attempts.c[name]

    def ended(*outcomes: Outcome) -> FunctionFilter[int]:
        return sa.func.count(type_=Count).filter(is_one_of(attempts.c.outcome, outcomes))

    busy = sa.func.sum(attempts.c.ran, type_=optional(Span)).label("busy")
    failed = ended(Outcome.FAILED, Outcome.TIMEOUT).label("failed")
    return (
        sa.select(column.label("name"), ended(Outcome.SUCCEEDED).label("succeeded"), failed, busy)
        .where(attempts.c.finished_at >= _SINCE)
        .group_by(column)
    )


@many
def totals_by_worker() -> AnySelect:
    """The ends of each worker's attempts, and the time that they ran."""
    return _totals_by("worker")


@many
def totals_by_queue() -> AnySelect:
    """The ends of each queue's attempts, and the time that they ran."""
    return _totals_by("queue")
