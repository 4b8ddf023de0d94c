"""The marks of a command: variables in its environment, by which its processes are known wherever they have moved."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from queuectl.adapters.host import identity, signals
from queuectl.domain.ports.host import NotedCommand
from queuectl.domain.worker import JOB_MARK, WORKER_MARK

SWEEP_TIMEOUT = 5.0
"""Seconds after which processes that SIGKILL does not end are left behind."""

POLL_INTERVAL = 0.002
"""Seconds between two looks at what is dying."""

HUNT_DURATION = 0.05
"""Seconds for which the newest processes are looked at, after a look at all."""

CLEAN_SWEEPS = 2
"""Looks in a row that must find nothing: a process that forks its successor and ends may be missed by one."""


def kill_commands_of(worker_id: str, noted: Sequence[NotedCommand] = ()) -> None:
    """Kill every process on this machine that a command of that worker started, however it has moved since.

    They are known by `QUEUECTL_WORKER_ID` in the environment they were started with, and by the sessions and outputs
    of the commands that the worker has `noted`; returns when none is left.
    """
    give_up_at, clean = time.monotonic() + SWEEP_TIMEOUT, 0
    sessions = {command.pid: command.noted_at for command in noted if command.pid}
    outputs = {f"pipe:[{command.output}]" for command in noted}

    def is_left(pid: int) -> bool:
        is_ours = variable(pid, WORKER_MARK) == worker_id or _is_in_session(pid, sessions)
        return is_ours or (bool(outputs) and _has_open(pid, outputs))

    while clean < CLEAN_SWEEPS and time.monotonic() < give_up_at:
        left = [pid for pid in identity.pids() if is_left(pid)]
        for pid in left:
            with contextlib.suppress(OSError):  # another user's
                signals.send_signal(pid, signal.SIGKILL, is_meant=is_left)
        if left:
            time.sleep(POLL_INTERVAL)
        clean = 0 if left or _hunt(is_left) else clean + 1


def marked(name: str, value: str) -> dict[int, str | None]:
    """Find every process on this machine that was started with that variable, each with its job, if it has one."""
    return {pid: variable(pid, JOB_MARK) for pid in identity.pids() if variable(pid, name) == value}


def owners() -> set[str]:
    """The ids of the workers to which the commands that run on this machine belong."""
    return {worker for pid in identity.pids() if (worker := variable(pid, WORKER_MARK))}


def variable(pid: int, name: str) -> str | None:
    """The variable of that name that the process was started with; None: it has none, or cannot be looked at."""
    prefix = f"{name}=".encode()
    variables = _environment(pid)
    return next((os.fsdecode(each[len(prefix) :]) for each in variables if each.startswith(prefix)), None)


def _environment(pid: int) -> list[bytes]:
    """The variables that the process was started with; none of one that is gone or another user's."""
    try:
        if variables := Path(f"/proc/{pid}/environ").read_bytes():
            return variables.split(b"\0")
    except OSError as error:
        if error.errno in identity.EXHAUSTED:
            raise identity.host_trouble(error) from error
    with contextlib.suppress(OSError):  # the main thread may have ended, and others live
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                if variables := (thread / "environ").read_bytes():
                    return variables.split(b"\0")
    return []


def _is_in_session(pid: int, sessions: Mapping[int, timedelta]) -> bool:
    """Return whether the process lives and is of one of these sessions, which were there at these times since boot.

    The id of a session is its leader's pid, and not given again while the session has members. A younger leader has
    been given it after the session was gone.
    """
    if not sessions or (fields := identity.stat_fields(pid)) is None:
        return False
    session = int(fields[3])
    if session not in sessions or identity.process(pid) is None:
        return False
    leader = identity.stat_fields(session)
    return leader is None or int(leader[19]) <= int(sessions[session].total_seconds() * identity.TICKS)


def _has_open(pid: int, names: Collection[str]) -> bool:
    """Return whether the process has one of these open, by the names that /proc has for them."""
    with contextlib.suppress(OSError):  # another user's, or gone
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) in names:  # noqa: PTH115 - a name that is no path
                    return True
    return False


def _hunt(is_meant: Callable[[int], bool]) -> bool:
    """Kill what forks its successor and ends before a look at all processes comes to it; returns whether there was any.

    The newest pid of the system is such a one's again and again. Over when none has been met for a moment.
    """
    was_any, until = False, time.monotonic() + HUNT_DURATION
    while time.monotonic() < until:
        newest = _newest_pid()
        if newest is None:
            break
        if is_meant(newest):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(newest, signal.SIGKILL)  # it has been met this very moment: its pid is nobody else's yet
            was_any, until = True, time.monotonic() + HUNT_DURATION
    return was_any


def _newest_pid() -> int | None:
    try:
        return int(Path("/proc/sys/kernel/ns_last_pid").read_text())
    except (OSError, ValueError):  # a kernel without it
        return None
