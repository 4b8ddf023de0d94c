"""Keeping a worker's lease: renewed by a thread of its own, checked by the machine's time since boot."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from queuectl.domain.errors import DatabaseReplaced, DatabaseUnavailable
from queuectl.domain.ports.host import Clock, Elapsed
from queuectl.domain.ports.workers import WorkerRegistry
from queuectl.domain.worker import WorkerState

RENEWALS_PER_LEASE = 6


class LeaseTerm:
    """One worker's lease, in time since boot. What is lost stays lost.

    A renewal counts from the moment it was *sent*: the database's answer may be old when it arrives. The lease is given
    up after two thirds of its length without a renewal, so that the rest is enough to stop the jobs before others may
    claim them.
    """

    def __init__(self, length: timedelta, *, elapsed: Elapsed, sent_at: timedelta | None = None) -> None:
        """`sent_at` is when the registration, and with it the first lease, was sent; None: now."""
        self.length = length
        self.held_for = length * 2 / 3
        """The time that it is held without a renewal."""
        self.elapsed = elapsed
        self.sent_at = elapsed() if sent_at is None else sent_at
        """The moment at which the last renewal that succeeded was sent."""
        self.error = ""
        """The reason why none has succeeded since."""
        self.is_given_up = False
        self._lost: str | None = None

    @property
    def lost(self) -> str | None:
        """The reason why it must be taken as lost, or None while it is held."""
        if self._lost is None and self.time_left <= timedelta():
            self._lost = f"the lease could not be renewed: {self.error or 'this process was held up'}"
        return self._lost

    @property
    def time_left(self) -> timedelta:
        """The time until it must be taken as lost if no renewal succeeds."""
        return self.sent_at + self.held_for - self.elapsed()

    @property
    def ends_at(self) -> timedelta:
        """The moment from which on others may take it for lost."""
        return self.sent_at + self.length

    @property
    def interval(self) -> timedelta:
        """The time between two renewals, and what commands may take to end after SIGTERM once it is lost."""
        return self.length / RENEWALS_PER_LEASE

    def renewed(self, sent_at: timedelta) -> None:
        """Note a renewal that has succeeded."""
        self.sent_at, self.error = sent_at, ""

    def give_up(self, reason: str) -> None:
        """Take it for lost now, for that reason."""
        self.is_given_up = True
        self._lost = self._lost or reason


class Flag(Protocol):
    """A sign from one thread to another that waits for it: `threading.Event`, or its like in simulated time."""

    def set(self) -> None:
        """Raise it: every `wait` returns, now and from now on."""

    def clear(self) -> None:
        """Lower it."""

    def wait(self, timeout: float) -> object:
        """Wait until it is raised, at most `timeout` seconds."""


class Heartbeat:
    """Keeps one worker's lease. `renew` renews it once; `run`, for a thread of its own, goes on until `close`.

    `watch`, for another thread, asks no database, which may be what holds up everything else.
    """

    def __init__(
        self,
        worker_id: str,
        *,
        workers: WorkerRegistry,
        lease: LeaseTerm,
        clock: Clock,
        wake: Callable[[], None],
        sign_of_life: Callable[[timedelta], None] = lambda _: None,
        new_flag: Callable[[], Flag] = threading.Event,
    ) -> None:
        """`sign_of_life` is called with each renewal, made or not: with the end of the lease, in time since boot."""
        self.lease = lease
        self.state = WorkerState.RUNNING
        """The worker's state, which the next renewal writes to the registry."""
        self._worker_id = worker_id
        self._workers = workers
        self._clock = clock
        self._wake = wake
        self._sign_of_life = sign_of_life
        self._due = new_flag()
        self._alarm = new_flag()
        self._over = new_flag()
        self._closed = False

    def renew(self) -> None:
        """Renew once. A failure is remembered for `lost`; the next renewal tries again."""
        _ = self.lease.lost  # a process that wakes up may come here first, and a renewal would hide that it was held up
        sent_at, now = self.lease.elapsed(), self._clock()
        try:
            renewed = self._workers.renew(self._worker_id, state=self.state, at=now, until=now + self.lease.length)
        except DatabaseReplaced as error:
            self.give_up(error.message)
        except DatabaseUnavailable as error:
            self.lease.error = error.message
            self._sign_of_life(self.lease.ends_at)
        else:
            if renewed:
                self.lease.renewed(sent_at)
                self._sign_of_life(self.lease.ends_at)
            else:
                self.give_up("others took the lease for lost and took the jobs back")

    def give_up(self, reason: str) -> None:
        """Take the lease for lost now, for that reason."""
        self.lease.give_up(reason)
        self._alarm.set()
        self._wake()

    def renew_now(self) -> None:
        """Have `run` renew now, for example to write a new `state`."""
        self._due.set()

    def run(self) -> None:
        """Renew every sixth of the lease until `close`; the first time that long after the registration was sent."""
        renew_at = self.lease.sent_at + self.lease.interval
        while not (self._closed or self.lease.is_given_up):
            self._due.wait(max(0.0, (renew_at - self.lease.elapsed()).total_seconds()))
            self._due.clear()
            if not self._closed:
                renew_at = self.lease.elapsed() + self.lease.interval
                self.renew()

    def watch(self, stop_jobs: Callable[[timedelta], None]) -> None:
        """Wait until the lease is lost, then call `stop_jobs` with the grace there is, and again when that is over.

        Returns then, or on `close`.
        """
        while not (self._closed or self.lease.lost):
            self._alarm.wait(max(0.0, self.lease.time_left.total_seconds()))
        if self.lease.lost:
            stop_jobs(self.lease.interval)
            self._over.wait(self.lease.interval.total_seconds())
            stop_jobs(timedelta())

    def close(self) -> None:
        """End `run` and `watch`."""
        self._closed = True
        for flag in (self._due, self._alarm, self._over):
            flag.set()
