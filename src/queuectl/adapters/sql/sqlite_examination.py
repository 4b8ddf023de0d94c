"""How well an SQLite file stands: its version, place, mode and content."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from queuectl.adapters.sql.database import Connection, Database
from queuectl.adapters.sql.migration import SCHEMA_VERSION
from queuectl.adapters.sql.row_findings import row_findings
from queuectl.adapters.sql.sqlite import is_safe_version, sqlite_version
from queuectl.domain.errors import DatabaseUnavailable, QueueError
from queuectl.domain.findings import Finding, Grade

MEGABYTE = 1024 * 1024
LITTLE_SPACE = 100 * MEGABYTE


def findings(path: Path, database: Database, open_: Callable[[], None]) -> Iterator[Finding]:
    """What the file is like, from outside and, if `open_` does not raise, inside."""
    yield _version_finding()
    try:
        open_()
    except (QueueError, OSError) as error:
        hint = error.hint if isinstance(error, QueueError) else None
        yield Finding(subject="database", grade=Grade.FAIL, message=str(error), hint=hint)
        return
    size = path.stat().st_size / MEGABYTE
    yield Finding(subject="database", grade=Grade.OK, message=f"{path}, {size:,.1f} MiB")
    yield Finding(subject="schema", grade=Grade.OK, message=f"version {SCHEMA_VERSION}, the newest")
    yield _mode_finding(path)
    yield _space_finding(path)
    yield _integrity_finding(database)
    yield from row_findings(database)


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


def _mode_finding(path: Path) -> Finding:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return Finding(
            subject="permissions",
            grade=Grade.WARN,
            message=f"other users can open the database file, with all commands and their output (mode {mode:04o})",
            hint=f"chmod 600 {path}",
        )
    return Finding(subject="permissions", grade=Grade.OK, message=f"mode {mode:04o}: only its owner can open it")


def _space_finding(path: Path) -> Finding:
    free = shutil.disk_usage(path.parent).free
    message = f"{free / MEGABYTE:,.0f} MiB free on its disk"
    if free < LITTLE_SPACE:
        return Finding(subject="disk", grade=Grade.WARN, message=message, hint="free some space soon")
    return Finding(subject="disk", grade=Grade.OK, message=message)


def _integrity_finding(database: Database) -> Finding:
    def work(connection: Connection) -> tuple[str, str]:
        return str(connection.ask("PRAGMA journal_mode")), str(connection.ask("PRAGMA quick_check(1)"))

    try:
        mode, result = database.read(work)
    except DatabaseUnavailable as error:
        return Finding(subject="integrity", grade=Grade.FAIL, message=error.message, hint=error.hint)
    if result != "ok" or mode != "wal":
        message = f"quick_check says {result}; journal mode {mode}"
        return Finding(subject="integrity", grade=Grade.FAIL, message=message, hint="restore it from a backup")
    return Finding(subject="integrity", grade=Grade.OK, message="quick_check ok, write-ahead log in use")
