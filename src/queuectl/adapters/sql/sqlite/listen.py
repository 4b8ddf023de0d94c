"""Wake-ups on SQLite: inotify(7) tells of announcements."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from queuectl.adapters.sql.sqlite.notify import log_of

if TYPE_CHECKING:
    from ctypes import CDLL

IN_ATTRIB, IN_DELETE_SELF = 0x4, 0x400
IN_CLOEXEC = 0o2000000
READ_SIZE = 4096

QUIET = 0.002
"""Seconds between two wake-ups: a burst of announcements is one hint."""

LOOK_AGAIN = 0.1
"""Seconds between two looks for a log that is not there."""


class SqliteListen:
    """`WakeUps` by watching the log of one database file. Does nothing where there is no inotify."""

    def __init__(self, path: Path) -> None:
        self._log = log_of(path)

    def __call__(self, wake: Callable[[], None]) -> None:
        """Call `wake` from a thread of its own after each announcement, by whomever."""
        if sys.platform == "linux":
            threading.Thread(target=self._watch, args=(wake,), name="wake-ups", daemon=True).start()

    def _watch(self, wake: Callable[[], None]) -> None:
        import ctypes  # which commands that only notify can do without

        libc = ctypes.CDLL(None)
        while True:
            with contextlib.suppress(OSError):
                self._watch_one_file(libc, wake)
            time.sleep(LOOK_AGAIN)

    def _watch_one_file(self, libc: "CDLL", wake: Callable[[], None]) -> None:
        """Until the log is deleted, as SQLite does when the last connection closes."""
        inotify = libc.inotify_init1(IN_CLOEXEC)
        if inotify < 0:
            raise OSError("inotify_init1")
        try:
            if libc.inotify_add_watch(inotify, os.fsencode(self._log), IN_ATTRIB | IN_DELETE_SELF) < 0:
                raise OSError("inotify_add_watch")
            wake()  # for what was announced before the watch began
            while self._log.exists():
                os.read(inotify, READ_SIZE)
                wake()
                time.sleep(QUIET)
        finally:
            os.close(inotify)
