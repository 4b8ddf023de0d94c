"""The supervisors and workers that run on this machine, in files that each holds locked for as long as it lives.

One directory for each database, beside the outcomes that wait there, and in it one for each boot and pid namespace: a
pid means one process only within these. A file's name says whose it is, and nobody who writes to a descriptor can
change that. Its content says when the worker's lease ends and which commands run, for those who look after it has
died or while it stands still.

The lock is a record lock (fcntl(2)): the kernel frees it with the process, names its holder, and gives it to no child.
A process that closes any descriptor of a file loses its lock on it, so none opens its own file a second time.
"""

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import signal
import struct
import time
from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path

from queuectl.adapters.host.clock import MICROSECOND, elapsed
from queuectl.adapters.host.files import check_own, make_private, open_private
from queuectl.adapters.host.identity import current_process, host_trouble, machine_id
from queuectl.adapters.host.signals import send_signal
from queuectl.domain.errors import HostTrouble
from queuectl.domain.ports.host import LocalProcess, NotedCommand
from queuectl.domain.worker import Process

LOCK = struct.Struct("hhqqi4x")
"""`struct flock` of Linux with 64 bits: kind, whence, start, length, pid of the holder."""

HEADER, COMMAND = struct.Struct("=qqq"), struct.Struct("=qqq")
"""The end of the lease, the kill grace, the moment at which a sign of life is overdue; a command's pid, when noted, and
its output. Times in microseconds."""

NONE_OF_OURS = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM}
"""The errors of opening a file that is gone, or that is no registration of ours."""

SUPERVISOR = "supervisor"
"""Stands in a file's name where a worker has its id."""

UNFINISHED = ".part"

MAX_AGE = 86400.0
"""Seconds after which the directory of another boot or pid namespace, in which nothing is locked, is removed."""

DEATH_TIMEOUT = 2.0
"""Seconds that a killed process may take to die before it is left to itself."""

POLL_INTERVAL = 0.005
"""Seconds between two looks at a process that is dying."""

_log = logging.getLogger("queuectl")


