"""Recording how attempts ended, however long the database cannot take it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from queuectl.domain.errors import JobNotFound
from queuectl.domain.events import JobSettled, OutcomeKept, ResultLate
from queuectl.domain.job import Job, Lease, State
from queuectl.domain.outcome import RunResult
from queuectl.domain.policy import Policy
from queuectl.domain.ports import EventSink, JobRepository, KeptOutcome, OutcomeSpool, Settlement


@dataclass(slots=True)
class _Ended:
    """A run whose outcome is to be recorded: the job as it is next, and what the runner reported."""

    job: Job
    lease: Lease
    result: RunResult
    is_kept: bool = False

    @property
    def outcome(self) -> KeptOutcome:
        return KeptOutcome(
            job_id=self.job.id,
            attempt=self.job.attempts,
            lease=self.lease,
            ended_at=self.job.updated_at,
            result=self.result,
        )


class Unsettled:
    """The outcomes that a worker has yet to record, in the order in which the attempts ended."""

    def __init__(self, *, jobs: JobRepository, spool: OutcomeSpool, events: EventSink) -> None:
        self._jobs = jobs
        self._spool = spool
        self._events = events
        self._ended: list[_Ended] = []

    def __bool__(self) -> bool:
        return bool(self._ended)

    @property
    def are_kept(self) -> bool:
        """Whether they all outlive this process: then others on this machine will settle them."""
        return all(ended.is_kept for ended in self._ended)

    def add(self, job: Job, lease: Lease, result: RunResult) -> None:
        """`job` is as it is next: what `Job.settled` returned."""
        self._ended.append(_Ended(job, lease, result))

    def settle(self) -> None:
        """Record them all. Raises DatabaseUnavailable, and what was not recorded is still there."""
        while self._ended:
            ended = self._ended[0]
            settlement = self._jobs.settle(ended.job, ended.lease, ended.result)
            del self._ended[0]
            if ended.is_kept:
                self._spool.forget(ended.outcome)
            _tell(self._events, ended.job, ended.result, settlement)

    def keep(self) -> None:
        """Have them outlive this process, as far as there is room: the database does not take them now."""
        for ended in self._ended:
            if not ended.is_kept and self._spool.keep(ended.outcome):
                ended.is_kept = True
                self._events(OutcomeKept(job=ended.job, result=ended.result))


def settle_kept(policy: Policy, *, jobs: JobRepository, spool: OutcomeSpool, events: EventSink) -> None:
    """Record what any worker of this machine has kept, before its jobs may be taken back as lost.

    Also of a worker that lives: when it comes to record the outcome itself, that is a resend.
    """
    for kept in spool.kept():
        try:
            stored = jobs.find(kept.job_id)
        except JobNotFound:
            spool.forget(kept)
            continue
        if stored.lease == kept.lease:
            job = stored.settled(kept.result, kept.ended_at, policy, chance=0)
        else:  # it was taken away: the fence will see to it that this is only kept as a late result
            job = replace(stored, attempts=kept.attempt, updated_at=kept.ended_at)
        settlement = jobs.settle(job, kept.lease, kept.result)
        spool.forget(kept)
        _tell(events, job, kept.result, settlement)


def _tell(tell: Callable[[JobSettled | ResultLate], None], job: Job, result: RunResult, settlement: Settlement) -> None:
    match settlement:
        case Settlement.RECORDED | Settlement.CANCELLED:
            state = State.CANCELLED if settlement is Settlement.CANCELLED else job.state
            ran = max(job.updated_at - (job.started_at or job.updated_at), timedelta())
            tell(JobSettled(job=replace(job, state=state), result=result, ran=ran))
        case Settlement.LATE | Settlement.GONE:
            tell(ResultLate(job=job, result=result))
