"""Claiming jobs for the free slots, in one transaction with the outcomes of what has ended."""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

from queuectl.application.work.context import Context
from queuectl.application.work.duty import AT_ONCE, NEVER
from queuectl.application.work.suspects import Suspects
from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.errors import CommitUnknown
from queuectl.domain.policy import Policy
from queuectl.domain.ports.work import FirstDue, Run
from queuectl.domain.worker import Lease

DOUBT = timedelta(seconds=5)
"""The time that a worker which is to stop waits to learn whether a claim was made whose answer was lost."""

POLL = timedelta(seconds=1)
"""The longest wait of an idle worker. Wake-ups are hints: polling alone must be correct."""

CONTENDED = timedelta(milliseconds=20)
"""The wait before the next claim when there was something due, but not to be had."""


class Claims:
    """The claims of one worker, also those whose answer was lost: they leave orphaned claims, jobs that nobody runs."""

    def __init__(self, context: Context, *, queues: Collection[str], new_lease_id: Callable[[], str]) -> None:
        self._worker_id = context.worker_id
        self._work = context.work
        self._slots = context.slots
        self._outcomes = context.outcomes
        self._time = context.time
        self._queues = queues
        self._new_lease_id = new_lease_id
        self._doubt_ends = AT_ONCE

    @property
    def are_in_doubt(self) -> bool:
        """True while a claim whose answer was lost may still be made."""
        return self._time.elapsed() < self._doubt_ends

    def first_due(self) -> FirstDue:
        """Ask when the first of the jobs that could be claimed are due. Raises DatabaseUnavailable."""
        return self._work.first_due(queues=self._queues)

    def settle_and_claim(self, limit: int, *, suspects: bool | None) -> Sequence[Run]:
        """Claim under a new lease, and record the outcomes. Raises DatabaseUnavailable."""
        lease = Lease(id=self._new_lease_id(), worker=self._worker_id)
        try:
            return self._outcomes.settle_and_claim(
                lease, queues=self._queues, limit=limit, at=self._time.clock(), suspects=suspects
            )
        except CommitUnknown:
            self._doubt_ends = self._time.elapsed() + DOUBT
            raise

    def give_back_orphaned(self, policy: Policy) -> timedelta:
        """Release what a claim took whose answer was lost: while this worker lives, no one else would.

        What has ended must have been recorded. Raises DatabaseUnavailable.
        """
        result = RunResult(outcome=Outcome.RELEASED, error="not started: the answer to its claim was lost")
        for job in self._work.held_by(self._worker_id):
            if job.lease is not None and job.id not in self._slots.running and not self._outcomes.was_refused(job):
                run = Run(job=job, lease=job.lease, policy=policy)
                self._outcomes.add(run.ended(result, self._time.clock()), policy)
        self._doubt_ends = AT_ONCE
        return NEVER


class SettleAndClaim:
    """A duty: record what has ended, and fill the free slots."""

    def __init__(self, context: Context, claims: Claims, suspects: Suspects) -> None:
        self._slots = context.slots
        self._outcomes = context.outcomes
        self._policy = context.policy
        self._time = context.time
        self._claims = claims
        self._suspects = suspects
        self._claim_at = self._time.elapsed()
        self.is_idle = False
        """True when the last claim has left slots free."""

    @property
    def due_at(self) -> timedelta:
        """At once while something is to be recorded; else when a free slot may be filled, or an end is decided."""
        if self._outcomes:
            return AT_ONCE
        may_claim_at = max(self._claim_at, self._slots.trouble.over_at)
        return min(self._slots.decides_at, may_claim_at) if self._free else self._slots.decides_at

    @property
    def _free(self) -> int:
        return 0 if self._suspects.forbid_claims() else self._slots.free

    def run(self, _now: timedelta) -> None:
        """Record and claim. Raises DatabaseUnavailable."""
        free = self._free
        if not free or not self._slots.trouble.is_over or (self.is_idle and not self._is_any_due()):
            self._outcomes.settle()
            return
        suspects = self._suspects.are_wanted()
        limit = 1 if suspects else free
        claimed = self._claims.settle_and_claim(limit, suspects=suspects)
        if claimed:
            self._policy.adopt(claimed[0].policy)
        for run in claimed:
            self._slots.start(run)
        if suspects and not claimed:
            self._suspects.are_taken()
        self.is_idle = bool(suspects) or len(claimed) < limit  # after a suspect: look first for the next one
        self._claim_at = self._time.elapsed() + POLL
        if self.is_idle and self._free and self._is_any_due():  # others were quicker, or more has come
            self._claim_at = self._time.elapsed() + CONTENDED

    def _is_any_due(self) -> bool:
        """Look whether a claim could find anything; unlike a claim, this stands in no writer's way."""
        now, first = self._time.clock(), self._claims.first_due()
        self._suspects.note(first, now)
        is_any = self._slots.concurrency == 1 or not self._slots.running
        first_due = min((it for it in (first if is_any else [first.job]) if it is not None), default=None)
        if first_due is not None and first_due <= now:
            return True
        self._claim_at = self._time.elapsed() + (POLL if first_due is None else min(POLL, first_due - now))
        return False
