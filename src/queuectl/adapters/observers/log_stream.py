"""A stream to stderr that a thread writes, so that a log which takes nothing does not hold up the work.

A terminal stopped by Ctrl-S, a full pipe or a disk that hangs makes write(2) wait, maybe for ever. Stderr cannot be
made non-blocking instead: that would change it for every process that has it open, and means nothing for a file.
"""

import io
import os
import sys
import threading
from collections import deque
from select import PIPE_BUF, POLLOUT, poll
from typing import TYPE_CHECKING

from queuectl.adapters.host.signals import start_without_signals
from queuectl.domain.errors import reason_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAX_LINES = 4096
"""Lines that wait for the log to take them; beyond, the oldest are dropped."""

GATHER_INTERVAL = 0.02
"""Seconds in which lines gather once some were written: to wake the thread for each would cost more than a write."""

FLUSH_TIMEOUT = 1.0
"""Seconds that the end of a process waits for what is not written yet."""


def unblock_stderr() -> None:
    """Let this process, and a fork of it, never wait until what it writes to stderr is taken."""
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = unblocked(sys.stderr)


def unblocked(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """A stream to the same descriptor that takes every text at once; `flush` waits for a second at most."""
    return io.TextIOWrapper(_Lines(stream.fileno()), stream.encoding, stream.errors, write_through=True)


class _Lines(io.RawIOBase):
    """Lines that wait for one descriptor. Each piece is whole where several processes write to one log."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Begin with nothing: what waits in a process that forks is its own, and its thread is not in the fork."""
        self._waiting: deque[bytes] = deque(maxlen=MAX_LINES)
        self._lock = threading.RLock()  # reentrant: a signal handler may have a line of its own
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._is_idle = False
        self._is_given_up = False
        self._is_failing = False
        self._dropped = 0
        self._reason = ""

    def writable(self) -> bool:
        """True, as of every stream to write to."""
        return True

    @property
    def name(self) -> str:
        """The name of Python's own stream."""
        return "<stderr>"

    def fileno(self) -> int:
        """The descriptor that it ends in."""
        return self._descriptor

    def write(self, text: "ReadableBuffer") -> int:
        """Have it written soon; a line too long to stay whole in a pipe is cut."""
        line = bytes(text)
        with self._lock:
            if len(self._waiting) == MAX_LINES:
                self._drop(1, "nobody read the log")
            self._waiting.append(line if len(line) <= PIPE_BUF else line[: PIPE_BUF - 4] + b"...\n")
            if self._thread is None:
                self._thread = start_without_signals("log", self._write_on)
            elif self._is_idle or len(self._waiting) == MAX_LINES // 2:
                self._changed.notify_all()
        return len(line)

    def flush(self) -> None:
        """Wait for what is not written yet, a moment at most, and not again while the log takes nothing."""
        with self._changed:
            if self._thread is not None and not self._is_given_up:
                self._changed.notify_all()
                is_written = self._changed.wait_for(lambda: self._is_idle and not self._waiting, FLUSH_TIMEOUT)
                self._is_given_up = not is_written

    def _write_on(self) -> None:
        while True:
            with self._lock:
                if not self._waiting and (self._is_failing or not self._dropped):
                    self._is_idle = True
                    self._changed.notify_all()
                    self._changed.wait_for(self._waiting.__len__)
                    self._is_idle = False
                dropped = self._dropped
                lines = [self._note()] if dropped else self._next()
            error = _write_all(self._descriptor, b"".join(lines))
            with self._lock:
                self._is_given_up, self._is_failing = False, error is not None
                if error is None:
                    self._dropped -= dropped
                else:
                    self._drop(len(self._next()) if dropped else len(lines), error)
                if not self._waiting:
                    self._changed.wait(GATHER_INTERVAL)  # or until a flush

    def _next(self) -> list[bytes]:
        """Take as many lines as a pipe takes in one piece."""
        lines: list[bytes] = []
        size = 0
        while self._waiting and (not lines or size + len(self._waiting[0]) <= PIPE_BUF):
            size += len(self._waiting[0])
            lines.append(self._waiting.popleft())
        return lines

    def _drop(self, count: int, reason: str) -> None:
        self._dropped += count
        self._reason = reason

    def _note(self) -> bytes:
        lines = "1 line was" if self._dropped == 1 else f"{self._dropped:,} lines were"
        return f"... {lines} dropped: {self._reason}\n".encode()


def _write_all(descriptor: int, text: bytes) -> str | None:
    """Write all of it, however long that takes; returns why it could not be, or None."""
    try:
        while text:
            try:
                text = text[os.write(descriptor, text) :]
            except BlockingIOError:  # made non-blocking by another process that has it
                ready = poll()
                ready.register(descriptor, POLLOUT)
                ready.poll()
    except OSError as error:
        return reason_of(error)
    return None
