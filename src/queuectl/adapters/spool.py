"""Outcomes that the database could not take, in files of their own: what a worker knows must not die with it.

One directory for each database, one file for each attempt: a line of JSON, then the output as it came. A file is
written and synced under another name first, so that what has the right name is whole. Only its owner may look into
it; what somebody else has put there, or what cannot be understood, is set aside and told of once.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from queuectl.adapters.host.clock import EPOCH, MICROSECOND, microseconds
from queuectl.adapters.host.files import check_own, open_private, opened, own_directory
from queuectl.domain.attempt import AttemptEnd, Outcome, Output, RunResult
from queuectl.domain.worker import Lease

VERSION = 1

SUFFIX, UNFINISHED, SET_ASIDE = ".outcome", ".part", ".set-aside"

ROOM = 64 * 1024 * 1024
"""Bytes that all files of a directory may have. When it is used up, output is left out."""

ROOM_WITHOUT_OUTPUT = ROOM + 16 * 1024 * 1024
"""Bytes of all, ends without output included; when they are used up too, nothing more is spooled."""

LAST = datetime(9998, 1, 1, tzinfo=UTC)
"""The end of the calendar, less what a retry may have to wait."""

ABANDONED = 60.0
"""Seconds after which nobody goes on writing a file."""

_log = logging.getLogger("queuectl")


def directory_for(spool_dir: Path, database: str) -> Path:
    """The directory of the outcomes for that database: named by its hash, so that two never mix."""
    return spool_dir / hashlib.sha256(database.encode(errors="surrogateescape")).hexdigest()[:16]


class FileOutcomeSpool:
    """`OutcomeSpool` in a directory of this machine, which is made when there is something to keep."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._told: set[str] = set()

    def spool(self, end: AttemptEnd) -> bool:
        """Write it to the disk; False, and one line in the log, when that cannot be done."""
        trouble: OSError | None = None
        for each, room in ((end, ROOM), (_without_output(end), ROOM_WITHOUT_OUTPUT)):
            try:
                own_directory(self._directory)
                self._store(_encoded(each), self._path(each), room)
            except OSError as error:
                trouble = error
            else:
                self._told.discard("spool")
                return True
        self._tell("spool", f"outcomes cannot be kept in {self._directory}, only in memory: {trouble}")
        return False

    def spooled(self) -> Iterator[AttemptEnd]:
        """All of them, one after the other."""
        try:
            check_own(self._directory)
            paths = sorted(self._directory.iterdir())
        except FileNotFoundError:
            return
        except OSError as error:
            self._tell("look", f"outcomes kept in {self._directory} cannot be read: {error}")
            return
        for path in paths:
            if path.suffix == UNFINISHED:
                _remove_old(path)
            if path.suffix != SUFFIX:
                continue
            try:
                yield _decoded(_content(path))
            except FileNotFoundError:  # another worker was quicker
                continue
            except (OSError, ValueError, RecursionError) as error:
                self._set_aside(path, error)

    def discard(self, end: AttemptEnd) -> None:
        """Remove its file; no effect when there is none."""
        with contextlib.suppress(OSError):
            self._path(end).unlink()

    def _path(self, end: AttemptEnd) -> Path:
        # Hashed: an id may be long, and two may differ in case only, which not every file system sees.
        whose = f"{end.lease.id} {end.number} {end.job_id}"
        return self._directory / (hashlib.sha256(whose.encode()).hexdigest()[:32] + SUFFIX)

    def _store(self, content: bytes, path: Path, room: int) -> None:
        if self._used() + len(content) > room:
            raise OSError(errno.ENOSPC, f"its {room:,} bytes are used up")
        unfinished = path.with_suffix(UNFINISHED)
        try:
            with os.fdopen(open_private(unfinished, os.O_WRONLY | os.O_TRUNC), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        with opened(self._directory, os.O_RDONLY | os.O_DIRECTORY) as directory:
            os.fsync(directory)

    def _used(self) -> int:
        sizes = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # settled just now
                    sizes.append(entry.stat(follow_symlinks=False).st_size)
        return sum(sizes)

    def _set_aside(self, path: Path, error: Exception) -> None:
        with contextlib.suppress(OSError):
            path.rename(path.with_suffix(SET_ASIDE))
        self._tell(path.name, f"{path} is no outcome that could be understood, and is set aside: {error}")

    def _tell(self, once: str, line: str) -> None:
        if once not in self._told:
            self._told.add(once)
            _log.warning("%s", line)


def _without_output(end: AttemptEnd) -> AttemptEnd:
    lost = Output(truncated=end.result.output.truncated or bool(end.result.output.content))
    return end._replace(result=end.result._replace(output=lost))


def _encoded(end: AttemptEnd) -> bytes:
    result = end.result
    header = {
        "version": VERSION,
        "job": end.job_id,
        "attempt": end.number,
        "lease": end.lease.id,
        "worker": end.lease.worker,
        "ended_at": microseconds(end.at),
        "outcome": result.outcome,
        "exit_code": result.exit_code,
        "signal": result.signal,
        "error": result.error,
        "output_truncated": result.output.truncated,
        "output_bytes": len(result.output.content),
    }
    return json.dumps(header).encode() + b"\n" + result.output.content


def _decoded(content: bytes) -> AttemptEnd:
    """The end of an attempt in a file's content. Raises ValueError when it is anything else."""
    first_line, _, output = content.partition(b"\n")
    header = json.loads(first_line)
    if not isinstance(header, dict) or header.get("version") != VERSION:
        raise ValueError(f"it is not of version {VERSION}")
    found = _Fields(header)
    if found.number("output_bytes") != len(output):
        raise ValueError("its output is not whole")
    return AttemptEnd(
        job_id=found.text("job"),
        number=found.number("attempt"),
        lease=Lease(id=found.text("lease"), worker=found.text("worker")),
        at=found.moment("ended_at"),
        result=RunResult(
            outcome=Outcome(found.text("outcome")),
            exit_code=found.number_or_none("exit_code"),
            signal=found.number_or_none("signal"),
            error=found.text_or_none("error"),
            output=Output(content=output, truncated=header.get("output_truncated") is True),
        ),
    )


class _Fields:
    """The fields of a header, each of which must be what it should be. Raise ValueError."""

    def __init__(self, header: dict[str, object]) -> None:
        self._header = header

    def text(self, name: str) -> str:
        value = self._header.get(name)
        if not isinstance(value, str) or "\0" in value or not value.encode(errors="ignore").decode() == value:
            raise ValueError(f"{name} is no text")
        return value

    def text_or_none(self, name: str) -> str | None:
        return None if self._header.get(name) is None else self.text(name)

    def number(self, name: str, *, bits: int = 32) -> int:
        value = self._header.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value.bit_length() >= bits:
            raise ValueError(f"{name} is no number of {bits} bits")
        return value

    def number_or_none(self, name: str) -> int | None:
        return None if self._header.get(name) is None else self.number(name)

    def moment(self, name: str) -> datetime:
        since = self.number(name, bits=64) * MICROSECOND
        if not timedelta() <= since <= LAST - EPOCH:
            raise ValueError(f"{name} is no moment")
        return EPOCH + since


def _remove_old(path: Path) -> None:
    """Remove what a worker that was killed did not finish writing."""
    with contextlib.suppress(OSError):
        if time.time() - path.lstat().st_mtime > ABANDONED:
            path.unlink()


def _content(path: Path) -> bytes:
    """The content of a regular file of ours. Raises OSError, ValueError for another's file."""
    with opened(path, os.O_RDONLY | os.O_NOFOLLOW) as descriptor:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise ValueError("it is no file of our own")
        if found.st_size > ROOM_WITHOUT_OUTPUT:
            raise ValueError("it is larger than any that is kept")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
