"""Look at jobs and workers."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from queuectl.application.operate.queue import Queue
from queuectl.domain.attempt import Attempt
from queuectl.domain.job import Job, State
from queuectl.domain.queues import QueueSettings
from queuectl.domain.worker import WorkerRecord, WorkerState


class LostWorker(NamedTuple):
    """A worker that has died or lost its lease, and whose jobs nobody has taken back yet."""

    worker: WorkerRecord
    since: datetime
    """The end of its lease, or for one that `is_dead` the last renewal."""
    is_dead: bool
    """True when it ran on this machine and its process has ended."""
    has_others: bool
    """True when another worker is there that will take its jobs back."""


class Status(NamedTuple):
    """The queue at one moment. `lost` has those of its workers that are lost, by id."""

    at: datetime
    jobs: Mapping[State, int]
    workers: Sequence[WorkerRecord]
    lost: Mapping[str, LostWorker]


def find_job(queue: Queue, job_id: str) -> Job:
    """The job. Raises JobNotFound."""
    return queue.jobs.find(job_id)


def attempts_of(queue: Queue, job_id: str) -> Sequence[Attempt]:
    """All attempts of the job, the first one first."""
    return queue.attempts.attempts_of(job_id)


def search_jobs(
    queue: Queue,
    *,
    states: Sequence[State] = (),
    queues: Sequence[str] = (),
    keys: Sequence[str] = (),
    tags: Sequence[str] = (),
    limit: int | None = None,
) -> Sequence[Job]:
    """Jobs of those states, queues and keys, with any of those tags (empty: all), the newest first.

    If only dead ones, the latest death first.
    """
    by_end = list(states) == [State.DEAD]
    return queue.jobs.search(states=states, queues=queues, keys=keys, tags=tags, limit=limit, by_end=by_end)


def outputs_of(queue: Queue, jobs: Sequence[Job]) -> Mapping[str, bytes]:
    """The output of each job's last ended attempt, by job id."""
    return queue.attempts.outputs_of([job.id for job in jobs])


def status_of(queue: Queue) -> Status:
    """Jobs by state, and the workers that are alive or not yet given up."""
    at, workers = queue.clock(), queue.workers.live()
    return Status(at=at, jobs=queue.measurements.counts(), workers=workers, lost=_lost(queue, workers, at))


def lost_holders(queue: Queue, jobs: Sequence[Job]) -> Mapping[str, LostWorker]:
    """The lost workers that hold some of these jobs, by id."""
    holders = {job.lease.worker for job in jobs if job.lease}
    lost = _lost(queue, queue.workers.live(), queue.clock()) if holders else {}
    return {worker: lost[worker] for worker in lost if worker in holders}


def working(queue: Queue) -> Sequence[WorkerRecord]:
    """The workers that take jobs now."""
    return working_of(queue, queue.workers.live())


def working_of(queue: Queue, live: Sequence[WorkerRecord]) -> Sequence[WorkerRecord]:
    """Those of the live workers that take jobs now."""
    lost = _lost(queue, live, queue.clock())
    return [it for it in live if it.state is WorkerState.RUNNING and it.id not in lost]


def unserved(queue: Queue, names: Collection[str]) -> Sequence[str]:
    """The queues, of those named, from which no worker takes jobs now."""
    return [name for name, workers in _serving(queue, names).items() if not workers]


def unmet(queue: Queue, asked: Collection[tuple[str, Sequence[str]]]) -> Sequence[tuple[str, Sequence[str]]]:
    """The queues that are served now, with the labels of which no worker that serves them has all: of those asked."""
    if not any(needs for _, needs in asked):
        return []
    serving = _serving(queue, {name for name, _ in asked})
    return sorted(
        (name, needs)
        for name, needs in asked
        if serving[name] and not any(set(needs) <= set(it.labels) for it in serving[name])
    )


def _serving(queue: Queue, names: Collection[str]) -> Mapping[str, Sequence[WorkerRecord]]:
    """The workers that take jobs of each of these queues now."""
    workers, settings = working(queue), queue.queues.all()
    named = [settings.get(name, QueueSettings(name)) for name in sorted(names)]
    return {it.name: [worker for worker in workers if it.is_served_by(worker.queues)] for it in named}


def unserved_due(queue: Queue) -> Mapping[str, int]:
    """The queues from which no worker takes jobs now, and how many in each are due."""
    due = queue.measurements.due(at=queue.clock())
    return {name: due[name] for name in unserved(queue, due)} if due else {}


def _lost(queue: Queue, workers: Sequence[WorkerRecord], at: datetime) -> Mapping[str, LostWorker]:
    dead = {worker.id for worker in workers if queue.is_gone(worker.process)}
    lost = [worker for worker in workers if worker.id in dead or worker.lease_expires_at <= at]
    return {
        worker.id: LostWorker(
            worker,
            since=worker.renewed_at if worker.id in dead else worker.lease_expires_at,
            is_dead=worker.id in dead,
            has_others=len(lost) < len(workers),
        )
        for worker in lost
    }
