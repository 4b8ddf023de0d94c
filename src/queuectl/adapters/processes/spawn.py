"""posix_spawn(3) as the C library has it: with a working directory, and without holding up the interpreter.

`os.posix_spawn` keeps the interpreter to itself until the program has been executed, and takes no directory. A program
or a directory on a mount that does not answer would so hold up every thread: the one that renews the lease, too. The
functions that ctypes calls hold up the calling thread alone.
"""

import ctypes
import functools
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from queuectl.adapters.host.files import opened

SETSIGDEF, SETSIGMASK, SETSID = 0x04, 0x08, 0x80
"""Flags of <spawn.h>, the same in glibc and musl."""

IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""Programs get them as from any other parent."""

SIZE = 512
"""Bytes: more than the largest structure of <spawn.h> and sigset_t have in either library (336)."""

_posix_spawn = ctypes.CDLL(None).posix_spawn
_c = ctypes.PyDLL(None)
"""The library, for what takes no time: letting go of the interpreter and getting it back would take more."""

_add_directory = getattr(_c, "posix_spawn_file_actions_addchdir_np", None)
"""None before glibc 2.29 and musl 1.1.24."""

_one_directory_at_a_time = threading.Lock()


class Spawn:
    """A program to be executed as the leader of a new session: made ready by one thread, started by another.

    `directory` is where it starts (None: where this process is), `descriptors` says which of its descriptors are which
    of ours. No signal is blocked in it, and none ignored for being `IGNORED_BY_PYTHON`.
    """

    def __init__(
        self,
        args: Sequence[bytes],
        environ: Mapping[bytes, bytes],
        *,
        directory: bytes | None,
        descriptors: Mapping[int, int],
    ) -> None:
        self._said = (args, environ, directory)
        self._args = _strings(args)
        self._environ = _strings([name + b"=" + value for name, value in environ.items()])
        self._attributes = _attributes()
        self._actions = ctypes.create_string_buffer(SIZE)
        _c.posix_spawn_file_actions_init(self._actions)
        self._descriptors: dict[int, int] = {}
        for theirs, ours in descriptors.items():
            self.give(theirs, ours)
        if directory is not None and _add_directory is not None:
            _add_directory(self._actions, directory)

    def give(self, theirs: int, ours: int) -> None:
        """Have one of our descriptors be that one of its own, from the start on."""
        self._descriptors[theirs] = ours
        _c.posix_spawn_file_actions_adddup2(self._actions, ours, theirs)

    def start(self, program: bytes) -> int:
        """Execute the program; its pid. Raises OSError, `filename` being the program."""
        if _add_directory is None and self._said[2] is not None:
            return self._start_there(program)
        pid = ctypes.c_int()
        given = (self._actions, self._attributes, self._args, self._environ)
        if error := _posix_spawn(ctypes.byref(pid), program, *given):
            raise OSError(error, os.strerror(error), program)
        return pid.value

    def _start_there(self, program: bytes) -> int:
        """The same by an older library: the child is given the directory of this process, which nothing else needs."""
        args, environ, directory = self._said
        with _one_directory_at_a_time, opened(Path(), os.O_RDONLY | os.O_DIRECTORY) as here:
            try:
                os.chdir(directory or b".")
                return os.posix_spawn(
                    program,
                    list(args),
                    environ,
                    file_actions=[(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in self._descriptors.items()],
                    setsid=True,
                    setsigmask=(),
                    setsigdef=IGNORED_BY_PYTHON,
                )
            finally:
                os.fchdir(here)

    def __del__(self) -> None:
        _c.posix_spawn_file_actions_destroy(self._actions)


@functools.cache
def _attributes() -> ctypes.Array[ctypes.c_char]:
    attributes, none, default = (ctypes.create_string_buffer(SIZE) for _ in range(3))
    _c.posix_spawnattr_init(attributes)
    _c.posix_spawnattr_setflags(attributes, ctypes.c_short(SETSIGDEF | SETSIGMASK | SETSID))
    _c.sigemptyset(none)
    _c.posix_spawnattr_setsigmask(attributes, none)
    _c.sigemptyset(default)
    for number in IGNORED_BY_PYTHON:
        _c.sigaddset(default, number)
    _c.posix_spawnattr_setsigdefault(attributes, default)
    return attributes


def _strings(texts: Sequence[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * (len(texts) + 1))(*texts, None)
