"""Taking back the jobs of workers that died or lost their lease."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from queuectl.application.duties.lease_watch import LeaseWatch
from queuectl.application.duties.machine import ThisMachine
from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.events import EventSink, JobRescued
from queuectl.domain.job import Job
from queuectl.domain.policy import Policy, StoredSettings
from queuectl.domain.ports.config import ConfigRepository
from queuectl.domain.ports.host import Clock, LocalProcess
from queuectl.domain.ports.work import DecideLost, Work
from queuectl.domain.ports.workers import WorkerRegistry
from queuectl.domain.worker import WorkerRecord

LOOKS_PER_LEASE = 6
"""A worker looks for lost ones this often in the time of a lease."""

MAX_PAUSE = timedelta(seconds=5)
"""The longest time between two looks: the policy may soon be another one."""


class _Found(NamedTuple):
    """A worker that may be lost."""

    worker: WorkerRecord
    is_local: bool
    registered: LocalProcess | None
    """Its own word on this machine."""

    @property
    def living(self) -> LocalProcess | None:
        """The same, where it is alive."""
        return self.registered if self.registered is not None and self.registered.is_alive else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """A look at the workers: rescues those whose lease is over, and those of this machine whose process is gone.

    Of a worker that is registered on this machine and alive, the lease goes by the machine's time since boot: the
    clock may have been set. Where that is over too, its process is killed first, unless it runs nothing any more: so
    nobody is left who would take the end of its commands for their own. Then what is left of these on this machine is
    ended, before its jobs are put back, so that no job runs twice at a time. Each worker is one transaction; any worker
    may do this for any other.
    """

    work: Work
    workers: WorkerRegistry
    machine: ThisMachine
    config: ConfigRepository
    settle_spooled: Callable[[], None]
    """Records what workers of this machine knew and could not store: that must not be taken back as lost, to run again.
    """
    events: EventSink
    clock: Clock
    watch: LeaseWatch
    look_after: Callable[[Sequence[Job]], None]
    """Lets go what waited for jobs that have ended."""

    def __call__(self, policy: Policy) -> timedelta:
        """Look once. Raises DatabaseUnavailable.

        Returns how long the next look has time, at most: when the first lease is over, whatever the policy is now.
        """
        at = self.clock()
        pause = min(policy.lease / LOOKS_PER_LEASE, MAX_PAUSE)
        self.settle_spooled()
        cleared: list[LocalProcess] = []
        for found in self._found(at, policy):
            left = self._rescue(found, at)
            if left is not None:
                pause = min(pause, left)
            elif found.registered is not None:
                cleared.append(found.registered)
        self.machine.forget_ended(cleared, self.workers)
        return pause

    def _found(self, at: datetime, policy: Policy) -> Sequence[_Found]:
        """Look at all on this machine, and at those elsewhere that have not just renewed, as far as the clock says."""
        workers = self.watch.look(
            lambda: self.workers.expired_or_local(
                at=at + policy.lease * (1 - 1 / LOOKS_PER_LEASE), machine=self.machine.id, beyond=at + policy.lease
            )
        )
        here = [worker.id for worker in workers if worker.process.machine == self.machine.id]
        registered = {it.worker: it for it in self.machine.local.registered(of=here)}
        return [_Found(worker, worker.id in here, registered.get(worker.id)) for worker in workers]

    def _rescue(self, found: _Found, at: datetime) -> timedelta | None:
        """Rescue it, if it is lost; else how long the next look has time for its sake."""
        worker = found.worker
        left = self.watch.left(worker)
        if found.living is not None and (here := self._left_here(found.living, left)) > timedelta():
            return here
        proved_dead = self._is_gone(found)
        is_unknown = self._is_unknown(found)
        if left and (is_unknown or not proved_dead):
            return left
        if found.is_local:
            self.settle_spooled()  # again, for what it spooled just before it died
            self.machine.clear(worker.id, found.registered.commands if found.registered else ())
        has_died = proved_dead and found.living is None  # and was not killed just now
        reason = _reason(worker, has_died, waited=proved_dead and is_unknown)
        silent_since = None if left else worker.renewed_at
        lost = _lost(reason, at, self.config.by_queue())
        rescued = self.work.rescue(worker.id, lost, at=at, proved_dead=proved_dead, silent_since=silent_since)
        for job in rescued:
            self.events(JobRescued(job=job, worker=worker.id))
        self.look_after(rescued)
        return None

    def _left_here(self, living: LocalProcess, left: timedelta) -> timedelta:
        """The rest of its lease by its own word, which one that has just started has not given yet."""
        return left if living.lease_ends is None else living.lease_ends - self.machine.elapsed()

    def _is_gone(self, found: _Found) -> bool:
        """Prove that its process is gone: one that has outlived its lease here is killed, unless it is harmless."""
        if found.living is not None:
            is_harmless = found.living.is_harmless(self.machine.elapsed())
            return not is_harmless and self.machine.local.kill(found.living)
        return found.is_local and not self.machine.is_alive(found.worker.process)

    def _is_unknown(self, found: _Found) -> bool:
        """Tell whether commands of it may run here that nobody finds.

        Those that have emptied their environment are found by its registration, or were killed by its supervisor.
        """
        is_registered = found.registered is not None
        return found.is_local and not is_registered and not self.machine.is_alive(found.worker.supervisor)


def _lost(reason: str, at: datetime, stored: StoredSettings) -> DecideLost:
    """The decision about a job that was lost for that reason, alone or with others."""

    def lost(job: Job, alone: bool) -> Job:
        error = reason if alone else f"{reason}; it had other jobs too"
        policy = Policy.of_queue(job.queue, stored)
        return job.settled(RunResult(outcome=Outcome.LOST, error=error), at, policy, chance=0, alone=alone)

    return lost


def _reason(worker: WorkerRecord, has_died: bool, *, waited: bool) -> str:
    how = "died" if has_died else "did not renew its lease"
    why = "; what it ran was not registered on this machine, so its lease was waited out" if waited else ""
    return f"worker {worker.id} (pid {worker.process.pid} on {worker.host}) {how}{why}"
