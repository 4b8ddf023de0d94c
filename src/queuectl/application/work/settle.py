"""Recording how attempts ended, however long the database cannot take it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from queuectl.domain.attempt import RunResult
from queuectl.domain.errors import DatabaseFull, JobNotFound, ValueRefused
from queuectl.domain.events import JobSettled, OutcomeKept, OutcomeRefused, ResultLate
from queuectl.domain.job import Job, State
from queuectl.domain.policy import Policy
from queuectl.domain.ports.events import EventSink
from queuectl.domain.ports.host import KeptOutcome, OutcomeSpool
from queuectl.domain.ports.work import Ended, JobRepository, Run, Settlement
from queuectl.domain.worker import Lease


@dataclass(slots=True)
class _Unsettled:
    ended: Ended
    is_kept: bool = False

    @property
    def outcome(self) -> KeptOutcome:
        job = self.ended.job
        return KeptOutcome(
            job_id=job.id,
            attempt=job.attempts,
            lease=self.ended.lease,
            ended_at=job.updated_at,
            result=self.ended.result,
        )


class Unsettled:
    """The outcomes that a worker has yet to record, in the order in which the attempts ended."""

    def __init__(self, *, jobs: JobRepository, spool: OutcomeSpool, events: EventSink) -> None:
        self._jobs = jobs
        self._spool = spool
        self._events = events
        self._waiting: list[_Unsettled] = []
        self._refused: set[tuple[str, int]] = set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def are_kept(self) -> bool:
        """Whether they all outlive this process: then others on this machine will settle them."""
        return all(each.is_kept for each in self._waiting)

    def add(self, job: Job, lease: Lease, result: RunResult) -> None:
        """`job` is as it is next: what `Job.settled` returned."""
        self._waiting.append(_Unsettled(Ended(job=job, lease=lease, result=result)))

    def settle(self) -> None:
        """Record them one by one. Raises DatabaseUnavailable, and what was not recorded is still there.

        But for one that the database would never take: it is kept for whoever knows better, and holds up no other.
        """
        while self._waiting:
            ended = self._waiting[0].ended
            try:
                self._recorded([self._jobs.settle(ended.job, ended.lease, ended.result)])
            except ValueRefused as error:
                self._refuse(self._waiting.pop(0), error)

    def settle_and_claim(
        self, lease: Lease, *, queues: Collection[str], limit: int, at: datetime, suspects: bool | None
    ) -> Sequence[Run]:
        """Record them and claim, all or nothing. Raises DatabaseUnavailable, and then they are still there."""
        ended = [each.ended for each in self._waiting]
        try:
            settlements, runs = self._jobs.settle_and_claim(
                ended, lease, queues=queues, limit=limit, at=at, suspects=suspects
            )
        except (DatabaseFull, ValueRefused):
            if not ended:
                raise
            self.settle()  # one by one, so that each is as well recorded as it can be
            return self.settle_and_claim(lease, queues=queues, limit=limit, at=at, suspects=suspects)
        self._recorded(settlements)
        return runs

    def was_refused(self, job: Job) -> bool:
        """Whether this attempt of the job has ended, and that cannot be recorded."""
        return (job.id, job.attempts) in self._refused

    def _refuse(self, each: _Unsettled, error: ValueRefused) -> None:
        if not each.is_kept:
            self._spool.keep(each.outcome)
        job = each.ended.job
        self._refused.add((job.id, job.attempts))
        self._events(OutcomeRefused(job=job, result=each.ended.result, error=error.message))

    def drop(self) -> None:
        """Forget them: their jobs are gone with the database that held them."""
        for each in self._waiting:
            if each.is_kept:
                self._spool.forget(each.outcome)
        self._waiting = []

    def keep(self) -> None:
        """Have them outlive this process, as far as there is room: the database does not take them now."""
        for each in self._waiting:
            if not each.is_kept and self._spool.keep(each.outcome):
                each.is_kept = True
                self._events(OutcomeKept(job=each.ended.job, result=each.ended.result))

    def _recorded(self, settlements: Sequence[Settlement]) -> None:
        """These became of the first that waited."""
        settled, self._waiting = self._waiting[: len(settlements)], self._waiting[len(settlements) :]
        for each, settlement in zip(settled, settlements, strict=True):
            if each.is_kept:
                self._spool.forget(each.outcome)
            _tell(self._events, each.ended.job, each.ended.result, settlement)


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
            job = stored._replace(attempts=kept.attempt, updated_at=kept.ended_at)
        try:
            settlement = jobs.settle(job, kept.lease, kept.result)
        except ValueRefused:  # its worker has said so
            continue
        spool.forget(kept)
        _tell(events, job, kept.result, settlement)


def _tell(tell: Callable[[JobSettled | ResultLate], None], job: Job, result: RunResult, settlement: Settlement) -> None:
    match settlement:
        case Settlement.RECORDED | Settlement.CANCELLED:
            if settlement is Settlement.CANCELLED:
                job = job._replace(state=State.CANCELLED)
            ran = max(job.updated_at - (job.started_at or job.updated_at), timedelta())
            tell(JobSettled(job=job, result=result, ran=ran))
        case Settlement.LATE | Settlement.GONE:
            tell(ResultLate(job=job, result=result))
