"""The jobs, as workers see them."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from queuectl.domain.attempt import AttemptEnd, RunResult
from queuectl.domain.job import Job
from queuectl.domain.policy import Policy
from queuectl.domain.worker import Lease

DecideLost = Callable[[Job, bool], Job]
"""The same about a job whose worker is lost. True: that worker has lost no other job."""


DecideEnd = Callable[[Job, AttemptEnd], Job]
"""A pure decision about a job whose attempt has ended thus: the job as it should be next."""


class Settlement(StrEnum):
    """The fate of the end of an attempt that a worker brought."""

    RECORDED = "recorded"
    """The job has its next state. Also the answer to a resend of the same end."""
    LATE = "late"
    """The attempt had ended otherwise: the result stands on it as late, with its output if it had none."""
    GONE = "gone"
    """The attempt itself no longer exists: an operator removed the job."""


class Settled(NamedTuple):
    """The fate of the end of an attempt, and the job as it is now, if the end is recorded."""

    settlement: Settlement
    job: Job | None


class Run(NamedTuple):
    """One attempt to be run: the claimed job, the lease it runs under, and the policy in force at its claim."""

    job: Job
    lease: Lease
    policy: Policy

    def ended(self, result: RunResult, at: datetime) -> AttemptEnd:
        """The end of this attempt."""
        job = self.job
        return AttemptEnd(job_id=job.id, number=job.attempts, lease=self.lease, at=at, result=result, key=job.spec.key)


class Claim(NamedTuple):
    """A worker's claim of up to `limit` jobs that are due `at` that moment, under a new lease.

    Of these queues; empty: of all that are not reserved. `labels` are the worker's own.
    """

    lease: Lease
    limit: int
    at: datetime
    queues: Collection[str] = ()
    labels: Collection[str] = ()
    suspects: bool | None = None
    """Only those (True), all but those (False), or any job (None)."""


class Sweep(NamedTuple):
    """The keys whose jobs were stranded, and the last key that was looked at; "" when there are no more."""

    repaired: Sequence[str]
    last: str


class FirstDue(NamedTuple):
    """The earliest moment, past or to come, at which a waiting job may start; None: there is none."""

    job: datetime | None
    """Of those that are no suspects."""
    suspect: datetime | None


class Work(Protocol):
    """The requests of workers: claim, settle, rescue."""

    def claim(self, claim: Claim) -> Sequence[Run]:
        """Take due jobs that may start, and start an attempt of each.

        In claim order: priority, high first; then `run_at`; then order of arrival. A job goes to one claim only,
        however many race. Claims nothing unless the worker is running and its own lease has not run out. Where claims
        take long, a job that came to wait late may be passed by others of its priority or below, for five seconds.

        A job may start when all its needs are labels of the worker, its queue is not paused, has room and a start left
        of its rate, and fewer jobs run with its key than its `key_limit`: in each committed state, on all hosts
        together. One whose key is full waits for that from then on, and so does not hold up others.
        """

    def settle(self, ends: Sequence[AttemptEnd], decide: DecideEnd) -> Sequence[Settled]:
        """Record how each of these attempts ended, in order, and store each job as decided: fenced by the lease.

        The decision sees the job as it is stored, and so a request to cancel that its worker has not heard of.
        """

    def settle_and_claim(
        self,
        ends: Sequence[AttemptEnd],
        decide: DecideEnd,
        claim: Claim,
    ) -> tuple[Sequence[Settled], Sequence[Run]]:
        """`settle`, then `claim`: all in one transaction, for a worker that has much to do."""

    def sweep_keys(self, after: str, *, limit: int) -> Sweep:
        """Look at up to `limit` keys after that one for which jobs wait, and let go what nothing else would.

        Nothing is stranded so but by a hand that changed the rows: whoever ends or changes a job sees to its key.
        """

    def held_by(self, worker_id: str) -> Sequence[Job]:
        """The jobs that run under any lease of this worker."""

    def cancel_requests(self, worker_id: str, job_ids: Collection[str]) -> Sequence[Job]:
        """Of these jobs, those that run under any lease of this worker and whose cancel an operator has asked for."""

    def first_due(self, *, queues: Collection[str], labels: Collection[str] = ()) -> FirstDue:
        """The moments at which the first of the jobs that such a worker may claim can start.

        None of a full queue, whose next free slot is told by the end of a job.
        """

    def rescue(
        self,
        worker_id: str,
        decide: DecideLost,
        *,
        at: datetime,
        proved_dead: bool,
        silent_since: datetime | None = None,
    ) -> Sequence[Job]:
        """Take back every job that the worker holds; the jobs as written, empty when there was nothing to rescue.

        Ends its attempts as `lost` with the `last_error` that `decide` left on the job, writes each job as decided,
        and only then marks the worker as lost. `decide` hears too whether the job was lost alone. Does nothing for a
        worker that has ended already, nor, unless it is `proved_dead` or has not renewed since `silent_since`, for one
        whose lease still runs at `at`. Does not wait for what other transactions hold: the worker stays as it is, with
        those jobs, for a later rescue.
        """
