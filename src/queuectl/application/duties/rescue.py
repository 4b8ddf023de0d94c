"""Taking back the jobs of workers that died or lost their lease."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from queuectl.application.duties.lease_watch import SingleLook
from queuectl.application.duties.machine import ThisMachine
from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.events import EventSink, JobRescued
from queuectl.domain.job import Job
from queuectl.domain.policy import Policy
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


class Rescue:
    """A look at the workers: rescues those whose lease is over, and those of this machine whose process is gone.

    Of a worker that is registered on this machine and alive, the lease goes by the machine's time since boot: the
    clock may have been set. Where that is over too, its process is killed first, unless it runs nothing any more: so
    nobody is left who would take the end of its commands for their own. Then what is left of these on this machine is
    ended, before its jobs are put back, so that no job runs twice at a time. Each worker is one transaction; any worker
    may do this for any other.
    """

    def __init__(
        self,
        *,
        work: Work,
        workers: WorkerRegistry,
        machine: ThisMachine,
        settle_spooled: Callable[[Policy], None],
        events: EventSink,
        clock: Clock,
        watch: SingleLook,
    ) -> None:
        """`settle_spooled` records what workers of this machine knew and could not store.

        What has ended must not be taken back as lost and run again.
        """
        self._work = work
        self._workers = workers
        self._machine = machine
        self._settle_spooled = settle_spooled
        self._events = events
        self._clock = clock
        self._watch = watch

    def __call__(self, policy: Policy) -> timedelta:
        """Look once. Raises DatabaseUnavailable.

        Returns how long the next look has time, at most: when the first lease is over, whatever the policy is now.
        """
        at = self._clock()
        pause = min(policy.lease / LOOKS_PER_LEASE, MAX_PAUSE)
        self._watch.begin(at)
        self._settle_spooled(policy)
        cleared: list[LocalProcess] = []
        # Those too whose lease will be over before the next look, so that it can be in time for them.
        for found in self._found(at + pause, beyond=at + 2 * policy.lease):
            left = self._rescue(found, at, policy)
            if left is not None:
                pause = min(pause, left)
            elif found.registered is not None:
                cleared.append(found.registered)
        self._machine.forget_ended(cleared, self._workers)
        return pause

    def _found(self, at: datetime, *, beyond: datetime) -> Sequence[_Found]:
        workers = self._workers.expired_or_local(at=at, machine=self._machine.id, beyond=beyond)
        self._watch.see(workers)
        here = [worker.id for worker in workers if worker.process.machine == self._machine.id]
        registered = {it.worker: it for it in self._machine.local.registered(of=here)}
        return [_Found(worker, worker.id in here, registered.get(worker.id)) for worker in workers]

    def _rescue(self, found: _Found, at: datetime, policy: Policy) -> timedelta | None:
        """Rescue it, if it is lost; else how long the next look has time for its sake."""
        worker = found.worker
        if found.living is not None and (left := self._lease_left(worker, found.living, at)) > timedelta():
            return left
        proved_dead = self._is_gone(found)
        is_unknown = self._is_unknown(found)
        if not self._watch.is_over(worker, at) and (is_unknown or not proved_dead):
            return worker.lease_expires_at - at if worker.lease_expires_at > at else timedelta.max
        if found.is_local:
            self._settle_spooled(policy)  # again, for what it spooled just before it died
            self._machine.clear(worker.id, found.registered.commands if found.registered else ())
        has_died = proved_dead and found.living is None  # and was not killed just now
        reason = _reason(worker, has_died, waited=proved_dead and is_unknown)
        silent_since = worker.renewed_at if self._watch.is_silent(worker) else None
        lost = _lost(reason, at, policy)
        for job in self._work.rescue(worker.id, lost, at=at, proved_dead=proved_dead, silent_since=silent_since):
            self._events(JobRescued(job=job, worker=worker.id))
        return None

    def _lease_left(self, worker: WorkerRecord, living: LocalProcess, at: datetime) -> timedelta:
        ends = living.lease_ends
        return worker.lease_expires_at - at if ends is None else ends - self._machine.elapsed()

    def _is_gone(self, found: _Found) -> bool:
        """Prove that its process is gone: one that has outlived its lease here is killed, unless it is harmless."""
        if found.living is not None:
            is_harmless = found.living.is_harmless(self._machine.elapsed())
            return not is_harmless and self._machine.local.kill(found.living)
        return found.is_local and not self._machine.is_alive(found.worker.process)

    def _is_unknown(self, found: _Found) -> bool:
        """Tell whether commands of it may run here that nobody finds.

        Those that have emptied their environment are found by its registration, or were killed by its supervisor.
        """
        is_registered = found.registered is not None
        return found.is_local and not is_registered and not self._machine.is_alive(found.worker.supervisor)


def _lost(reason: str, at: datetime, policy: Policy) -> DecideLost:
    """The decision about a job that was lost for that reason, alone or with others."""

    def lost(job: Job, alone: bool) -> Job:
        error = reason if alone else f"{reason}; it had other jobs too"
        return job.settled(RunResult(outcome=Outcome.LOST, error=error), at, policy, chance=0, alone=alone)

    return lost


def _reason(worker: WorkerRecord, has_died: bool, *, waited: bool) -> str:
    how = "died" if has_died else "did not renew its lease"
    why = "; what it ran was not registered on this machine, so its lease was waited out" if waited else ""
    return f"worker {worker.id} (pid {worker.process.pid} on {worker.host}) {how}{why}"
