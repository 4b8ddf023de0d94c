"""Telling whoever has started workers that they are ready."""

import contextlib
import json
import os
import socket
from collections.abc import Callable


def report_to(ready_fd: int) -> Callable[[int, str], None]:
    """Report each ready worker to the starter of a supervisor in the background, through that descriptor."""

    def report(pid: int, worker_id: str) -> None:
        try:
            os.write(ready_fd, json.dumps([pid, worker_id]).encode() + b"\n")
        except OSError:  # the starter has read enough and gone
            return

    return report


def report_to_systemd(count: int) -> Callable[[int, str], None]:
    """Report to systemd, if it is listening, that the service is ready once `count` workers are (sd_notify(3))."""
    address, ready = os.environ.get("NOTIFY_SOCKET", ""), set[int]()

    def report(pid: int, _worker_id: str) -> None:
        ready.add(pid)
        if len(ready) == count and address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                # An address that begins with @ is abstract: it has no file, but a NUL for its first byte.
                notify.sendto(b"READY=1", address.replace("@", "\0", 1))

    return report


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
