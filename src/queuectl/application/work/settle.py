"""Recording how attempts ended, however long the database cannot take it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from queuectl.application.ends import LookAfter, is_awaited
from queuectl.application.work.duty import WorkerPorts
from queuectl.domain.attempt import AttemptEnd
from queuectl.domain.errors import DatabaseFull, ValueRefused
from queuectl.domain.events import EndLate, EndRefused, EndSpooled, EventSink, JobSettled
from queuectl.domain.job import Job
from queuectl.domain.policy import Policy, StoredSettings
from queuectl.domain.ports.config import ConfigRepository
from queuectl.domain.ports.host import OutcomeSpool
from queuectl.domain.ports.work import Claim, DecideEnd, Run, Settled, Settlement, Work


@dataclass(slots=True)
class _Waiting:
    end: AttemptEnd
    policy: Policy
    is_spooled: bool = False


class Unsettled:
    """The ends of attempts that a worker has yet to record, in the order in which they came."""

    def __init__(self, ports: WorkerPorts) -> None:
        self._ports = ports
        self._waiting: list[_Waiting] = []
        self._refused: set[tuple[str, int]] = set()
        self.awaited: list[Job] = []
        """Jobs that have ended and been recorded, and that others wait for."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def are_spooled(self) -> bool:
        """True if they all outlive this process: then others on this machine will settle them."""
        return all(each.is_spooled for each in self._waiting)

    def add(self, end: AttemptEnd, policy: Policy) -> None:
        """Record that end at the next chance; `policy` is the one by which its job goes on."""
        self._waiting.append(_Waiting(end, policy))

    def settle(self) -> None:
        """Record them one by one. Raises DatabaseUnavailable, and what was not recorded is still there.

        But for one that the database would never take: it is spooled for whoever knows better, and holds up no other.
        """
        while self._waiting:
            try:
                self._recorded(self._ports.work.settle([self._waiting[0].end], self._decide))
            except ValueRefused as error:
                self._refuse(self._waiting.pop(0), error)

    def settle_and_claim(self, claim: Claim) -> Sequence[Run]:
        """Record them and claim, all or nothing. Raises DatabaseUnavailable, and then they are still there."""
        ends = [each.end for each in self._waiting]
        try:
            settled, runs = self._ports.work.settle_and_claim(ends, self._decide, claim)
        except (DatabaseFull, ValueRefused):
            if not ends:
                raise
            self.settle()  # one by one, so that each is as well recorded as it can be
            settled, runs = self._ports.work.settle_and_claim([], self._decide, claim)
        self._recorded(settled)
        return runs

    def was_refused(self, job: Job) -> bool:
        """True if this attempt of the job has ended, and its end cannot be recorded."""
        return (job.id, job.attempts) in self._refused

    def spool(self) -> None:
        """Have them outlive this process, as far as there is room: the database does not take them now."""
        for each in self._waiting:
            if not each.is_spooled and self._ports.spool.spool(each.end):
                each.is_spooled = True
                self._ports.events(EndSpooled(end=each.end))

    def drop(self) -> None:
        """Drop them: their jobs are gone with the database that held them."""
        for each in self._waiting:
            if each.is_spooled:
                self._ports.spool.discard(each.end)
        self._waiting = []

    def _decide(self, job: Job, end: AttemptEnd) -> Job:
        policy = next(each.policy for each in self._waiting if each.end[:4] == end[:4])  # its output may be left out
        return job.settled(end.result, end.at, policy, self._ports.chance())

    def _refuse(self, each: _Waiting, error: ValueRefused) -> None:
        if not each.is_spooled:
            self._ports.spool.spool(each.end)
        self._refused.add((each.end.job_id, each.end.number))
        self._ports.events(EndRefused(end=each.end, error=error.message))

    def _recorded(self, settled: Sequence[Settled]) -> None:
        """These became of the first that waited."""
        done, self._waiting = self._waiting[: len(settled)], self._waiting[len(settled) :]
        for each, what in zip(done, settled, strict=True):
            if each.is_spooled:
                self._ports.spool.discard(each.end)
            _announce(self._ports.events, each.end, what)
            if what.job is not None and is_awaited(what.job):
                self.awaited.append(what.job)


def settle_spooled(
    *, work: Work, config: ConfigRepository, spool: OutcomeSpool, events: EventSink, look_after: LookAfter
) -> None:
    """Record what any worker of this machine has spooled, before its jobs may be taken back as lost.

    Also of a worker that lives: when it comes to record the end itself, that is a resend.
    """
    for end in spool.spooled():
        try:
            [settled] = work.settle([end], _by_policy(config.by_queue()))
        except ValueRefused:  # its worker has said so
            continue
        spool.discard(end)
        if settled.settlement is not Settlement.GONE:
            _announce(events, end, settled)
        if settled.job is not None:
            look_after([settled.job])


def _by_policy(stored: StoredSettings) -> DecideEnd:
    """The decision by the policy of the job's queue."""
    return lambda job, end: job.settled(end.result, end.at, Policy.of_queue(job.queue, stored), chance=0)


def _announce(events: EventSink, end: AttemptEnd, settled: Settled) -> None:
    if settled.job is None:
        events(EndLate(end=end))
    else:
        ran = max(end.at - (settled.job.started_at or end.at), timedelta())
        events(JobSettled(job=settled.job, end=end, ran=ran))
