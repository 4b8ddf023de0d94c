"""The workers of one queue on this machine: found, and stopped, without the database."""

import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from queuectl.domain.ports.host import LocalProcess, LocalProcesses
from queuectl.domain.ports.workers import WorkerRegistry
from queuectl.domain.worker import Process, WorkerRecord

GRACEFUL_SIGNAL = signal.SIGUSR2
"""Stops gracefully, however often it comes: `worker stop` may be called twice. Of the others the second one forces."""

FORCE_SIGNAL = signal.SIGQUIT
"""Stops by force at once. A signal of its own: two SIGTERMs sent in a row can arrive as one (signal(7))."""

STOP_LIMIT = 8.0
"""Seconds that a worker may take to stop by force beyond its kill grace, or at all while it is not ready."""

RESCUE_LIMIT = 5.0
"""Seconds that a supervisor, before it ends, waits for the jobs of workers that it has killed to be taken back."""

KILL_LIMIT = STOP_LIMIT + RESCUE_LIMIT + 3.0
"""Seconds beyond the kill grace after which a process that is to stop by force is killed from here.

Its supervisor, unless that is frozen too, has killed it before.
"""

REAP_LIMIT = 1.0
"""Seconds that a killed process may take to be gone."""

LOOK_AGAIN = 0.05
"""Seconds between two looks whether a process has ended."""


class Known(NamedTuple):
    """The workers that the database takes for alive: those of this machine by id, and how many there are elsewhere.

    Nobody here, and None elsewhere, when it does not tell.
    """

    here: Mapping[str, WorkerRecord] = {}
    elsewhere: int | None = None


def known_workers(workers: WorkerRegistry, machine: str) -> Known:
    """Ask the database. Raises DatabaseUnavailable."""
    live = workers.live()
    here = {worker.id: worker for worker in live if worker.process.machine == machine}
    return Known(here, len(live) - len(here))


class Ended(NamedTuple):
    """The end of a wait: whether all have ended, and the workers that had to be killed, for they stood still."""

    all: bool
    killed: Sequence[LocalProcess]


class LocalWorkers:
    """The workers and supervisors that are alive on this machine, and how to stop them."""

    def __init__(
        self,
        local: LocalProcesses,
        *,
        of: Collection[str] = (),
        stands_still: Callable[[Process], bool],
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        """Find them. `of`: ids that the database knows, of workers that may have been started with another URL.

        `monotonic` is a clock, in seconds.
        """
        self.found = [it for it in local.registered(of=of) if it.is_alive]
        self._of = of
        self._local = local
        self._stands_still = stands_still
        self._monotonic = monotonic
        self._sleep = sleep

    @property
    def alive(self) -> Sequence[LocalProcess]:
        """The workers."""
        return [it for it in self.found if it.worker]

    @property
    def targets(self) -> Sequence[LocalProcess]:
        """Those to signal: the supervisors, and the workers whose supervisor is gone."""
        supervisors = {it.process for it in self.found if not it.worker}
        return [it for it in self.found if not it.worker or it.supervisor not in supervisors]

    @property
    def frozen(self) -> Sequence[LocalProcess]:
        """Those that stand still, for a signal has stopped them: they can take no order."""
        return [it for it in self.found if self._stands_still(it.process)]

    def missing(self, known: Known) -> Sequence[WorkerRecord]:
        """The workers of this machine that were not found: they are dead, or not registered where we look."""
        found = {it.worker for it in self.found}
        return [worker for worker in known.here.values() if worker.id not in found]

    def outliving(self, workers: Sequence[WorkerRecord], is_alive: Callable[[Process], bool]) -> int:
        """Count those that live on; one that was killed lets go of its registration a moment before it is gone."""
        give_up_at = self._monotonic() + REAP_LIMIT
        while (alive := sum(is_alive(it.process) for it in workers)) and self._monotonic() < give_up_at:
            self._sleep(LOOK_AGAIN)
        return alive

    def ask_to_stop(self, *, force: bool = False) -> None:
        """Signal each target; with `force` their commands are stopped too."""
        for target in self.targets:
            if force and not target.worker and self._stands_still(target.process):
                self._local.kill(target)  # it could pass nothing on; its workers notice its end, and then take signals
                for worker in self.alive:
                    if worker.supervisor == target.process:
                        self._local.send(worker, FORCE_SIGNAL)
            else:
                self._local.send(target, FORCE_SIGNAL if force else GRACEFUL_SIGNAL)

    def wait(self, timeout: float | None, *, force: bool = False) -> Ended:
        """Wait until they have all ended, or `timeout` seconds have passed.

        With `force`, those are killed that do not end within what a supervisor would give them: it first, or it would
        replace them.
        """
        asked_at = self._monotonic()
        killed: list[LocalProcess] = []
        grace = max([it.kill_grace.total_seconds() for it in self.alive if it.kill_grace], default=0.0)
        while left := self._left():
            waited = self._monotonic() - asked_at
            if timeout is not None and waited >= timeout:
                return Ended(all=False, killed=killed)
            if force and waited > grace + KILL_LIMIT:
                supervisors_first = sorted(left, key=lambda it: it.worker != "")
                killed += [it for it in supervisors_first if self._local.kill(it) and it.worker]
            self._sleep(LOOK_AGAIN)
        return Ended(all=True, killed=killed)

    def _left(self) -> Sequence[LocalProcess]:
        """Of those that were found, and what their supervisors have started since, what is alive."""
        supervisors = {it.supervisor for it in self.found}
        return [it for it in self._local.registered(of=self._of) if it.is_alive and it.supervisor in supervisors]
