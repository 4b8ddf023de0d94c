"""Starting commands, each in a thread that its program and its directory may hold up for as long as they like."""

import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from queuectl.adapters.processes import results
from queuectl.adapters.processes.blocking_calls import BlockingCalls
from queuectl.adapters.processes.child import Child
from queuectl.adapters.processes.environment import encoded, variables_of
from queuectl.adapters.processes.input import opened_input
from queuectl.adapters.processes.slots import Slots
from queuectl.adapters.processes.spawn import Spawn
from queuectl.adapters.processes.watch import Bell
from queuectl.domain.attempt import RunResult


class Starts:
    """Starts commands, and has those whose start has succeeded or failed."""

    def __init__(self, calls: BlockingCalls, bell: Bell, slots: Slots, *, environ: Mapping[bytes, bytes]) -> None:
        self._calls = calls
        self._bell = bell
        self._slots = slots
        self._environ = environ
        self._nothing = os.open(os.devnull, os.O_RDONLY)
        self._over: deque[tuple[Child, RunResult | None]] = deque()

    def begin(self, child: Child, output: int) -> None:
        """Have the command started, with that descriptor for its output, which is closed then.

        Raises OSError when no thread is to be had, and ValueError for what no program can be given.
        """
        self._calls.begin(partial(self._start, child, self._prepared(child, output), output))

    def take(self) -> Iterator[tuple[Child, RunResult | None]]:
        """Yield the commands whose start is over, each with why it has failed, or None."""
        while self._over:
            yield self._over.popleft()

    def close(self) -> None:
        """Give the descriptors back."""
        self._bell.close()
        os.close(self._nothing)

    def _prepared(self, child: Child, output: int) -> Callable[[], int]:
        """Make the command ready: what is returned starts it, and returns its pid."""
        job = child.run.job
        command, cwd = job.command, job.cwd
        args = [encoded(arg) for arg in (("/bin/sh", "-c", command) if isinstance(command, str) else command)]
        environ = {**self._environ, **variables_of(child.run, child.slot)}
        spawn = Spawn(
            args,
            environ,
            directory=None if cwd is None else encoded(cwd),
            descriptors={0: self._nothing, 1: output, 2: output},
        )
        start = partial(_start_first, spawn, _paths(args[0], environ), encoded(cwd or "."))
        return start if job.stdin is None else partial(_start_with_input, spawn, job.stdin, start)

    def _start(self, child: Child, start: Callable[[], int], output: int) -> None:
        child.thread = threading.get_native_id()
        pid, failure = 0, None
        try:
            if child.stopping.outcome is None:
                pid = start()
            else:
                failure = results.not_started(child.run, child.stopping.outcome)
        except (OSError, MemoryError) as error:
            failure = results.start_failed(child.run, error)
        finally:
            os.close(output)
        with self._slots.lock:
            child.thread = None
            if failure is None:
                self._slots.note(child, pid)
                child.started(pid)
        self._over.append((child, failure))
        self._bell.ring()


def _start_with_input(spawn: Spawn, text: str, start: Callable[[], int]) -> int:
    """Start it with that text to read; its pid. Raises OSError."""
    with opened_input(text) as descriptor:
        spawn.give(0, descriptor)
        return start()


def _start_first(spawn: Spawn, paths: Sequence[bytes], cwd: bytes) -> int:
    """Start the program from the first path where there is one; its pid. Raises OSError."""
    error: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for program in paths:
        try:
            return spawn.start(program)
        except (FileNotFoundError, NotADirectoryError) as missing:
            # It is there, and what it cannot do without is missing.
            is_there = os.path.lexists(os.path.join(cwd, program))  # noqa: PTH118  # bytes
            if is_there and not isinstance(error, PermissionError):
                error = missing
        except PermissionError as forbidden:  # as execvp(3): the next directory may have one that can be run
            error = forbidden
    raise error


def _paths(program: bytes, environ: Mapping[bytes, bytes]) -> Sequence[bytes]:
    """List the paths of a program: its own, or those in the directories of the command's PATH."""
    if b"/" in program:
        return [program]
    directories = environ.get(b"PATH", os.defpath.encode()).split(b":")
    return [(directory or b".") + b"/" + program for directory in directories]
