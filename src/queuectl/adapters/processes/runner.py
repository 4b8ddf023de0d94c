"""Runs commands as child processes: one loop over their ends, their output and their deadlines.

A command goes through four phases. It is *starting* in a thread of its own, which its program and its directory may
hold up; *running*; *reaped*, from when on what it left behind is killed; and over. Each phase that a command could stay
in has an end: what SIGKILL does not end, or a tracer does not let go of, is *stuck*: its outcome is told, and it is
reaped whenever that can be.

A run ends when its process ends, not when its output does: a background child that keeps the pipe open must not hang
the worker. Each command leads a session and process group of its own. The dead leader is left a zombie until its group
has been killed, so that its pid, and with it the group's id, cannot belong to anybody else by then. What left the group
is killed next, once it has become an orphan and so, by adoption, a child of this process: see `containment`.
"""

import contextlib
import errno
import fcntl
import hashlib
import math
import os
import resource
import select
import signal
import struct
import termios
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path

from queuectl.adapters.processes import containment, run_result
from queuectl.adapters.processes.blocking_calls import BlockingCalls
from queuectl.adapters.processes.containment import Orphan, Orphans
from queuectl.adapters.processes.output import OutputBuffer
from queuectl.adapters.processes.posix_spawn import Spawn
from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.errors import QueueError
from queuectl.domain.job import NO_VARIABLES
from queuectl.domain.ports.host import Elapsed
from queuectl.domain.ports.work import Run

CHUNK = 65536
"""Bytes read at a time: the capacity of a Linux pipe (pipe(7))."""

PRIVATE = ("QUEUECTL_", "PG", "NOTIFY_SOCKET")
"""Variables with these prefixes are the worker's own: the way to the database, passwords included, and to systemd."""

IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""Commands get them as any program does."""

LOOK_AGAIN = timedelta(milliseconds=10)
"""How often to look at what nothing tells about: the rest of a killed group; ends, where there is no pidfd_open(2)."""

REAP_TIMEOUT = timedelta(seconds=2)
"""How long a killed group may take to vanish, or a dead leader to be reaped, before its job is recorded anyway."""

KILL_TIMEOUT = timedelta(seconds=5)
"""How long a leader may take to end on SIGKILL before that is recorded. It runs no more code of its own: it waits for a
disk in the kernel, is in a frozen cgroup, or has a lot of memory to give back."""

YOUNG = timedelta(milliseconds=50)

WHILE_STARTING, WHILE_YOUNG = timedelta(milliseconds=25), timedelta(milliseconds=3)
"""How long an end waits for others while commands that are YOUNG are being started, or run: what ends together is
recorded together, in one transaction, which fills all their slots. To start them is what takes the time meanwhile."""

LOOK_TIMEOUT = timedelta(seconds=1)
"""How long a look at a job's files may take that would only make the words about its end better."""

REAP_INTERVAL = timedelta(milliseconds=100)
"""How often the orphans of running commands that have ended are reaped."""


DESCRIPTORS, DESCRIPTORS_EACH = 64, 2
"""What a worker needs for itself, for starts under way and looks at /proc as well; and for each command:
its pipe and its pidfd."""


