"""The signals of supervisors and workers: which ones stop them, and how a supervisor waits for them."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from queuectl.application.fleet import FORCE_SIGNAL, GRACEFUL_SIGNAL

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, GRACEFUL_SIGNAL, FORCE_SIGNAL)

FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS}

HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH, signal.SIGPIPE, signal.SIGXFSZ} | {
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
}
"""Ignored by default, by Python, or in the orphaned process group that a worker is."""

ENDING = signal.valid_signals() - FAULTS - HARMLESS - {signal.SIGKILL, signal.SIGSTOP}
"""The signals that would end a worker, which waits for them instead."""


def is_forced(number: int, is_stopping: bool) -> bool:
    """Tell whether that stop signal means a stop by force, to one who `is_stopping` or is not."""
    return number == FORCE_SIGNAL or (is_stopping and number != GRACEFUL_SIGNAL)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Have signals wait while the body forks: until the parent knows its child, and the child has its own mask."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class SignalPipe:
    """Wakes a `select` for each signal that has a handler. `fileno` is what to wait for."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        """Return the descriptor that is readable after a signal."""
        return self._reader

    def open(self, stop: Callable[[int, object], None]) -> None:
        """Handle the ends of children, and have `stop` handle the signals that stop a supervisor."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in STOP_SIGNALS:
            # What nohup or a shell's `&` ignores is ignored, but not what `worker stop` sends.
            if signal.getsignal(number) is not signal.SIG_IGN or number in (GRACEFUL_SIGNAL, FORCE_SIGNAL):
                signal.signal(number, stop)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whoever started this may have held signals back

    def drain(self) -> None:
        """Forget the signals that have come."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 65536)

    def close_in_child(self) -> None:
        """Handle signals as a new program does, but hold back those that would end a worker."""
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE}:
            if signal.getsignal(number) is not None:  # also what was ignored (nohup): commands must not inherit it
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ENDING)
        os.close(self._reader)
        os.close(self._writer)
