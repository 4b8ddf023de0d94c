"""The job, and the transitions between its states.

A job is a value: a named tuple, as batches have a hundred thousand of them, and a frozen dataclass takes five times as
long to make. A transition is a method that returns the next job, and every one goes through `MOVES`.

To cancel a job that waits is one move. A job that runs is only asked for: its worker stops the command, and the
attempt ends as `cancelled`. Where the attempt ends otherwise first, the request comes as if it had been made just
after that end: a job that would wait for another run is cancelled instead, one that has ended stays as it ended. So
each attempt has one outcome, and no job runs again whose cancel was asked for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple, Required, TypedDict, assert_never

from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.errors import WrongState
from queuectl.domain.policy import Policy
from queuectl.domain.retry import Backoff
from queuectl.domain.worker import Lease

Command = str | tuple[str, ...]
"""Text is run by `/bin/sh -c`; a tuple is executed as it is, with no shell.

In a command, a variable or a directory, U+DC80 to U+DCFF stand for the bytes 0x80 to 0xFF where they are no UTF-8: a
file may have any name. Python calls this `surrogateescape` (PEP 383).
"""

DEFAULT_QUEUE = "default"

PRIORITIES = range(10, 0, -1)
"""The priorities, in the order in which jobs are claimed."""

DEFAULT_PRIORITY = 5

MICROSECOND = timedelta(microseconds=1)
"""The least between two moments that are stored."""

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


class State(StrEnum):
    """The state of a job."""

    PENDING = "pending"
    """Waits for its `run_at`, then for a worker. From: enqueue, a release, a loss, an operator's retry."""
    PROCESSING = "processing"
    """An attempt runs under a lease. From: a claim."""
    COMPLETED = "completed"
    """The command ended with exit code 0. Only an operator can have it run again."""
    FAILED = "failed"
    """The last attempt failed; it is tried again at `run_at`."""
    DEAD = "dead"
    """Retries used up, or lost too often: in the dead letter queue until an operator retries or removes it."""
    CANCELLED = "cancelled"
    """Stopped by an operator, while it waited or while it ran. Only an operator can have it run again."""


MOVES: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.PROCESSING, State.CANCELLED}),
    State.PROCESSING: frozenset({State.COMPLETED, State.FAILED, State.DEAD, State.PENDING, State.CANCELLED}),
    State.COMPLETED: frozenset({State.PENDING}),
    State.FAILED: frozenset({State.PROCESSING, State.CANCELLED}),
    State.DEAD: frozenset({State.PENDING}),
    State.CANCELLED: frozenset({State.PENDING}),
}
"""Every move that a job can make; from a terminal state, only by an operator's command."""


class WaitsFor(StrEnum):
    """The thing, beside its `run_at`, that a job waits for before it may be claimed."""

    KEY = "key"
    """Its key is full: the end of a job with that key exposes it."""
    JOBS = "jobs"
    """Jobs that must end before it."""


class On(StrEnum):
    """The end of a parent that meets a dependency."""

    SUCCESS = "success"
    END = "end"
    FAILURE = "failure"


class Dependency(NamedTuple):
    """A job, or a batch, after which another may run: `parent` is the job's id, or `batch:` and the batch's name."""

    parent: str
    on: On = On.SUCCESS


class OnDuplicate(StrEnum):
    """The fate of a new job whose unique key is held by another."""

    SKIP = "skip"
    """Nothing is stored: the holder is the answer."""
    REPLACE = "replace"
    """The holder is changed to be as the new one, while it waits for its first run; else as `skip`."""
    REJECT = "reject"
    """An error, and nothing is stored of the whole batch."""


class Terms(NamedTuple):
    """The terms on which a job is enqueued, where they are not the usual ones."""

    on_duplicate: OnDuplicate | None = None
    """None: as SKIP where the unique key is held, as REJECT where the id is taken."""
    after: Sequence[Dependency] = ()


USUAL = Terms()

NO_TERMS: Mapping[str, Terms] = MappingProxyType({})
"""By the ids of jobs: all are enqueued on the usual terms."""

