"""The queue's place in an SQLite file: created, upgraded, checked, examined."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from queuectl.adapters.sql.database import Connection, Database
from queuectl.adapters.sql.migration import SCHEMA_VERSION, check_version, create, migrate, schema_version
from queuectl.adapters.sql.sqlite import (
    APPLICATION_ID,
    check_place,
    create_file,
    is_safe_version,
    mark_as_ours,
    sqlite_version,
    use_write_ahead_log,
)
from queuectl.domain.errors import DatabaseUnavailable, DatabaseUnreachable, QueueError
from queuectl.domain.ports import Finding, Grade

MEGABYTE = 1024 * 1024
LITTLE_SPACE = 100 * MEGABYTE


class SqliteStorage:
    """`Storage` on an SQLite file."""

    def __init__(self, path: Path, database: Database) -> None:
        self._path = path
        self._database = database

    @property
    def name(self) -> str:
        """Where it is, as a URL."""
        return f"sqlite:///{self._path}"

    def initialise(self) -> str | None:
        """Create the schema or bring it up to date; what was done, or None."""
        is_new = not self._path.exists()
        create_file(self._path)
        before = self._database.read(self._own_version)
        if before is not None and before >= SCHEMA_VERSION:
            check_version(before, f"the database file {self._path}")
            return None
        # Outside the transaction: SQLite cannot change the journal's mode within one.
        self._database.outside_transactions(use_write_ahead_log)
        if before is None:
            self._database.write(self._create)
            return f"created the queue in {self._path}" if is_new else f"made {self._path} a queue"
        migrate(self._database.backend)
        return f"upgraded {self._path} from schema {before} to {SCHEMA_VERSION}"

    def open(self, *, create: bool = True) -> None:
        """Make sure that the file can be used; creates an absent one, unless `create` is False."""
        if not self._path.exists():
            if not create:
                raise DatabaseUnreachable(f"the database file {self._path} does not exist")
            self.initialise()
            return
        check_place(self._path)
        version, journal = self._database.read(self._version_and_journal)
        if version is None:  # an empty file, or one whose creator is at work right now
            self.initialise()
            return
        check_version(version, f"the database file {self._path}")
        if journal != "wal":  # a copy made by VACUUM INTO or a dump
            self._database.outside_transactions(use_write_ahead_log)

    def examine(self) -> Sequence[Finding]:
        """Check the file from outside and inside; what is wrong is a finding."""
        return list(self._findings())

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def _create(self, connection: Connection) -> None:
        mark_as_ours(connection)
        create(connection)

    def _version_and_journal(self, connection: Connection) -> tuple[str | None, str]:
        return self._own_version(connection), str(connection.ask("PRAGMA journal_mode"))

    def _own_version(self, connection: Connection) -> str | None:
        """The schema's version; None for an empty file. Raises DatabaseUnreachable for another program's file."""
        application = connection.ask("PRAGMA application_id")
        is_empty = connection.ask("SELECT 1 FROM sqlite_master") is None
        if application != APPLICATION_ID and (application or not is_empty):
            raise DatabaseUnreachable(
                f"the database file {self._path} belongs to another program",
                hint="choose another file with --database-url sqlite:///PATH or QUEUECTL_DATABASE_URL",
            )
        return schema_version(connection)

    def _findings(self) -> Iterator[Finding]:
        yield _version_finding()
        try:
            self.open()
        except (QueueError, OSError) as error:
            hint = error.hint if isinstance(error, QueueError) else None
            yield Finding(subject="database", grade=Grade.FAIL, message=str(error), hint=hint)
            return
        size = self._path.stat().st_size / MEGABYTE
        yield Finding(subject="database", grade=Grade.OK, message=f"{self._path}, {size:,.1f} MiB")
        yield Finding(subject="schema", grade=Grade.OK, message=f"version {SCHEMA_VERSION}, the newest")
        yield self._mode_finding()
        yield self._space_finding()
        yield self._integrity_finding()

    def _mode_finding(self) -> Finding:
        mode = self._path.stat().st_mode & 0o777
        if mode & 0o077:
            return Finding(
                subject="permissions",
                grade=Grade.WARN,
                message=f"other users can open the database file, with all commands and their output (mode {mode:04o})",
                hint=f"chmod 600 {self._path}",
            )
        return Finding(subject="permissions", grade=Grade.OK, message=f"mode {mode:04o}: only its owner can open it")

    def _space_finding(self) -> Finding:
        free = shutil.disk_usage(self._path.parent).free
        message = f"{free / MEGABYTE:,.0f} MiB free on its disk"
        if free < LITTLE_SPACE:
            return Finding(subject="disk", grade=Grade.WARN, message=message, hint="free some space soon")
        return Finding(subject="disk", grade=Grade.OK, message=message)

    def _integrity_finding(self) -> Finding:
        def work(connection: Connection) -> tuple[str, str]:
            return str(connection.ask("PRAGMA journal_mode")), str(connection.ask("PRAGMA quick_check(1)"))

        try:
            mode, result = self._database.read(work)
        except DatabaseUnavailable as error:
            return Finding(subject="integrity", grade=Grade.FAIL, message=error.message, hint=error.hint)
        if result != "ok" or mode != "wal":
            message = f"quick_check says {result}; journal mode {mode}"
            return Finding(subject="integrity", grade=Grade.FAIL, message=message, hint="restore it from a backup")
        return Finding(subject="integrity", grade=Grade.OK, message="quick_check ok, write-ahead log in use")


def _version_finding() -> Finding:
    version = sqlite_version()
    text = ".".join(map(str, version))
    if is_safe_version(version):
        return Finding(subject="sqlite", grade=Grade.OK, message=f"version {text}")
    return Finding(
        subject="sqlite",
        grade=Grade.WARN,
        message=f"version {text} can, rarely, corrupt a database that several processes write (the WAL reset bug)",
        hint="install a Python whose SQLite is 3.51.3 or newer, or the pysqlite3 wheel",
    )
