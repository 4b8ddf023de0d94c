"""The lock in front of an SQLite file's own, which has its writers in the order in which they came."""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from queuectl.adapters.sql.engine.log import warn

PAUSES = (0.0003, 0.0005, 0.001, 0.001, 0.001, 0.001)
"""Seconds after each look whether it is our turn. Most turns are over by then, and a thread costs as much as a wait."""

STUCK_AFTER = 5.0
"""Seconds of waiting for one turn after which the line is said not to move: the turns of many are over by then."""


class WriteLock:
    """Lets one writer after the other, over all processes, to a database whose own lock knows no order.

    SQLite lets a writer that finds its lock taken sleep and try again, ever more rarely: the disk idles meanwhile, and
    those that have waited longest have the least chance. Here they block in flock(2) on a file of their own, and the
    kernel wakes them when it is free. This is a courtesy, not the lock: what waits for `longest` goes on without a
    turn and asks SQLite, which also knows of those who have never heard of this file.

    Of each process one thread waits, however long another process holds the file: a frozen one, or a backup's. As long
    as that thread has not had the turn that its writer gave up, the writers of this process do without the line.
    """

    def __init__(self, path: Path, *, longest: timedelta) -> None:
        """`path` need not exist yet; its directory must."""
        self._path = path
        self._longest = longest.total_seconds()
        self._own = threading.Lock()
        self._waiter: threading.Thread | None = None
        self._waits_since = 0.0
        self._was_told = False

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """A turn, for as long as the body runs; it is waited for first."""
        # Of the threads of this process only the first stands in the line.
        has_own = self._own.acquire(timeout=self._longest)
        opened = self._first_in_line() if has_own and not self._is_stuck else None
        try:
            yield
        finally:
            if opened is not None:
                # Before it is closed: a process that is just being started has it open too, until its program runs.
                fcntl.flock(opened, fcntl.LOCK_UN)
                os.close(opened)
            if has_own:
                self._own.release()

    def _first_in_line(self) -> int | None:
        """The file, opened and, if our turn has come, locked; None where it cannot be opened: there is no line."""
        try:
            # Opened for each turn: what is locked is not the file but this opening of it, which a waiter that gave up
            # must not share with a later turn.
            opened = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        for pause in PAUSES:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(pause)
            except OSError:  # a file system without locks, or without memory for one
                return opened
            else:
                return opened
        with contextlib.suppress(OSError, RuntimeError):  # no descriptor or no thread to be had: no turn either
            self._wait(opened)
        return opened

    @property
    def _is_stuck(self) -> bool:
        """True if a turn that was given up has not come yet. Tells the log, once, where it has not for long."""
        if self._waiter is None:
            return False
        if not self._waiter.is_alive():
            self._waiter, self._was_told = None, False
            return False
        if not self._was_told and time.monotonic() - self._waits_since > STUCK_AFTER:
            self._was_told = True
            warn(f"another program holds {self._path} and does not let go: writing without waiting for it")
        return True

    def _wait(self, mine: int) -> None:
        """Wait in flock(2), which knows no timeout, by a thread. A turn that it gets too late ends at once."""
        theirs, has_turn = os.dup(mine), threading.Event()
        given_up = threading.Lock()  # taken by whoever is first: the writer that gives up, or the turn that comes

        def wait() -> None:
            with contextlib.suppress(OSError):
                fcntl.flock(theirs, fcntl.LOCK_EX)
            if not given_up.acquire(blocking=False):
                fcntl.flock(theirs, fcntl.LOCK_UN)
            os.close(theirs)
            has_turn.set()

        waiter = threading.Thread(target=wait, name="write turn", daemon=True)
        try:
            waiter.start()
        except RuntimeError:
            os.close(theirs)
            raise
        self._waits_since = time.monotonic()
        if not has_turn.wait(self._longest) and given_up.acquire(blocking=False):
            self._waiter = waiter
