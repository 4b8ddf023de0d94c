"""Workers in the background of this machine: a supervisor started apart from the terminal, and stopped again."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from queuectl.domain.errors import DatabaseUnavailable, QueueError
from queuectl.domain.ports import Process, WorkerRegistry
from queuectl.entrypoints.supervisor import FORCE_SIGNAL, GRACEFUL_SIGNAL, UNAVAILABLE
from queuectl.settings import Settings, has_password

if TYPE_CHECKING:
    from queuectl.container import Container

LOOK_AGAIN = 0.05
"""Seconds between two looks whether a process has ended."""

TAIL = 2000
"""Bytes at the end of the log in which the reason is looked for when the workers cannot start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A supervisor in the background, its workers (pid to id), and the log that they write."""

    supervisor_pid: int
    workers: dict[int, str]
    log: Path


def start_supervisor(
    settings: Settings, arguments: Sequence[str], *, count: int, own_directory: Callable[[Path], None]
) -> Started:
    """Start `worker start --foreground` with those arguments in a session of its own; returns when `count` are ready.

    `own_directory` makes a directory, or raises OSError where it is not this user's alone. Raises QueueError, with the
    end of the log, when they cannot be started.
    """
    log = _new_log(settings.directory("log-dir"), own_directory)
    told, tell = os.pipe()
    # Not by an argument, which everybody may read, nor by the environment, which the workers' commands may.
    environ = os.environ | {"QUEUECTL_DATABASE_URL": settings.database_url}
    secrets = _secrets(environ)
    handed_over = _in_a_pipe(secrets)
    descriptors = ["--ready-fd", str(tell), "--secrets-fd", str(handed_over)]
    foreground = ["worker", "start", "--foreground", *descriptors]
    with log.open("ab") as output:
        supervisor = subprocess.Popen(  # noqa: S603 - this program itself
            # -P: not a module of the directory that this happens to be called in.
            [sys.executable, "-P", "-m", "queuectl", *foreground, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[tell, handed_over],
            env={name: text for name, text in environ.items() if name not in secrets},
        )
    os.close(tell)
    os.close(handed_over)
    try:
        workers = _ready_workers(told, count)
    except BaseException:  # Ctrl-C: what the user gave up waiting for must not go on unseen
        supervisor.terminate()
        raise
    if len(workers) == count:
        return Started(supervisor_pid=supervisor.pid, workers=workers, log=log)
    kind = DatabaseUnavailable if supervisor.wait() == UNAVAILABLE else QueueError
    last_line = log.read_bytes()[-TAIL:].decode(errors="replace").strip().rpartition("\n")[2]
    raise kind(f"the workers could not start: {last_line or 'no reason was logged'}", hint=f"the log is {log}")


def _secrets(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The variables that hold a password."""
    url = environ.get("QUEUECTL_DATABASE_URL", "")
    found = {"QUEUECTL_DATABASE_URL": url} if has_password(url) else {}
    return found | ({"PGPASSWORD": environ["PGPASSWORD"]} if environ.get("PGPASSWORD") else {})


def _in_a_pipe(secrets: Mapping[str, str]) -> int:
    """A descriptor to read them from, once."""
    reader, writer = os.pipe()
    os.write(writer, json.dumps(dict(secrets)).encode())
    os.close(writer)
    return reader


def take_secrets(descriptor: int) -> None:
    """Have the variables that were handed over; the environment that others see has them not (proc_pid_environ(5))."""
    with os.fdopen(descriptor, "rb") as pipe:
        os.environ.update(json.loads(pipe.read()))


def hide_secrets(arguments: Sequence[str]) -> None:
    """Start this program anew where its environment holds a password, which commands could read from there."""
    if secrets := _secrets(os.environ):
        descriptor = _in_a_pipe(secrets)
        os.set_inheritable(descriptor, True)
        environ = {name: text for name, text in os.environ.items() if name not in secrets}
        again = [sys.executable, "-P", "-m", "queuectl", *arguments, "--secrets-fd", str(descriptor)]
        os.execve(sys.executable, again, environ)  # noqa: S606 - this program itself


def told_to(ready_fd: int) -> Callable[[int, str], None]:
    """What a supervisor in the background tells its starter through that descriptor of each ready worker."""

    def tell(pid: int, worker_id: str) -> None:
        try:
            os.write(ready_fd, json.dumps([pid, worker_id]).encode() + b"\n")
        except OSError:  # the starter has heard enough and gone
            return

    return tell


