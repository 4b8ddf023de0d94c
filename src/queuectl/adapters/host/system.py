"""The machine: its clock, its identity, its processes, and fresh ids."""

import errno
import functools
import os
import pwd
import random
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from queuectl.domain.errors import HostTrouble, reason_of
from queuectl.domain.worker import Process

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
"""Crockford's base 32: in the order of the characters' codes, and without letters that look like digits."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
"""Moments are stored as integers: so many of these since then."""

SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
"""No descriptor, memory or process is left: for this process, or on this machine."""

TICKS = os.sysconf("SC_CLK_TCK")
"""The unit of a process's start time: so many are a second."""

HAS_PROC = Path("/proc/self/stat").exists()

random_bits = random.SystemRandom().getrandbits
"""From the kernel, as `secrets.randbits` has them; but that module loads OpenSSL's hashes."""

RANDOM_BITS = 35
"""A job id is milliseconds since 1970 (45 bits last beyond the year 3000), then so many random bits."""


def now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


def elapsed() -> timedelta:
    """Time since the machine's boot, suspension included where the system can tell; never steps."""
    return timedelta(0, 0, time.clock_gettime_ns(SINCE_BOOT) // 1000)  # by place, and not by a float: it is asked often


class JobIds:
    """Makes job ids that sort by time: 16 characters, easy to type. Within a process each is greater than the last."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> list[str]:
        """Fresh ids, `count` of them: one at random and those that follow it."""
        # The module's own generator: it is seeded anew in a fork.
        fresh = (time.time_ns() // 1_000_000 << RANDOM_BITS) + random.getrandbits(RANDOM_BITS - 1)
        with self._lock:
            first = max(fresh, self._last + 1)
            self._last = first + count - 1
        return [_fourteen_digits(number >> 10) + PAIRS[number & 1023] for number in range(first, first + count)]


def new_worker_id() -> str:
    """A fresh id for a worker: 50 random bits, short enough to read aloud."""
    return PAIRS[random_bits(10)] + _eight_digits(random_bits(40))


def new_lease_id() -> str:
    """A fencing token: 128 random bits in hex."""
    return f"{random_bits(128):032x}"


def printable(text: str) -> str:
    r"""The text with its bytes that are no UTF-8, escaped by Python (PEP 383), as `\xe9`: for what is only read."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def host_name() -> str:
    """What this machine calls itself."""
    return printable(socket.gethostname())


def make_private(directory: Path) -> None:
    """Make the directory and those above it that only the owner can use, where there are none. Raises OSError."""
    for each in reversed((directory, *directory.parents)):  # parents=True would make them by the umask
        each.mkdir(mode=0o700, exist_ok=True)


def check_own(directory: Path) -> None:
    """Raise PermissionError unless the directory is this user's, and nobody else may write to it."""
    found = directory.lstat()
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not is_ours or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EPERM, "it is no directory of our own, or others may write to it")


def own_directory(directory: Path) -> None:
    """Have that directory, made for the owner alone where there is none. Raises OSError where it is others' too."""
    make_private(directory)
    check_own(directory)


def user_at_host() -> str:
    """Who runs this process, and where: `ann@web-1`."""
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
    """The process that has that pid on this machine now, or None; a zombie without living threads counts as none."""
    started = start_time(pid)
    return None if started is None else Process(machine=machine_id(), pid=pid, started=started)


def current_process() -> Process:
    """This very process."""
    found = process(os.getpid())
    if found is None:
        raise RuntimeError("neither /proc nor ps tells when this process started")
    return found


def is_standing_still(candidate: Process) -> bool:
    """Whether that process has been stopped by a signal, or by a debugger."""
    fields = stat_fields(candidate.pid)
    return fields is not None and fields[0] in "Tt" and process(candidate.pid) == candidate


def send_signal(pid: int, number: signal.Signals, *, is_meant: Callable[[int], bool]) -> bool:
    """Signal the process that has that pid, if it is the one that is meant; whether it was. Raises PermissionError.

    It is looked at while a pidfd holds it: the pid may have become another's. Where there is none to be had (an old
    kernel, a sandbox, no descriptor left), a look just before has to do.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):
        pidfd = None
    try:
        if not is_meant(pid):
            return False
        if pidfd is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        if pidfd is not None:
            os.close(pidfd)
    return True


def signal_process(target: Process, number: signal.Signals) -> bool:
    """Signal that very process, and no other that has its pid by now; whether it was there. Raises PermissionError."""
    return send_signal(target.pid, number, is_meant=lambda pid: process(pid) == target)


def is_alive(candidate: Process) -> bool:
    """Whether that very process, not another with its pid, runs on this machine; True when that cannot be told."""
    found = process(candidate.pid)
    return found == candidate or (found is None and _is_hidden(candidate.pid))


def is_gone(candidate: Process) -> bool:
    """Whether that process ran on this machine, and is proved to have ended."""
    return candidate.machine == machine_id() and not is_alive(candidate)


def _is_hidden(pid: int) -> bool:
    """Whether a process has that pid although /proc does not show it: another user's, with hidepid (proc(5))."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return False  # ours, and so visible: a zombie


def start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of the process, or seconds since 1970 where there is no /proc."""
    if HAS_PROC:
        fields = stat_fields(pid)
        if fields is None or (fields[0] in "ZX" and not _has_other_threads(pid)):
            return None
        return int(fields[19])
    text = _asked_of_ps(pid, "lstart=")
    return int(time.mktime(time.strptime(text))) if text else None


def host_trouble(error: OSError) -> HostTrouble:
    """The error in our words."""
    return HostTrouble(f"this process cannot look at others now: {reason_of(error)}")


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


def _has_other_threads(pid: int) -> bool:
    """Whether a process whose main thread has ended, and which so looks like a zombie, lives on in others."""
    try:
        threads = [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
        states = [fields[0] for it in threads if it != pid and (fields := stat_fields(f"{pid}/task/{it}"))]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(state not in "ZX" for state in states)


def _asked_of_ps(pid: int, column: str) -> str:
    answer = subprocess.run(["ps", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607 - a fixed command, found as the user would
    return answer.stdout.strip()


@functools.lru_cache(maxsize=1)
def _fourteen_digits(number: int) -> str:
    """The number's last 70 bits in base 32."""
    return _eight_digits(number >> 30) + "".join(PAIRS[number >> place & 1023] for place in (20, 10, 0))


def _eight_digits(number: int) -> str:
    """The number's last 40 bits in base 32."""
    return f"{PAIRS[number >> 30 & 1023]}{PAIRS[number >> 20 & 1023]}{PAIRS[number >> 10 & 1023]}{PAIRS[number & 1023]}"
