"""Holding on to the processes of a job beyond its process group, as far as the system allows.

Linux only; elsewhere these do nothing, and a process group is all that is held.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphans below this process become its children instead of init's."""

LONGEST_SWEEP = 5.0
"""Seconds after which processes that SIGKILL does not end are left behind."""


def become_subreaper() -> None:
    """Adopt the orphans of this process's descendants from now on."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_commands_of(worker_id: str) -> None:
    """Kill every process on this machine that a command of that worker started, however it has moved since.

    They are known by `QUEUECTL_WORKER_ID` in the environment they were started with; returns when none is left.
    """
    mark = f"QUEUECTL_WORKER_ID={worker_id}".encode()
    give_up_at = time.monotonic() + LONGEST_SWEEP
    while marked := [pid for pid in _pids() if _carries(pid, mark)]:
        for pid in marked:
            _kill(pid, mark)
        if time.monotonic() > give_up_at:
            return
        time.sleep(0.005)


def _pids() -> list[int]:
    try:
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except FileNotFoundError:
        return []


def _carries(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, a zombie, or another user's
        return False


def _kill(pid: int, mark: bytes) -> None:
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            # Looked at again through the pidfd's lifetime: the pid may have become another process's.
            if _carries(pid, mark):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
