"""Telling whether other workers' leases are over, whatever the clocks show."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from queuectl.domain.ports.host import Elapsed
from queuectl.domain.worker import WorkerRecord


class LeaseWatch:
    """The leases of others, by what one process has seen itself in time since boot.

    A lease is over when its worker was seen not to renew for the length of it: such a worker has stopped its commands,
    or is dead. The database's clock cannot say so. Hosts hear of a step of it at different moments, so that a lease
    which one of them has just renewed can have run out for another. So a first look finds no lease over.
    """

    def __init__(self, elapsed: Elapsed) -> None:
        self._elapsed = elapsed
        self._looked_at = timedelta()
        self._seen: dict[str, tuple[datetime, timedelta]] = {}
        """By worker: its last renewal, and since when that has been known to be the last."""

    def look(self, find: Callable[[], Sequence[WorkerRecord]]) -> Sequence[WorkerRecord]:
        """Look at the workers that `find` finds; these."""
        self._looked_at = self._elapsed()  # before: a renewal may come while the answer is on its way
        workers = find()
        now, before = self._elapsed(), self._seen
        self._seen = {}
        for worker in workers:
            renewed_at, since = before.get(worker.id, (None, now))
            self._seen[worker.id] = worker.renewed_at, since if renewed_at == worker.renewed_at else now
        return workers

    def left(self, worker: WorkerRecord) -> timedelta:
        """The time, from the last look on, until the lease of a worker that was found is over; none if it is."""
        _, since = self._seen[worker.id]
        lease = worker.lease_expires_at - worker.renewed_at  # the one that was in force when it started
        return max(timedelta(), since + lease - self._looked_at)
