"""Taking back the jobs of workers that died or lost their lease."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.events import JobRescued
from queuectl.domain.job import Job
from queuectl.domain.policy import Policy
from queuectl.domain.ports.events import EventSink
from queuectl.domain.ports.host import Elapsed, LocalProcess, LocalProcesses, NotedCommand
from queuectl.domain.ports.work import DecideLost, Work
from queuectl.domain.ports.workers import WorkerRegistry
from queuectl.domain.worker import Process, WorkerRecord

LOOKS_PER_LEASE = 6
"""A worker looks for lost ones this often in the time of a lease."""

LONGEST_PAUSE = timedelta(seconds=5)
"""The longest time between two looks: the policy that says it may soon be another one."""

Clear = Callable[[str, Sequence[NotedCommand]], None]
"""Ends what is left on this machine of the commands of a worker, by its id and by what it has noted of them."""

STEP = timedelta(milliseconds=500)
"""A clock that is ahead of the time since boot by so much more than before has been set: well below a third of the
shortest lease, for which a worker that could not renew has stopped its commands already."""

NEWS = timedelta(seconds=10)
"""How long another process may go by the clock as it was before a step: it asks for the time every ten seconds."""


class LeaseWatch:
    """Whether leases are over, for one that looks again and again: also when the database's clock steps.

    A lease that has run out by that clock is over. But after a step, or before this process has watched the clock for
    the length of a lease, only that counts which this process has seen itself: that a worker did not renew for the
    length of a lease, in time since boot. Such a worker has stopped its commands, or is dead, whatever the clocks say.
    """

    def __init__(self, elapsed: Elapsed) -> None:
        self._elapsed = elapsed
        self._now = timedelta()
        self._booted_at: datetime | None = None
        self._stepped_at = timedelta()
        self._seen: dict[str, tuple[datetime, timedelta]] = {}

    def look(self, at: datetime) -> None:
        """A look begins, at that moment of the database's clock."""
        self._now = self._elapsed()
        booted_at = at - self._now  # by that clock
        if self._booted_at is None or abs(booted_at - self._booted_at) > STEP:
            self._stepped_at = self._now
        self._booted_at = booted_at

    def see(self, workers: Collection[WorkerRecord]) -> None:
        """What the look has found."""
        now, seen = self._elapsed(), self._seen
        self._seen = {
            worker.id: seen[worker.id]
            if worker.id in seen and seen[worker.id][0] == worker.renewed_at
            else (worker.renewed_at, now)
            for worker in workers
        }

    def is_over(self, worker: WorkerRecord, at: datetime) -> bool:
        """Whether the lease of a worker that was found is over."""
        trusts_the_clock = self._now - self._stepped_at >= _lease_of(worker) + NEWS
        return (trusts_the_clock and worker.lease_expires_at <= at) or self.is_silent(worker)

    def is_silent(self, worker: WorkerRecord) -> bool:
        """Whether it was seen not to renew for the length of its lease."""
        return self._now - self._seen[worker.id][1] >= _lease_of(worker)


def _lease_of(worker: WorkerRecord) -> timedelta:
    """The length of its lease, which is the one that was in force when it started."""
    return worker.lease_expires_at - worker.renewed_at


