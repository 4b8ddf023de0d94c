"""Calls that may take for ever, in threads that nobody waits for."""

import contextlib
import errno
import os
import queue
import threading
import time
from collections.abc import Callable

from queuectl.adapters.host.signals import start_without_signals

PATIENCE = 0.1
"""Seconds that a call may take before those behind it get another thread. Nearly all take a millisecond, and one thread
for all is cheaper than one for each: threads that run Python take turns."""


class BlockingCalls:
    """Makes the calls that touch the files of jobs: a mount that does not answer then holds up its own call alone.

    There is one thread, and another one each time that all of them are held up. `begin` and `relieve` belong to one
    thread.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._busy_since: dict[int, float] = {}
        self._threads = 0

    def begin(self, call: Callable[[], None]) -> None:
        """Have the call made, which must not raise; returns at once. Raises OSError when no thread is to be had."""
        if not self._threads:
            self._add_thread()
        self._calls.put(call)

    def relieve(self) -> bool:
        """Add a thread if calls wait and all threads are held up; whether calls wait, and it is to be called again."""
        if self._calls.empty():
            return False
        late = time.monotonic() - PATIENCE
        busy_since = list(self._busy_since.values())
        if len(busy_since) == self._threads and max(busy_since) < late:
            with contextlib.suppress(OSError):  # later perhaps
                self._add_thread()
        return True

    def _add_thread(self) -> None:
        try:
            start_without_signals("blocking calls", self._serve)
        except RuntimeError:  # the system has no thread left, or no memory for its stack
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        self._threads += 1

    def _serve(self) -> None:
        thread = threading.get_ident()
        while True:
            call = self._calls.get()
            self._busy_since[thread] = time.monotonic()
            call()
            del self._busy_since[thread]
