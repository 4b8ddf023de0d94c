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

    def __init__(self, context: Context) -> None:
        self._worker_id = context.worker_id
        self._slots = context.slots
        self._runner = context.runner
        self._heartbeat = context.heartbeat
        self._policy = context.policy
        self._standing = context.standing
        self._events = context.events
        self._asked = 0

    def ask(self, *, force: bool) -> None:
        """Ask for a stop; no effect where that much was asked for before."""
        self._asked = max(self._asked, 2 if force else 1)

    def run(self, _now: timedelta) -> None:
        """Claim no more from now on; by force, stop what runs."""
        while self._standing.stops < self._asked:
            self._standing.stops += 1
            forced = self._standing.stops == 2
            self._events(WorkerStopping(worker=self._worker_id, jobs=len(self._slots.running), forced=forced))
            self._heartbeat.state = WorkerState.STOPPING
            self._heartbeat.renew_now()
            if forced:
                self._runner.stop(Outcome.RELEASED, grace=self._policy.policy.kill_grace)


class LostLease:
    """A duty: stop the commands once the lease is lost; the watch has, unless this turn has come first."""

    def __init__(self, context: Context) -> None:
        self._worker_id = context.worker_id
        self._runner = context.runner
        self._heartbeat = context.heartbeat
        self._standing = context.standing
        self._events = context.events

    @property
    def due_at(self) -> timedelta:
        """The moment at which the lease is lost if no renewal succeeds."""
        if self._standing.is_lease_lost:
            return NEVER
        return self._heartbeat.lease.elapsed() + self._heartbeat.time_left

    def run(self, _now: timedelta) -> None:
        """Take notice, once."""
        if self._standing.is_lease_lost or not (reason := self._heartbeat.lost):
            return
        self._standing.is_lease_lost = True
        self._events(LeaseLost(worker=self._worker_id, reason=reason))
        self._runner.stop(Outcome.LOST, grace=self._heartbeat.lease.interval)
