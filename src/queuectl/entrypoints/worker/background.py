"""Workers in the background of this machine: a supervisor started apart from the terminal, and stopped again."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from queuectl.domain.errors import DatabaseUnavailable, QueueError
from queuectl.domain.exit_codes import UNAVAILABLE
from queuectl.domain.ports.host import LocalProcess, LocalProcesses
from queuectl.domain.worker import Process
from queuectl.entrypoints.worker.supervisor import (
    FORCE_SIGNAL,
    GRACEFUL_SIGNAL,
    LONGEST_RESCUE,
    STOP_BOUND,
)
from queuectl.settings import Settings, has_password

if TYPE_CHECKING:
    from queuectl.container import Container

LOOK_AGAIN = 0.05
"""Seconds between two looks whether a process has ended."""

KILLED_AFTER = STOP_BOUND + LONGEST_RESCUE + 3.0
"""Seconds beyond the kill grace after which a process that is to stop by force is killed from here.

Its supervisor, unless that is frozen too, has killed it before.
"""

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
    settings.directory("spool-dir")  # told here, not by each worker in the log
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
    lines = log.read_bytes()[-TAIL:].decode(errors="replace").strip().split("\n")
    reason = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[-1])
    raise kind(f"the workers could not start: {reason or 'no reason was logged'}", hint=f"the log is {log}")


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
    """The workers of a queue that run on this machine, and how to stop them: known without the database.

    `of` are the ids of those that the database knows, which may have been started with another name for it.
    """

    def __init__(
        self, local: LocalProcesses, *, of: Collection[str] = (), stands_still: Callable[[Process], bool]
    ) -> None:
        self._local = local
        self._of = of
        self._stands_still = stands_still
        self._found = [it for it in local.registered(of=of) if it.is_alive]
        self.alive = [it for it in self._found if it.worker]
        supervisors = {it.process for it in self._found if not it.worker}
        self.targets = [it for it in self._found if not it.worker or it.supervisor not in supervisors]
        self.killed: list[LocalProcess] = []
        """The workers that `wait` had to kill: they stood still, or were held up."""

    @property
    def frozen(self) -> list[LocalProcess]:
        """Those that stand still, for a signal has stopped them: they can obey nothing."""
        return [it for it in self._found if self._stands_still(it.process)]

    def ask_to_stop(self, *, force: bool = False) -> None:
        """Signal each supervisor, or a worker whose supervisor is gone; with `force` their commands are stopped too."""
        for target in self.targets:
            if force and not target.worker and self._stands_still(target.process):
                self._local.kill(target)  # it could pass nothing on; its workers hear of its end, and then obey us
                for worker in self.alive:
                    if worker.supervisor == target.process:
                        self._local.send(worker, FORCE_SIGNAL)
            else:
                self._local.send(target, FORCE_SIGNAL if force else GRACEFUL_SIGNAL)

    def wait(self, timeout: float | None, *, force: bool = False) -> bool:
        """Wait until they have all ended; False when `timeout` seconds have passed before.

        With `force`, those are killed that do not end within what a supervisor would give them: it first, or it would
        replace them.
        """
        asked_at = time.monotonic()
        grace = max([it.kill_grace.total_seconds() for it in self.alive if it.kill_grace], default=0.0)
        while left := self._left():
            waited = time.monotonic() - asked_at
            if timeout is not None and waited >= timeout:
                return False
            if force and waited > grace + KILLED_AFTER:
                for each in sorted(left, key=lambda it: it.worker != ""):
                    if self._local.kill(each) and each.worker:
                        self.killed.append(each)
            time.sleep(LOOK_AGAIN)
        return True

    def _left(self) -> list[LocalProcess]:
        """Of those that were found, and what their supervisors have started since, what is alive."""
        supervisors = {it.supervisor for it in self._found}
        return [it for it in self._local.registered(of=self._of) if it.is_alive and it.supervisor in supervisors]


def local_workers(container: "Container", of: Collection[str] = ()) -> LocalWorkers:
    """The workers of the container's queue that run on this machine."""
    return LocalWorkers(container.local_processes(), of=of, stands_still=container.is_standing_still())


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
