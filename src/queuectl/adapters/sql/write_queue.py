"""The line in which the writers of an SQLite file wait for their turn."""

import contextlib
import fcntl
import os
import threading
import time
from datetime import timedelta
from pathlib import Path

PAUSES = (0.0003, 0.0005, 0.001, 0.001, 0.001, 0.001)
"""Seconds after each look whether it is our turn. Most turns are over by then, and a thread costs as much as a wait."""


class WriteQueue:
    """Lets one writer after the other, over all processes, to a database whose own lock knows no order.

    SQLite lets a writer that finds its lock taken sleep and try again, ever more rarely: the disk idles meanwhile, and
    those that have waited longest have the least chance. Here they block in flock(2) on a file of their own, and the
    kernel wakes them when it is free. This is a courtesy, not the lock: what waits for `longest` goes on without a
    turn and asks SQLite, which also knows of those who have never heard of this file.
    """

    def __init__(self, path: Path, *, longest: timedelta) -> None:
        """`path` need not exist yet; its directory must."""
        self._path = path
        self._longest = longest

    def turn(self) -> "Turn":
        """A turn to be waited for, and then had, by a `with` statement."""
        return Turn(self._path, self._longest)


class Turn:
    """One turn. Where the file cannot be opened, there is no line."""

    def __init__(self, path: Path, longest: timedelta) -> None:
        self._path = path
        self._longest = longest
        self._opened: int | None = None

    def __enter__(self) -> None:
        try:
            # Opened for each turn: what is locked is not the file but this opening of it, which another thread, or a
            # waiter that gave up, must not share.
            self._opened = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        for pause in PAUSES:
            try:
                fcntl.flock(self._opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(pause)
            else:
                return
        with contextlib.suppress(OSError, RuntimeError):  # no descriptor or no thread to be had: no turn either
            self._wait(self._opened)

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            os.close(self._opened)

    def _wait(self, mine: int) -> None:
        """flock(2) knows no timeout: a thread waits in it. When that gets the lock too late, it is free at once."""
        theirs, has_turn = os.dup(mine), threading.Event()

        def wait() -> None:
            try:
                fcntl.flock(theirs, fcntl.LOCK_EX)
            finally:
                os.close(theirs)
                has_turn.set()

        try:
            threading.Thread(target=wait, name="write turn", daemon=True).start()
        except RuntimeError:
            os.close(theirs)
            raise
        has_turn.wait(self._longest.total_seconds())
