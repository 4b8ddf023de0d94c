"""Notifications on SQLite: who makes a job due touches the log after the commit, and inotify(7) tells of it.

The commit's own writes to the log would tell too early, before it is synced and visible, and of every heartbeat too.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from queuectl.adapters.host import inotify
from queuectl.adapters.sql.sqlite.connection import beside

IN_ATTRIB, IN_DELETE_SELF = 0x4, 0x400

MIN_INTERVAL = 0.002
"""Seconds between two wake-ups: a burst of notifications is one hint."""

LOOK_AGAIN = 0.1
"""Seconds between two looks for a log that is not there."""


class SqliteNotify:
    """Tells waiting workers, after a commit, that there may be work for them. Never raises."""

    def __init__(self, path: Path) -> None:
        self._log = beside(path, "-wal")

    def __call__(self) -> None:
        """Touch the log."""
        with contextlib.suppress(OSError):  # whom this hint does not reach will poll
            os.utime(self._log)


class SqliteListen:
    """`Listen` by watching the log of one database file. Does nothing where there is no inotify."""

    def __init__(self, path: Path) -> None:
        self._log = beside(path, "-wal")

    def __call__(self, wake: Callable[[], None]) -> None:
        """Call `wake` from a thread of its own after each notification, by whomever."""
        if sys.platform == "linux":
            threading.Thread(target=self._watch, args=(wake,), name="wake-ups", daemon=True).start()

    def _watch(self, wake: Callable[[], None]) -> None:
        while True:
            with contextlib.suppress(OSError):
                self._watch_one_file(wake)
            time.sleep(LOOK_AGAIN)

    def _watch_one_file(self, wake: Callable[[], None]) -> None:
        """Until the log is deleted, as SQLite does when the last connection closes."""
        with inotify.watch(self._log, IN_ATTRIB | IN_DELETE_SELF) as wait:
            wake()  # for what was notified before the watch began
            while self._log.exists():
                wait()
                wake()
                time.sleep(MIN_INTERVAL)
