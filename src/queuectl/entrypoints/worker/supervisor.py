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

from queuectl.application.fleet import RESCUE_LIMIT
from queuectl.domain.errors import QueueError
from queuectl.domain.exit_codes import FAILED, UNAVAILABLE, signal_name
from queuectl.entrypoints.worker.deadlines import Deadlines, Stage
from queuectl.entrypoints.worker.signals import SignalPipe, held_back, is_forced
from queuectl.entrypoints.worker.slot import Order, RunWorker, Slot

AT_ONCE = 1.0
"""Seconds before a worker's replacement takes its jobs back: where that takes longer, somebody else does."""


@dataclass(slots=True)
class _Rescuer:
    """The process that takes back the jobs of dead workers, where no worker is left to do it."""

    rescue: Callable[[], None]
    pid: int | None = None
    is_due_at_the_end: bool = False

    def run(self) -> int:
        self.rescue()
        return 0


class Supervisor:
    """Keeps `count` workers running until it is asked to stop (by a signal) or all have ended by themselves.

    `on_ready` is called with the pid and id of each worker that is ready. `log` takes one line about each that crashes.
    `kill_orphans` ends all children of this process but those it is given. `rescue`, called in a process of its own,
    takes back the jobs of dead workers.
    """

    def __init__(
        self,
        count: int,
        run_worker: RunWorker,
        *,
        on_ready: Callable[[int, str], None],
        log: Callable[[str], None],
        kill_orphans: Callable[[Collection[int]], None],
        deadlines: Deadlines,
        rescue: Callable[[], None],
    ) -> None:
        self._slots = [Slot() for _ in range(count)]
        self._run_worker = run_worker
        self._on_ready = on_ready
        self._log = log
        self._kill_orphans = kill_orphans
        self._deadlines = deadlines
        self._rescuer = _Rescuer(rescue)
        self._stage = Stage.RUNNING
        self._code = 0
        self._all_were_ready = False
        self._selector = selectors.DefaultSelector()
        self._signals = SignalPipe()

    def run(self) -> int:
        """Supervise until no worker is left; the exit code: 0, or that of a worker that could not even start."""
        self._signals.open(self._stop)
        gc.collect()
        gc.freeze()  # what is shared with the forks stays shared: the collector does not touch it again
        self._selector.register(self._signals, selectors.EVENT_READ)
        while self._start_due() or any(slot.pid for slot in self._slots):
            for key, _ in self._selector.select(self._time_to_next()):
                if key.data is None:
                    self._signals.drain()
                else:
                    self._handle_line(key.data)
            self._reap()
            self._deadlines.kill_overdue(self._slots, self._stage)
        if self._rescuer.is_due_at_the_end:
            self._rescue_at_the_end()
        return self._code

    def _stop(self, number: int, _frame: object) -> None:
        forced = self._stage is Stage.FORCED or is_forced(number, self._stage is Stage.STOPPING)
        self._stage = Stage.FORCED if forced else Stage.STOPPING
        self._deadlines.look_soon()
        for slot in self._slots:
            slot.start_at = None
            slot.send(Order.FORCE if forced else Order.STOP)

    def _start_due(self) -> bool:
        """Start the workers whose time has come; whether any is still to be started."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.pid is None and slot.start_at is not None and slot.start_at <= now:
                self._start(slot, now)
        return any(slot.start_at is not None for slot in self._slots)

    def _start(self, slot: Slot, now: float) -> None:
        ours, its = socket.socketpair()

        def work() -> int:
            ours.close()
            return self._run_worker(its)

        with held_back():
            pid = self._fork(work)
            its.close()
            slot.fill(pid, ours, now)
            self._deadlines.look_soon()
            self._selector.register(ours, selectors.EVENT_READ, slot)

    def _start_rescue(self) -> None:
        if self._rescuer.pid is None:
            with held_back():
                self._rescuer.pid = self._fork(self._rescuer.run)

    def _fork(self, work: Callable[[], int]) -> int:
        """Have a child process do `work` and end with the exit code that it returns; the child's pid."""
        pid = os.fork()
        if pid == 0:
            self._become_child(work)
        return pid

    def _become_child(self, work: Callable[[], int]) -> None:
        code = FAILED
        try:
            self._signals.close_in_child()
            self._selector.close()
            for slot in self._slots:
                if slot.line is not None:
                    slot.line.close()
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

    def _handle_line(self, slot: Slot) -> None:
        """Take a worker's word that it is ready; the end of its line says that its process is going."""
        if slot.line is None:
            return
        worker_id = slot.receive()
        if not worker_id:
            self._hang_up(slot)
        elif slot.pid is not None:
            slot.is_ready = True
            self._on_ready(slot.pid, worker_id)
            self._all_were_ready |= all(each.is_ready for each in self._slots)

    def _hang_up(self, slot: Slot) -> None:
        if slot.line is not None:
            self._selector.unregister(slot.line)
            slot.line.close()
            slot.line = None

    def _reap(self) -> None:
        """Reap every child that has ended: workers, and orphans where this process is their init (in a container)."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid == self._rescuer.pid:
                    self._rescuer.pid = None
                for slot in self._slots:
                    if slot.pid == pid:
                        while slot.has_news:
                            self._handle_line(slot)
                        self._hang_up(slot)
                        slot.pid = None
                        self._replace(slot, pid, os.waitstatus_to_exitcode(status))

    def _replace(self, slot: Slot, pid: int, code: int) -> None:
        """Replace a worker that has ended, unless it was asked to: it has ended with 0, or all are to stop.

        Before that, what its commands have left is killed: adopted by this process, as the dead worker's parent, while
        those of the other workers are still theirs. Then these take its jobs back; where there are none and the next
        worker is not started soon, a process that does only that.
        """
        if code == 0:
            return
        alive = [each.pid for each in self._slots if each.pid is not None]
        self._kill_orphans([*alive, *([self._rescuer.pid] if self._rescuer.pid else [])])
        for sibling in self._slots:
            sibling.send(Order.RESCUE)
        if self._stage is not Stage.RUNNING:
            self._rescuer.is_due_at_the_end |= code < 0
        elif slot.is_ready or self._all_were_ready:
            wait = slot.restart(time.monotonic())
            how = f"exit code {code}" if code > 0 else f"killed by {signal_name(-code)}"
            self._log(f"worker process {pid} ended unexpectedly ({how}); replaced in {wait:g} s")
            if wait > AT_ONCE and not alive:
                self._start_rescue()
        else:
            self._give_up(pid, code)

    def _give_up(self, pid: int, code: int) -> None:
        """Stop: what the first start cannot do, the next will not do either, and who waits for all waits in vain."""
        if code < 0:  # it could not say so itself
            self._log(f"worker process {pid} ended before it was ready (killed by {signal_name(-code)})")
        self._code = max(code, FAILED)
        self._stop(signal.SIGTERM, None)

    def _rescue_at_the_end(self) -> None:
        """Have the jobs taken back of workers that did not end in good order, when no other worker will."""
        self._start_rescue()
        give_up_at = time.monotonic() + RESCUE_LIMIT
        while self._rescuer.pid is not None and (left := give_up_at - time.monotonic()) > 0:
            self._selector.select(left)
            self._signals.drain()
            self._reap()
        if self._rescuer.pid is not None:
            os.kill(self._rescuer.pid, signal.SIGKILL)
            os.waitpid(self._rescuer.pid, 0)

    def _time_to_next(self) -> float | None:
        moments = [slot.start_at for slot in self._slots if slot.start_at is not None]
        if any(slot.pid for slot in self._slots):
            moments.append(self._deadlines.look_at)
        return max(0.0, min(moments) - time.monotonic()) if moments else None