def rescue_lost_workers(
    policy: Policy,
    *,
    work: Work,
    workers: WorkerRegistry,
    local: LocalProcesses,
    events: EventSink,
    machine: str,
    is_alive: Callable[[Process], bool],
    clear: Clear,
    settle_spooled: Callable[[Policy], None],
    at: datetime,
    elapsed: Elapsed,
    watch: LeaseWatch | None = None,
) -> timedelta:
    """Rescue the workers whose lease is over, and those of this machine whose process is gone.

    A lease is over when it ran out before `at`; for whoever looks again and again, when `watch` says so.

    Of a worker that is registered on this machine and alive, the lease goes by the machine's time since boot: the
    clock may have been set. Where that is over too, its process is killed first, unless it runs nothing any more: so
    nobody is left who would take the end of its commands for their own. Then `clear` ends what is left of these, before
    its jobs are put back, so that no job runs twice at a time. `settle_spooled` records what workers of this machine
    knew and could not store: what has ended must not be taken back as lost and run again. Each worker is one
    transaction; any worker may do this for any other.

    Returns how long the next look has time, at most: when the first lease is over, whatever the policy is now.
    """
    pause = min(policy.lease / LOOKS_PER_LEASE, LONGEST_PAUSE)
    if watch is not None:
        watch.look(at)
    settle_spooled(policy)
    # Those too whose lease will be over before the next look, so that it can be in time for them.
    found = workers.expired_or_local(at=at + pause, machine=machine, beyond=at + 2 * policy.lease)
    if watch is not None:
        watch.see(found)
    cleared: list[LocalProcess] = []
    here = {it.worker: it for it in local.registered(of=[it.id for it in found if it.process.machine == machine])}
    for worker in found:
        is_local = worker.process.machine == machine
        registered = here.get(worker.id)
        if registered is not None and registered.is_alive:
            ends = registered.lease_ends
            left = worker.lease_expires_at - at if ends is None else ends - elapsed()
            if left > timedelta():
                pause = min(pause, left)
                continue
            proved_dead = not registered.is_harmless(elapsed()) and local.kill(registered)
        else:
            proved_dead = is_local and not is_alive(worker.process)
        # Commands that have emptied their environment are found by its registration, or were killed by its supervisor.
        is_unknown = is_local and registered is None and not is_alive(worker.supervisor)
        is_over = worker.lease_expires_at <= at if watch is None else watch.is_over(worker, at)
        if not is_over and (is_unknown or not proved_dead):
            pause = min(pause, worker.lease_expires_at - at if worker.lease_expires_at > at else pause)
            continue
        if is_local:
            settle_spooled(policy)  # again, for what it kept just before it died
            clear(worker.id, registered.commands if registered else ())
        has_died = proved_dead and not (registered is not None and registered.is_alive)  # and was not killed just now
        reason = _reason(worker, has_died, waited=proved_dead and is_unknown)
        silent_since = worker.renewed_at if watch is not None and watch.is_silent(worker) else None
        lost = _lost(reason, at, policy)
        for job in work.rescue(worker.id, lost, at=at, proved_dead=proved_dead, silent_since=silent_since):
            events(JobRescued(job=job, worker=worker.id))
        cleared += [registered] if registered is not None else []
    if cleared:
        _forget_ended(cleared, workers, local)
    return pause


def _forget_ended(cleared: Sequence[LocalProcess], workers: WorkerRegistry, local: LocalProcesses) -> None:
    """Those that are still live have jobs that another transaction holds: they will have to prove their death again."""
    live = {worker.id for worker in workers.live()}
    for it in cleared:
        if it.worker not in live:
            local.forget(it)


def _lost(reason: str, at: datetime, policy: Policy) -> DecideLost:
    """What becomes of a job that was lost for that reason, alone or with others."""

    def lost(job: Job, alone: bool) -> Job:
        error = reason if alone else f"{reason}; it had other jobs too"
        return job.settled(RunResult(outcome=Outcome.LOST, error=error), at, policy, chance=0, alone=alone)

    return lost


def clear_leftovers(
    *,
    workers: WorkerRegistry,
    local: LocalProcesses,
    machine: str,
    owners: Collection[str],
    is_alive: Callable[[Process], bool],
    clear: Clear,
) -> None:
    """End the commands on this machine of dead workers whose jobs another machine has taken back already.

    Nobody here was left to do it, when a supervisor and its workers were killed at once. `owners` are the ids of the
    workers to which commands on this machine belong, those of other queues too: they are not this queue's to judge.
    """
    dead = [it for it in local.registered() if not it.is_alive]
    live = {worker.id for worker in workers.live()} if dead else set()
    for gone in dead:
        if gone.worker not in live:  # else it is left to the rescue
            if gone.commands or gone.worker in owners:
                clear(gone.worker, gone.commands)
            local.forget(gone)
    cleared = {gone.worker for gone in dead}
    for worker in workers.stopped_on(machine) if owners else ():
        if worker.id in owners and worker.id not in cleared and not is_alive(worker.process):
            clear(worker.id, ())


def _reason(worker: WorkerRecord, has_died: bool, *, waited: bool) -> str:
    how = "died" if has_died else "did not renew its lease"
    why = "; what it ran was not registered on this machine, so its lease was waited out" if waited else ""
    return f"worker {worker.id} (pid {worker.process.pid} on {worker.host}) {how}{why}"
