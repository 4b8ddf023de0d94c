"""The supervisor: the parent of the workers of one `worker start`. Starts them, replaces the crashed, passes stops on.

It does no work on the database itself, and has no thread but the log's: its workers are forked from it with everything
imported.
"""

import contextlib
import gc
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass

from queuectl.domain.errors import QueueError

GRACEFUL_SIGNAL = signal.SIGUSR2
"""Stops gracefully, however often it comes: `worker stop` may be called twice. Of the others the second one forces."""

FORCE_SIGNAL = signal.SIGQUIT
"""Stops by force at once. A signal of its own: two SIGTERMs sent in a row can arrive as one (signal(7))."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, GRACEFUL_SIGNAL, FORCE_SIGNAL)

RESCUE_SIGNAL = signal.SIGUSR1
"""Tells a worker that another one has died: its jobs are to be taken back now, not when its lease is over."""

UNAVAILABLE = 6
"""The exit code of a worker whose database cannot be used: the command line's for that."""

FIRST_BACKOFF, LONGEST_BACKOFF = 0.1, 30.0
"""Seconds before a crashed worker is replaced; doubled with each crash in a row."""

HEALTHY = 60.0
"""Seconds after which a worker's crash is not counted as one in a row with the crash before."""


def is_forced(number: int, is_stopping: bool) -> bool:
    """Whether that stop signal means a stop by force, to one who `is_stopping` or is not."""
    return number == FORCE_SIGNAL or (is_stopping and number != GRACEFUL_SIGNAL)


RunWorker = Callable[[int, Callable[[str], None]], int]
"""Runs one worker in this process, given its lifeline and whom to tell that it is ready; returns its exit code."""


@dataclass(slots=True)
class _Slot:
    """The place of one worker: its process now, or when the next one starts."""

    pid: int | None = None
    started: float = 0.0
    start_at: float | None = 0.0
    is_ready: bool = False
    backoff: float = FIRST_BACKOFF


