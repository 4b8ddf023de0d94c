"""Counts over the whole queue, in SQL."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, select

from queuectl.adapters.sql.database import Database
from queuectl.adapters.sql.schema import attempts, jobs
from queuectl.domain.job import State
from queuectl.domain.outcome import Outcome
from queuectl.domain.ports import Metrics, Spread, Tally

RAN = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMEOUT)
"""The outcomes whose wait and run times say something about the commands."""


class SqlMeasurements:
    """`Measurements` on SQLAlchemy Core; a method is one consistent view."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self) -> Mapping[State, int]:
        """How many jobs are in each state; every state is a key."""
        statement = select(jobs.c.state, func.count()).group_by(jobs.c.state)

        def work(connection: Connection) -> dict[State, int]:
            return dict.fromkeys(State, 0) | {row[0]: row[1] for row in connection.execute(statement)}

        return self._database.read(work)

    def metrics(self, *, since: datetime, detailed: bool) -> Metrics:
        """What happened from `since` on; workers and queues only if `detailed`."""

        def work(connection: Connection) -> Metrics:
            ended = _ended_since(connection, since)
            completed, retried, most = _completed_since(connection, since)
            count = sum(ended.get(outcome, 0) for outcome in RAN)
            return Metrics(
                since=since,
                attempts=dict.fromkeys(Outcome, 0) | ended,
                completed=completed,
                dead=_dead_since(connection, since),
                retried=retried,
                most_attempts=most,
                wait=_spread(connection, attempts.c.waited, since, count),
                run=_spread(connection, attempts.c.ran, since, count),
                workers=_tallies(connection, attempts.c.worker, since) if detailed else (),
                queues=_tallies(connection, attempts.c.queue, since) if detailed else (),
            )

        return self._database.read(work)


def _ended_since(connection: Connection, since: datetime) -> dict[Outcome, int]:
    statement = (
        select(attempts.c.outcome, func.count()).where(attempts.c.finished_at >= since).group_by(attempts.c.outcome)
    )
    return {row[0]: row[1] for row in connection.execute(statement)}


def _completed_since(connection: Connection, since: datetime) -> tuple[int, int, int]:
    """How many jobs completed, how many of them needed more than one attempt, and the most that any needed."""
    statement = select(
        func.count(), func.count().filter(jobs.c.attempts > 1), func.coalesce(func.max(jobs.c.attempts), 0)
    ).where(jobs.c.state == State.COMPLETED, jobs.c.finished_at >= since)
    completed, retried, most = connection.execute(statement).one()
    return completed, retried, most


def _dead_since(connection: Connection, since: datetime) -> int:
    statement = select(func.count()).where(jobs.c.state == State.DEAD, jobs.c.finished_at >= since)
    return connection.execute(statement).scalar_one()


def _spread(connection: Connection, span: ColumnElement[timedelta], since: datetime, count: int) -> Spread:
    def percentile(part: float) -> timedelta | None:
        rank = max(math.ceil(part * count), 1)  # nearest rank: the smallest value that `part` of all do not exceed
        statement = (
            select(span)
            .where(attempts.c.finished_at >= since, attempts.c.outcome.in_(RAN))
            .order_by(span)
            .limit(1)
            .offset(rank - 1)
        )
        return connection.execute(statement).scalar()

    return Spread(p50=percentile(0.5), p95=percentile(0.95))


def _tallies(connection: Connection, name: ColumnElement[str], since: datetime) -> Sequence[Tally]:
    statement = (
        select(
            name,
            func.count().filter(attempts.c.outcome == Outcome.SUCCEEDED),
            func.count().filter(attempts.c.outcome.in_([Outcome.FAILED, Outcome.TIMEOUT])),
            func.sum(attempts.c.ran, type_=attempts.c.ran.type),
        )
        .where(attempts.c.finished_at >= since)
        .group_by(name)
    )
    # Sorted here: the databases' own orders of text differ.
    return [
        Tally(name=named, succeeded=succeeded, failed=failed, busy=busy or timedelta())
        for named, succeeded, failed, busy in sorted(connection.execute(statement).all(), key=lambda row: row[0])
    ]
