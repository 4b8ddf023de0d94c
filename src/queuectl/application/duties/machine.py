"""This machine, as somebody knows it who clears up after dead workers."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from queuectl.domain.ports.host import Elapsed, LocalProcess, LocalProcesses, NotedCommand
from queuectl.domain.ports.workers import WorkerRegistry
from queuectl.domain.worker import Process


@dataclass(frozen=True, slots=True, kw_only=True)
class ThisMachine:
    """Its id, which is one of a boot, and what can be asked of it and done on it."""

    id: str
    local: LocalProcesses
    is_alive: Callable[[Process], bool]
    clear: Callable[[str, Sequence[NotedCommand]], None]
    """Ends what is left of the commands of a worker, by its id and by what it has noted of them."""
    elapsed: Elapsed

    def forget_ended(self, cleared: Sequence[LocalProcess], workers: WorkerRegistry) -> None:
        """Remove their registrations.

        But not of those that are still live: another transaction holds their jobs, and the next look needs it.
        """
        live = {worker.id for worker in workers.live()} if cleared else set()
        for it in cleared:
            if it.worker not in live:
                self.local.forget(it)


def clear_leftovers(*, workers: WorkerRegistry, machine: ThisMachine, owners: Collection[str]) -> None:
    """End the commands on this machine of dead workers whose jobs another machine has taken back already.

    Nobody here was left to do it, when a supervisor and its workers were killed at once. `owners` are the ids of the
    workers to which commands on this machine belong, those of other queues too: they are not this queue's to end.
    """
    dead = [it for it in machine.local.registered() if not it.is_alive]
    live = {worker.id for worker in workers.live()} if dead else set()
    for gone in dead:
        if gone.worker not in live:  # else it is left to the rescue
            if gone.commands or gone.worker in owners:
                machine.clear(gone.worker, gone.commands)
            machine.local.forget(gone)
    cleared = {gone.worker for gone in dead}
    for worker in workers.stopped_on(machine.id) if owners else ():
        if worker.id in owners and worker.id not in cleared and not machine.is_alive(worker.process):
            machine.clear(worker.id, ())
