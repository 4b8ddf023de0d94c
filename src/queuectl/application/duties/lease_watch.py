"""Telling whether other workers' leases are over, whatever happens to the clocks."""

from collections.abc import Collection
from datetime import datetime, timedelta

from queuectl.domain.ports.host import Elapsed
from queuectl.domain.worker import WorkerRecord

STEP = timedelta(milliseconds=500)
"""A clock that is ahead of the time since boot by so much more than before has been set: well below a third of the
shortest lease, for which a worker that could not renew has stopped its commands already."""

NEWS = timedelta(seconds=10)
"""The time that another process may go by the clock as it was before a step: it asks every ten seconds."""


class SingleLook:
    """The leases as one look sees them: over when they have run out by the database's clock."""

    def begin(self, at: datetime) -> None:
        """Begin a look, at that moment of the database's clock."""

    def see(self, workers: Collection[WorkerRecord]) -> None:
        """Take in what the look has found."""

    def is_over(self, worker: WorkerRecord, at: datetime) -> bool:
        """Tell whether the lease of a worker that was found is over."""
        return worker.lease_expires_at <= at

    def is_silent(self, _worker: WorkerRecord) -> bool:
        """Tell whether it was seen not to renew for the length of its lease."""
        return False


class LeaseWatch(SingleLook):
    """The leases as one sees them who looks again and again: also when the database's clock steps.

    A lease that has run out by that clock is over. But after a step, or before this process has watched the clock for
    the length of a lease, only that counts which this process has seen itself: that a worker did not renew for the
    length of a lease, in time since boot. Such a worker has stopped its commands, or is dead, whatever the clocks say.
    """

    def __init__(self, elapsed: Elapsed) -> None:
        self._elapsed = elapsed
        self._now = timedelta()
        self._booted_at: datetime | None = None
        self._stepped_at = timedelta()
        self._seen: dict[str, tuple[datetime, timedelta]] = {}

    def begin(self, at: datetime) -> None:
        """Begin a look, at that moment of the database's clock."""
        self._now = self._elapsed()
        booted_at = at - self._now  # by that clock
        if self._booted_at is None or abs(booted_at - self._booted_at) > STEP:
            self._stepped_at = self._now
        self._booted_at = booted_at

    def see(self, workers: Collection[WorkerRecord]) -> None:
        """Note since when each worker that was found has not renewed."""
        now, before = self._elapsed(), self._seen
        self._seen = {}
        for worker in workers:
            renewed_at, since = before.get(worker.id, (None, now))
            self._seen[worker.id] = worker.renewed_at, since if renewed_at == worker.renewed_at else now

    def is_over(self, worker: WorkerRecord, at: datetime) -> bool:
        """Tell whether the lease of a worker that was found is over."""
        trusts_the_clock = self._now - self._stepped_at >= _lease_of(worker) + NEWS
        return (trusts_the_clock and super().is_over(worker, at)) or self.is_silent(worker)

    def is_silent(self, worker: WorkerRecord) -> bool:
        """Tell whether it was seen not to renew for the length of its lease."""
        return self._now - self._seen[worker.id][1] >= _lease_of(worker)


def _lease_of(worker: WorkerRecord) -> timedelta:
    """The length of its lease, which is the one that was in force when it started."""
    return worker.lease_expires_at - worker.renewed_at
