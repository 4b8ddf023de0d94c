"""Counts over the whole queue."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from queuectl.domain.job import State
from queuectl.domain.metrics import Backlog, Metrics


class Measurements(Protocol):
    """Counts over the whole queue."""

    def counts(self) -> Mapping[State, int]:
        """The number of jobs in each state; every state is a key."""

    def due(self, *, at: datetime) -> Mapping[str, int]:
        """The number of jobs of each queue that are due; only queues that have one."""

    def backlog(self, *, at: datetime) -> Sequence[Backlog]:
        """The jobs that wait, run or are dead, by queue, state and needs; those of one queue follow each other.

        A job that waits for others to end is not due, one that waits for its key is.
        """

    def metrics(self, *, since: datetime, detailed: bool) -> "Metrics":
        """The figures from `since` on; workers and queues only if `detailed`."""
