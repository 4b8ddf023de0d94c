"""What happened in a span of time, in SQL."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.domain.attempt import RAN, Outcome
from queuectl.domain.metrics import Metrics, Percentiles, Totals

MEASURED = 100_000
"""Attempts whose spans are sorted, the latest: of a million it would take seconds, and say the same."""


def metrics_since(connection: Connection, since: datetime, *, detailed: bool) -> Metrics:
    """What happened from `since` on; workers and queues only if `detailed`."""
    since_then = {"since": since}
    rows = {row.outcome: row for row in connection.rows("ended_since", since_then) if not row.unreadable}
    ended = dict.fromkeys(Outcome, 0) | {outcome: row.count for outcome, row in rows.items()}
    succeeded = rows.get(Outcome.SUCCEEDED)
    count = min(sum(ended[outcome] for outcome in RAN), MEASURED)
    return Metrics(
        since=since,
        attempts=ended,
        completed=succeeded.count if succeeded else 0,
        dead=connection.only_row("died_since", since_then).count,
        retried=succeeded.again if succeeded else 0,
        most_attempts=succeeded.most if succeeded else 0,
        wait=_percentiles(connection, "waited", since, count),
        run=_percentiles(connection, "ran", since, count),
        workers=_totals(connection, "worker", since) if detailed else (),
        queues=_totals(connection, "queue", since) if detailed else (),
    )


def _percentiles(connection: Connection, span: str, since: datetime, count: int) -> Percentiles:
    def percentile(part: float) -> timedelta | None:
        rank = max(math.ceil(part * count), 1)  # nearest rank: the smallest value that `part` of all do not exceed
        row = connection.row("spread", {"since": since, "most": MEASURED, "rank": rank - 1}, (span,))
        return row.span if row else None

    return Percentiles(p50=percentile(0.5), p95=percentile(0.95))


def _totals(connection: Connection, name: str, since: datetime) -> Sequence[Totals]:
    # Sorted here: the databases' own orders of text differ.
    return [
        Totals(name=row.name, succeeded=row.succeeded, failed=row.failed, busy=row.busy or timedelta())
        for row in sorted(connection.rows("tallies", {"since": since}, (name,)), key=lambda row: row.name)
    ]
