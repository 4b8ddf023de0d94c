"""The supervisor: the parent of the workers of one `worker start`. Starts them, replaces the crashed, passes stops on.

It does no work on the database itself, and has no thread but the log's: its workers are forked from it with everything
imported. A worker takes orders to stop from nobody else, and only through a socket: a pipe could be opened by a
command, through /proc, and a signal sent by one.
"""

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from queuectl.domain.errors import QueueError
from queuectl.domain.exit_codes import FAILED, UNAVAILABLE
from queuectl.domain.ports.host import Elapsed, LocalProcess, LocalProcesses
from queuectl.domain.retry import Backoff

GRACEFUL_SIGNAL = signal.SIGUSR2
"""Stops gracefully, however often it comes: `worker stop` may be called twice. Of the others the second one forces."""

FORCE_SIGNAL = signal.SIGQUIT
"""Stops by force at once. A signal of its own: two SIGTERMs sent in a row can arrive as one (signal(7))."""

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

RESTARTS = Backoff(initial=timedelta(milliseconds=100), ceiling=timedelta(seconds=30))
"""The waits before a crashed worker is replaced, by its crashes in a row."""

AT_ONCE = 1.0
"""Seconds before a worker's replacement takes its jobs back: where that takes longer, somebody else does."""

HEALTHY = 60.0
"""Seconds after which a worker's crash is not counted as one in a row with the crash before."""

MARGIN = 1.0
"""Seconds that a worker may outlive its lease, from when that was noticed: it may just have woken up, and be ending."""

LOOK_AGAIN = 1.0
"""Seconds between two looks at the lease of a worker that has told of none yet."""

STOP_BOUND = 8.0
"""Seconds that a worker may take to stop by force beyond its kill grace, or at all while it is not ready."""

LONGEST_RESCUE = 5.0
"""Seconds that a supervisor, before it ends, waits for the jobs of workers that it has killed to be taken back."""


class Order(Enum):
    """What a supervisor tells a worker, as one byte."""

    STOP = b"s"
    FORCE = b"f"
    RESCUE = b"r"
    """Another worker has died: its jobs are to be taken back now, not when its lease is over."""


def is_forced(number: int, is_stopping: bool) -> bool:
    """Whether that stop signal means a stop by force, to one who `is_stopping` or is not."""
    return number == FORCE_SIGNAL or (is_stopping and number != GRACEFUL_SIGNAL)


RunWorker = Callable[[socket.socket], int]
"""Runs one worker in this process, given the line to its supervisor; returns its exit code.

It reads an `Order` at a time, or the end when the supervisor is gone, and writes the worker's id when it is ready.
"""


@dataclass(slots=True)
class _Slot:
    """The place of one worker: its process now, or when the next one starts. Times are in seconds, monotonic."""

    pid: int | None = None
    line: socket.socket | None = None
    started: float = 0.0
    start_at: float | None = 0.0
    is_ready: bool = False
    crashes: int = 0
    """In a row."""
    overdue_at: float | None = None
    """When its process is to be killed, which has outlived its lease or does not stop."""


