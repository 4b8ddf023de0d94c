"""A command's standard input: a file without a name, with the text in it, from which the command reads.

All is written before the command starts. So there is nothing to block on, no thread to feed it and no SIGPIPE, whether
the command reads all of it, a part or nothing. A pipe would do only as far as its buffer goes, which is one page for a
user with many pipes. Each attempt has a file of its own, which is gone with the last process that has it open.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator


class NoInput(OSError):
    """No file can be made: a fault of the worker's machine, not of the command."""


@contextlib.contextmanager
def opened_input(text: str) -> Iterator[int]:
    """Have a descriptor, which is not inherited, at the start of a file with that text. Raises NoInput."""
    try:
        descriptor = _nameless_file()
    except OSError as error:
        raise NoInput(*error.args) from error
    try:
        try:
            _fill(descriptor, text.encode())
        except OSError as error:
            raise NoInput(*error.args) from error
        yield descriptor
    finally:
        os.close(descriptor)


def _nameless_file() -> int:
    """A file in memory; where the system has or allows none, one in the directory for temporary files, unlinked."""
    with contextlib.suppress(OSError, AttributeError):
        return os.memfd_create("stdin")
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())


def _fill(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
