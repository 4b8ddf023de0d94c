"""Taking back the jobs of workers that died or lost their lease."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from queuectl.domain.events import JobRescued
from queuectl.domain.job import Job
from queuectl.domain.outcome import Outcome, RunResult
from queuectl.domain.policy import Policy
from queuectl.domain.ports import (
    Elapsed,
    EventSink,
    JobRepository,
    LocalProcesses,
    NotedCommand,
    Process,
    WorkerRecord,
    WorkerRegistry,
)

LOOKS_PER_LEASE = 6
"""A worker looks for lost ones this often in the time of a lease."""

LONGEST_PAUSE = timedelta(seconds=5)
"""The longest time between two looks: the policy that says it may soon be another one."""

Clear = Callable[[str, Sequence[NotedCommand]], None]
"""Ends what is left on this machine of the commands of a worker, by its id and by what it has noted of them."""


def rescue_lost_workers(
    policy: Policy,
    *,
    jobs: JobRepository,
    workers: WorkerRegistry,
    local: LocalProcesses,
    events: EventSink,
    machine: str,
    is_alive: Callable[[Process], bool],
    clear: Clear,
    settle_kept: Callable[[Policy], None],
    at: datetime,
    elapsed: Elapsed,
) -> timedelta:
    """Rescue the workers whose lease ran out before `at`, and those of this machine whose process is gone.

    Of a worker that is registered on this machine and alive, the lease goes by the machine's time since boot: the
    clock may have been set. Where that is over too, its process is killed first, unless it runs nothing any more: so
    nobody is left who would take the end of its commands for their own. Then `clear` ends what is left of these, before
    its jobs are put back, so that no job runs twice at a time. `settle_kept` records what workers of this machine knew
    and could not store: what has ended must not be taken back as lost and run again. Each worker is one transaction;
    any worker may do this for any other.

    Returns how long the next look has time, at most: when the first lease is over, whatever the policy is now.
    """
    pause = min(policy.lease / LOOKS_PER_LEASE, LONGEST_PAUSE)
    settle_kept(policy)
    # Those too whose lease will be over before the next look, so that it can be in time for them.
    found = workers.suspects(at=at + pause, machine=machine)
    here = {it.worker: it for it in local.registered(of=[it.id for it in found if it.process.machine == machine])}
    for worker in found:
        is_local = worker.process.machine == machine
        registered = here.get(worker.id)
        has_expired = worker.lease_expires_at <= at
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
        if not has_expired and (is_unknown or not proved_dead):
            pause = min(pause, worker.lease_expires_at - at)
            continue
        if is_local:
            settle_kept(policy)  # again, for what it kept just before it died
            clear(worker.id, registered.commands if registered else ())
        reason = _reason(worker, proved_dead, waited=proved_dead and is_unknown)

        def lost(job: Job, alone: bool, reason: str = reason) -> Job:
            error = reason if alone else f"{reason}; it had other jobs too"
            result = RunResult(outcome=Outcome.LOST, error=error)
            return job.settled(result, at, policy, chance=0, alone=alone)

        for job in jobs.rescue(worker.id, lost, at=at, proved_dead=proved_dead):
            events(JobRescued(job=job, worker=worker.id))
        if registered is not None:
            local.forget(registered)
    return pause


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
    for worker in workers.ended_on(machine) if owners else ():
        if worker.id in owners and worker.id not in cleared and not is_alive(worker.process):
            clear(worker.id, ())


def _reason(worker: WorkerRecord, proved_dead: bool, *, waited: bool) -> str:
    how = "died" if proved_dead else "did not renew its lease"
    why = "; what it ran was not registered on this machine, so its lease was waited out" if waited else ""
    return f"worker {worker.id} (pid {worker.process.pid} on {worker.host}) {how}{why}"