class TellSystemd:
    """Tells systemd, if it is listening, that the service is ready once `count` workers are (sd_notify(3))."""

    def __init__(self, count: int, environ: Mapping[str, str] = os.environ) -> None:
        self._waiting_for = count
        self._address = environ.get("NOTIFY_SOCKET", "")

    def __call__(self, _pid: int, _worker_id: str) -> None:
        """One more worker is ready."""
        self._waiting_for -= 1
        if self._waiting_for == 0 and self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                # An address that begins with @ is abstract: it has no file, but a NUL for its first byte.
                notify.sendto(b"READY=1", self._address.replace("@", "\0", 1))


class LocalWorkers:
    """The workers of this machine among those of a queue, and how to stop them.

    `find` tells which process has a pid now.
    """

    def __init__(self, workers: WorkerRegistry, *, machine: str, find: Callable[[int], Process | None]) -> None:
        self._find = find
        live = workers.live()
        here = [worker for worker in live if worker.process.machine == machine]
        self.elsewhere = len(live) - len(here)
        self.alive = [worker for worker in here if self._runs(worker.process)]
        self.dead = len(here) - len(self.alive)
        # A worker that has signed off, or was given up while it hung, may still run; the supervisor of one that is
        # dead may be about to replace it.
        here += [worker for worker in workers.ended_on(machine) if worker.id not in {each.id for each in here}]
        supervisors = [worker.supervisor for worker in here if self._runs(worker.supervisor)]
        running = [worker for worker in here if self._runs(worker.process)]
        bereft = [worker.process for worker in running if worker.supervisor not in supervisors]
        self.targets = list(dict.fromkeys([*supervisors, *bereft]))
        self._processes = [*self.targets, *(worker.process for worker in running)]

    def ask_to_stop(self, *, force: bool = False) -> None:
        """Signal each supervisor, or a worker whose supervisor is gone; with `force` their commands are stopped too."""
        for target in self.targets:
            signal_process(target, FORCE_SIGNAL if force else GRACEFUL_SIGNAL, self._find)

    def wait(self, timeout: float | None) -> bool:
        """Wait until they have all ended; False when `timeout` seconds have passed before."""
        give_up_at = None if timeout is None else time.monotonic() + timeout
        while any(self._runs(process) for process in self._processes):
            if give_up_at is not None and time.monotonic() >= give_up_at:
                return False
            time.sleep(LOOK_AGAIN)
        return True

    def _runs(self, process: Process) -> bool:
        return self._find(process.pid) == process


def local_workers(container: "Container") -> LocalWorkers:
    """The workers of the container's queue that run on this machine."""
    return LocalWorkers(container.workers(), machine=container.machine_id(), find=container.find_process())


def signal_process(target: Process, number: signal.Signals, find: Callable[[int], Process | None]) -> bool:
    """Signal that very process, and no other that has its pid by now; whether it was there.

    A pidfd first, then a look whether it is still the one that was meant. `find` tells which process has a pid now.
    """
    try:
        if not hasattr(os, "pidfd_open"):
            if find(target.pid) == target:
                os.kill(target.pid, number)
                return True
            return False
        pidfd = os.pidfd_open(target.pid)
        try:
            if find(target.pid) == target:
                signal.pidfd_send_signal(pidfd, number)
                return True
        finally:
            os.close(pidfd)
    except ProcessLookupError:
        pass
    return False


def _ready_workers(told: int, count: int) -> dict[int, str]:
    """Pid and id of the workers that have become ready: all, or those that did before the supervisor ended."""
    workers: dict[int, str] = {}
    with os.fdopen(told) as ready:
        for line in ready:
            pid, worker_id = json.loads(line)
            workers[pid] = worker_id
            if len(workers) == count:
                break
    return workers


def _new_log(directory: Path, own_directory: Callable[[Path], None]) -> Path:
    """A log file that only its owner can read; its name has the moment and this process's pid."""
    log = directory / f"workers-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        own_directory(directory)
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise QueueError(
            f"the log file {log} cannot be created: {reason}", hint="QUEUECTL_LOG_DIR names another directory for logs"
        ) from error
    return log
