"""Checks of an SQLite file: its version, directory, mode and content."""

import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from queuectl.adapters.host.checks import trouble_of
from queuectl.adapters.sql.engine.queries import SCHEMA_VERSION
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.adapters.sql.sqlite.connection import (
    ANOTHER_PLACE,
    HOW_TO_MAKE_ONE,
    check_place,
    is_safe_version,
    is_there,
    sqlite_version,
)
from queuectl.adapters.sql.stores.workers import unreadable_rows
from queuectl.domain.errors import DatabaseBusy, DatabaseUnavailable, QueueError
from queuectl.domain.ports.storage import Finding, Grade

MAX_WAIT = timedelta(seconds=3)
"""The longest wait for a lock before it is reported."""

MEGABYTE = 1024 * 1024
LITTLE_SPACE = 100 * MEGABYTE

MILLISECOND = timedelta(milliseconds=1)

TRIAL = "INSERT INTO config (key, value) VALUES ('a trial of doctor''s', '')"

WRITABLE = "mend that; workers and `enqueue` run as the user who owns the file"


def findings(path: Path, database: Database, open_: Callable[[], None]) -> Iterator[Finding]:
    """The findings about the file, from outside and, if `open_` does not raise, inside."""
    yield _version_finding()
    try:
        if not is_there(path):
            yield from _absence_findings(path)
            return
        open_()
    except (QueueError, OSError) as error:
        hint = error.hint if isinstance(error, QueueError) else None
        yield Finding(subject="database", grade=Grade.FAIL, message=str(error), hint=hint)
        if isinstance(error, DatabaseBusy):
            yield _lock_finding(path, database.patience)
        elif trouble := _trouble_of_writing(path):
            yield Finding(subject="writes", grade=Grade.FAIL, message=trouble, hint=WRITABLE)
        return
    size = path.stat().st_size / MEGABYTE
    yield Finding(subject="database", grade=Grade.OK, message=f"{path}, {size:,.1f} MiB")
    yield Finding(subject="schema", grade=Grade.OK, message=f"version {SCHEMA_VERSION}, the newest")
    yield _mode_finding(path)
    yield _space_finding(path)
    yield _write_finding(path, database)
    yield _integrity_finding(database)
    yield from unreadable_rows(database)


def _version_finding() -> Finding:
    version = sqlite_version()
    text = ".".join(map(str, version))
    if is_safe_version(version):
        return Finding(subject="sqlite", grade=Grade.OK, message=f"version {text}")
    message = f"version {text} can, rarely, corrupt a database that several processes write (the WAL reset bug)"
    hint = "install a Python whose SQLite is 3.51.3 or newer, or the pysqlite3 wheel"
    return Finding(subject="sqlite", grade=Grade.WARN, message=message, hint=hint)


def _absence_findings(path: Path) -> Iterator[Finding]:
    """Nothing is wrong before the first job; unless there cannot be one."""
    message, hint = f"there is no queue at {path} yet", HOW_TO_MAKE_ONE
    yield Finding(subject="database", grade=Grade.WARN, message=message, hint=hint)
    try:
        if path.parent.exists():
            check_place(path)
        trouble = trouble_of(path.parent)
    except DatabaseUnavailable as error:
        trouble = error.message
    if trouble:
        message = f"no queue can be made there: {trouble}"
        yield Finding(subject="writes", grade=Grade.FAIL, message=message, hint=ANOTHER_PLACE)


def _write_finding(path: Path, database: Database) -> Finding:
    """Try to store a job, as far as the last step."""
    if trouble := _trouble_of_writing(path):
        return Finding(subject="writes", grade=Grade.FAIL, message=trouble, hint=WRITABLE)
    wait = f"PRAGMA busy_timeout = {max(1, database.patience // MILLISECOND)}"
    try:
        database.try_to_write(lambda connection: connection.execute(TRIAL), first=[wait])
    except DatabaseBusy:
        return _lock_finding(path, database.patience)
    except DatabaseUnavailable as error:
        return Finding(subject="writes", grade=Grade.FAIL, message=error.message, hint=error.hint)
    return Finding(subject="writes", grade=Grade.OK, message="tried, and rolled back")


