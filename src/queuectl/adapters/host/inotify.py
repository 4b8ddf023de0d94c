"""Events of a file as the kernel reports them: inotify(7)."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

IN_ATTRIB, IN_DELETE_SELF = 0x4, 0x400
"""The file's permissions, times or links have changed; it has been deleted."""

READ_SIZE = 4096


@contextmanager
def watch(path: Path, mask: int) -> Iterator[Callable[[], object]]:
    """Watch a file while the body runs; yields a function that waits until one of the events of `mask` has happened.

    What happens between two waits ends the next one at once. Raises OSError where there is no such file, or no watch to
    be had, and AttributeError where there is no inotify.
    """
    import ctypes  # a heavy library, and a command that only notifies does without it

    libc = ctypes.CDLL(None, use_errno=True)
    inotify = libc.inotify_init1(os.O_CLOEXEC)
    try:
        if inotify < 0 or libc.inotify_add_watch(inotify, os.fsencode(path), mask) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
        yield lambda: os.read(inotify, READ_SIZE)
    finally:
        if inotify >= 0:
            os.close(inotify)
