"""Wake-ups on SQLite: each commit appends to the write-ahead log, and inotify(7) tells of it, at no cost when idle."""

import contextlib
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

IN_MODIFY, IN_DELETE_SELF, IN_ATTRIB = 0x2, 0x400, 0x4
IN_CLOEXEC = 0o2000000
READ_SIZE = 4096

QUIET = 0.005
"""Seconds between two wake-ups: a burst of commits is one hint, and costs a busy queue next to nothing."""

LOOK_AGAIN = 1.0
"""Seconds between two looks for a log that is not there."""


class SqliteWakeUps:
    """`WakeUps` by watching the log of one database file. Does nothing where there is no inotify."""

    def __init__(self, path: Path) -> None:
        real = path.resolve()  # SQLite follows a symlink, and has the log beside the file itself
        self._log = real.with_name(real.name + "-wal")

    def __call__(self, wake: Callable[[], None]) -> None:
        """Call `wake` from a thread of its own after each commit to the database, by whomever."""
        if sys.platform == "linux":
            threading.Thread(target=self._watch, args=(wake,), name="wake-ups", daemon=True).start()

    def _watch(self, wake: Callable[[], None]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        while True:
            with contextlib.suppress(OSError):
                self._watch_one_file(libc, wake)
            time.sleep(LOOK_AGAIN)

    def _watch_one_file(self, libc: ctypes.CDLL, wake: Callable[[], None]) -> None:
        """Until the log is deleted, as SQLite does when the last connection closes."""
        inotify = libc.inotify_init1(IN_CLOEXEC)
        if inotify < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        try:
            mask = IN_MODIFY | IN_DELETE_SELF | IN_ATTRIB
            if libc.inotify_add_watch(inotify, os.fsencode(self._log), mask) < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch")
            wake()  # for what was committed before the watch began
            while self._log.exists():
                os.read(inotify, READ_SIZE)
                wake()
                time.sleep(QUIET)
        finally:
            os.close(inotify)
