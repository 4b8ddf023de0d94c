"""Keeping a worker's lease: renewed by a thread of its own, judged by the machine's time since boot."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from queuectl.domain.errors import DatabaseReplaced, DatabaseUnavailable
from queuectl.domain.ports.host import Clock, Elapsed
from queuectl.domain.ports.workers import WorkerRegistry
from queuectl.domain.worker import WorkerState

BEATS_PER_LEASE = 6


class Flag(Protocol):
    """What one thread waits for and another one raises: `threading.Event`, or its like in simulated time."""

    def set(self) -> None:
        """Raise it: every `wait` returns, now and from now on."""

    def clear(self) -> None:
        """Lower it."""

    def wait(self, timeout: float) -> object:
        """Wait until it is raised, at most `timeout` seconds."""


class Heartbeat:
    """One worker's lease. `beat` renews it once; `run`, for a thread of its own, goes on until `close`.

    `lost` says why the lease must be taken as lost, or is None. A renewal counts from the moment it was *sent*: the
    database's answer may be old when it arrives. The lease is given up after two thirds of its length without a
    renewal, so that the rest is enough to stop the jobs before others may claim them. What is lost stays lost.
    `watch`, for another thread, does just that: it asks no database, which may be what holds up everything else.
    """

    def __init__(
        self,
        worker_id: str,
        *,
        workers: WorkerRegistry,
        lease: timedelta,
        clock: Clock,
        elapsed: Elapsed,
        wake: Callable[[], None],
        sent_at: timedelta | None = None,
        tell: Callable[[timedelta], None] = lambda _: None,
        new_flag: Callable[[], Flag] = threading.Event,
    ) -> None:
        """`sent_at` is when the registration, and with it the first lease, was sent; None: now.

        `tell` hears at each beat when the lease ends, in time since boot: a sign of life, also when that is past.
        """
        self._worker_id = worker_id
        self._workers = workers
        self._lease = lease
        self._clock = clock
        self._elapsed = elapsed
        self._wake = wake
        self._sent_at = elapsed() if sent_at is None else sent_at
        self._tell = tell
        self._given_up = ""
        self._error: str | None = None
        self._lost: str | None = None
        self._due = new_flag()
        self._alarm = new_flag()
        self._over = new_flag()
        self._closed = False
        self.state = WorkerState.RUNNING

    @property
    def lost(self) -> str | None:
        """Why the lease is lost, or None while it is held."""
        self._judge()
        return self._lost

    def _judge(self) -> None:
        if self._lost is None:
            if self._given_up:
                self._lost = self._given_up
            elif self.time_left <= timedelta():
                self._lost = f"the lease could not be renewed: {self._error or 'this process was held up'}"

    @property
    def time_left(self) -> timedelta:
        """How long until the lease must be taken as lost if no renewal succeeds."""
        return self._sent_at + self._lease * 2 / 3 - self._elapsed()

    @property
    def stop_grace(self) -> timedelta:
        """How long commands may take to end after SIGTERM once the lease is lost, and still end before it does."""
        return self._lease / BEATS_PER_LEASE

    def beat(self) -> None:
        """Renew once. A failure is kept for `lost`; the next beat tries again."""
        self._judge()  # a process that wakes up may come here first, and a renewal would hide that it was held up
        sent_at, now = self._elapsed(), self._clock()
        try:
            renewed = self._workers.renew(self._worker_id, state=self.state, at=now, until=now + self._lease)
        except DatabaseReplaced as error:
            self.give_up(error.message)
        except DatabaseUnavailable as error:
            self._error = error.message
            self._tell(self._sent_at + self._lease)
        else:
            if renewed:
                self._sent_at, self._error = sent_at, None
                self._tell(sent_at + self._lease)
            else:
                self.give_up("others took the lease for lost and took the jobs back")

    def give_up(self, reason: str) -> None:
        """Take the lease for lost now, for that reason."""
        self._given_up = reason
        self._alarm.set()
        self._wake()

    def soon(self) -> None:
        """Have `run` beat now, for example to tell a new `state`."""
        self._due.set()

    def run(self) -> None:
        """Beat every sixth of the lease until `close`; for the first time that long after the registration was sent."""
        beat_at = self._sent_at + self._lease / BEATS_PER_LEASE
        while not (self._closed or self._given_up):
            self._due.wait(max(0.0, (beat_at - self._elapsed()).total_seconds()))
            self._due.clear()
            if not self._closed:
                beat_at = self._elapsed() + self._lease / BEATS_PER_LEASE
                self.beat()

    def watch(self, stop_jobs: Callable[[timedelta], None]) -> None:
        """Wait until the lease is lost, then call `stop_jobs` with the grace there is, and again when that is over.

        Returns then, or on `close`.
        """
        while not (self._closed or self.lost):
            self._alarm.wait(max(0.0, self.time_left.total_seconds()))
        if self.lost:
            stop_jobs(self.stop_grace)
            self._over.wait(self.stop_grace.total_seconds())
            stop_jobs(timedelta())

    def close(self) -> None:
        """End `run` and `watch`."""
        self._closed = True
        for flag in (self._due, self._alarm, self._over):
            flag.set()
