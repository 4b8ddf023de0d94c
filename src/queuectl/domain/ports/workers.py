"""The workers and their leases."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from queuectl.domain.worker import WorkerRecord, WorkerState


class WorkerRegistry(Protocol):
    """The workers and their leases."""

    def register(self, worker: WorkerRecord) -> None:
        """Add a new worker with its first lease; forgets workers that ended more than a day before."""

    def renew(self, worker_id: str, *, state: WorkerState, at: datetime, until: datetime) -> bool:
        """Extend the lease to `until`. False, and no change, once the worker is given up: lost, stopped or unknown."""

    def retire(self, worker_id: str, *, at: datetime) -> None:
        """Mark a worker as stopped; no effect on one that holds a job still, or that is given up already."""

    def live(self) -> Sequence[WorkerRecord]:
        """The workers that are running or stopping, also those whose lease has run out, in order of their start."""

    def expired_or_local(self, *, at: datetime, machine: str, beyond: datetime) -> Sequence[WorkerRecord]:
        """Of the live workers, those whose lease has run out at `at`, and all that run on `machine`.

        Also those whose lease ends `beyond` where one can: the clock has been set back since they renewed it.
        """

    def stopped_on(self, machine: str) -> Sequence[WorkerRecord]:
        """The workers of that machine that are stopped or given up as lost, as long as they are remembered: for a day.

        Their processes may not be gone yet.
        """
