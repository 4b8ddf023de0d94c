"""Stopping a worker: gracefully, when its jobs are done; by force; or because its lease is lost."""

from datetime import timedelta

from queuectl.application.work.context import Context
from queuectl.application.work.duty import NEVER
from queuectl.domain.attempt import Outcome
from queuectl.domain.events import LeaseLost, WorkerStopping
from queuectl.domain.worker import WorkerState


class Stops:
    """A duty: stop the worker as far as `ask` asked for, which is safe in a signal handler."""

    due_at = NEVER

    def __init__(self, worker: Context) -> None:
        self._worker = worker
        self._asked = 0

    def ask(self, *, force: bool) -> None:
        """Ask for a stop; no effect where that much was asked for before."""
        self._asked = max(self._asked, 2 if force else 1)

    def run(self, _now: timedelta) -> None:
        """Claim no more from now on; by force, stop what runs."""
        slots, ports = self._worker.slots, self._worker.ports
        while slots.stops < self._asked:
            slots.stops += 1
            forced = slots.stops == 2
            ports.events(WorkerStopping(worker=self._worker.id, jobs=len(slots.running), forced=forced))
            self._worker.heartbeat.state = WorkerState.STOPPING
            self._worker.heartbeat.renew_now()
            if forced:
                ports.runner.stop(Outcome.RELEASED, grace=self._worker.policy.kill_grace)


class LostLease:
    """A duty: stop the commands once the lease is lost; the watch has, unless this turn has come first."""

    def __init__(self, worker: Context) -> None:
        self._worker = worker

    @property
    def due_at(self) -> timedelta:
        """The moment at which the lease is lost if no renewal succeeds."""
        if self._worker.slots.is_lease_lost:
            return NEVER
        return self._worker.ports.elapsed() + self._worker.heartbeat.lease.time_left

    def run(self, _now: timedelta) -> None:
        """Take notice, once."""
        slots, ports, lease = self._worker.slots, self._worker.ports, self._worker.heartbeat.lease
        if slots.is_lease_lost or not (reason := lease.lost):
            return
        slots.is_lease_lost = True
        ports.events(LeaseLost(worker=self._worker.id, reason=reason))
        ports.runner.stop(Outcome.LOST, grace=lease.interval)