class Supervisor:
    """Keeps `count` workers running until it is told to stop (by a signal) or all have ended by themselves.

    `tell` hears of each worker that becomes ready: its pid and id. `log` takes one line about each that crashes.
    `kill_orphans` ends all children of this process but those it is given.
    """

    def __init__(
        self,
        count: int,
        run_worker: RunWorker,
        *,
        tell: Callable[[int, str], None],
        log: Callable[[str], None],
        kill_orphans: Callable[[Collection[int]], None],
    ) -> None:
        self._slots = [_Slot() for _ in range(count)]
        self._run_worker = run_worker
        self._tell = tell
        self._log = log
        self._kill_orphans = kill_orphans
        self._is_stopping = False
        self._code = 0
        self._all_were_ready = False
        # Only this process holds the write end: when it dies, however, every worker reads the end of the pipe.
        self._lifeline, self._lifeline_held = os.pipe()
        self._ready, self._ready_told = os.pipe()
        self._signals, self._signal_written = os.pipe()
        os.set_blocking(self._signals, False)
        os.set_blocking(self._signal_written, False)

    def run(self) -> int:
        """Supervise until no worker is left; the exit code: 0, or that of a worker that could not even start."""
        signal.set_wakeup_fd(self._signal_written)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in STOP_SIGNALS:
            # What nohup or a shell's `&` ignores is ignored, but not what `worker stop` sends.
            if signal.getsignal(number) is not signal.SIG_IGN or number in (GRACEFUL_SIGNAL, FORCE_SIGNAL):
                signal.signal(number, self._stop)
        gc.collect()
        gc.freeze()  # what is shared with the forks stays shared: the collector does not touch it again
        with selectors.DefaultSelector() as selector:
            selector.register(self._signals, selectors.EVENT_READ)
            selector.register(self._ready, selectors.EVENT_READ)
            while self._start_due() or any(slot.pid for slot in self._slots):
                for key, _ in selector.select(self._time_to_next()):
                    self._read(key.fd)
                self._reap()
        return self._code

    def _stop(self, number: int, _frame: object) -> None:
        passed_on = FORCE_SIGNAL if is_forced(number, self._is_stopping) else GRACEFUL_SIGNAL
        self._is_stopping = True
        for slot in self._slots:
            slot.start_at = None
            if slot.pid is not None:
                with contextlib.suppress(ProcessLookupError):  # reaped just now, and not yet forgotten
                    os.kill(slot.pid, passed_on)

    def _start_due(self) -> bool:
        """Start the workers whose time has come; whether any is still to be started."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.pid is None and slot.start_at is not None and slot.start_at <= now:
                self._start(slot, now)
        return any(slot.start_at is not None for slot in self._slots)

    def _start(self, slot: _Slot, now: float) -> None:
        # Signals wait until the parent knows its child and the child has its own handlers.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, (*STOP_SIGNALS, RESCUE_SIGNAL))
        pid = os.fork()
        if pid == 0:
            self._become_worker()
        slot.pid, slot.started, slot.start_at = pid, now, None
        signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def _become_worker(self) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE}:
                if signal.getsignal(number) is not None:  # also what was ignored (nohup): commands must not inherit it
                    signal.signal(number, signal.SIG_DFL)
            for descriptor in (self._lifeline_held, self._ready, self._signals, self._signal_written):
                os.close(descriptor)
            os.setsid()  # Ctrl-C on the terminal reaches the supervisor only
            code = self._run_worker(self._lifeline, self._tell_supervisor)
        except QueueError as error:
            self._log(f"a worker cannot start: {error.message}")
            code = UNAVAILABLE
        except BaseException:  # noqa: BLE001 - nothing may escape into the supervisor's code above this fork
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)

    def _tell_supervisor(self, worker_id: str) -> None:
        os.write(self._ready_told, f"{os.getpid()} {worker_id}\n".encode())

    def _read(self, number: int) -> None:
        data = os.read(number, 65536)
        if number == self._ready:
            for line in data.decode().splitlines():
                pid, worker_id = line.split()
                for slot in self._slots:
                    slot.is_ready |= slot.pid == int(pid)
                self._tell(int(pid), worker_id)
            self._all_were_ready |= all(slot.is_ready for slot in self._slots)

    def _reap(self) -> None:
        """Reap every child that has ended: workers, and orphans where this process is their init (in a container)."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                for slot in self._slots:
                    if slot.pid == pid:
                        slot.pid = None
                        self._replace(slot, pid, os.waitstatus_to_exitcode(status))

    def _replace(self, slot: _Slot, pid: int, code: int) -> None:
        """A worker that ended by itself with 0 was asked to; any other, while nobody asked, is replaced.

        Before that, what its commands have left is killed: adopted by this process, as the dead worker's parent, while
        those of the other workers are still theirs. Then these take its jobs back.
        """
        if code != 0:
            alive = [slot.pid for slot in self._slots if slot.pid is not None]
            self._kill_orphans(alive)
            for sibling in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(sibling, RESCUE_SIGNAL)
        if self._is_stopping or code == 0:
            return
        if not (slot.is_ready or self._all_were_ready):
            # What the first start cannot do, the next will not do either; and who waits for all waits in vain.
            if code < 0:  # it could not say so itself
                self._log(f"worker process {pid} ended before it was ready (signal {signal.Signals(-code).name})")
            self._code = max(code, 1)
            self._stop(signal.SIGTERM, None)
            return
        now = time.monotonic()
        if now - slot.started > HEALTHY:
            slot.backoff = FIRST_BACKOFF
        how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        self._log(f"worker process {pid} ended unexpectedly ({how}); replaced in {slot.backoff:g} s")
        slot.start_at = now + slot.backoff
        slot.backoff = min(slot.backoff * 2, LONGEST_BACKOFF)

    def _time_to_next(self) -> float | None:
        starts = [slot.start_at for slot in self._slots if slot.start_at is not None]
        return max(0.0, min(starts) - time.monotonic()) if starts else None
