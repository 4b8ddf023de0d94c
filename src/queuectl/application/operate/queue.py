"""What an operator can ask of the queue: enqueue, find, cancel, retry, remove, configure, measure."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from queuectl.domain.attempt import Attempt
from queuectl.domain.errors import WrongState
from queuectl.domain.job import Job, JobRequest, State, job_of
from queuectl.domain.policy import Policy, checked, setting
from queuectl.domain.ports.config import ConfigRepository
from queuectl.domain.ports.host import Clock
from queuectl.domain.ports.jobs import Attempts, Jobs
from queuectl.domain.ports.metrics import Measurements
from queuectl.domain.ports.workers import WorkerRegistry
from queuectl.domain.worker import Process, WorkerRecord, WorkerState

if TYPE_CHECKING:
    # What a command like `status` has no use for is not loaded for it.
    from queuectl.domain.metrics import Metrics

BATCH = 500
"""Jobs per transaction when a command goes over many."""


class LostWorker(NamedTuple):
    """A worker that has died or lost its lease, and whose jobs nobody has taken back yet."""

    worker: WorkerRecord
    since: datetime
    """The end of its lease, or for one that `is_dead` the last renewal."""
    is_dead: bool
    """Whether it ran on this machine and its process has ended."""
    has_others: bool
    """Whether another worker is there that will take its jobs back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The queue at one moment. `lost` has those of its workers that are lost, by id."""

    at: datetime
    jobs: Mapping[State, int]
    workers: Sequence[WorkerRecord]
    lost: Mapping[str, LostWorker]


class Queue:
    """The operator's side of the queue. Every method may raise `DatabaseUnavailable`."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        attempts: Attempts,
        workers: WorkerRegistry,
        config: ConfigRepository,
        measurements: Measurements,
        clock: Clock,
        is_gone: Callable[[Process], bool],
        new_job_ids: Callable[[int], Sequence[str]],
        operator: str,
    ) -> None:
        """`is_gone` tells of a process of this machine that it has ended; `new_job_ids` makes so many.

        `operator` is who asks, as it is recorded: `ann@web-1`.
        """
        self._jobs = jobs
        self._attempts = attempts
        self._workers = workers
        self._config = config
        self._measurements = measurements
        self._clock = clock
        self._is_gone = is_gone
        self._new_job_ids = new_job_ids
        self._operator = operator

    def now(self) -> datetime:
        """The moment by the clock that the queue's own moments come from."""
        return self._clock()

    def enqueue(self, requests: Sequence[JobRequest], *, cwd: str) -> Sequence[Job]:
        """Store a job for each request, all or none. Raises DuplicateJob."""
        at, policy = self._clock(), self.policy()
        new_ids = self._new_job_ids(len(requests))
        jobs = [
            job_of(request, new_id=new_id, policy=policy, cwd=cwd, at=at)
            for request, new_id in zip(requests, new_ids, strict=True)
        ]
        self._jobs.add(jobs)
        return jobs

    def unserved(self, queues: Collection[str]) -> Sequence[str]:
        """Those of these queues from which no worker takes jobs now."""
        workers = self._workers.live()
        lost = self._lost(workers, self._clock())
        working = [it for it in workers if it.state is WorkerState.RUNNING and it.id not in lost]
        return sorted(queue for queue in queues if not any(queue in (it.queues or [queue]) for it in working))

    def unserved_due(self) -> Mapping[str, int]:
        """The queues from which no worker takes jobs now, and how many in each are due."""
        due = self._measurements.due(at=self._clock())
        return {queue: due[queue] for queue in self.unserved(due)} if due else {}

    def find(self, job_id: str) -> Job:
        """The job. Raises JobNotFound."""
        return self._jobs.find(job_id)

    def history(self, job_id: str) -> Sequence[Attempt]:
        """All attempts of the job, the first one first."""
        return self._attempts.attempts_of(job_id)

    def search(
        self, *, states: Sequence[State] = (), queues: Sequence[str] = (), limit: int | None = None
    ) -> Sequence[Job]:
        """Jobs of those states and queues (empty: all), the newest first; if only dead ones, the latest death first."""
        return self._jobs.search(states=states, queues=queues, limit=limit, by_end=list(states) == [State.DEAD])

    def outputs(self, jobs: Sequence[Job]) -> Mapping[str, bytes]:
        """What the last ended attempt of each job wrote, by job id."""
        return self._attempts.outputs_of([job.id for job in jobs])

    def cancel(self, job_id: str, *, now: bool = False) -> Job:
        """Cancel a job that waits; ask for it of one that runs: see `ended`. With `now` its command gets no grace.

        Raises JobNotFound, WrongState.
        """
        at = self._clock()
        return self._jobs.change(job_id, lambda job: job.cancelled(at, self._operator, now=now))

    def ended(self, asked: Job) -> Job | None:
        """The job, once the attempt is over that ran when its cancel was asked for; None before. Raises JobNotFound."""
        job = self._jobs.find(asked.id)
        return None if job.state is State.PROCESSING and job.attempts == asked.attempts else job

    def is_watched_by_others(self, running: Job) -> bool:
        """Whether any worker but the job's own has its lease, and so would take the job back if its own is lost."""
        at, own = self._clock(), running.lease and running.lease.worker
        return any(worker.id != own and worker.lease_expires_at > at for worker in self._workers.live())

    def silent_holder(self, running: Job) -> WorkerRecord | None:
        """The worker that runs the job, if it lives but has renewed its lease for half of its length no more."""
        own = running.lease and running.lease.worker
        holder = next((worker for worker in self._workers.live() if worker.id == own), None)
        if holder is None or self._clock() < holder.renewed_at + (holder.lease_expires_at - holder.renewed_at) / 2:
            return None
        return holder

    def retry(self, job_id: str) -> Job:
        """Have a job that has ended run again. Raises JobNotFound, WrongState."""
        at = self._clock()
        return self._jobs.change(job_id, lambda job: job.retried(at))

    def retry_dead(self, job_id: str) -> Job:
        """Have a job of the dead letter queue run again. Raises JobNotFound, WrongState when it is not in there."""
        at = self._clock()
        return self._jobs.change(job_id, lambda job: _dead(job).retried(at))

    def retry_all_dead(self) -> Iterator[Sequence[Job]]:
        """Have every job that is in the dead letter queue now run again; yields those of each transaction."""
        at = self._clock()

        def retried(job: Job) -> Job:
            return job.retried(at)

        while jobs := self._jobs.change_dead(retried, until=at, limit=BATCH):
            yield jobs

    def remove_dead(self, job_id: str) -> None:
        """Delete a job of the dead letter queue with its history. Raises JobNotFound, WrongState."""
        self._jobs.remove(job_id, allow=_dead)

    def remove_all_dead(self) -> Iterator[Sequence[str]]:
        """Delete every job of the dead letter queue; yields the ids of those of each transaction."""
        while job_ids := self._jobs.remove_dead(limit=BATCH):
            yield job_ids

    def policy(self) -> Policy:
        """The settings in force."""
        return Policy.of(self._config.stored())

    def settings(self) -> Mapping[str, str]:
        """The settings that were set, by key; the others have their defaults."""
        return self._config.stored()

    def set(self, key: str, value: str) -> str:
        """Set one key of the policy; the text as stored. Raises InvalidSetting."""
        text = checked(key, value)
        self._config.store(key, text)
        return text

    def unset(self, key: str) -> None:
        """Put one key back to its default. Raises InvalidSetting for a key that does not exist."""
        setting(key)
        self._config.clear(key)

    def status(self) -> Status:
        """Jobs by state, and the workers that are alive or not yet given up."""
        at, workers = self._clock(), self._workers.live()
        return Status(at=at, jobs=self._measurements.counts(), workers=workers, lost=self._lost(workers, at))

    def lost_holders(self, jobs: Sequence[Job]) -> Mapping[str, LostWorker]:
        """The lost workers that hold some of these jobs, by id."""
        holders = {job.lease.worker for job in jobs if job.lease}
        lost = self._lost(self._workers.live(), self._clock()) if holders else {}
        return {worker: lost[worker] for worker in lost if worker in holders}

    def _lost(self, workers: Sequence[WorkerRecord], at: datetime) -> Mapping[str, LostWorker]:
        dead = {worker.id for worker in workers if self._is_gone(worker.process)}
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

    def metrics(self, *, window: timedelta, detailed: bool) -> "Metrics":
        """What happened in the last `window`."""
        return self._measurements.metrics(since=self._clock() - window, detailed=detailed)


def _dead(job: Job) -> Job:
    if job.state is not State.DEAD:
        hint = f"`queuectl retry {job.id}` runs any job that has ended again"
        raise WrongState(f"job {job.id} is {job.state}, not in the dead letter queue", hint=hint)
    return job
