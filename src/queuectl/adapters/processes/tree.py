"""A job's processes beyond its process group, as far as the system allows to hold them.

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
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from queuectl.adapters.host import identity
from queuectl.adapters.processes import marks
from queuectl.domain.errors import HostTrouble
from queuectl.domain.ports.storage import Finding, Grade
from queuectl.domain.worker import JOB_MARK

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphans below this process become its children instead of init's."""

MAX_LIST_SIZE = 1 << 20
"""Bytes of the longest list of children: more than a hundred thousand pids."""

EXIT_CODE_FIELD = 50
"""The index of the exit code in /proc/PID/stat (its field 52), counted from the process's state."""

UNKNOWN = 2**63
"""The start time of a process at which nobody could look: later than anything."""


def become_subreaper() -> None:
    """Adopt the orphans of this process's descendants from now on."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> list[int]:
    """List the pids of this process's children: those that its main thread started, and the orphans it adopted."""
    try:
        return [int(pid) for pid in os.pread(_list_of_children(os.getpid()), MAX_LIST_SIZE, 0).split()]
    except FileNotFoundError:
        return []


@functools.cache
def _list_of_children(pid: int) -> int:
    # Kept open: a worker reads it at each turn. Orphans go to the first living thread, and the main one always lives.
    return os.open(f"/proc/self/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)


class Orphan(NamedTuple):
    """A process that this one has adopted. `job_id` is its mark, or None when it has none (any more)."""

    pid: int
    job_id: str | None
    started: int
    """Clock ticks since boot."""

    def is_younger(self, than: timedelta) -> bool:
        """Return whether it was started at that time since boot or later."""
        return self.started >= int(than.total_seconds() * identity.TICKS)


class Orphans:
    """The orphans of this process's descendants: each is looked at once, however many there are and however often.

    A pid is one process's until this process reaps it.
    """

    def __init__(self) -> None:
        self._known: dict[int, Orphan] = {}

    def look(self) -> Collection[Orphan]:
        """Return those that are there now."""
        pids = children()
        found = {pid: self._known.get(pid) or _orphan(pid) for pid in pids}
        self._known = {pid: orphan for pid, orphan in found.items() if orphan.started < UNKNOWN}
        return found.values()

    def kill(self, orphan: Orphan) -> None:
        """Kill it, and reap it if it has ended already."""
        if kill(orphan.pid):
            self._known.pop(orphan.pid, None)

    def reap(self) -> None:
        """Reap those that have ended."""
        for pid in children():
            if reap(pid):
                self._known.pop(pid, None)


def _orphan(pid: int) -> Orphan:
    try:
        return Orphan(pid=pid, job_id=marks.variable(pid, JOB_MARK), started=identity.start_time(pid) or 0)
    except HostTrouble:  # it may be anybody's
        return Orphan(pid=pid, job_id=None, started=UNKNOWN)


def reap(pid: int) -> bool:
    """Reap a child of this process if it has ended; returns whether it had."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def kill(pid: int) -> bool:
    """Kill a child of this process, and reap it if it has ended already; returns whether it had."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    return reap(pid)


def kill_children_of(thread: int) -> None:
    """Kill what a thread of this process is about to start, where that hangs in the kernel."""
    with contextlib.suppress(OSError, ValueError):
        for pid in Path(f"/proc/self/task/{thread}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)


def members(group: int) -> list[int]:
    """List the processes of that group, as far as they can be seen."""
    return [pid for pid in identity.pids() if (fields := identity.stat_fields(pid)) and fields[2] == str(group)]


def exit_code(pid: int) -> int | None:
    """The exit code, or the negative signal, of a process that has ended and cannot be reaped; None: not known."""
    fields = identity.stat_fields(pid)
    if not fields or fields[0] not in "ZX" or len(fields) < EXIT_CODE_FIELD:
        return None
    return os.waitstatus_to_exitcode(int(fields[EXIT_CODE_FIELD - 1]))


def kill_orphans(keep: Collection[int]) -> None:
    """Kill every child of this process but those to `keep`, and what they leave behind, until there is none.

    A command has a session of its own: what is in this process's session was there before it, and is spared.
    """
    give_up_at = time.monotonic() + marks.SWEEP_TIMEOUT
    own_session = os.getsid(0)
    while orphans := [pid for pid in children() if pid not in keep and _session(pid) != own_session]:
        for pid in orphans:
            kill(pid)
        if time.monotonic() > give_up_at:
            return
        time.sleep(marks.POLL_INTERVAL)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def examine() -> Finding:
    """The finding about this machine: how much of a command's processes can be held on it."""
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
