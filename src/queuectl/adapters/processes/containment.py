"""Holding on to the processes of a job beyond its process group, as far as the system allows.

A command's children can leave its group and session (setsid) and lose their parents (a double fork): not their
ancestors. This process adopts the orphans below it, so each of them ends up as its child, where it can be seen, and
killed and reaped without the danger that its pid is another's by then. Linux only; elsewhere these find nothing, and
the process group is all that is held.
"""

import contextlib
import ctypes
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from queuectl.adapters.host import system
from queuectl.domain.errors import HostTrouble
from queuectl.domain.ports.host import NotedCommand
from queuectl.domain.ports.storage import Finding, Grade

WORKER_MARK, JOB_MARK = "QUEUECTL_WORKER_ID", "QUEUECTL_JOB_ID"
"""Variables in the environment of every command: whose it is."""

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphans below this process become its children instead of init's."""

LONGEST_SWEEP = 5.0
"""Seconds after which processes that SIGKILL does not end are left behind."""


MOST_TEXT = 1 << 20
"""Bytes of the longest list of children: more than a hundred thousand pids."""

HUNT = 0.05
"""Seconds for which the newest processes are looked at, after a look at all."""

CLEAN_SWEEPS = 2
"""Looks in a row that must find nothing: a process that forks its successor and ends may be missed by one."""

TICKS = os.sysconf("SC_CLK_TCK")

EXIT_CODE_FIELD = 50
"""The place of the exit code in /proc/PID/stat (its field 52), counted from the process's state."""

PAUSE = 0.002
"""Seconds between two looks at what is dying."""


def become_subreaper() -> None:
    """Adopt the orphans of this process's descendants from now on."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> list[int]:
    """The pids of this process's children: those that its main thread started, and the orphans it adopted."""
    try:
        return [int(pid) for pid in os.pread(_list_of_children(os.getpid()), MOST_TEXT, 0).split()]
    except FileNotFoundError:
        return []


