"""SQLite: how its file is made safe, its connections set, its transactions begun and its errors meant."""

import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import lru_cache
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from queuectl.adapters.host.files import make_private
from queuectl.adapters.sql.engine.transactions import Columns, Connection, Cursor, Dialect
from queuectl.adapters.sql.engine.values import as_json
from queuectl.adapters.sql.sqlite.write_lock import WriteLock
from queuectl.domain.errors import (
    DatabaseBusy,
    DatabaseFull,
    DatabaseReplaced,
    DatabaseUnavailable,
    DatabaseUnreachable,
    ValueRefused,
    reason_of,
)

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        import pysqlite3 as sqlite3
    except ImportError:  # no wheel for this platform
        import sqlite3

APPLICATION_ID = 0x71756575
"""The `PRAGMA application_id` of our files: "queu"."""

MARK_AS_OURS = f"PRAGMA application_id = {APPLICATION_ID}"

BUSY_TIMEOUT = timedelta(seconds=2)
"""The time that SQLite waits for its lock before the transaction is tried again."""

MAX_LOCK_WAIT = timedelta(milliseconds=500)
"""The wait of a writer for its turn before that. Twice as long would cost the shortest lease, if nothing moves."""

JOURNAL_LIMIT = 64 * 1024 * 1024
"""Bytes to which the WAL file is cut once it has been checkpointed."""

HOW_TO_MAKE_ONE = (
    "`queuectl init` or `queuectl enqueue` creates it; --database-url or QUEUECTL_DATABASE_URL names another place"
)

ANOTHER_PLACE = "choose another place with --database-url sqlite:///PATH or QUEUECTL_DATABASE_URL"

NETWORK_FILE_SYSTEMS = re.compile(
    r"nfs4?|cifs|smb3?|smbfs|9p|afs|ceph|lustre|gfs2?|ocfs2|fuse\.(sshfs|glusterfs|s3fs|rclone)"
)

SETTINGS = (
    "PRAGMA foreign_keys = ON",
    # With NORMAL a power cut may lose acknowledged jobs and forget claims of jobs that have run.
    "PRAGMA synchronous = FULL",
    # A truncated or failing mapped file kills the process with SIGBUS instead of raising an error.
    "PRAGMA mmap_size = 0",
    f"PRAGMA journal_size_limit = {JOURNAL_LIMIT}",
)


def sqlite_dialect(path: Path) -> Dialect:
    """The backend for the database file at `path`. Opens nothing yet."""
    texts = _Texts()
    return Dialect(
        language="sqlite",
        connect=lambda: _connect(path, texts),
        begin_reading="BEGIN",
        # A transaction that begins as a reader and then writes can fail at once, whatever the timeout, when another
        # wrote in between: a writer takes the lock first.
        begin_writing="BEGIN IMMEDIATE",
        write_lock=_write_lock(beside(path, "-lock")).turn,
        error=(sqlite3.Error,),
        explain=lambda error, _: texts.explained(error) or _explained(error, path),
        is_duplicate=lambda error: isinstance(error, sqlite3.IntegrityError),
        identity=lambda: _identity(path),
        replaced=lambda: _replaced(path),
        load=_inserted,
    )


def _identity(path: Path) -> object:
    """The file's device and inode, which no other file has as long as somebody has this one open; None: no file."""
    try:
        found = os.stat(path)  # noqa: PTH116 - with each transaction, and a Path takes twice as long
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _replaced(path: Path) -> DatabaseReplaced:
    what = "another file is" if path.exists() else "no file is"
    return DatabaseReplaced(
        f"{what} where the database file {path} was opened: it was removed or replaced",
        hint="stop the workers before you put a backup in its place",
    )


class _Texts:
    """The reader of texts: the driver's own until it meets one that is no UTF-8, and then one that takes any byte."""

    factory: Callable[[bytes], str] | type[str] = str

    def explained(self, error: Exception) -> DatabaseBusy | None:
        """That the transaction may succeed, if such a text was its trouble."""
        if not str(error).startswith("Could not decode to UTF-8"):
            return None
        self.factory = _decoded
        return DatabaseBusy("a text of the database is no UTF-8")


def _decoded(text: bytes) -> str:
    return text.decode(errors="surrogateescape")


