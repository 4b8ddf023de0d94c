"""SQLite: one file, for any number of processes on one machine."""

from datetime import timedelta

from queuectl.adapters.host.clock import now
from queuectl.adapters.sql.backend import Backend
from queuectl.adapters.sql.engine.transactions import Database
from queuectl.adapters.sql.sqlite.claim import SqliteClaiming
from queuectl.adapters.sql.sqlite.connection import path_of, sqlite_dialect
from queuectl.adapters.sql.sqlite.notify import SqliteListen, SqliteNotify
from queuectl.adapters.sql.sqlite.scratch import SqliteScratch
from queuectl.adapters.sql.sqlite.storage import SqliteStorage


def backend(url: str, *, patience: timedelta) -> Backend:
    """The database file of that URL; its clock is the machine's. Raises DatabaseUnreachable for a URL without one."""
    path = path_of(url)
    database = Database(sqlite_dialect(path), patience=patience)
    return Backend(
        location=str(path.resolve()),
        shareable_url=lambda: url,
        database=database,
        storage=SqliteStorage(path, database),
        clock=now,
        notify=SqliteNotify(path),
        listen=SqliteListen(path),
        scratch=lambda: SqliteScratch(path),
        claiming=SqliteClaiming(),
    )