ENDED, STARTED = "ended", "started"
"""The ends of holding a unique key, besides a span of time: the end of the job, the start of its first run."""

CLAIMABLE = frozenset(state for state, targets in MOVES.items() if State.PROCESSING in targets)
TERMINAL = frozenset({State.COMPLETED, State.DEAD, State.CANCELLED})


class JobRequest(TypedDict, total=False):
    """A valid job document: what was said, before defaults of the queue and the moment are known.

    `None` was said as well: it is `null`, and none at all.
    """

    command: Required[Command]
    id: str
    queue: str
    priority: int
    max_retries: int
    timeout: timedelta | None
    run_at: datetime
    delay: timedelta
    env: Mapping[str, str]
    cwd: str | None
    stdin: str
    tags: Sequence[str]
    needs: Sequence[str]
    key: str
    key_limit: int
    batch: str
    unique: str | bool
    unique_until: str
    on_duplicate: OnDuplicate
    after: Sequence[Dependency]


class Spec(NamedTuple):
    """The part of a job that was asked for: a run never changes it. A `timeout` of None is none."""

    id: str
    command: Command
    queue: str
    priority: int
    max_retries: int
    timeout: timedelta | None
    created_at: datetime
    cwd: str | None = None
    env: Mapping[str, str] = NO_VARIABLES
    stdin: str | None = None
    tags: Sequence[str] = ()
    needs: Sequence[str] = ()
    key: str | None = None
    key_limit: int | None = None
    batch: str | None = None
    unique_key: str | None = None
    unique_until: str | None = None


