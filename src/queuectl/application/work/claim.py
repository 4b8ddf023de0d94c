"""Claiming jobs for the free slots, in one transaction with the outcomes of what has ended."""

from collections.abc import Sequence
from datetime import timedelta

from queuectl.application.work.context import Context
from queuectl.application.work.duty import AT_ONCE, NEVER
from queuectl.application.work.suspects import Suspects
from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.errors import CommitUnknown
from queuectl.domain.policy import Policy
from queuectl.domain.ports.work import Claim, Run
from queuectl.domain.worker import Lease

DOUBT = timedelta(seconds=5)
"""The time that a worker which is to stop waits to learn whether a claim was made whose answer was lost."""

POLL = timedelta(seconds=1)
"""The longest wait of an idle worker. Wake-ups are hints: polling alone must be correct."""

CONTENDED = timedelta(milliseconds=20)
"""The wait before the next claim when there was something due, but not to be had."""


class Claims:
    """A duty: record what has ended, and fill the free slots.

    A claim whose answer was lost leaves orphaned claims: jobs that nobody runs.
    """

    def __init__(self, worker: Context, suspects: Suspects) -> None:
        self._worker = worker
        self._slots = worker.slots
        self._suspects = suspects
        self._claim_at = worker.ports.elapsed()
        self._doubt_ends = AT_ONCE
        self.is_idle = False
        """True when the last claim has left slots free."""

    @property
    def are_in_doubt(self) -> bool:
        """True while a claim whose answer was lost may still be made."""
        return self._worker.ports.elapsed() < self._doubt_ends

    @property
    def due_at(self) -> timedelta:
        """At once while something is to be recorded; else when a free slot may be filled, or an end is decided."""
        if self._worker.outcomes:
            return AT_ONCE
        may_claim_at = max(self._claim_at, self._slots.pause.next_try)
        return min(self._slots.decides_at, may_claim_at) if self._free else self._slots.decides_at

    @property
    def _free(self) -> int:
        return 0 if self._suspects.forbid_claims() else self._slots.free

    def run(self, _now: timedelta) -> None:
        """Record and claim. Raises DatabaseUnavailable."""
        free = self._free
        if not free or not self._slots.pause.is_due or (self.is_idle and not self._is_any_due()):
            self._worker.outcomes.settle()
            return
        suspects = self._suspects.are_wanted()
        limit = 1 if suspects else free
        claimed = self._settle_and_claim(limit, suspects=suspects)
        if claimed:
            self._worker.adopt(claimed[0].policy)
        for run in claimed:
            self._slots.start(run)
        if suspects and not claimed:
            self._suspects.are_taken()
        self.is_idle = bool(suspects) or len(claimed) < limit  # after a suspect: look first for the next one
        self._claim_at = self._worker.ports.elapsed() + POLL
        if self.is_idle and self._free and self._is_any_due():  # others were quicker, or more has come
            self._claim_at = self._worker.ports.elapsed() + CONTENDED

    def give_back_orphaned(self, policy: Policy) -> timedelta:
        """Release what a claim took whose answer was lost: while this worker lives, no one else would.

        What has ended must have been recorded. Raises DatabaseUnavailable.
        """
        outcomes, ports = self._worker.outcomes, self._worker.ports
        result = RunResult(outcome=Outcome.RELEASED, error="not started: the answer to its claim was lost")
        for job in ports.work.held_by(self._worker.id):
            if job.lease is not None and job.id not in self._slots.running and not outcomes.was_refused(job):
                outcomes.add(Run(job=job, lease=job.lease, policy=policy).ended(result, ports.clock()), policy)
        self._doubt_ends = AT_ONCE
        return NEVER

    def _settle_and_claim(self, limit: int, *, suspects: bool | None) -> Sequence[Run]:
        """Claim under a new lease, and record the outcomes."""
        ports = self._worker.ports
        lease = Lease(id=ports.new_lease_id(), worker=self._worker.id)
        claim = Claim(lease, limit, ports.clock(), self._worker.queues, self._worker.labels, suspects)
        try:
            return self._worker.outcomes.settle_and_claim(claim)
        except CommitUnknown:
            self._doubt_ends = self._worker.ports.elapsed() + DOUBT
            raise

    def _is_any_due(self) -> bool:
        """Look whether a claim could find anything; unlike a claim, this stands in no writer's way."""
        now, first = self._worker.ports.clock(), self._worker.first_due()
        self._suspects.note(first, now)
        is_any = self._slots.concurrency == 1 or not self._slots.running
        first_due = min((it for it in (first if is_any else [first.job]) if it is not None), default=None)
        if first_due is not None and first_due <= now:
            return True
        self._claim_at = self._worker.ports.elapsed() + (POLL if first_due is None else min(POLL, first_due - now))
        return False
