"""The deadlines of workers: their supervisor kills one that outlives its lease, or does not stop when it must."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from enum import IntEnum

from queuectl.application.fleet import STOP_LIMIT
from queuectl.domain.ports.host import Elapsed, LocalProcess, LocalProcesses
from queuectl.entrypoints.worker.slot import Slot

MARGIN = 1.0
"""Seconds that a worker may outlive its lease, from when that was noticed: it may just have woken up, and be ending."""

LOOK_AGAIN = 1.0
"""Seconds between two looks at the lease of a worker that has noted none yet."""


class Stage(IntEnum):
    """The steps of a supervisor on the way to its end."""

    RUNNING = 0
    STOPPING = 1
    FORCED = 2


class Deadlines:
    """Looks at the workers when the first of them may be overdue: at `look_at`, in seconds, monotonic.

    A worker that can run stops its commands long before its lease is over: one that is overdue is frozen, or held up.
    """

    def __init__(self, *, local: LocalProcesses, elapsed: Elapsed, log: Callable[[str], None]) -> None:
        self._local = local
        self._elapsed = elapsed
        self._log = log
        self.look_at = 0.0

    def look_soon(self) -> None:
        """Look with the next `kill_overdue`: there is a new worker, or less time."""
        self.look_at = 0.0

    def kill_overdue(self, slots: Collection[Slot], stage: Stage) -> None:
        """Kill the workers that are overdue, if it is time to look."""
        now = time.monotonic()
        if now < self.look_at:
            return
        self.look_at = now + 3600
        known = {it.process.pid: it for it in self._local.registered() if it.is_alive}
        for slot in slots:
            if slot.pid is None:
                continue
            due = self._due_at(slot, known.get(slot.pid), stage, now)
            if slot.overdue_at is not None and now >= slot.overdue_at:
                why = "did not stop" if stage is Stage.FORCED or not slot.is_ready else "outlived its lease"
                self._log(f"worker process {slot.pid} {why}, frozen or held up: killed")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(slot.pid, signal.SIGKILL)
                slot.overdue_at = due = now + MARGIN
            self.look_at = min(self.look_at, due)

    def _due_at(self, slot: Slot, found: LocalProcess | None, stage: Stage, now: float) -> float:
        """Note in its slot from when on that worker is overdue; the moment of the next look at it."""
        if stage is Stage.FORCED or (stage is Stage.STOPPING and not slot.is_ready):
            grace = found.kill_grace if stage is Stage.FORCED and found and found.kill_grace else timedelta()
            limit = now + STOP_LIMIT + grace.total_seconds()
            slot.overdue_at = limit if slot.overdue_at is None else min(slot.overdue_at, limit)
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