class Supervisor:
    """Keeps `count` workers running until it is told to stop (by a signal) or all have ended by themselves.

    `tell` hears of each worker that becomes ready: its pid and id. `log` takes one line about each that crashes.
    `kill_orphans` ends all children of this process but those it is given. `rescue`, called in a process of its own,
    takes back the jobs of dead workers, where no worker is left to do it.
    """

    def __init__(
        self,
        count: int,
        run_worker: RunWorker,
        *,
        tell: Callable[[int, str], None],
        log: Callable[[str], None],
        kill_orphans: Callable[[Collection[int]], None],
        local: LocalProcesses,
        elapsed: Elapsed,
        rescue: Callable[[], None],
    ) -> None:
        self._slots = [_Slot() for _ in range(count)]
        self._run_worker = run_worker
        self._tell = tell
        self._log = log
        self._kill_orphans = kill_orphans
        self._local = local
        self._elapsed = elapsed
        self._rescue = rescue
        self._rescuer: int | None = None
        self._is_stopping = False
        self._is_forced = False
        self._leaves_jobs = False
        self._code = 0
        self._all_were_ready = False
        self._look_at = 0.0
        self._selector = selectors.DefaultSelector()
        self._signals, self._signal_written = os.pipe()
        os.set_blocking(self._signals, False)
        os.set_blocking(self._signal_written, False)

    def run(self) -> int:
        """Supervise until no worker is left; the exit code: 0, or that of a worker that could not even start."""
        signal.set_wakeup_fd(self._signal_written, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in STOP_SIGNALS:
            # What nohup or a shell's `&` ignores is ignored, but not what `worker stop` sends.
            if signal.getsignal(number) is not signal.SIG_IGN or number in (GRACEFUL_SIGNAL, FORCE_SIGNAL):
                signal.signal(number, self._stop)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whoever started this may have held signals back
        gc.collect()
        gc.freeze()  # what is shared with the forks stays shared: the collector does not touch it again
        self._selector.register(self._signals, selectors.EVENT_READ)
        while self._start_due() or any(slot.pid for slot in self._slots):
            for key, _ in self._selector.select(self._time_to_next()):
                if key.data is None:
                    os.read(self._signals, 65536)
                else:
                    self._hear(key.data)
            self._reap()
            self._kill_overdue()
        if self._leaves_jobs:
            self._wait_for_rescue()
        return self._code

    def _stop(self, number: int, _frame: object) -> None:
        self._is_forced |= is_forced(number, self._is_stopping)
        self._is_stopping = True
        self._look_at = 0.0
        for slot in self._slots:
            slot.start_at = None
            _order(slot, Order.FORCE if self._is_forced else Order.STOP)

    def _start_due(self) -> bool:
        """Start the workers whose time has come; whether any is still to be started."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.pid is None and slot.start_at is not None and slot.start_at <= now:
                self._start(slot, now)
        return any(slot.start_at is not None for slot in self._slots)

    def _start(self, slot: _Slot, now: float) -> None:
        ours, its = socket.socketpair()
        # Signals wait until the parent knows its child and the child has its own mask.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become_child(lambda: self._run_worker(its))
        its.close()
        slot.pid, slot.line, slot.started, slot.start_at, slot.overdue_at = pid, ours, now, None, None
        self._look_at = 0.0
        self._selector.register(ours, selectors.EVENT_READ, slot)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def _become_child(self, work: Callable[[], int]) -> None:
        code = FAILED
        try:
            signal.set_wakeup_fd(-1)
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE}:
                if signal.getsignal(number) is not None:  # also what was ignored (nohup): commands must not inherit it
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ENDING)
            self._selector.close()
            for slot in self._slots:
                if slot.line is not None:
                    slot.line.close()
            os.close(self._signals)
            os.close(self._signal_written)
            os.setsid()  # Ctrl-C on the terminal reaches the supervisor only
            code = work()
        except QueueError as error:
            self._log(f"a worker cannot start: {error.message}")
            code = UNAVAILABLE
        except BaseException:  # noqa: BLE001 - nothing may escape into the supervisor's code above this fork
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)

    def _hear(self, slot: _Slot) -> None:
        """A worker tells its id when it is ready; the end of its line says that its process is going."""
        if slot.line is None:
            return
        try:
            said = slot.line.recv(256)
        except OSError:
            said = b""
        if not said:
            self._hang_up(slot)
        elif slot.pid is not None:
            slot.is_ready = True
            self._tell(slot.pid, said.decode())
            self._all_were_ready |= all(each.is_ready for each in self._slots)

    def _hang_up(self, slot: _Slot) -> None:
        if slot.line is not None:
            self._selector.unregister(slot.line)
            slot.line.close()
            slot.line = None

    def _reap(self) -> None:
        """Reap every child that has ended: workers, and orphans where this process is their init (in a container)."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid == self._rescuer:
                    self._rescuer = None
                for slot in self._slots:
                    if slot.pid == pid:
                        while slot.line is not None and _has_news(slot.line):
                            self._hear(slot)
                        self._hang_up(slot)
                        slot.pid = None
                        self._replace(slot, pid, os.waitstatus_to_exitcode(status))

    def _replace(self, slot: _Slot, pid: int, code: int) -> None:
        """A worker that ended by itself with 0 was asked to; any other, while nobody asked, is replaced.

        Before that, what its commands have left is killed: adopted by this process, as the dead worker's parent, while
        those of the other workers are still theirs. Then these take its jobs back; where there are none and the next
        worker is not started soon, a process that does only that.
        """
        if code == 0:
            return
        alive = [each.pid for each in self._slots if each.pid is not None]
        self._kill_orphans([*alive, *([self._rescuer] if self._rescuer else [])])
        for sibling in self._slots:
            _order(sibling, Order.RESCUE)
        if self._is_stopping:
            self._leaves_jobs |= code < 0
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
            slot.crashes = 0
        wait = RESTARTS.after(slot.crashes).total_seconds()
        slot.crashes += 1
        how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        self._log(f"worker process {pid} ended unexpectedly ({how}); replaced in {wait:g} s")
        slot.start_at = now + wait
        if wait > AT_ONCE and not alive:
            self._start_rescue()

    def _start_rescue(self) -> None:
        if self._rescuer is not None:
            return

        def rescue() -> int:
            self._rescue()
            return 0

        held = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        pid = os.fork()
        if pid == 0:
            self._become_child(rescue)
        self._rescuer = pid
        signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def _wait_for_rescue(self) -> None:
        """Have the jobs taken back of workers that did not end in good order, when no other worker will."""
        self._start_rescue()
        give_up_at = time.monotonic() + LONGEST_RESCUE
        while self._rescuer is not None and (left := give_up_at - time.monotonic()) > 0:
            self._selector.select(left)
            with contextlib.suppress(BlockingIOError):
                os.read(self._signals, 65536)
            self._reap()
        if self._rescuer is not None:
            os.kill(self._rescuer, signal.SIGKILL)
            os.waitpid(self._rescuer, 0)

    def _kill_overdue(self) -> None:
        """Kill the workers that have outlived their lease, or what they were given to stop by force.

        A worker that can run stops its commands long before its lease is over: this one is frozen, or held up.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + 3600
        known = {it.process.pid: it for it in self._local.registered() if it.is_alive}
        for slot in self._slots:
            if slot.pid is None:
                continue
            found = known.get(slot.pid)
            due = self._due_at(slot, found, now)
            if slot.overdue_at is not None and now >= slot.overdue_at:
                why = "did not stop" if self._is_forced or not slot.is_ready else "outlived its lease"
                self._log(f"worker process {slot.pid} {why}, frozen or held up: killed")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(slot.pid, signal.SIGKILL)
                slot.overdue_at = due = now + MARGIN
            self._look_at = min(self._look_at, due)

    def _due_at(self, slot: _Slot, found: LocalProcess | None, now: float) -> float:
        """When to look at that worker again; says in its slot from when on it is overdue."""
        bound = None
        if self._is_forced:
            bound = STOP_BOUND + (found.kill_grace if found and found.kill_grace else timedelta()).total_seconds()
        elif self._is_stopping and not slot.is_ready:
            bound = STOP_BOUND
        if bound is not None:
            slot.overdue_at = now + bound if slot.overdue_at is None else min(slot.overdue_at, now + bound)
            return slot.overdue_at
        if found is None or found.lease_ends is None:
            return now + LOOK_AGAIN
        left = (found.lease_ends - self._elapsed()).total_seconds()
        if found.is_harmless(self._elapsed()):
            left = max(left, LOOK_AGAIN)
        if left > 0:
            slot.overdue_at = None
            return now + left
        if slot.overdue_at is None:
            slot.overdue_at = now + MARGIN
        return slot.overdue_at

    def _time_to_next(self) -> float | None:
        soon = [slot.start_at for slot in self._slots if slot.start_at is not None]
        if any(slot.pid for slot in self._slots):
            soon.append(self._look_at)
        return max(0.0, min(soon) - time.monotonic()) if soon else None


def _order(slot: _Slot, order: Order) -> None:
    if slot.line is not None:
        with contextlib.suppress(OSError):  # full, for it is frozen, or closed, for it is ending
            slot.line.send(order.value, socket.MSG_DONTWAIT)


def _has_news(line: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        return bool(line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    return False