@functools.cache
def _list_of_children(pid: int) -> int:
    # Kept open: a worker reads it at each turn. Orphans go to the first living thread, and the main one always lives.
    return os.open(f"/proc/self/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)


def is_marked(pid: int, name: str, value: str) -> bool | None:
    """Whether the process was started with that environment variable; None when it has not even the variable."""
    found = _variable(pid, name)
    return None if found is None else found == value


UNKNOWN = 2**63
"""When a process was started at which nobody could look: later than anything."""


class Orphan(NamedTuple):
    """A process that this one has adopted. `job_id` is its mark, or None when it has none (any more)."""

    pid: int
    job_id: str | None
    started: int
    """Clock ticks since boot."""

    def is_younger(self, than: timedelta) -> bool:
        """Whether it was started at that time since boot or later."""
        return self.started >= int(than.total_seconds() * TICKS)


class Orphans:
    """The orphans of this process's descendants: each is looked at once, however many there are and however often.

    A pid is one process's until this process reaps it.
    """

    def __init__(self) -> None:
        self._known: dict[int, Orphan] = {}

    def look(self) -> Collection[Orphan]:
        """Those that are there now."""
        pids = children()
        found = {pid: self._known.get(pid) or _orphan(pid) for pid in pids}
        self._known = {pid: orphan for pid, orphan in found.items() if orphan.started < UNKNOWN}
        return found.values()

    def kill(self, orphan: Orphan) -> None:
        """Kill it, and reap it if it has ended already."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(orphan.pid, signal.SIGKILL)
        self._reap(orphan.pid)

    def reap(self) -> None:
        """Reap those that have ended."""
        for pid in children():
            self._reap(pid)

    def _reap(self, pid: int) -> None:
        if reap(pid):
            self._known.pop(pid, None)


def _orphan(pid: int) -> Orphan:
    try:
        return Orphan(pid=pid, job_id=_variable(pid, JOB_MARK), started=system.start_time(pid) or 0)
    except HostTrouble:  # it may be anybody's
        return Orphan(pid=pid, job_id=None, started=UNKNOWN)


def reap(pid: int) -> bool:
    """Reap a child of this process if it has ended; whether it has."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def kill_children_of(thread: int) -> None:
    """Kill what a thread of this process is about to start, where that hangs in the kernel."""
    with contextlib.suppress(OSError, ValueError):
        for pid in Path(f"/proc/self/task/{thread}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)


def members(group: int) -> list[int]:
    """The processes of that group, as far as they can be seen."""
    return [pid for pid in _pids() if (fields := system.stat_fields(pid)) and fields[2] == str(group)]


def exit_code(pid: int) -> int | None:
    """How a process that cannot be reaped has ended, as an exit code or a negative signal; None: not known."""
    fields = system.stat_fields(pid)
    if not fields or fields[0] not in "ZX" or len(fields) < EXIT_CODE_FIELD:
        return None
    return os.waitstatus_to_exitcode(int(fields[EXIT_CODE_FIELD - 1]))


def kill_orphans(keep: Collection[int]) -> None:
    """Kill every child of this process but those to `keep`, and what they leave behind, until there is none.

    A command has a session of its own: what is in this process's session was there before it, and is spared.
    """
    give_up_at = time.monotonic() + LONGEST_SWEEP
    own_session = os.getsid(0)
    while orphans := [pid for pid in children() if pid not in keep and _session(pid) != own_session]:
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            reap(pid)
        if time.monotonic() > give_up_at:
            return
        time.sleep(PAUSE)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def kill_commands_of(worker_id: str, noted: Sequence[NotedCommand] = ()) -> None:
    """Kill every process on this machine that a command of that worker started, however it has moved since.

    They are known by `QUEUECTL_WORKER_ID` in the environment they were started with, and by the sessions and outputs
    of the commands that the worker has `noted`; returns when none is left.
    """
    give_up_at, clean = time.monotonic() + LONGEST_SWEEP, 0
    sessions = {command.pid: command.noted_at for command in noted if command.pid}
    outputs = {f"pipe:[{command.output}]" for command in noted}

    def is_left(pid: int) -> bool:
        is_ours = is_marked(pid, WORKER_MARK, worker_id) or _is_in_session(pid, sessions)
        return is_ours or (bool(outputs) and _has_open(pid, outputs))

    while clean < CLEAN_SWEEPS and time.monotonic() < give_up_at:
        left = [pid for pid in _pids() if is_left(pid)]
        for pid in left:
            _kill_if(is_left, pid)
        if left:
            time.sleep(PAUSE)
        clean = 0 if left or _hunt(is_left) else clean + 1


def marked(name: str, value: str) -> dict[int, str | None]:
    """Every process on this machine that was started with that variable, and the job, if it belongs to one."""
    return {pid: _variable(pid, JOB_MARK) for pid in _pids() if is_marked(pid, name, value)}


def owners() -> set[str]:
    """The ids of the workers to which the commands that run on this machine belong."""
    return {worker for pid in _pids() if (worker := _variable(pid, WORKER_MARK))}


def examine() -> Finding:
    """How much of a command's processes can be held on this machine."""
    missing = [
        what
        for what, is_there in (
            ("child subreapers", sys.platform == "linux"),
            ("/proc with lists of children", Path(f"/proc/self/task/{os.getpid()}/children").exists()),
            ("pidfd_open (Linux 5.3)", _has_pidfds()),
        )
        if not is_there
    ]
    if missing:
        return Finding(
            subject="containment",
            grade=Grade.WARN,
            message=f"process groups only: this system lacks {', '.join(missing)}",
            hint="what a command starts in a session of its own may outlive it",
        )
    return Finding(
        subject="containment",
        grade=Grade.OK,
        message="whole process trees: nothing that a command starts outlives it",
    )


def _has_pidfds() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _is_in_session(pid: int, sessions: Mapping[int, timedelta]) -> bool:
    """Whether the process lives and is of one of these sessions, which were there at these times since boot.

    The id of a session is its leader's pid, and not given again while the session has members. A younger leader has
    been given it after the session was gone.
    """
    if not sessions or (fields := system.stat_fields(pid)) is None:
        return False
    session = int(fields[3])
    if session not in sessions or system.process(pid) is None:
        return False
    leader = system.stat_fields(session)
    return leader is None or int(leader[19]) <= int(sessions[session].total_seconds() * TICKS)


def _has_open(pid: int, names: Collection[str]) -> bool:
    """Whether the process has one of these open, by the names that /proc has for them."""
    with contextlib.suppress(OSError):  # another user's, or gone
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) in names:  # noqa: PTH115 - a name that is no path
                    return True
    return False


def _variable(pid: int, name: str) -> str | None:
    prefix = f"{name}=".encode()
    variables = _environment(pid)
    return next((os.fsdecode(each[len(prefix) :]) for each in variables if each.startswith(prefix)), None)


def _environment(pid: int) -> list[bytes]:
    """The variables that the process was started with; none of one that is gone or another user's."""
    try:
        if variables := Path(f"/proc/{pid}/environ").read_bytes():
            return variables.split(b"\0")
    except OSError as error:
        if error.errno in system.EXHAUSTED:
            raise system.host_trouble(error) from error
    with contextlib.suppress(OSError):  # the main thread may have ended, and others live
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                if variables := (thread / "environ").read_bytes():
                    return variables.split(b"\0")
    return []


def _pids() -> list[int]:
    try:
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise system.host_trouble(error) from error


def _hunt(is_meant: Callable[[int], bool]) -> bool:
    """Kill what forks its successor and ends before a look at all processes comes to it; whether there was any.

    The newest pid of the system is such a one's again and again. Over when none has been met for a moment.
    """
    was_any, until = False, time.monotonic() + HUNT
    while time.monotonic() < until:
        newest = _newest_pid()
        if newest is None:
            break
        if is_meant(newest):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(newest, signal.SIGKILL)  # it has been met this very moment: its pid is nobody else's yet
            was_any, until = True, time.monotonic() + HUNT
    return was_any


def _newest_pid() -> int | None:
    try:
        return int(Path("/proc/sys/kernel/ns_last_pid").read_text())
    except (OSError, ValueError):  # a kernel without it
        return None


def _kill_if(is_meant: Callable[[int], bool], pid: int) -> None:
    with contextlib.suppress(OSError):  # another user's
        system.send_signal(pid, signal.SIGKILL, is_meant=is_meant)
