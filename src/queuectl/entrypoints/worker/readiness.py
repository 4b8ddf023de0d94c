"""Telling whoever has started workers that they are ready."""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping


def report_to(ready_fd: int) -> Callable[[int, str], None]:
    """Report each ready worker to the starter of a supervisor in the background, through that descriptor."""

    def report(pid: int, worker_id: str) -> None:
        try:
            os.write(ready_fd, json.dumps([pid, worker_id]).encode() + b"\n")
        except OSError:  # the starter has read enough and gone
            return

    return report


class ReportToSystemd:
    """Reports to systemd, if it is listening, that the service is ready once `count` workers are (sd_notify(3))."""

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


def ready_workers(descriptor: int, count: int) -> dict[int, str]:
    """Pid and id of the workers that have become ready: all, or those that did before the supervisor ended."""
    workers: dict[int, str] = {}
    with os.fdopen(descriptor) as ready:
        for line in ready:
            pid, worker_id = json.loads(line)
            workers[pid] = worker_id
            if len(workers) == count:
                break
    return workers
