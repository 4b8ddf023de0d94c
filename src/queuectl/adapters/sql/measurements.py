"""Counts over the whole queue, in SQL."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from queuectl.adapters.sql.database import Connection, Database
from queuectl.domain.job import State
from queuectl.domain.outcome import RAN, Outcome
from queuectl.domain.ports import Metrics, Spread, Tally


class SqlMeasurements:
    """`Measurements` in SQL; a method is one consistent view."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self) -> Mapping[State, int]:
        """How many jobs are in each state; every state is a key."""
        rows = self._database.read(lambda connection: connection.rows("counts"))
        return dict.fromkeys(State, 0) | {row.state: row.count for row in rows}

    def metrics(self, *, since: datetime, detailed: bool) -> Metrics:
        """What happened from `since` on; workers and queues only if `detailed`."""

        def work(connection: Connection) -> Metrics:
            since_then = {"since": since}
            ended = {row.outcome: row.count for row in connection.rows("ended_since", since_then)}
            jobs = connection.only_row("jobs_ended_since", since_then)
            count = sum(ended.get(outcome, 0) for outcome in RAN)
            return Metrics(
                since=since,
                attempts=dict.fromkeys(Outcome, 0) | ended,
                completed=jobs.completed,
                dead=jobs.dead,
                retried=jobs.retried,
                most_attempts=jobs.most,
                wait=_spread(connection, "waited", since, count),
                run=_spread(connection, "ran", since, count),
                workers=_tallies(connection, "worker", since) if detailed else (),
                queues=_tallies(connection, "queue", since) if detailed else (),
            )

        return self._database.read(work)


def _spread(connection: Connection, span: str, since: datetime, count: int) -> Spread:
    def percentile(part: float) -> timedelta | None:
        rank = max(math.ceil(part * count), 1)  # nearest rank: the smallest value that `part` of all do not exceed
        row = connection.row("spread", {"since": since, "rank": rank - 1}, (span,))
        return row.span if row else None

    return Spread(p50=percentile(0.5), p95=percentile(0.95))


def _tallies(connection: Connection, name: str, since: datetime) -> Sequence[Tally]:
    # Sorted here: the databases' own orders of text differ.
    return [
        Tally(name=row.name, succeeded=row.succeeded, failed=row.failed, busy=row.busy or timedelta())
        for row in sorted(connection.rows("tallies", {"since": since}, (name,)), key=lambda row: row.name)
    ]