def make_room_for(commands: int) -> None:
    """Allow this process as many descriptors as so many commands at once need. Raises QueueError where it may not."""
    needed = DESCRIPTORS + DESCRIPTORS_EACH * commands
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            possible = max(0, hard - DESCRIPTORS) // DESCRIPTORS_EACH
            raise QueueError(
                f"{commands} commands at once need {needed} file descriptors, and the limit is {hard} (ulimit -Hn): "
                + (f"--concurrency can be {possible} at most" if possible else "it is too low for any")
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@dataclass(slots=True, eq=False)
class _Child:
    """A command from its start to its end. Deadlines are in time since boot."""

    run: Run
    pipe: int | None
    output: OutputBuffer
    times_out: timedelta | None
    spawned_at: timedelta
    slot: int
    thread: int | None = None
    """The thread that starts it, as the kernel numbers it, while it does."""
    pid: int | None = None
    """None while it is starting."""
    failure: RunResult | None = None
    """Why it could not be started."""
    pidfd: int | None = None
    stopped_as: Outcome | None = None
    kill_at: timedelta | None = None
    killed_at: timedelta | None = None
    ended_at: timedelta | None = None
    """When the kernel said that the leader had ended; a tracer may still keep it from being reaped."""
    reaped_at: timedelta | None = None
    """When the leader was reaped; from then on only what it left behind is waited for."""
    told_at: timedelta | None = None
    """From when on its words are looked for, which is done in a thread of its own."""
    words: str | None = None
    left_behind: bool = False
    code: int = 0
    """The exit code, or the signal as a negative number; known when the leader has been reaped."""


class SubprocessRunner:
    """`Runner` on child processes. All methods belong to one thread, but `wake` and `stop`, which any may call.

    It takes every child of its process for its own: a command's leader, or an orphan that one left behind.
    The lock keeps a `stop` apart from the end of a start, before which there is no process to signal, and from the
    reaping of a child, after which its group's id may be another's.
    """

    def __init__(
        self,
        elapsed: Elapsed,
        environ: Mapping[str, str] = os.environ,
        handed_on: Mapping[str, str] = NO_VARIABLES,
        *,
        note: Callable[[int, int, int], None] = lambda _slot, _pid, _output: None,
    ) -> None:
        """Commands get `environ` less what is `PRIVATE`, and what is `handed_on`.

        `note` hears in which slot a command runs, by its pid and its output: see `LocalProcesses`.
        """
        self._elapsed = elapsed
        self._note = note
        inherited = {name: text for name, text in environ.items() if not name.startswith(PRIVATE) and name != "OLDPWD"}
        self._environ = {os.fsencode(name): os.fsencode(text) for name, text in (inherited | dict(handed_on)).items()}
        self._environ.update(_present_directory(self._environ.pop(b"PWD", b"")))
        self._grace = timedelta()
        self._lock = threading.RLock()
        self._children: list[_Child] = []
        self._stuck: list[_Child] = []
        self._failed: list[tuple[Run, RunResult]] = []
        self._calls = BlockingCalls()
        self._started: deque[_Child] = deque()
        self._orphans = Orphans()
        self._reap_at = elapsed()
        # Neither `selectors` nor epoll: what is waited for changes with each command, the one thing they are slow at.
        self._poll = select.poll()
        self._tells_of: dict[int, _Child] = {}
        self._wakes, self._wake = _bell()
        self._starts, self._start_told = _bell()
        self._poll.register(self._wakes, select.POLLIN)
        self._poll.register(self._starts, select.POLLIN)
        self._nothing = os.open(os.devnull, os.O_RDONLY)
        _keep_descriptors_from_commands()
        containment.children()  # whose list stays open: later there may be no descriptor left

    @property
    def stuck(self) -> int:
        """How many commands are over whose processes SIGKILL has not ended, or that a tracer does not let go of."""
        return len(self._stuck)

    def start(self, run: Run) -> None:
        """Have the command started; how it ended, a failure to start included, comes from `wait`."""
        try:
            pipe, write_end = os.pipe()
        except OSError as error:
            self._failed.append((run, run_result.spawn_failure(run, error)))
            return
        os.set_blocking(pipe, False)
        now = self._elapsed()
        child = _Child(
            run=run,
            slot=self._free_slot(),
            pipe=pipe,
            output=OutputBuffer(run.policy.output_limit),
            times_out=None if run.job.timeout is None else now + run.job.timeout,
            spawned_at=now,
        )
        self._watch(pipe, child)
        self._note(child.slot, 0, os.fstat(pipe).st_ino)  # before there is a process: nobody may come in between
        with self._lock:
            self._children.append(child)
        try:
            self._calls.begin(partial(self._start, child, *self._order(run, write_end), write_end))
        except (OSError, ValueError) as error:
            os.close(write_end)
            self._fail(child, run_result.spawn_failure(run, error))

    def wait(self, timeout: timedelta) -> Sequence[tuple[Run, RunResult]]:
        """The runs that have ended; waits for the first at most `timeout`."""
        now = self._elapsed()
        deadline = now + timeout
        ended: list[tuple[Run, RunResult]] = []
        while True:
            if self._children or self._stuck:
                self._reap_others(now)
            self._enforce(now)
            seconds = max(0.0, (self._next_deadline(deadline) - now).total_seconds())
            woken = self._read_events(self._poll.poll(0 if self._failed else math.ceil(seconds * 1000)))
            now = self._elapsed()
            ended += self._failed + self._take_ended()
            self._failed = []
            if ended or woken:
                deadline = min(deadline, now + self._worth_waiting(now))
            if now >= deadline:
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

    def set_grace(self, grace: timedelta) -> None:
        """From now on, a run has this long between SIGTERM and SIGKILL, or no longer if it has had its SIGTERM."""
        self._grace = grace
        with self._lock:
            for child in self._children:
                if child.kill_at is not None:
                    child.kill_at = min(child.kill_at, self._elapsed() + grace)

    def wake(self) -> None:
        """Make a `wait` return early. Safe from any thread or signal handler."""
        _ring(self._wake)

    def close(self) -> None:
        """Kill what still runs and give all descriptors back."""
        self.stop(Outcome.RELEASED, grace=timedelta())
        while self._children:
            self.wait(timedelta(seconds=1))
        for descriptor in (self._wakes, self._wake, self._starts, self._start_told, self._nothing):
            os.close(descriptor)

    def _order(self, run: Run, output: int) -> tuple[Spawn, Sequence[bytes]]:
        """What is to be started, and where its program may be. Raises ValueError for what no program can be given."""
        command, cwd = run.job.command, run.job.cwd
        args = [_bytes(arg) for arg in (("/bin/sh", "-c", command) if isinstance(command, str) else command)]
        environ = self._environ | _variables(run)
        order = Spawn(
            args,
            environ,
            directory=None if cwd is None else _bytes(cwd),
            descriptors={0: self._nothing, 1: output, 2: output},
            default_signals=IGNORED_BY_PYTHON,
        )
        return order, _places(args[0], environ)

    def _start(self, child: _Child, order: Spawn, places: Sequence[bytes], output: int) -> None:
        """Start the command, in a thread of its own: to look at its program and directory may take for ever."""
        child.thread = threading.get_native_id()
        pid, failure = None, None
        try:
            if child.stopped_as is None:
                pid = _started(order, places, child.run.job.cwd)
            else:
                failure = run_result.not_started(child.run, child.stopped_as)
        except (OSError, MemoryError) as error:
            failure = run_result.spawn_failure(child.run, error)
        finally:
            os.close(output)
        with self._lock:
            child.thread, child.pid, child.failure = None, pid, failure
            if pid is not None and child.pipe is not None:
                self._note(child.slot, pid, os.fstat(child.pipe).st_ino)
            if child.stopped_as is not None:  # meanwhile
                _signal_group(child, signal.SIGTERM if child.kill_at else signal.SIGKILL)
        self._started.append(child)
        _ring(self._start_told)

    def _take_started(self) -> None:
        while self._started:
            child = self._started.popleft()
            if child in self._stuck:
                continue  # its job has been given up meanwhile; it is killed and reaped with the others
            if child.failure is not None:
                stopped_as = child.stopped_as
                self._fail(child, run_result.not_started(child.run, stopped_as) if stopped_as else child.failure)
            elif child.pid is not None and child.reaped_at is None and (pidfd := _pidfd(child.pid)) is not None:
                child.pidfd = pidfd
                self._watch(pidfd, child)

    def _fail(self, child: _Child, result: RunResult) -> None:
        self._close_pipe(child)
        with self._lock:
            self._children.remove(child)
        self._note(child.slot, 0, 0)
        self._failed.append((child.run, result))

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
                    self._stop(child, Outcome.TIMEOUT, self._grace)
                if child.kill_at is not None and now >= child.kill_at:
                    self._kill(child, now)

    def _stop(self, child: _Child, outcome: Outcome, grace: timedelta) -> None:
        child.times_out = None
        if child.stopped_as is None and _is_dead(child):
            return  # it ended by itself first, and that is its outcome
        child.stopped_as = child.stopped_as or outcome
        now = self._elapsed()
        if not grace:
            self._kill(child, now)
            return
        kill_at = now + grace
        child.kill_at = kill_at if child.kill_at is None else min(kill_at, child.kill_at)
        _signal_group(child, signal.SIGTERM)
        _signal_group(child, signal.SIGCONT)  # a process that has stopped itself could not obey

    def _kill(self, child: _Child, now: timedelta) -> None:
        child.kill_at = None
        child.killed_at = child.killed_at or now
        if child.pid is None and child.thread is not None:
            containment.kill_children_of(child.thread)  # the one that waits for its directory or program
        _signal_group(child, signal.SIGKILL)

    def _next_deadline(self, deadline: timedelta) -> timedelta:
        soon = [deadline]
        if self._calls.relieve():
            soon.append(self._elapsed() + LOOK_AGAIN)
        for child in self._children:
            soon += [at for at in (child.times_out, child.kill_at) if at is not None]
            if child.killed_at is not None and child.reaped_at is None:
                soon.append(child.killed_at + KILL_TIMEOUT)
            is_unwatched = child.pid is not None and child.pidfd is None
            if is_unwatched or child.reaped_at is not None or child.told_at is not None:
                soon.append(self._elapsed() + LOOK_AGAIN)
        return min(soon)

    def _worth_waiting(self, now: timedelta) -> timedelta:
        """How long other commands may be about to end: those that have just begun are likely to be as short."""
        young = [child for child in self._children if now < child.spawned_at + YOUNG]
        if any(child.pid is None for child in young):
            return WHILE_STARTING
        return WHILE_YOUNG if young else timedelta()

    def _free_slot(self) -> int:
        taken = {child.slot for child in [*self._children, *self._stuck]}
        return next(slot for slot in count() if slot not in taken)

    def _is_anyone_starting(self) -> bool:
        return any(child.pid is None for child in self._children)

    def _read_events(self, events: Sequence[tuple[int, int]]) -> bool:
        """Take what the pipes have and note what has started and ended; whether `wake` was called."""
        woken = False
        for descriptor, _ in events:
            if descriptor == self._wakes:
                woken = True
                os.read(self._wakes, CHUNK)
            elif descriptor == self._starts:
                os.read(self._starts, CHUNK)
            elif (child := self._tells_of.get(descriptor)) is None:
                continue
            elif descriptor == child.pipe:
                self._read(child)
            else:  # the pidfd: it goes on telling, also of one that cannot be reaped
                child.ended_at = self._elapsed()
                self._close_pidfd(child)
        self._take_started()
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
        """The results of the commands that have ended and of whose processes nothing is left, or not to be had."""
        now, ended = self._elapsed(), []
        with self._lock:
            for child in self._children:
                # A pidfd has told of the end; who has none is asked each time.
                is_worth_a_look = child.ended_at is not None or child.pidfd is None
                if child.reaped_at is None and is_worth_a_look and _is_dead(child):
                    self._reap(child, now)
            reaped = [child for child in self._children if child.reaped_at is not None]
            orphans_left = bool(reaped) and self._kill_orphans(reaped)
            for child in reaped:
                is_over = child.reaped_at is not None and now > child.reaped_at + REAP_TIMEOUT
                if (is_over or not (orphans_left or _group_exists(child))) and self._has_words(child, now):
                    self._children.remove(child)
                    self._note(child.slot, 0, 0)
                    ended.append((child.run, self._result(child, orphans_left)))
            ended += [(child.run, self._give_up(child)) for child in self._children[:] if self._is_stuck(child, now)]
        return ended

    def _reap(self, child: _Child, now: timedelta) -> None:
        """Take the rest of the output, kill what is left of the group, and only then reap the leader."""
        for _ in range(_unread(child.pipe) // CHUNK + 1):  # not until EOF: a survivor may write for ever
            self._read(child)
        # A process that is only being started has a copy of every pipe, for a moment or as long as its mount is silent.
        is_pipe_kept = child.pipe is not None and not self._is_anyone_starting()
        child.left_behind = is_pipe_kept and child.stopped_as is None
        self._close_pipe(child)
        _signal_group(child, signal.SIGKILL)
        self._close_pidfd(child)
        child.code = _reaped(child)
        child.reaped_at = now
        child.left_behind |= child.stopped_as is None and _group_exists(child)

    def _result(self, child: _Child, orphans_left: bool) -> RunResult:
        left = containment.members(child.pid or 0) if _group_exists(child) else []
        if orphans_left:
            left += [orphan.pid for orphan in self._orphans.look() if _is_of(orphan, child)]
        return run_result.told(
            child.run,
            child.code,
            child.output.output(),
            stopped_as=child.stopped_as,
            left_behind=child.left_behind,
            cannot_be_killed=left,
            words=child.words or "",
        )

    def _has_words(self, child: _Child, now: timedelta) -> bool:
        """Whether all is known that can be said about its end; to look at the job's files may take for ever."""
        if child.stopped_as is not None or not run_result.has_more_to_tell(child.code):
            return True
        if child.told_at is None:
            child.told_at = now
            try:
                self._calls.begin(partial(_find_words, child))
            except OSError:
                child.words = ""
        return child.words is not None or now > child.told_at + LOOK_TIMEOUT

    def _is_stuck(self, child: _Child, now: timedelta) -> bool:
        if child.reaped_at is not None:
            return False
        is_held = child.ended_at is not None and now > child.ended_at + REAP_TIMEOUT
        lives_on = child.killed_at is not None and now > child.killed_at + KILL_TIMEOUT
        return is_held or lives_on

    def _give_up(self, child: _Child) -> RunResult:
        """Tell the end of a command that cannot be reaped: it holds its slot, and nobody else."""
        self._close_pipe(child)
        self._close_pidfd(child)
        self._children.remove(child)
        self._stuck.append(child)
        if child.pid is None:
            return run_result.not_started(child.run, child.stopped_as or Outcome.RELEASED, hangs=True)
        _signal_group(child, signal.SIGKILL)
        code = containment.exit_code(child.pid)
        return run_result.stuck(child.run, code, child.output.output(), stopped_as=child.stopped_as, pid=child.pid)

    def _kill_orphans(self, reaped: Sequence[_Child]) -> bool:
        """Kill what the ended commands left outside their groups; whether there was any: it may leave more itself.

        An orphan that carries no mark any more (env -i) is spared while a command runs that may have started it.
        """
        running = [child for child in self._children if child.reaped_at is None]
        orphans = [it for it in self._orphans.look() if not any(_is_of(it, child) for child in running)]
        for orphan in orphans:
            for child in reaped:
                child.left_behind |= child.stopped_as is None and _is_of(orphan, child)
            self._orphans.kill(orphan)
        return bool(orphans)

    def _reap_others(self, now: timedelta) -> None:
        """Reap the adopted orphans of running commands that have ended by themselves, and who was stuck."""
        if now < self._reap_at:
            return
        self._reap_at = now + REAP_INTERVAL
        self._orphans.reap()
        with self._lock:
            for child in self._stuck[:]:
                if child.pid is None and child.failure is None:
                    continue  # its start still hangs
                if child.failure is not None or (_is_dead(child) and _reaped(child) is not None):
                    self._stuck.remove(child)
                    self._note(child.slot, 0, 0)
                else:
                    _signal_group(child, signal.SIGKILL)

    def _close_pipe(self, child: _Child) -> None:
        if child.pipe is not None:
            self._close(child.pipe)
            child.pipe = None

    def _close_pidfd(self, child: _Child) -> None:
        if child.pidfd is not None:
            self._close(child.pidfd)
            child.pidfd = None


def _started(order: Spawn, places: Sequence[bytes], cwd: str | None) -> int:
    """Start the program from the first place where there is one; its pid. Raises OSError."""
    error: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for program in places:
        try:
            return order.start(program)
        except (FileNotFoundError, NotADirectoryError) as missing:
            # It is there, and what it cannot do without is missing.
            is_there = os.path.lexists(os.path.join(_bytes(cwd or "."), program))  # noqa: PTH118  # bytes
            if is_there and not isinstance(error, PermissionError):
                error = missing
        except PermissionError as forbidden:  # as execvp(3): the next directory may have one that can be run
            error = forbidden
    raise error


def _find_words(child: _Child) -> None:
    child.words = run_result.words_of(child.run, child.output.output())


def _bell() -> tuple[int, int]:
    """A pipe by which one thread wakes another: what to wait for, and what to ring."""
    waits, rings = os.pipe()
    os.set_blocking(waits, False)
    os.set_blocking(rings, False)
    return waits, rings


def _ring(bell: int) -> None:
    with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
        os.write(bell, b"\0")


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
        "QUEUECTL_LEASE_ID": _mark(run),
        "QUEUECTL_WORKER_ID": run.lease.worker,
    }
    return {_bytes(name): _bytes(text) for name, text in variables.items()}


def _mark(run: Run) -> str:
    """The attempt's own mark, by which nobody learns the lease id: who has that can say how its neighbours ended."""
    return hashlib.sha256(f"mark {run.lease.id} {run.job.attempts} {run.job.id}".encode()).hexdigest()[:32]


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
    """Whether the leader has ended and can be reaped; it stays a zombie."""
    if child.reaped_at is not None:
        return True
    if child.pid is None:
        return False
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _reaped(child: _Child) -> int:
    """Reap the dead leader; how it ended, as an exit code or a negative signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child.pid or 0, 0)[1])


def _signal_group(child: _Child, number: signal.Signals) -> None:
    if child.pid is not None and child.reaped_at is None:  # from then on the group's id may be another's
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)


def _is_of(orphan: Orphan, child: _Child) -> bool:
    """Whether that command may have started it: by its mark, or for want of one by its age."""
    if orphan.job_id is not None:
        return orphan.job_id == child.run.job.id
    return orphan.is_younger(child.spawned_at)


def _group_exists(child: _Child) -> bool:
    if child.pid is None:
        return False
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