class FileLocalProcesses:
    """`LocalProcesses` in a directory of this machine."""

    def __init__(self, directory: Path) -> None:
        """`directory` is the database's own, in which outcomes are kept too."""
        self._queues = directory.parent
        self._machine = machine_id().replace("/", ".")
        self._directory = self._of(directory)
        self._own: Path | None = None
        self._file = -1
        self._content = bytearray(HEADER.size)

    def join(self, supervisor: Process | None, *, worker: str = "") -> bool:
        """Write this process's file and lock it; False, and one line in the log, when that cannot be done."""
        own = current_process()
        try:
            make_private(self._directory)
            for each in (self._directory.parent.parent, self._directory.parent, self._directory):
                check_own(each)
            self._remove_old()
            path = self._directory / _name(own, supervisor or own, worker)
            unfinished = path.with_name(path.name + UNFINISHED)
            self._file = open_private(unfinished, os.O_RDWR | os.O_EXCL)
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unfinished.rename(path)  # under its own name only with its lock: it would be taken for a dead one's
        except OSError as error:
            if supervisor is None:  # its workers would say the same
                _log.warning(
                    "this machine's workers cannot be registered in %s: `worker stop` will not find them, a frozen one "
                    "will not be replaced, and the commands of one that is killed with its supervisor may not be "
                    "found: %s",
                    self._directory,
                    error,
                )
            return False
        self._own = path
        return True

    def renew(self, lease_ends: timedelta, *, kill_grace: timedelta, fit_until: timedelta) -> None:
        """Set this worker's fields from now on."""
        times = (lease_ends, kill_grace, fit_until)
        HEADER.pack_into(self._content, 0, *(each // MICROSECOND for each in times))
        self._write(0, self._content)  # all of it: a command may have written to our descriptor

    def note(self, slot: int, pid: int, output: int) -> None:
        """Note the command that runs in that slot now, or is about to; 0 and 0: none."""
        offset = HEADER.size + slot * COMMAND.size
        self._content.extend(bytes(max(0, offset + COMMAND.size - len(self._content))))
        COMMAND.pack_into(self._content, offset, pid, elapsed() // MICROSECOND, output)
        self._write(offset, self._content[offset : offset + COMMAND.size])

    def registered(self, *, of: Collection[str] = ()) -> list[LocalProcess]:
        """List those of this database, and the workers `of` these ids with their supervisors, wherever they are."""
        found = list(self._found(self._directory))
        known = {each.worker for each in found}
        if set(of) - known:
            for directory in self._other_directories():
                others = list(self._found(directory))
                supervisors = {each.supervisor for each in others if each.worker in of and each.worker not in known}
                found += [each for each in others if each.supervisor in supervisors]
        return found

    def send(self, target: LocalProcess, number: signal.Signals) -> bool:
        """Signal that very process, if it holds its file still; returns whether it did."""
        with contextlib.suppress(PermissionError):
            return send_signal(target.process.pid, number, is_meant=lambda pid: self._holder(Path(target.file)) == pid)
        return False

    def kill(self, target: LocalProcess) -> bool:
        """Kill that very process and wait until it is gone, for two seconds at most; returns whether it is."""
        self.send(target, signal.SIGKILL)
        give_up_at = time.monotonic() + DEATH_TIMEOUT
        while self._holder(Path(target.file)) == target.process.pid:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(POLL_INTERVAL)
        return True

    def forget(self, gone: LocalProcess) -> None:
        """Remove the file of a process that is gone, when its jobs and commands have been dealt with."""
        if self._holder(Path(gone.file)) == 0:
            with contextlib.suppress(OSError):
                Path(gone.file).unlink()

    def _write(self, offset: int, content: bytes | bytearray) -> None:
        if self._own is None:
            return
        with contextlib.suppress(OSError):  # a full disk: a reader finds an older moment, and asks the database
            os.pwrite(self._file, content, offset)
            if offset == 0:
                os.ftruncate(self._file, len(self._content))

    def _found(self, directory: Path) -> Iterator[LocalProcess]:
        try:
            check_own(directory)
            paths = sorted(directory.iterdir())
        except OSError as error:
            if error.errno in NONE_OF_OURS:
                return
            raise host_trouble(error) from error
        for path in paths:
            if (said := _parsed(path.name)) is not None:
                holder = self._holder(path)
                if holder is not None:
                    found = said._replace(file=str(path), is_alive=holder == said.process.pid)
                    yield _with_content(found, self._read(path))

    def _read(self, path: Path) -> bytes:
        if _is_own(path):
            return bytes(self._content) if path == self._own else b""
        with contextlib.suppress(OSError):
            return path.read_bytes()
        return b""

    def _of(self, database: Path) -> Path:
        return database / "run" / self._machine

    def _other_directories(self) -> list[Path]:
        with contextlib.suppress(OSError):
            others = (self._of(each) for each in self._queues.iterdir())
            return [each for each in others if each != self._directory and each.is_dir()]
        return []

    def _holder(self, path: Path) -> int | None:
        """The pid of the process that has the file locked, 0 when none has; None where there is no such file of ours.

        -1 for a process of another pid namespace. Raises HostTrouble when that cannot be found out now.
        """
        if _is_own(path):
            return os.getpid()
        try:
            file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in NONE_OF_OURS:
                return None
            raise host_trouble(error) from error
        try:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        except OSError as error:
            raise host_trouble(error) from error
        finally:
            os.close(file)
        kind, _, _, _, pid = LOCK.unpack(answer)
        return 0 if kind == fcntl.F_UNLCK else pid or -1

    def _remove_old(self) -> None:
        """Remove what was left by an earlier boot, or a pid namespace that is gone."""
        for directory in self._directory.parent.iterdir():
            with contextlib.suppress(OSError, HostTrouble):
                is_old = time.time() - directory.lstat().st_mtime > MAX_AGE
                if directory != self._directory and is_old and not any(map(self._holder, directory.iterdir())):
                    shutil.rmtree(directory)


def _is_own(path: Path) -> bool:
    pid, _, rest = path.name.partition("-")
    return pid == str(os.getpid()) and rest.partition("-")[0] == str(current_process().started)


def _name(process: Process, supervisor: Process, worker: str) -> str:
    """The name of a process's file: what `_parsed` takes apart."""
    return f"{process.pid}-{process.started}-{supervisor.pid}-{supervisor.started}-{worker or SUPERVISOR}"


def _parsed(name: str) -> LocalProcess | None:
    """Read a file's name; None for a name that is none of ours."""
    *numbers, worker = name.split("-", 4)
    if len(numbers) != 4 or not all(number.isdecimal() for number in numbers) or not worker.isalnum():
        return None
    pid, started, parent, parent_started = map(int, numbers)
    return LocalProcess(
        process=Process(machine=machine_id(), pid=pid, started=started),
        supervisor=Process(machine=machine_id(), pid=parent, started=parent_started),
        worker="" if worker == SUPERVISOR else worker,
    )


def _with_content(found: LocalProcess, content: bytes) -> LocalProcess:
    """Add what the process's file holds, but for what nobody has written yet, or somebody else."""
    if len(content) < HEADER.size or (len(content) - HEADER.size) % COMMAND.size:
        return found
    lease_ends, kill_grace, fit_until = (it * MICROSECOND for it in HEADER.unpack_from(content))
    commands = tuple(
        NotedCommand(pid=pid, noted_at=noted_at * MICROSECOND, output=output)
        for pid, noted_at, output in COMMAND.iter_unpack(content[HEADER.size :])
        if output > 0
    )
    if not lease_ends:
        return found._replace(commands=commands)
    return found._replace(lease_ends=lease_ends, kill_grace=kill_grace, fit_until=fit_until, commands=commands)
