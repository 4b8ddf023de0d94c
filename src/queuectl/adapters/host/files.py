"""Private files and directories: of this user, where nobody else may look or write; and names as they are shown."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def printable(text: str) -> str:
    r"""Show the bytes of a text that are no UTF-8, escaped by Python (PEP 383), as `\xe9`: for what is only read."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def escaped(text: str | None) -> str:
    """Put a text that may hold anything on one line, control characters escaped; None is none."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text or "")


def make_private(directory: Path) -> None:
    """Make the directory and those above it that only the owner can use, where there are none. Raises OSError."""
    for each in reversed((directory, *directory.parents)):  # parents=True would make them by the umask
        each.mkdir(mode=0o700, exist_ok=True)


def check_own(directory: Path) -> None:
    """Raise PermissionError unless the directory is this user's, and nobody else may write to it; OSError."""
    found = directory.lstat()
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not is_ours or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EPERM, "it is no directory of our own, or others may write to it")


def own_directory(directory: Path) -> None:
    """Make the directory for its owner alone, or find that it is so. Raises OSError where it is others' too."""
    make_private(directory)
    check_own(directory)


def open_private(path: Path, flags: int) -> int:
    """Open a file that only its owner can use, made where there is none; a link is not followed. Raises OSError.

    `flags` say what it is opened for, and with O_EXCL that it must be new.
    """
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """Open what is there, which may be anybody's, while the body runs: yields the descriptor. Raises OSError."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)  # a pipe without a writer would wait
    try:
        yield descriptor
    finally:
        os.close(descriptor)
