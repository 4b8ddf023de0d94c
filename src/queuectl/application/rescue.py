"""Taking back the jobs of workers that died or lost their lease."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

from queuectl.domain.events import JobRescued
from queuectl.domain.job import Job
from queuectl.domain.outcome import Outcome, RunResult
from queuectl.domain.policy import Policy
from queuectl.domain.ports import Elapsed, EventSink, JobRepository, Process, WorkerRecord, WorkerRegistry

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

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
        self._clock_ahead: timedelta | None = None
        self._stepped_at = timedelta()
        self._seen: dict[str, tuple[datetime, timedelta]] = {}

    def look(self, at: datetime) -> None:
        """A look begins, at that moment of the database's clock."""
        self._now = self._elapsed()
        clock_ahead = at - EPOCH - self._now
        if self._clock_ahead is None or abs(clock_ahead - self._clock_ahead) > STEP:
            self._stepped_at = self._now
        self._clock_ahead = clock_ahead

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
    jobs: JobRepository,
    workers: WorkerRegistry,
    events: EventSink,
    machine: str,
    is_alive: Callable[[Process], bool],
    clear: Callable[[str], None],
    settle_kept: Callable[[Policy], None],
    at: datetime,
    watch: LeaseWatch | None = None,
) -> None:
    """Rescue the workers whose lease is over, and those of this machine whose process is gone.

    A lease is over when it ran out before `at`; for whoever looks again and again, when `watch` says so.

    `clear` ends what is left of the commands of a worker, by its id, on this machine: before its jobs are put back,
    so that no job runs twice at a time. `settle_kept` records what workers of this machine knew and could not store:
    what has ended must not be taken back as lost and run again. Each worker is one transaction; any worker may do
    this for any other.
    """
    if watch is not None:
        watch.look(at)
    settle_kept(policy)
    suspects = workers.suspects(at=at, machine=machine, beyond=at + 2 * policy.lease)
    if watch is not None:
        watch.see(suspects)
    for worker in suspects:
        is_local = worker.process.machine == machine
        proved_dead = is_local and not is_alive(worker.process)
        is_over = worker.lease_expires_at <= at if watch is None else watch.is_over(worker, at)
        if not is_over and not proved_dead:
            continue
        if is_local:
            settle_kept(policy)  # again, for what it kept just before it died
            clear(worker.id)  # also of a worker that lives, but was frozen: its commands were not
        result = RunResult(outcome=Outcome.LOST, error=_reason(worker, proved_dead))

        def lost(job: Job, result: RunResult = result) -> Job:
            return job.settled(result, at, policy, chance=0)

        lease_is_nothing = proved_dead or (watch is not None and watch.is_silent(worker))
        for job in jobs.rescue(worker.id, lost, at=at, proved_dead=lease_is_nothing):
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
