"""Announcements on SQLite: who makes a job due touches the write-ahead log after the commit.

The commit's own writes to the log would tell too early, before it is synced and visible, and of every heartbeat too.
"""

import contextlib
import os
from pathlib import Path


def log_of(path: Path) -> Path:
    """The write-ahead log of a database file: SQLite follows symlinks, and has it beside the file itself."""
    real = path.resolve()
    return real.with_name(real.name + "-wal")


class SqliteNotify:
    """Tells waiting workers, after a commit, that there may be work for them. Never raises."""

    def __init__(self, path: Path) -> None:
        self._log = log_of(path)

    def __call__(self) -> None:
        """Touch the log."""
        with contextlib.suppress(OSError):  # whom this hint does not reach will poll
            os.utime(self._log)