class Job(NamedTuple):
    """One command to be run to a recorded outcome: its `spec`, and how far it has come. Moments are aware and in UTC.

    `attempts` counts the runs started and never falls; `failures` those that count against `max_retries`;
    `losses` those that were lost when the job ran alone. A `suspect` has lost its worker and not ended since: it runs
    apart from other jobs. `exit_code` and `last_error` are the last attempt's. `cancel_requested_at` and `_by` say when
    an operator asked to cancel it, and who (`ann@web-1`); they stand until it is run again.
    """

    spec: Spec
    run_at: datetime
    updated_at: datetime
    state: State = State.PENDING
    attempts: int = 0
    failures: int = 0
    losses: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    last_error: str | None = None
    cancel_requested_at: datetime | None = None
    cancel_requested_by: str | None = None
    suspect: bool = False
    waits_for: WaitsFor | None = None
    slot: int | None = None
    unique_held: str | None = None
    unique_expires_at: datetime | None = None
    blockers: int = 0
    has_dependents: bool = False
    lease: Lease | None = None

    @property
    def id(self) -> str:
        """The id that it has in all commands."""
        return self.spec.id

    @property
    def command(self) -> Command:
        """The command that is run."""
        return self.spec.command

    @property
    def queue(self) -> str:
        """The queue that it waits in."""
        return self.spec.queue

    @property
    def priority(self) -> int:
        """From 1 to 10, high first."""
        return self.spec.priority

    @property
    def max_retries(self) -> int:
        """The number of failures that are tried again."""
        return self.spec.max_retries

    @property
    def timeout(self) -> timedelta | None:
        """The longest run; None: any."""
        return self.spec.timeout

    @property
    def created_at(self) -> datetime:
        """The moment at which it was enqueued."""
        return self.spec.created_at

    @property
    def cwd(self) -> str | None:
        """The directory that it runs in; None: the worker's."""
        return self.spec.cwd

    @property
    def env(self) -> Mapping[str, str]:
        """The variables that it has besides the worker's."""
        return self.spec.env

    @property
    def stdin(self) -> str | None:
        """The text that its command reads from its standard input; None: there is nothing to read."""
        return self.spec.stdin

    @property
    def key(self) -> str | None:
        """The key of which no more than `key_limit` jobs run at a time; None: it has none."""
        return self.spec.key

    @property
    def key_limit(self) -> int | None:
        """From 1 to 100; None exactly when it has no key."""
        return self.spec.key_limit

    @property
    def needs(self) -> Sequence[str]:
        """The labels that its worker must have, in order."""
        return self.spec.needs

    @property
    def tags(self) -> Sequence[str]:
        """The words that it is found by."""
        return self.spec.tags

    @property
    def batch(self) -> str | None:
        """The batch that it belongs to."""
        return self.spec.batch

    @property
    def claim_order(self) -> tuple[int, datetime]:
        """Jobs are claimed in this order, those of equal rank in order of arrival."""
        return -self.priority, self.run_at

    def is_due(self, at: datetime) -> bool:
        """True if a worker may claim it at that moment."""
        return self.state in CLAIMABLE and self.waits_for is None and self.run_at <= at

    def claimed(self, lease: Lease, at: datetime, slot: int | None = None) -> "Job":
        """A worker starts the next attempt under `lease`, in that slot of its queue."""
        return self._moved(
            State.PROCESSING,
            at,
            lease=lease,
            slot=slot,
            attempts=self.attempts + 1,
            started_at=at,
            finished_at=None,
            unique_held=None if self.spec.unique_until == STARTED else self.unique_held,
        )

    def settled(self, result: RunResult, at: datetime, policy: Policy, chance: float, *, alone: bool = False) -> "Job":
        """The attempt has ended with `result`; `chance` is a random number in [0, 1) for the backoff's jitter.

        `alone`: its worker is known to have held no other job. A loss counts only then, and for a suspect, which runs
        apart: of jobs that are lost together, any may have killed the worker. Raises WrongState when no attempt runs.
        """
        if self.state is not State.PROCESSING:
            raise WrongState(f"job {self.id} is {self.state}: it has no attempt that could end")
        job = self._replace(lease=None, slot=None, exit_code=result.exit_code, last_error=result.error)
        return job._ended_as(result.outcome, at, policy, chance, alone=alone).with_cancel_applied()

    def with_cancel_applied(self) -> "Job":
        """The job just settled, given that a cancel may have been asked for: one that would wait is cancelled."""
        if self.cancel_requested_at is None or self.state not in CLAIMABLE:
            return self
        return self._finished(State.CANCELLED, self.updated_at)

    def cancelled(self, at: datetime, by: str, *, now: bool = False) -> "Job":
        """An operator cancels the job: at once while it waits; while it runs, the request stands until it has ended.

        With `now`, or to ask again, is to have its command killed without a grace. Raises WrongState for a job that has
        ended.
        """
        if self.state in TERMINAL:
            raise WrongState(f"job {self.id} is {self.state}: only a job that waits or runs can be cancelled")
        if self.cancel_requested_at is not None:
            return self._replace(updated_at=max(at, self.cancel_requested_at + MICROSECOND))
        asked = self._replace(updated_at=at, cancel_requested_at=at, cancel_requested_by=by).with_cancel_applied()
        return asked.cancelled(at, by) if now and asked.state is State.PROCESSING else asked

    def with_parent_met(self, at: datetime) -> "Job":
        """One of the ends that it waits for has come: after the last one it is due, but not before its `run_at`."""
        if self.blockers > 1:
            return self._replace(blockers=self.blockers - 1)
        return self._replace(blockers=0, waits_for=None, run_at=max(self.run_at, at), updated_at=at)

    def never_run(self, reason: str, at: datetime) -> "Job":
        """An end that it waits for can never come."""
        return self._finished(State.CANCELLED, at, last_error=f"never runs: {reason}")

    @property
    def is_to_be_killed(self) -> bool:
        """True if its cancel was asked for more than once, or with `now`: nothing else changes a job while it runs."""
        return self.cancel_requested_at is not None and self.updated_at > self.cancel_requested_at

    def retried(self, at: datetime) -> "Job":
        """An operator has an ended job run again, with all its retries; its history stays. Raises WrongState.

        It takes the unique key again that it gave up at its end.
        It waits for no other jobs any more: `blockers` of a cancelled job are the ends that had not come.
        """
        if self.state not in TERMINAL:
            raise WrongState(f"job {self.id} is {self.state}: only a job that has ended can be run again")
        return self._moved(
            State.PENDING,
            at,
            run_at=at,
            failures=0,
            losses=0,
            finished_at=None,
            exit_code=None,
            last_error=None,
            cancel_requested_at=None,
            cancel_requested_by=None,
            unique_held=self.spec.unique_key if self.spec.unique_until == ENDED else self.unique_held,
            blockers=0,
        )

    def _ended_as(self, outcome: Outcome, at: datetime, policy: Policy, chance: float, *, alone: bool) -> "Job":
        match outcome:
            case Outcome.SUCCEEDED:
                return self._finished(State.COMPLETED, at)
            case Outcome.FAILED | Outcome.TIMEOUT:
                return self._failed(at, policy.backoff, chance)
            case Outcome.LOST:
                return self._lost(at, policy.max_losses, counts=alone or self.suspect)
            case Outcome.RELEASED:  # says nothing about the job: a suspect stays one
                return self._moved(State.PENDING, at)
            case Outcome.CANCELLED:
                return self._finished(State.CANCELLED, at)
        assert_never(outcome)

    def _failed(self, at: datetime, backoff: Backoff, chance: float) -> "Job":
        job = self._replace(failures=self.failures + 1)
        if job.failures > job.max_retries:
            return job._finished(State.DEAD, at)
        run_at = at + backoff.stretched(job.failures, chance)
        return job._moved(State.FAILED, at, run_at=run_at, suspect=False)

    def _lost(self, at: datetime, max_losses: int, *, counts: bool) -> "Job":
        job = self._replace(losses=self.losses + counts)
        if not counts or job.losses < max_losses:
            return job._moved(State.PENDING, at, suspect=True)
        reason = f"lost {job.losses} times, the most that max-losses allows; the last time: {job.last_error}"
        return job._finished(State.DEAD, at, last_error=reason)

    def _finished(self, state: State, at: datetime, **changes: object) -> "Job":
        held = None if self.unique_expires_at is None else self.unique_held
        return self._moved(state, at, finished_at=at, suspect=False, unique_held=held, **changes)

    def _moved(self, state: State, at: datetime, **changes: object) -> "Job":
        if state not in MOVES[self.state]:
            raise WrongState(f"job {self.id} is {self.state} and cannot become {state}")
        return self._replace(state=state, updated_at=at, **{"waits_for": None} | changes)  # type: ignore[arg-type]