@lru_cache
def _write_lock(path: Path) -> WriteLock:
    """The one in which all writers of this process wait, whichever connections they have."""
    return WriteLock(path, longest=MAX_LOCK_WAIT)


def path_of(url: str) -> Path:
    """The file of an SQLite URL: `sqlite:///relative.db`, `sqlite:////absolute.db`. Raises DatabaseUnreachable."""
    if not url.startswith("sqlite:///"):
        file = url.partition(":")[2].removeprefix("//") or "queue.db"
        raise _wrong_url(url, "has too few slashes", f"write sqlite:///{file}")
    name, question, query = url.removeprefix("sqlite:///").partition("?")
    if question:
        keys = [each.partition("=")[0] for each in query.split("&") if each]
        has = f"has {', '.join(keys)}" if keys else "has a ?"
        raise _wrong_url(url, f"takes no parameters, and this one {has}", "leave them out; write a ? in a name as %3F")
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", name):
        raise _wrong_url(url, "has a % that begins no escape", "write a % in a name as %25")
    path = unquote(name, errors="surrogateescape")
    if not path.strip("/") or path == ":memory:" or "\0" in path:
        raise _wrong_url(url, "names no file", "write sqlite:////absolute/path.db")
    return Path(path).expanduser().absolute()


def _wrong_url(url: str, what: str, hint: str) -> DatabaseUnreachable:
    return DatabaseUnreachable(f"the SQLite URL {url} {what}", hint=hint)


def beside(path: Path, suffix: str) -> Path:
    """That file beside the database: one file, whichever link the database is opened by."""
    real = path.resolve()
    return real.with_name(real.name + suffix)


def sqlite_version() -> tuple[int, ...]:
    """The version of the SQLite library in use."""
    return sqlite3.sqlite_version_info


def is_safe_version(version: Sequence[int]) -> bool:
    """True if that SQLite can be trusted with a WAL database that several processes write and checkpoint.

    Until 3.51.3 (and in its own lines 3.44.6 and 3.50.7) a race between a checkpoint and a write could corrupt the
    file: https://sqlite.org/wal.html#walresetbug
    """
    version = tuple(version)
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def is_there(path: Path) -> bool:
    """True if there is a database file. Raises DatabaseUnreachable for what is there and cannot be one."""
    try:
        status = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise DatabaseUnreachable(
                f"{path} is a link to {path.readlink()}, which does not exist", hint="remove the link, or mend it"
            ) from None
        return False
    except OSError as error:
        raise DatabaseUnreachable(
            f"the database file {path} cannot be reached: {reason_of(error)}", hint=ANOTHER_PLACE
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise DatabaseUnreachable(
            f"{path} is a directory, not a database file", hint=f"name a file in it: {path}/queue.db"
        )
    if not stat.S_ISREG(status.st_mode):
        raise DatabaseUnreachable(f"{path} is not a regular file, so it cannot be a database", hint=ANOTHER_PLACE)
    return True


def create_file(path: Path) -> None:
    """Make an empty database file that only its owner can read, and its directory, unless they are there.

    Raises DatabaseUnreachable where it cannot be, or must not be: on a network file system, or in other users' hands.
    """
    try:
        make_private(path.parent)
        check_place(path)
        # Created here, as SQLite itself would follow the umask; its WAL files take the main file's mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DatabaseUnreachable(
            f"the database file {path} cannot be created: {reason_of(error)}", hint=ANOTHER_PLACE
        ) from error


def check_place(path: Path) -> None:
    """Raises DatabaseUnreachable for a file on a network file system or under another user's control; OSError."""
    if kind := _network_file_system(path.parent):
        raise DatabaseUnreachable(
            f"the database file {path} is on a network file system ({kind}), where SQLite's locks do not hold",
            hint="use a local disk, or PostgreSQL for workers on several hosts",
        )
    beside = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-journal", "-lock")]
    for place in (path.parent, *beside):
        try:
            status = place.lstat()
        except FileNotFoundError:
            continue
        if status.st_uid not in (0, os.geteuid()):
            raise DatabaseUnreachable(
                f"{place} belongs to another user (uid {status.st_uid}), who could replace the database",
                hint="use a directory of your own",
            )
        others_write = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_IWOTH
        if others_write and not status.st_mode & stat.S_ISVTX:
            raise DatabaseUnreachable(
                f"the directory {place} can be written by everyone, who could replace the database",
                hint=f"use a directory of your own, or run `chmod o-w {place}`",
            )