def _trouble_of_writing(path: Path) -> str | None:
    """The system's reasons against writing the file, or those that SQLite has beside it."""
    try:
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return f"nothing can be written: {path} is on a file system that is mounted read-only"
        for each in (path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-lock")):
            if each.exists() and not os.access(each, os.W_OK):
                status = each.stat()
                mode = f"mode {status.st_mode & 0o7777:04o}, of user {status.st_uid}"
                return f"nothing can be written: you may not write {each} ({mode})"
    except OSError as error:
        return f"nothing can be written: {error}"
    trouble = trouble_of(path.parent)
    return f"nothing can be written: {trouble}" if trouble else None


def _lock_finding(path: Path, waited: timedelta) -> Finding:
    holders = lock_holders(path)
    seconds = waited.total_seconds()
    message = f"nothing can be written: another process has the database locked, for all of the {seconds:g} s waited"
    if not holders:
        hint = f"find that process, for example with `fuser {path}`, and end its transaction"
    else:
        message += f"; now it is {', '.join(holders)}"
        hint = "see what that process does, and have it end its transaction"
    return Finding(subject="writes", grade=Grade.FAIL, message=message, hint=hint)


def lock_holders(path: Path, locks: Path = Path("/proc/locks")) -> Sequence[str]:
    """The processes that keep others from writing, as `pid 17 (python3)`; none where the system does not tell.

    In a write-ahead log that is byte 120 of the -shm file (https://sqlite.org/walformat.html#locks), else the bytes
    from 2**30 on of the file itself. A lock is told by device and inode: where those are not the file's own, as on
    some layered file systems, nobody is named.
    """
    found: dict[str, None] = {}
    try:
        files = {_as_locked(path.with_name(path.name + "-shm")): 120, _as_locked(path): 2**30}
        for line in locks.read_text().splitlines():
            fields = line.split()
            if len(fields) != 8 or fields[1] != "POSIX" or fields[3] != "WRITE" or fields[5] not in files:
                continue
            first, last = int(fields[6]), math.inf if fields[7] == "EOF" else int(fields[7])
            byte = files[fields[5]]
            if int(fields[4]) > 0 and (first <= byte <= last if byte == 120 else last >= byte):
                found[_process(int(fields[4]))] = None
    except (OSError, ValueError):
        return ()
    return list(found)


def _as_locked(path: Path) -> str:
    """The name of the file in /proc/locks: its device's numbers in hex, and its inode."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return str(path)
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"


def _process(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes().decode(errors="replace")
    except OSError:
        return f"pid {pid}"
    name, _, rest = stat.partition("(")[2].rpartition(")")
    is_frozen = rest.split()[:1] in (["T"], ["t"])
    return f"pid {pid} ({name}{f', frozen: kill -CONT {pid} wakes it' if is_frozen else ''})"


def _mode_finding(path: Path) -> Finding:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        message = f"other users can open the database file, with all commands and their output (mode {mode:04o})"
        return Finding(subject="permissions", grade=Grade.WARN, message=message, hint=f"chmod 600 {path}")
    return Finding(subject="permissions", grade=Grade.OK, message=f"mode {mode:04o}: only its owner can open it")


def _space_finding(path: Path) -> Finding:
    free = shutil.disk_usage(path.parent).free
    message = f"{free / MEGABYTE:,.0f} MiB free on its disk"
    if free < LITTLE_SPACE:
        return Finding(subject="disk", grade=Grade.WARN, message=message, hint="free some space soon")
    return Finding(subject="disk", grade=Grade.OK, message=message)


def _integrity_finding(database: Database) -> Finding:
    def work(connection: Connection) -> tuple[str, str]:
        return str(connection.scalar("PRAGMA journal_mode")), str(connection.scalar("PRAGMA quick_check(1)"))

    try:
        mode, result = database.read(work)
    except DatabaseUnavailable as error:
        return Finding(subject="integrity", grade=Grade.FAIL, message=error.message, hint=error.hint)
    if result != "ok" or mode != "wal":
        message = f"quick_check says {result}; journal mode {mode}"
        return Finding(subject="integrity", grade=Grade.FAIL, message=message, hint="restore it from a backup")
    return Finding(subject="integrity", grade=Grade.OK, message="quick_check ok, write-ahead log in use")
