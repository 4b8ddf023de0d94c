"""A supervisor's slot for one worker process, and the line between the two."""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from queuectl.domain.retry import Backoff

RESTARTS = Backoff(initial=timedelta(milliseconds=100), ceiling=timedelta(seconds=30))
"""The waits before a crashed worker is replaced, by its crashes in a row."""

HEALTHY = 60.0
"""Seconds after which a worker's crash is not counted as one in a row with the crash before."""

RunWorker = Callable[[socket.socket], int]
"""Runs one worker in this process, given the line to its supervisor; returns its exit code.

It reads an `Order` at a time, or the end when the supervisor is gone, and writes the worker's id when it is ready.
"""


class Order(Enum):
    """An order of a supervisor to a worker, as one byte."""

    STOP = b"s"
    FORCE = b"f"
    RESCUE = b"r"
    """Another worker has died: its jobs are to be taken back now, not when its lease is over."""


@dataclass(slots=True)
class Slot:
    """One worker: its process now, or when the next one starts. Times are in seconds, monotonic."""

    pid: int | None = None
    line: socket.socket | None = None
    started: float = 0.0
    start_at: float | None = 0.0
    is_ready: bool = False
    crashes: int = 0
    """In a row."""
    overdue_at: float | None = None
    """The moment to kill its process, which has outlived its lease or does not stop."""

    def fill(self, pid: int, line: socket.socket, now: float) -> None:
        """Note the process that was started."""
        self.pid, self.line, self.started, self.start_at, self.overdue_at = pid, line, now, None, None

    def send(self, order: Order) -> None:
        """Give the worker an order, if it is there to take one."""
        if self.line is not None:
            with contextlib.suppress(OSError):  # full, for it is frozen, or closed, for it is ending
                self.line.send(order.value, socket.MSG_DONTWAIT)

    def receive(self) -> str:
        """Read the worker's id, which it writes when it is ready; empty when its process is going."""
        if self.line is None:
            return ""
        try:
            return self.line.recv(256).decode()
        except OSError:
            return ""

    @property
    def has_news(self) -> bool:
        """True when the worker has written what is not read yet."""
        with contextlib.suppress(OSError):
            return self.line is not None and bool(self.line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        return False

    def restart(self, now: float) -> float:
        """Have the worker replaced, which has crashed; in how many seconds."""
        if now - self.started > HEALTHY:
            self.crashes = 0
        wait = RESTARTS.after(self.crashes).total_seconds()
        self.crashes += 1
        self.start_at = now + wait
        return wait