def use_write_ahead_log(connection: Connection) -> None:
    """Switch the file to WAL, for good: readers and the writer do not stop each other. Outside a transaction only."""
    connection.scalar("PRAGMA journal_mode = WAL")  # it answers


# The driver looks for an adapter of each value that is no text or number, and where there is none it makes two errors
# and forgets them: for the NULLs of a row that takes twice as long as its insertion.
sqlite3.register_adapter(type(None), {None: None}.__getitem__)
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(list, as_json)


def _connect(path: Path, texts: _Texts) -> sqlite3.Connection:
    # mode=rw: a file that has vanished is an error here, never a new, empty queue.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_TIMEOUT.total_seconds(),
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = texts.factory
    for setting in SETTINGS:
        connection.execute(setting)
    return connection


def _inserted(cursor: Cursor, insert: str, groups: Iterable[Columns]) -> None:
    """A group by one statement, in which a value that all its rows have alike stands once.

    The driver takes longer to bind a value than SQLite to store it. A column that was not alike in one group is not
    looked at in the next ones, so that there are few statements to prepare; nor is the first, which is a key.
    """
    own = {0}
    for columns in groups:
        own.update(place for place, column in enumerate(columns) if place not in own and not _is_alike(column))
        shared = [column[0] for place, column in enumerate(columns) if place not in own]
        rows = zip(*[columns[place] for place in sorted(own)], strict=True)
        text = _insert_of(insert, len(columns[0]), tuple([place in own for place in range(len(columns))]))
        cursor.execute(text, [*shared, *chain.from_iterable(rows)])


def _is_alike(column: Sequence[object]) -> bool:
    return column.count(column[0]) == len(column)


@lru_cache(maxsize=16)
def _insert_of(insert: str, rows: int, is_own: Sequence[bool]) -> str:
    """The INSERT with that many rows: its parameters are what they share, then each row's own."""
    number = count(1)  # SQLite calls the columns of VALUES column1, column2, ...
    columns = ",".join(f"column{next(number)}" if own else "?" for own in is_own)
    row = f"({','.join('?' * sum(is_own))})"
    into, all_rows = insert.partition(" VALUES ")[0], ",".join([row] * rows)
    return f"{into} SELECT {columns} FROM (VALUES {all_rows})"  # noqa: S608 - it holds no values, but their places


def _explained(error: Exception, path: Path) -> DatabaseUnavailable:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code, without its extension
    what = f"the database file {path}"
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return DatabaseBusy(
                f"{what} is locked by another process for too long", hint="`queuectl doctor` looks into it"
            )
        case sqlite3.SQLITE_FULL:
            return DatabaseFull(f"{what} cannot grow: the disk is full", hint="free some space and try again")
        case sqlite3.SQLITE_TOOBIG | sqlite3.SQLITE_MISMATCH | sqlite3.SQLITE_RANGE:
            return ValueRefused(f"{what} does not take a value: {error}")
        case sqlite3.SQLITE_CANTOPEN if not path.exists():
            return DatabaseUnreachable(f"{what} does not exist", hint="`queuectl init` creates it")
        case sqlite3.SQLITE_NOTADB:
            return DatabaseUnreachable(
                f"{what} is not a SQLite database", hint="choose another file with --database-url"
            )
        case sqlite3.SQLITE_CORRUPT:
            return DatabaseUnreachable(f"{what} is damaged", hint="restore it from a backup; stop the workers first")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return DatabaseUnreachable(f"{what} cannot be opened for writing", hint="check its owner and permissions")
    return DatabaseUnreachable(f"{what} cannot be used: {error}")


def _network_file_system(directory: Path) -> str | None:
    """The kind of network file system that the directory is on, where Linux tells."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:
        return None
    device = directory.stat().st_dev
    for line in mounts.splitlines():
        fields = line.split(" ")
        major, _, minor = fields[2].partition(":")
        kind = fields[fields.index("-") + 1]
        if os.makedev(int(major), int(minor)) == device and NETWORK_FILE_SYSTEMS.fullmatch(kind):
            return kind
    return None
