"""A batch: jobs that were enqueued under one name, and end together."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from queuectl.domain.job import TERMINAL, State


class Batch(NamedTuple):
    """A batch, and its jobs by state. It is finished while none of them waits or runs."""

    name: str
    created_at: datetime
    finished_at: datetime | None
    jobs: Mapping[State, int]

    @property
    def total(self) -> int:
        """The number of its jobs."""
        return sum(self.jobs.values())

    @property
    def ended(self) -> int:
        """The number of those that have ended."""
        return sum(count for state, count in self.jobs.items() if state in TERMINAL)

    @property
    def progress(self) -> float:
        """The part of them that has ended, from 0 to 1."""
        return self.ended / self.total if self.total else 1.0

    def left(self, now: datetime) -> timedelta | None:
        """The time until the rest has ended, if it goes on as since the beginning; None: nobody can say."""
        if not self.ended or self.ended == self.total:
            return None
        return (now - self.created_at) * ((self.total - self.ended) / self.ended)