def terms_of(jobs: Iterable[Job], requests: Iterable[JobRequest]) -> Mapping[str, Terms]:
    """The terms of the jobs that these requests have made, where they say any."""
    return {
        job.id: Terms(request.get("on_duplicate"), request.get("after", ()))
        for job, request in zip(jobs, requests, strict=True)
        if "on_duplicate" in request or "after" in request
    }


def jobs_of(
    requests: Iterable[JobRequest],
    new_ids: Iterable[str],
    *,
    policy_of: Callable[[str], Policy],
    cwd: str,
    at: datetime,
) -> list[Job]:
    """The jobs that are enqueued at `at` from the directory `cwd`; a request without an id gets the new one.

    `policy_of` gives the policy of a queue, which has what a request does not say.
    """

    @cache
    def defaults(queue: str, has_key: bool) -> Mapping[str, object]:
        policy = policy_of(queue)
        return Spec(
            id="",
            command="",
            queue=queue,
            priority=DEFAULT_PRIORITY,
            max_retries=policy.max_retries,
            timeout=policy.default_timeout,
            created_at=at,
            cwd=cwd,
            key_limit=1 if has_key else None,
        )._asdict()

    return [
        Job(
            spec=_spec_of({**defaults(request.get("queue", DEFAULT_QUEUE), "key" in request), "id": new_id, **request}),
            run_at=_first_run_at(request, at),
            updated_at=at,
        )
        for request, new_id in zip(requests, new_ids, strict=True)
    ]


_spec_values = itemgetter(*Spec._fields)


def _spec_of(said: Mapping[str, object]) -> Spec:
    return Spec._make(_spec_values(said))  # in half the time that keywords take: for each of a hundred thousand


def _first_run_at(request: JobRequest, at: datetime) -> datetime:
    return at + request["delay"] if "delay" in request else request.get("run_at", at)
