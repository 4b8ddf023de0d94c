"""The jobs, as workers see them."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from queuectl.domain.attempt import RunResult
from queuectl.domain.job import Job
from queuectl.domain.policy import Policy
from queuectl.domain.ports.jobs import Attempts, Jobs
from queuectl.domain.worker import Lease

DecideLost = Callable[[Job, bool], Job]
"""The same about a job whose worker is lost. True: that worker has lost no other job."""


class Settlement(StrEnum):
    """What became of a result that a worker brought."""

    RECORDED = "recorded"
    """The job has its next state. Also the answer to a resend of the same result under the same lease."""
    CANCELLED = "cancelled"
    """The same, but as a cancel had been asked for meanwhile, the job is cancelled instead of waiting again."""
    LATE = "late"
    """The attempt had ended otherwise: the result stands on it as late, with its output if it had none."""
    GONE = "gone"
    """The attempt itself no longer exists: an operator removed the job."""


class Run(NamedTuple):
    """One attempt to be run: the claimed job, the lease it runs under, and the policy in force at its claim."""

    job: Job
    lease: Lease
    policy: Policy


class Ended(NamedTuple):
    """A run whose outcome is to be recorded: the job as it is next, what `Job.settled` returned."""

    job: Job
    lease: Lease
    result: RunResult


class FirstDue(NamedTuple):
    """The earliest `run_at`, past or to come, of waiting jobs; None: there are none."""

    job: datetime | None
    """Of those that are no suspects."""
    suspect: datetime | None


class Work(Protocol):
    """What workers ask for: claim, settle, rescue."""

    def claim(
        self,
        lease: Lease,
        *,
        queues: Collection[str],
        limit: int,
        at: datetime,
        suspects: bool | None = None,
    ) -> Sequence[Run]:
        """Take up to `limit` due jobs of those queues (empty: all) and start an attempt of each under `lease`.

        `suspects`: only those (True), all but those (False), or any job (None).

        In claim order: priority, high first; then `run_at`; then order of arrival. A job goes to one claim only,
        however many race. Claims nothing unless the worker is running and its own lease has not run out. Where claims
        take long, a job that came to wait late may be passed by others of its priority or below, for five seconds.
        """

    def settle(self, job: Job, lease: Lease, result: RunResult) -> Settlement:
        """Record how `job.attempts`, run under `lease`, ended, and store `job` as it is next: fenced by the lease.

        `job` is what `Job.settled` returned; `job.updated_at` is when the attempt ended: a resend has the same. A
        request to cancel that stands in the repository is heeded whether `job` knows of it or not.
        """

    def settle_and_claim(
        self,
        ended: Sequence[Ended],
        lease: Lease,
        *,
        queues: Collection[str],
        limit: int,
        at: datetime,
        suspects: bool | None = None,
    ) -> tuple[Sequence[Settlement], Sequence[Run]]:
        """`settle` each of these, in order, then `claim`: all in one transaction, for a worker that has much to do."""

    def held_by(self, worker_id: str) -> Sequence[Job]:
        """The jobs that run under any lease of this worker."""

    def asked_to_cancel(self, worker_id: str, job_ids: Collection[str]) -> Sequence[Job]:
        """Of these jobs, those that run under any lease of this worker and whose cancel an operator has asked for."""

    def first_due(self, *, queues: Collection[str]) -> FirstDue:
        """When the first of the jobs that wait in those queues (empty: all) are due."""

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


class JobRepository(Jobs, Attempts, Work, Protocol):
    """All three."""
