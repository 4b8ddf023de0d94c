"""Runs commands as child processes: one loop over their ends, their output and their deadlines.

A run ends when its process ends, not when its output does: a background child that keeps the pipe open must not hang
the worker. Each command leads a session and process group of its own. The dead leader is left a zombie until its group
has been killed, so that its pid, and with it the group's id, cannot belong to anybody else by then. What left the group
is killed next, once it has become an orphan and so, by adoption, a child of this process: see `containment`.
"""

import contextlib
import errno
import fcntl
import math
import os
import select
import signal
import struct
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

from queuectl.adapters import containment, run_result, system
from queuectl.adapters.output_buffer import OutputBuffer
from queuectl.domain.outcome import Outcome, RunResult
from queuectl.domain.ports import Elapsed, Run

CHUNK = 65536
"""Bytes read at a time: the capacity of a Linux pipe (pipe(7))."""

PRIVATE = ("QUEUECTL_", "PG", "NOTIFY_SOCKET")
"""Variables with these prefixes are the worker's own: the way to the database, passwords included, and to systemd."""

IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""Commands get them as any program does."""

LOOK_AGAIN = timedelta(milliseconds=10)
"""How often to look at what nothing tells about: the rest of a killed group; ends, where there is no pidfd_open(2)."""

LONGEST_BURIAL = timedelta(seconds=2)
"""How long a killed group may take to vanish before its job is recorded all the same."""


@dataclass(slots=True)
class _Child:
    """A running command. Deadlines are in time since boot."""

    run: Run
    pid: int
    pidfd: int | None
    pipe: int | None
    output: OutputBuffer
    times_out: timedelta | None
    spawned_at: timedelta
    slot: int
    stopped_as: Outcome | None = None
    kill_at: timedelta | None = None
    buried: timedelta | None = None
    """When the leader was reaped; from then on only what it left behind is waited for."""
    left_behind: bool = False
    code: int = 0
    """The exit code, or the signal as a negative number; known when the leader has been reaped."""

    def result(self) -> RunResult:
        return run_result.told(
            self.run,
            self.code,
            self.output.output(),
            stopped_as=self.stopped_as,
            left_behind=self.left_behind,
        )


class SubprocessRunner:
    """`Runner` on child processes. All methods belong to one thread, but `wake` and `stop`, which any may call.

    It takes every child of its process for its own: a command's leader, or an orphan that one left behind.
    The lock keeps a `stop` apart from the reaping of a child, after which its group's id may be another's.
    """

    def __init__(
        self,
        elapsed: Elapsed,
        environ: Mapping[str, str] = os.environ,
        *,
        note: Callable[[int, int, int], None] = lambda _slot, _pid, _output: None,
    ) -> None:
        """`note` hears in which slot a command runs, by its pid and its output: see `LocalProcesses`."""
        self._elapsed = elapsed
        self._note = note
        inherited = {name: text for name, text in environ.items() if not name.startswith(PRIVATE) and name != "OLDPWD"}
        self._environ = {os.fsencode(name): os.fsencode(text) for name, text in inherited.items()}
        self._environ.update(_present_directory(self._environ.pop(b"PWD", b"")))
        self._lock = threading.RLock()
        self._children: list[_Child] = []
        self._failed: list[tuple[Run, RunResult]] = []
        # Neither `selectors` nor epoll: what is waited for changes with each command, the one thing they are slow at.
        self._poll = select.poll()
        self._tells_of: dict[int, _Child] = {}
        self._wakes, self._wake = os.pipe()
        os.set_blocking(self._wakes, False)
        os.set_blocking(self._wake, False)
        self._poll.register(self._wakes, select.POLLIN)
        self._nothing = os.open(os.devnull, os.O_RDONLY)
        self._directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        _keep_descriptors_from_commands()

    def start(self, run: Run) -> None:
        """Start the command; how it ended, a failure to start included, comes from `wait`."""
        try:
            child = self._spawned(run)
        except OSError as error:
            self._failed.append((run, run_result.spawn_failure(run, error)))
            return
        with self._lock:
            self._children.append(child)

    def wait(self, timeout: timedelta) -> Sequence[tuple[Run, RunResult]]:
        """The runs that have ended; waits for the first at most `timeout`."""
        ended, self._failed = self._failed, []
        now = self._elapsed()
        deadline = now if ended else now + timeout
        if self._children:
            self._reap_orphans()
        while True:
            self._enforce(now)
            seconds = max(0.0, (self._next_deadline(deadline) - now).total_seconds())
            woken = self._read_events(self._poll.poll(math.ceil(seconds * 1000)))
            ended += self._take_ended()
            now = self._elapsed()
            if ended or woken or now >= deadline:
                return ended

    def stop(self, outcome: Outcome, *, grace: timedelta, job_id: str | None = None) -> None:
        """Stop all runs, or that job's: SIGTERM, SIGKILL after `grace`, or at once without one.

        Each comes from `wait` with `outcome`, but for those that were being stopped already or had ended by themselves.

        The SIGKILL after a grace is sent by `wait`; where nobody waits, stop again without one.
        """
        with self._lock:
            for child in self._children:
                if job_id in (None, child.run.job.id):
                    self._stop(child, outcome, grace)
        self.wake()

    def wake(self) -> None:
        """Make a `wait` return early. Safe from any thread or signal handler."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            os.write(self._wake, b"\0")

    def close(self) -> None:
        """Kill what still runs and give all descriptors back."""
        for child in self._children:
            _signal_group(child, signal.SIGKILL)
        while self._children:
            self.wait(timedelta(seconds=1))
        for descriptor in (self._wakes, self._wake, self._nothing, self._directory):
            os.close(descriptor)

    def _spawned(self, run: Run) -> _Child:
        pipe, write_end = os.pipe()
        spawned_at = self._elapsed()
        slot = next(slot for slot in count() if all(slot != child.slot for child in self._children))
        number = os.fstat(pipe).st_ino
        self._note(slot, 0, number)
        try:
            pid = self._spawn(run, write_end)
            self._note(slot, pid, number)
        except BaseException:
            self._note(slot, 0, 0)
            os.close(pipe)
            raise
        finally:
            os.close(write_end)
        return self._watched(run, pid, pipe, spawned_at, slot)

    def _spawn(self, run: Run, output: int) -> int:
        """Start the command as the leader of a session; its pid. Raises OSError.

        By posix_spawn(3), in half of the time of `subprocess`. As that takes no working directory, the child is given
        this process's own, on which nothing else depends.
        """
        command, cwd = run.job.command, run.job.cwd
        args = [_bytes(arg) for arg in (("/bin/sh", "-c", command) if isinstance(command, str) else command)]
        environ = self._environ | _variables(run)
        error: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        try:
            if cwd is not None:
                os.chdir(_bytes(cwd))
            for program in _places(args[0], environ):
                try:
                    return os.posix_spawn(
                        program,
                        args,
                        environ,
                        file_actions=[
                            (os.POSIX_SPAWN_DUP2, self._nothing, 0),
                            (os.POSIX_SPAWN_DUP2, output, 1),
                            (os.POSIX_SPAWN_DUP2, output, 2),
                        ],
                        setsid=True,
                        setsigmask=(),
                        setsigdef=IGNORED_BY_PYTHON,
                    )
                except (FileNotFoundError, NotADirectoryError) as missing:
                    # It is there, and what it cannot do without is missing.
                    if os.path.lexists(program) and not isinstance(error, PermissionError):
                        error = missing
                except PermissionError as forbidden:  # as execvp(3): the next directory may have one that can be run
                    error = forbidden
        finally:
            if cwd is not None:
                os.fchdir(self._directory)
        raise error

    def _watched(self, run: Run, pid: int, pipe: int, spawned_at: timedelta, slot: int) -> _Child:
        os.set_blocking(pipe, False)
        child = _Child(
            run=run,
            pid=pid,
            spawned_at=spawned_at,
            slot=slot,
            pidfd=_pidfd(pid),
            pipe=pipe,
            output=OutputBuffer(run.policy.output_limit),
            times_out=None if run.job.timeout is None else self._elapsed() + run.job.timeout,
        )
        self._watch(pipe, child)
        if child.pidfd is not None:
            self._watch(child.pidfd, child)
        return child

    def _watch(self, descriptor: int, child: _Child) -> None:
        self._poll.register(descriptor, select.POLLIN)
        self._tells_of[descriptor] = child

    def _close(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._tells_of[descriptor]
        os.close(descriptor)

    def _enforce(self, now: timedelta) -> None:
        """Stop the runs whose time is up, and kill those whose grace is."""
        with self._lock:
            for child in self._children:
                if child.times_out is not None and now >= child.times_out:
                    self._stop(child, Outcome.TIMEOUT, child.run.policy.kill_grace)
                if child.kill_at is not None and now >= child.kill_at:
                    child.kill_at = None
                    _signal_group(child, signal.SIGKILL)

    def _stop(self, child: _Child, outcome: Outcome, grace: timedelta) -> None:
        child.times_out = None
        if child.stopped_as is None and _is_dead(child):
            return  # it ended by itself first, and that is its outcome
        child.stopped_as = child.stopped_as or outcome
        if not grace:
            _signal_group(child, signal.SIGKILL)
            return
        kill_at = self._elapsed() + grace
        child.kill_at = kill_at if child.kill_at is None else min(kill_at, child.kill_at)
        _signal_group(child, signal.SIGTERM)
        _signal_group(child, signal.SIGCONT)  # a process that has stopped itself could not obey

    def _next_deadline(self, deadline: timedelta) -> timedelta:
        soon = [deadline]
        for child in self._children:
            soon += [at for at in (child.times_out, child.kill_at) if at is not None]
            if child.pidfd is None or child.buried is not None:
                soon.append(self._elapsed() + LOOK_AGAIN)
        return min(soon)

    def _read_events(self, events: Sequence[tuple[int, int]]) -> bool:
        """Take what the pipes have; whether `wake` was called."""
        woken = False
        for descriptor, _ in events:
            if descriptor == self._wakes:
                woken = True
                os.read(self._wakes, CHUNK)
            elif descriptor == (child := self._tells_of[descriptor]).pipe:
                self._read(child)
        return woken

    def _read(self, child: _Child) -> None:
        if child.pipe is None:
            return
        try:
            chunk = os.read(child.pipe, CHUNK)
        except BlockingIOError:
            return
        if chunk:
            child.output.add(chunk)
        else:
            self._close_pipe(child)

    def _take_ended(self) -> list[tuple[Run, RunResult]]:
        """The results of the commands that have ended and of whose processes nothing is left."""
        now, ended = self._elapsed(), []
        with self._lock:
            for child in self._children:
                if child.buried is None and _is_dead(child):
                    self._bury(child, now)
            buried = [child for child in self._children if child.buried is not None]
            orphans_left = bool(buried) and self._kill_orphans(buried)
            for child in buried:
                is_over = child.buried is not None and now > child.buried + LONGEST_BURIAL
                if is_over or not (orphans_left or _group_exists(child)):
                    self._children.remove(child)
                    self._note(child.slot, 0, 0)
                    ended.append((child.run, child.result()))
        return ended

    def _bury(self, child: _Child, now: timedelta) -> None:
        """Take the rest of the output, kill what is left of the group, and only then reap the leader."""
        for _ in range(_unread(child.pipe) // CHUNK + 1):  # not until EOF: a survivor may write for ever
            self._read(child)
        child.left_behind = child.pipe is not None and child.stopped_as is None
        self._close_pipe(child)
        _signal_group(child, signal.SIGKILL)
        if child.pidfd is not None:
            self._close(child.pidfd)
        child.code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        child.buried = now
        child.left_behind |= child.stopped_as is None and _group_exists(child)

    def _kill_orphans(self, buried: Sequence[_Child]) -> bool:
        """Kill what the ended commands left outside their groups; whether there was any: it may leave more itself.

        An orphan that carries no mark any more (env -i) is spared while a command runs that may have started it.
        """
        running = [child for child in self._children if child.buried is None]
        leaders = {child.pid for child in running}
        orphans = [
            pid
            for pid in containment.children()
            if pid not in leaders and not any(_may_have_started(child, pid) for child in running)
        ]
        for pid in orphans:
            for child in buried:
                child.left_behind |= child.stopped_as is None and _may_have_started(child, pid)
            containment.kill_child(pid)
        return bool(orphans)

    def _reap_orphans(self) -> None:
        """Reap the adopted orphans of running commands that have ended by themselves."""
        leaders = {child.pid for child in self._children}
        for pid in containment.children():
            if pid not in leaders:
                containment.reap(pid)

    def _close_pipe(self, child: _Child) -> None:
        if child.pipe is not None:
            self._close(child.pipe)
            child.pipe = None


def _places(program: bytes, environ: Mapping[bytes, bytes]) -> Sequence[bytes]:
    """Where a program may be: at its own path, or in the directories of the command's PATH."""
    if b"/" in program:
        return [program]
    directories = environ.get(b"PATH", os.defpath.encode()).split(b":")
    return [(directory or b".") + b"/" + program for directory in directories]


def _keep_descriptors_from_commands() -> None:
    """What this process was started with, a lock of its starter's perhaps; Python's own are not inherited anyway."""
    for entry in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the listing itself
            if int(entry.name) > 2:
                os.set_inheritable(int(entry.name), False)


def _pidfd(pid: int) -> int | None:
    """A descriptor that tells of the process's end; None where there is none to be had, and ends are looked for."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _variables(run: Run) -> dict[bytes, bytes]:
    job = run.job
    variables = ({} if job.cwd is None else {"PWD": job.cwd}) | dict(job.env)
    variables |= {
        "QUEUECTL_JOB_ID": job.id,
        "QUEUECTL_ATTEMPT": str(job.attempts),
        "QUEUECTL_QUEUE": job.queue,
        "QUEUECTL_LEASE_ID": run.lease.id,
        "QUEUECTL_WORKER_ID": run.lease.worker,
    }
    return {_bytes(name): _bytes(text) for name, text in variables.items()}


def _bytes(text: str) -> bytes:
    """In UTF-8 whatever the worker's locale is, and bytes that are no UTF-8: what was enqueued is what is run."""
    return text.encode(errors="surrogateescape")


def _present_directory(said: bytes) -> Mapping[bytes, bytes]:
    """`PWD` of this process: as `said`, through links perhaps, if that is where it is; nothing where it is gone."""
    with contextlib.suppress(OSError):
        if said.startswith(b"/") and Path(os.fsdecode(said)).samefile("."):
            return {b"PWD": said}
    with contextlib.suppress(OSError):
        return {b"PWD": os.fsencode(Path.cwd())}
    return {}


def _is_dead(child: _Child) -> bool:
    """Whether the leader has ended; it stays a zombie."""
    if child.buried is not None:
        return True
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _signal_group(child: _Child, number: signal.Signals) -> None:
    if child.buried is None:  # from then on the group's id may be another's
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)


def _may_have_started(child: _Child, pid: int) -> bool:
    """Whether the process is, by its mark or for want of one by its age, of that command."""
    is_marked = containment.is_marked(pid, containment.JOB_MARK, child.run.job.id)
    if is_marked is not None:
        return is_marked
    return system.is_younger(pid, than=child.spawned_at)


def _group_exists(child: _Child) -> bool:
    with contextlib.suppress(ChildProcessError):  # raised when none of the group is, or has become, a child of ours
        while os.waitid(os.P_PGID, child.pid, os.WEXITED | os.WNOHANG):
            pass
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _unread(pipe: int | None) -> int:
    """How many bytes wait in a pipe (FIONREAD, pipe(7))."""
    if pipe is None:
        return 0
    size: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0"))[0]
    return size
