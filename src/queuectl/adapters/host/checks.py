"""Checks of the directories of this installation, for `doctor`: written to, without a trace."""

import errno
import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from queuectl.domain.errors import reason_of
from queuectl.domain.ports.storage import Finding, Grade

PROBE = bytes(64 * 1024)
"""The bytes that are written to find out: more than a file system keeps for the file's own entry."""


def examine(log_dir: Path, spool_dir: Path) -> Sequence[Finding]:
    """Check that workers can log, and keep the outcomes that the database cannot take."""
    return [
        _finding("log directory", log_dir, Grade.FAIL, "workers in the background cannot be started without a log"),
        _finding("spool directory", spool_dir, Grade.WARN, "outcomes outlive an outage in their worker's memory only"),
    ]


def trouble_of(directory: Path) -> str | None:
    """Find out why nothing can be written in a directory; None when all is well. An absent one could be made."""
    try:
        found = directory.stat()
    except FileNotFoundError:
        return _trouble_of_making(directory)
    except OSError as error:
        return f"{directory} cannot be reached: {reason_of(error)}"
    if not stat.S_ISDIR(found.st_mode):
        return f"{directory} is not a directory"
    try:
        _probe(directory)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"the disk of {directory} is full ({reason_of(error)})"
        return f"{directory} cannot be written: {reason_of(error)}"
    return None


def _finding(subject: str, directory: Path, grade: Grade, otherwise: str) -> Finding:
    hint = f"{otherwise}; mend it, or name another directory"
    if trouble := trouble_of(directory):
        return Finding(subject=subject, grade=grade, message=trouble, hint=hint)
    if not directory.exists():
        return Finding(subject=subject, grade=Grade.OK, message=f"{directory}, which will be made when it is needed")
    found = directory.stat()
    if found.st_uid != os.geteuid():
        message = f"{directory} belongs to another user (uid {found.st_uid})"
        return Finding(subject=subject, grade=Grade.WARN, message=message, hint="use a directory of your own")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        message = f"other users can write to {directory} (mode {stat.S_IMODE(found.st_mode):04o})"
        return Finding(subject=subject, grade=Grade.WARN, message=message, hint=f"chmod go-w {directory}")
    return Finding(subject=subject, grade=Grade.OK, message=f"{directory} can be written")


def _trouble_of_making(directory: Path) -> str | None:
    if directory.is_symlink():
        return f"{directory} is a link to {directory.readlink()}, which does not exist"
    above = next(each for each in directory.absolute().parents if os.path.lexists(each))
    trouble = trouble_of(above)
    return f"{directory} cannot be made: {trouble}" if trouble else None


def _probe(directory: Path) -> None:
    """Write a file that has no name, where that can be had, and is gone when it is closed. Raises OSError."""
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        file.write(PROBE)
        os.fsync(file.fileno())
