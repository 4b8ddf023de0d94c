"""The queue in an SQLite file: created, upgraded, checked; `checks` examines it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from queuectl.adapters.sql.engine.migration import check_version, create_schema, migrate, schema_version
from queuectl.adapters.sql.engine.queries import SCHEMA_VERSION
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.adapters.sql.sqlite.connection import (
    APPLICATION_ID,
    HOW_TO_MAKE_ONE,
    MARK_AS_OURS,
    check_place,
    create_file,
    is_there,
    use_write_ahead_log,
)
from queuectl.domain.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from queuectl.domain.ports.storage import Finding


CREATION_TIMEOUT, LOOK_AGAIN = 0.5, 0.02
"""Seconds that somebody else who has made the file may take to make the queue in it, and between two looks at it."""


class SqliteStorage:
    """`Storage` on an SQLite file."""

    def __init__(self, path: Path, database: Database) -> None:
        self.name = f"sqlite:///{path}"
        self._path = path
        self._database = database

    def initialise(self) -> str | None:
        """Create the schema or bring it up to date; what was done, or None."""
        is_new = not is_there(self._path)
        create_file(self._path)
        before = self._database.read(self._own_version)
        if before is not None and before >= SCHEMA_VERSION:
            check_version(before, f"the database file {self._path}")
            return None
        # Outside the transaction: SQLite cannot change the journal's mode within one.
        self._database.outside_transactions(use_write_ahead_log)
        if before is None:
            self._database.write(lambda connection: create_schema(connection, first=MARK_AS_OURS))
            return f"created the queue in {self._path}" if is_new else f"made {self._path} a queue"
        migrate(self._database.dialect)
        return f"upgraded {self._path} from schema {before} to {SCHEMA_VERSION}"

    def open(self, *, create: bool = False) -> None:
        """Make sure that the file can be used; makes an absent or empty one a queue if it is to `create` one."""
        if not is_there(self._path):
            if not create:
                raise DatabaseUnreachable(f"there is no queue at {self._path}", hint=HOW_TO_MAKE_ONE)
            self.initialise()
            return
        check_place(self._path)
        version, journal = self._database.read(self._version_and_journal)
        if version is None and create:
            self.initialise()
            return
        give_up_at = time.monotonic() + CREATION_TIMEOUT
        while version is None:  # an empty file, or one whose creator is at work right now
            if time.monotonic() > give_up_at:
                raise DatabaseUnreachable(f"there is no queue in {self._path}: the file is empty", hint=HOW_TO_MAKE_ONE)
            time.sleep(LOOK_AGAIN)
            version, journal = self._database.read(self._version_and_journal)
        check_version(version, f"the database file {self._path}")
        if journal != "wal":  # a copy made by VACUUM INTO or a dump
            self._database.outside_transactions(use_write_ahead_log)

    def examine(self) -> "Sequence[Finding]":
        """Check the file from outside and inside; what is wrong is a finding."""
        from queuectl.adapters.sql.sqlite.checks import MAX_WAIT, findings  # for `doctor` alone

        impatient = SqliteStorage(self._path, self._database.impatient(MAX_WAIT))
        try:
            return list(findings(self._path, self._database.impatient(MAX_WAIT), impatient.open))
        finally:
            impatient.close()

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def _version_and_journal(self, connection: Connection) -> tuple[str | None, str]:
        return self._own_version(connection), str(connection.scalar("PRAGMA journal_mode"))

    def _own_version(self, connection: Connection) -> str | None:
        """The schema's version; None for an empty file. Raises DatabaseUnreachable for another program's file."""
        application = connection.scalar("PRAGMA application_id")
        is_empty = connection.scalar("SELECT 1 FROM sqlite_master") is None
        if application != APPLICATION_ID and (application or not is_empty):
            raise DatabaseUnreachable(
                f"the database file {self._path} belongs to another program",
                hint="choose another file with --database-url sqlite:///PATH or QUEUECTL_DATABASE_URL",
            )
        return schema_version(connection)
