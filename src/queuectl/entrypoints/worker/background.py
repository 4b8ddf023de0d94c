"""Workers in the background of this machine: a supervisor that is started apart from the terminal."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from queuectl.domain.errors import DatabaseUnavailable, QueueError, reason_of
from queuectl.domain.exit_codes import UNAVAILABLE
from queuectl.entrypoints.worker.passwords import without_secrets
from queuectl.entrypoints.worker.readiness import ready_workers
from queuectl.settings import Settings

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
    settings.directory("spool-dir")  # what is wrong with it is said here, not by each worker in the log
    log = _new_log(settings.directory("log-dir"), own_directory)
    supervisor, ready = _spawned(settings, arguments, log)
    try:
        workers = ready_workers(ready, count)
    except BaseException:  # Ctrl-C: what the user gave up waiting for must not go on unseen
        supervisor.terminate()
        raise
    if len(workers) < count:
        raise _failure(supervisor.wait(), log)
    return Started(supervisor_pid=supervisor.pid, workers=workers, log=log)


def _spawned(settings: Settings, arguments: Sequence[str], log: Path) -> tuple["subprocess.Popen[bytes]", int]:
    """The supervisor's process, and a descriptor to read from it which workers are ready."""
    ready, report = os.pipe()
    environ, handed_over = without_secrets(os.environ | {"QUEUECTL_DATABASE_URL": settings.database_url})
    descriptors = ["--ready-fd", str(report), "--secrets-fd", str(handed_over)]
    with log.open("ab") as output:
        supervisor = subprocess.Popen(  # noqa: S603 - this program itself
            # -P: not a module of the directory that this happens to be called in.
            [sys.executable, "-P", "-m", "queuectl", "worker", "start", "--foreground", *descriptors, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[report, handed_over],
            env=environ,
        )
    os.close(report)
    os.close(handed_over)
    return supervisor, ready


def _failure(code: int, log: Path) -> QueueError:
    """The reason why the supervisor has ended with that code, from the end of its log."""
    kind = DatabaseUnavailable if code == UNAVAILABLE else QueueError
    lines = log.read_bytes()[-TAIL:].decode(errors="replace").strip().split("\n")
    reason = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[-1])
    return kind(f"the workers could not start: {reason or 'no reason was logged'}", hint=f"the log is {log}")


def _new_log(directory: Path, own_directory: Callable[[Path], None]) -> Path:
    """A log file that only its owner can read; its name has the moment and this process's pid."""
    log = directory / f"workers-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        own_directory(directory)
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise QueueError(
            f"the log file {log} cannot be created: {reason_of(error)}",
            hint="QUEUECTL_LOG_DIR names another directory for logs",
        ) from error
    return log
