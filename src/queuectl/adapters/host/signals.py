"""Signals to a process that is known by its identity, never to another that has its pid; and threads without them."""

import os
import signal
import threading
from collections.abc import Callable

from queuectl.adapters.host.identity import process
from queuectl.domain.worker import Process


def signal_process(target: Process, number: signal.Signals) -> bool:
    """Signal that very process; returns whether it was there. Raises PermissionError."""
    return send_signal(target.pid, number, is_meant=lambda pid: process(pid) == target)


def send_signal(pid: int, number: signal.Signals, *, is_meant: Callable[[int], bool]) -> bool:
    """Signal the process that has that pid, if it is the one that is meant; returns whether it was.

    It is looked at while a pidfd holds it: the pid may have become another's. Where there is none to be had (an old
    kernel, a sandbox, no descriptor left), a look just before has to do. Raises PermissionError.
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


def start_without_signals(name: str, work: Callable[[], None]) -> threading.Thread:
    """Start a thread that no signal interrupts, and that ends with the process. Raises RuntimeError: none is to be had.

    They are blocked before it starts: one that the calling thread holds back would be taken by the new one at once.
    """
    held = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    return thread
