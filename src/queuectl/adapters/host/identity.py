"""The identity of this machine, user and process; a process is more than its pid, which is given again."""

import errno
import functools
import os
import pwd
import socket
import subprocess
import time
from pathlib import Path

from queuectl.adapters.host.files import printable
from queuectl.domain.errors import HostTrouble, reason_of
from queuectl.domain.worker import Process

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
"""No descriptor, memory or process is left: for this process, or on this machine."""

HAS_PROC = Path("/proc/self/stat").exists()

TICKS = os.sysconf("SC_CLK_TCK")
"""The unit of a process's start time: so many are a second."""


def machine_labels() -> tuple[str, ...]:
    """The labels that every worker of this machine has."""
    system = os.uname()
    return f"host={host_name()}", f"os={system.sysname.lower()}", f"arch={system.machine}"


def host_name() -> str:
    """The name that this machine has for itself."""
    return printable(socket.gethostname())


def user_at_host() -> str:
    """The user who runs this process, and the machine: `ann@web-1`."""
    try:
        user = printable(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # a user without a name, as in many containers
        user = str(os.getuid())
    return f"{user}@{host_name()}"


@functools.cache
def machine_id() -> str:
    """One boot of one machine and one of its pid namespaces: where a pid and its start time mean one process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # not Linux: a host name has to do, so that nobody else's process is taken for ours
        return host_name()


def process(pid: int) -> Process | None:
    """Find the process that has that pid on this machine now; a zombie without living threads counts as none."""
    started = start_time(pid)
    return None if started is None else Process(machine=machine_id(), pid=pid, started=started)


def current_process() -> Process:
    """Find this very process."""
    found = process(os.getpid())
    if found is None:
        raise RuntimeError("neither /proc nor ps says when this process started")
    return found


def is_alive(candidate: Process) -> bool:
    """Return whether that very process, not another with its pid, runs on this machine; True when that is not known."""
    found = process(candidate.pid)
    return found == candidate or (found is None and _is_hidden(candidate.pid))


def is_gone(candidate: Process) -> bool:
    """Return whether that process ran on this machine, and is proved to have ended."""
    return candidate.machine == machine_id() and not is_alive(candidate)


def is_standing_still(candidate: Process) -> bool:
    """Return whether that process has been stopped by a signal, or by a debugger."""
    fields = stat_fields(candidate.pid)
    return fields is not None and fields[0] in "Tt" and process(candidate.pid) == candidate


def start_time(pid: int) -> int | None:
    """Count the clock ticks from boot to the start of the process, or seconds since 1970 where there is no /proc."""
    if HAS_PROC:
        fields = stat_fields(pid)
        if fields is None or (fields[0] in "ZX" and not _has_other_threads(pid)):
            return None
        return int(fields[19])
    ps = ["ps", "-o", "lstart=", "-p", str(pid)]
    text = subprocess.run(ps, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - a fixed command, found as the user would
    return int(time.mktime(time.strptime(text))) if text else None


def stat_fields(pid: int | str) -> list[str] | None:
    """The fields of /proc/PID/stat from the third (state) on: the second, the name, may hold anything, even `)`.

    The numbers of the fields, less three, are those of proc_pid_stat(5).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError as error:
        raise host_trouble(error) from error
    return stat.rpartition(")")[2].split()


def pids() -> list[int]:
    """List all processes on this machine that can be seen. Raises HostTrouble."""
    try:
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise host_trouble(error) from error


def host_trouble(error: OSError) -> HostTrouble:
    """Translate the error of a look at /proc."""
    return HostTrouble(f"this process cannot look at others now: {reason_of(error)}")


def _is_hidden(pid: int) -> bool:
    """Return whether a process has that pid although /proc does not show it: another user's, with hidepid (proc(5))."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return False  # ours, and so visible: a zombie


def _has_other_threads(pid: int) -> bool:
    """Return whether a process whose main thread has ended, and which so looks like a zombie, lives on in others."""
    try:
        threads = [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
        states = [fields[0] for it in threads if it != pid and (fields := stat_fields(f"{pid}/task/{it}"))]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(state not in "ZX" for state in states)
