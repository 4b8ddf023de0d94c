"""Runs `queuectl` as a process of its own without the time that Python takes to start and to import.

The tests call the command line thousands of times. A process that has imported everything waits here for one call
after the other, and forks for each: what runs then is the real `main`, with its own pid, environment, directory and
standard streams. Where the start of the interpreter matters as well, `Cli.run` starts the program itself.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[2]
MAX_DESCRIPTORS = 5


class Launcher:
    """The waiting process, seen from the tests. Safe for threads."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.launcher", str(theirs.fileno())],
                env=dict(environ),
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def run(
        self, args: Sequence[str], *, stdin: bytes, env: Mapping[str, str], cwd: Path, timeout: float
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run one command line to its end. Raises TimeoutExpired, with the process killed."""
        call = json.dumps({"args": list(args), "env": dict(env), "cwd": str(cwd)}).encode()
        status, answers = os.pipe()
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, status)
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(4)]
            for file, content in zip(files, (call, stdin, b"", b""), strict=True):
                file.write(content)
                file.seek(0)
            with self._lock:
                socket.send_fds(self._socket, [b"!"], [*(file.fileno() for file in files), answers])
            os.close(answers)
            pid = int(_line(status, timeout) or 0)
            code = _line(status, timeout)
            if code is None:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(args), timeout)
            output, errors = (_content(file.fileno()) for file in files[2:])
        return subprocess.CompletedProcess(list(args), int(code), output, errors)

    def close(self) -> None:
        """End the waiting process."""
        self._socket.close()
        self._process.wait()


@functools.cache
def launcher() -> Launcher:
    """The one of this test process; it ends with it."""
    return Launcher({"PATH": os.environ["PATH"], "LANG": "C.UTF-8"})


def _line(descriptor: int, timeout: float) -> str | None:
    if not select.select([descriptor], [], [], timeout)[0]:
        return None
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(descriptor, 1)
    return line.decode().strip()


def _content(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)  # the process shares the position in the file
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()


def _wait_for_calls(calls: socket.socket) -> None:
    """The waiting process: forks for each call, and tells each caller the pid and the exit code."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wake)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([calls, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            while running:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                answers = running.pop(pid)
                os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())
                os.close(answers)
        if calls in ready:
            message, descriptors, _, _ = socket.recv_fds(calls, 1, MAX_DESCRIPTORS)
            if not message:
                return
            call, *streams, answers = descriptors
            if (pid := os.fork()) == 0:
                _become_queuectl(call, streams)
            running[pid] = answers
            os.write(answers, f"{pid}\n".encode())
            for descriptor in (call, *streams):
                os.close(descriptor)


def _become_queuectl(call: int, streams: Sequence[int]) -> NoReturn:
    code: object = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        asked = json.loads(_content(call))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, 256)
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.environ.clear()
        os.environ.update(asked["env"])
        os.chdir(asked["cwd"])
        sys.argv = ["queuectl", *asked["args"]]
        random.seed()
        from queuectl.entrypoints.cli import main

        main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - nothing may escape into the loop above this fork
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def _import_everything() -> None:
    import queuectl

    for module in pkgutil.walk_packages(queuectl.__path__, "queuectl."):
        if "migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)


if __name__ == "__main__":
    _import_everything()
    gc.collect()
    gc.freeze()
    _wait_for_calls(socket.socket(fileno=int(sys.argv[1])))
