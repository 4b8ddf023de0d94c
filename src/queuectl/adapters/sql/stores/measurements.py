"""Counts over the whole queue, in SQL."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from queuectl.adapters.sql.engine.transactions import Database
from queuectl.domain.job import State

if TYPE_CHECKING:
    from queuectl.domain.metrics import Metrics


class SqlMeasurements:
    """`Measurements` in SQL; a method is one consistent view."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self) -> Mapping[State, int]:
        """How many jobs are in each state; every state is a key. What is in a state that is none counts as dead."""
        counts = dict.fromkeys(State, 0)
        for row in self._database.read(lambda connection: connection.rows("counts")):
            counts[row.state] += row.count
        return counts

    def due(self, *, at: datetime) -> Mapping[str, int]:
        """How many jobs of each queue are due."""
        rows = self._database.read(lambda connection: connection.rows("due", {"at": at}))
        return {row.queue: row.count for row in rows}

    def metrics(self, *, since: datetime, detailed: bool) -> "Metrics":
        """What happened from `since` on; workers and queues only if `detailed`."""
        from queuectl.adapters.sql.stores.metrics import metrics_since  # which no other command needs

        return self._database.read(lambda connection: metrics_since(connection, since, detailed=detailed))
