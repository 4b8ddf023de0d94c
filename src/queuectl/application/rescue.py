"""Taking back the jobs of workers that died or lost their lease."""

from collections.abc import Callable, Collection
from datetime import datetime

from queuectl.domain.events import JobRescued
from queuectl.domain.job import Job
from queuectl.domain.outcome import Outcome, RunResult
from queuectl.domain.policy import Policy
from queuectl.domain.ports import EventSink, JobRepository, Process, WorkerRecord, WorkerRegistry


def rescue_lost_workers(
    policy: Policy,
    *,
    jobs: JobRepository,
    workers: WorkerRegistry,
    events: EventSink,
    machine: str,
    is_alive: Callable[[Process], bool],
    clear: Callable[[str], None],
    settle_kept: Callable[[Policy], None],
    at: datetime,
) -> None:
    """Rescue the workers whose lease ran out before `at`, and those of this machine whose process is gone.

    `clear` ends what is left of the commands of a worker, by its id, on this machine: before its jobs are put back,
    so that no job runs twice at a time. `settle_kept` records what workers of this machine knew and could not store:
    what has ended must not be taken back as lost and run again. Each worker is one transaction; any worker may do
    this for any other.
    """
    settle_kept(policy)
    for worker in workers.suspects(at=at, machine=machine):
        is_local = worker.process.machine == machine
        proved_dead = is_local and not is_alive(worker.process)
        if worker.lease_expires_at > at and not proved_dead:
            continue
        if is_local:
            settle_kept(policy)  # again, for what it kept just before it died
            clear(worker.id)  # also of a worker that lives, but was frozen: its commands were not
        reason = _reason(worker, proved_dead)

        def lost(job: Job, alone: bool, reason: str = reason) -> Job:
            error = reason if alone else f"{reason}; it had other jobs too"
            result = RunResult(outcome=Outcome.LOST, error=error)
            return job.settled(result, at, policy, chance=0, alone=alone)

        for job in jobs.rescue(worker.id, lost, at=at, proved_dead=proved_dead):
            events(JobRescued(job=job, worker=worker.id))


def clear_leftovers(
    *,
    workers: WorkerRegistry,
    machine: str,
    owners: Collection[str],
    is_alive: Callable[[Process], bool],
    clear: Callable[[str], None],
) -> None:
    """End the commands on this machine of dead workers whose jobs another machine has taken back already.

    Nobody here was left to do it, when a supervisor and its workers were killed at once. `owners` are the ids of the
    workers to which commands on this machine belong, those of other queues too: they are not this queue's to judge.
    """
    for worker in workers.ended_on(machine) if owners else ():
        if worker.id in owners and not is_alive(worker.process):
            clear(worker.id)


def _reason(worker: WorkerRecord, proved_dead: bool) -> str:
    how = "died" if proved_dead else "did not renew its lease"
    return f"worker {worker.id} (pid {worker.process.pid} on {worker.host}) {how}"
