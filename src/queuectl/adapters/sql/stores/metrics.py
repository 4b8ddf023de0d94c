"""Counts over the whole queue, in SQL."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.domain.attempt import RAN, Outcome
from queuectl.domain.job import State
from queuectl.domain.metrics import Backlog, Metrics, Percentiles, Totals

MEASURED = 100_000
"""Attempts whose spans are sorted, the latest: of a million it would take seconds, and say the same."""


class SqlMeasurements:
    """`Measurements` in SQL; a method is one consistent view."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self) -> Mapping[State, int]:
        """The number of jobs in each state; every state is a key. A job in a state that is none counts as dead."""
        counts = dict.fromkeys(State, 0)
        for row in self._database.read(queries.counts):
            counts[row.state] += row.total
        return counts

    def due(self, *, at: datetime) -> Mapping[str, int]:
        """The number of jobs of each queue that are due."""
        return {row.queue: row.total for row in self._database.read(lambda c: queries.due_by_queue(c, at=at))}

    def backlog(self, *, at: datetime) -> Sequence[Backlog]:
        """The jobs that wait, run or are dead, by queue, state and needs."""
        found = self._database.read(lambda c: queries.backlog(c, at=at))
        rows = [Backlog(it.queue, it.state, it.needs, it.total, it.due, it.first_due_at) for it in found]
        return sorted(rows, key=lambda it: it[:3])

    def metrics(self, *, since: datetime, detailed: bool) -> Metrics:
        """Count what happened from `since` on; workers and queues only if `detailed`."""
        return self._database.read(lambda c: _metrics(c, since, detailed=detailed))


def _metrics(c: Connection, since: datetime, *, detailed: bool) -> Metrics:
    rows = {row.outcome: row for row in queries.ended_since(c, since=since) if row.outcome and not row.unreadable}
    ended = dict.fromkeys(Outcome, 0) | {outcome: row.total for outcome, row in rows.items()}
    succeeded = rows.get(Outcome.SUCCEEDED)
    count = min(sum(ended[outcome] for outcome in RAN), MEASURED)
    return Metrics(
        since=since,
        attempts=ended,
        completed=succeeded.total if succeeded else 0,
        dead=queries.died_since(c, since=since),
        retried=succeeded.again if succeeded else 0,
        most_attempts=succeeded.most if succeeded else 0,
        wait=_percentiles(count, lambda rank: queries.ranked_wait(c, since=since, most=MEASURED, rank=rank)),
        run=_percentiles(count, lambda rank: queries.ranked_run(c, since=since, most=MEASURED, rank=rank)),
        workers=_totals(queries.totals_by_worker(c, since=since)) if detailed else (),
        queues=_totals(queries.totals_by_queue(c, since=since)) if detailed else (),
    )


def _percentiles(count: int, ranked: Callable[[int], timedelta | None]) -> Percentiles:
    def percentile(part: float) -> timedelta | None:
        # Nearest rank: the smallest value that `part` of all do not exceed.
        return ranked(max(math.ceil(part * count), 1) - 1)

    return Percentiles(p50=percentile(0.5), p95=percentile(0.95))


def _totals(rows: Sequence[queries.TotalsByWorkerRow]) -> Sequence[Totals]:
    # Sorted here: the databases' own orders of text differ.
    return [
        Totals(name=row.name, succeeded=row.succeeded, failed=row.failed, busy=row.busy or timedelta())
        for row in sorted(rows, key=lambda row: row.name)
    ]
