"""What the core needs from the world outside, in the core's own words.

Every method of a repository is one transaction: when it returns, the change is durable; when it raises, nothing
changed. Each may raise `DatabaseUnavailable`. Moments come from the caller's `Clock`, never from the adapter.
A port with a single method is a plain callable.
"""

import signal
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from queuectl.domain.job import Attempt, Job, Lease
from queuectl.domain.outcome import Outcome, RunResult
from queuectl.domain.policy import Policy
from queuectl.domain.state import State

if TYPE_CHECKING:
    # Loaded by those who make such things: a command is to start fast, and each of these classes takes its time.
    from queuectl.domain.archive import Digest, Page
    from queuectl.domain.events import Event
    from queuectl.domain.findings import Finding
    from queuectl.domain.metrics import Metrics

Clock = Callable[[], datetime]
"""The one clock of the database: aware moments in UTC, whole microseconds."""

Elapsed = Callable[[], timedelta]
"""Time since the machine's boot, suspension included; never steps."""

EventSink = Callable[["Event"], None]
"""Hears of what happened. Must not raise and must return at once."""

WakeUps = Callable[[Callable[[], None]], None]
"""Starts to call the given function, from another thread, whenever a job may have arrived; returns at once.

A hint only: it may call too often, or never.
"""

Decide = Callable[[Job], Job]
"""A pure decision: the job as it should be next. May raise WrongState, and then nothing changes."""

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


class JobRepository(Protocol):
    """The jobs and their attempts."""

    def add(self, jobs: Iterable[Job]) -> None:
        """Store new jobs, all or none. Raises DuplicateJob naming every id that is taken, or given twice."""

    def find(self, job_id: str) -> Job:
        """The job. Raises JobNotFound."""

    def search(
        self,
        *,
        states: Collection[State] = (),
        queues: Collection[str] = (),
        limit: int | None = None,
        by_end: bool = False,
    ) -> Sequence[Job]:
        """Jobs of those states and queues (empty: all), the newest first, at most `limit`.

        With `by_end`, those that ended last come first; it is for states in which a job has ended.
        """

    def attempts_of(self, job_id: str) -> Sequence[Attempt]:
        """All runs of a job, the first one first; empty for an unknown job."""

    def outputs_of(self, job_ids: Sequence[str]) -> Mapping[str, bytes]:
        """What the last ended attempt of each of these jobs wrote; nothing for a job without one."""

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

    def held_by(self, worker_id: str) -> Sequence[Job]:
        """The jobs that run under any lease of this worker."""

    def asked_to_cancel(self, worker_id: str, job_ids: Collection[str]) -> Sequence[Job]:
        """Of these jobs, those that run under any lease of this worker and whose cancel an operator has asked for."""

    def first_due(self, *, queues: Collection[str]) -> FirstDue:
        """When the first of the jobs that wait in those queues (empty: all) are due."""

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

    def change(self, job_id: str, decide: Decide) -> Job:
        """Read, decide and write one job in one transaction; the job as written. Raises JobNotFound."""

    def change_some(self, state: State, decide: Decide, *, until: datetime, limit: int) -> Sequence[Job]:
        """The same for up to `limit` jobs of a state that last changed by `until`, the oldest first."""

    def remove(self, job_id: str, *, allow: Decide) -> None:
        """Delete a job and its attempts, unless `allow` raises WrongState for it. Raises JobNotFound."""

    def remove_some(self, state: State, *, limit: int) -> Sequence[str]:
        """Delete up to `limit` jobs of a state with their attempts; the ids of those that were there."""

    def rescue(self, worker_id: str, decide: DecideLost, *, at: datetime, proved_dead: bool) -> Sequence[Job]:
        """Take back every job that the worker holds; the jobs as written, empty when there was nothing to rescue.

        Ends its attempts as `lost` with the `last_error` that `decide` left on the job, writes each job as decided,
        and only then marks the worker as lost. Does nothing for a worker that has ended already, nor, unless it is
        `proved_dead`, for one whose lease still runs at `at`. Does not wait for what other transactions hold: the
        worker stays as it is, with those jobs, for a later rescue.
        """


class KeptOutcome(NamedTuple):
    """How an attempt ended, as its worker keeps it while the database cannot take it."""

    job_id: str
    attempt: int
    lease: Lease
    ended_at: datetime
    result: RunResult


class OutcomeSpool(Protocol):
    """Where the workers of this machine keep outcomes of one database that it cannot take now, also across their ends.

    It raises nothing: a worker can do without it, as long as it lives.
    """

    def keep(self, outcome: KeptOutcome) -> bool:
        """Keep it until `forget`; durable on return. False when that cannot be done.

        For want of room its output may be left out. To keep the same once more is nothing new.
        """

    def kept(self) -> Iterable[KeptOutcome]:
        """What any worker of this machine has kept."""

    def forget(self, outcome: KeptOutcome) -> None:
        """It has been settled; no effect when it is not kept."""


class WorkerState(StrEnum):
    """What a worker does."""

    RUNNING = "running"
    """Claims and runs jobs."""
    STOPPING = "stopping"
    """Claims no more; finishes the jobs in hand."""
    STOPPED = "stopped"
    """Ended in good order."""
    LOST = "lost"
    """Died or lost its lease; its jobs were taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process on one machine, for as long as the machine runs: a pid alone can belong to another tomorrow.

    `machine` names one boot and pid namespace; `started` is the kernel's start time of the pid, in its own units.
    """

    machine: str
    pid: int
    started: int


class NotedCommand(NamedTuple):
    """A command of a worker, by what its processes keep when they have emptied their environment."""

    pid: int
    """The id of its session too; 0 while it is being started, and only its output is known."""
    noted_at: timedelta
    """A moment since boot at which it ran."""
    output: int
    """The number of the pipe that it writes to."""


class LocalProcess(NamedTuple):
    """A supervisor or worker that is or was on this machine, as its own registration says."""

    process: Process
    supervisor: Process
    """A supervisor's own process."""
    worker: str
    """A worker's id; empty for a supervisor."""
    is_alive: bool = False
    """The kernel's word: it holds its registration. Also while it is frozen."""
    lease_ends: timedelta | None = None
    """In time since boot; None when it is not known."""
    kill_grace: timedelta | None = None
    """What its commands are given when it is stopped by force."""
    fit_until: timedelta | None = None
    """When a sign of life, in time since boot, is overdue: also one that has lost its lease gives them."""
    commands: Sequence[NotedCommand] = ()
    directory: str = ""
    """Where it has registered."""

    def is_harmless(self, at: timedelta) -> bool:
        """Whether it runs no command and does not stand still: it may outlive its lease, as in a long outage."""
        return not self.commands and self.fit_until is not None and at < self.fit_until


class LocalProcesses(Protocol):
    """The supervisors and workers of a database that run on this machine, known without the database.

    Each registers itself, and only its life holds the registration: so what is alive here is proved, and safe to be
    signalled. Nothing raises; where nothing can be registered, nothing is found.
    """

    def join(self, supervisor: Process | None, *, worker: str = "") -> bool:
        """Register this process, a worker with its supervisor and id; False, told once, when that is impossible."""

    def renew(self, lease_ends: timedelta, *, kill_grace: timedelta, fit_until: timedelta) -> None:
        """Say what this worker's fields in `LocalProcess` are from now on."""

    def note(self, slot: int, pid: int, output: int) -> None:
        """Say which command runs in that slot: see `NotedCommand`; 0 and 0: none any more.

        Called before its start and after: who is killed in between must not leave it unknown.
        """

    def registered(self, *, of: Collection[str] = ()) -> Sequence[LocalProcess]:
        """All that are registered, dead ones too until they are forgotten.

        And of those that know the database by another name, the workers `of` these ids with their supervisors.
        """

    def send(self, target: LocalProcess, number: signal.Signals) -> bool:
        """Signal that very process, if it is alive; whether it was."""

    def kill(self, target: LocalProcess) -> bool:
        """Kill that very process and wait until it is gone, for two seconds at most; whether it is."""

    def forget(self, gone: LocalProcess) -> None:
        """Remove the registration of a dead process, whose jobs and commands have been dealt with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A worker as the registry knows it. `id` is fresh at every start; `jobs` is how many it holds now."""

    id: str
    host: str
    process: Process
    supervisor: Process
    queues: tuple[str, ...]
    concurrency: int
    state: WorkerState
    started_at: datetime
    renewed_at: datetime
    lease_expires_at: datetime
    jobs: int = 0


class WorkerRegistry(Protocol):
    """The workers and their leases."""

    def register(self, worker: WorkerRecord) -> None:
        """Add a new worker with its first lease; forgets workers that ended more than a day before."""

    def renew(self, worker_id: str, *, state: WorkerState, at: datetime, until: datetime) -> bool:
        """Extend the lease to `until`. False, and no change, once the worker is given up: lost, stopped or unknown."""

    def retire(self, worker_id: str, *, at: datetime) -> None:
        """Mark a worker as stopped; no effect on one that holds a job still, or that is given up already."""

    def live(self) -> Sequence[WorkerRecord]:
        """The workers that are running or stopping, also those whose lease has run out, in order of their start."""

    def suspects(self, *, at: datetime, machine: str) -> Sequence[WorkerRecord]:
        """Of the live workers, those whose lease has run out at `at`, and all that run on `machine`."""

    def ended_on(self, machine: str) -> Sequence[WorkerRecord]:
        """The workers of that machine that are stopped or given up as lost, as long as they are remembered: for a day.

        Their processes may not be gone yet.
        """


class ConfigRepository(Protocol):
    """The queue's policy as stored: normalised texts by key, only those that were set."""

    def stored(self) -> Mapping[str, str]:
        """All keys that were set, with their texts."""

    def store(self, key: str, value: str) -> None:
        """Set one key."""

    def clear(self, key: str) -> None:
        """Back to the default; no effect when it was not set."""


class Measurements(Protocol):
    """Counts over the whole queue."""

    def counts(self) -> Mapping[State, int]:
        """How many jobs are in each state; every state is a key."""

    def due(self, *, at: datetime) -> Mapping[str, int]:
        """How many jobs of each queue are due; only queues that have one."""

    def metrics(self, *, since: datetime, detailed: bool) -> "Metrics":
        """What happened from `since` on; workers and queues only if `detailed`."""


class Runner(Protocol):
    """Starts commands, watches them all at once, and stops them. Used by one thread, but for `wake` and `stop`."""

    @property
    def stuck(self) -> int:
        """How many runs have been reported whose processes are there still: SIGKILL has not ended them yet."""

    def start(self, run: Run) -> None:
        """Start the command. Returns at once; how it ended, a failure to start included, comes from `wait`."""

    def wait(self, timeout: timedelta) -> Sequence[tuple[Run, RunResult]]:
        """The runs that have ended: waits until there is one, `wake` is called, or `timeout` has passed.

        Enforces each job's own timeout meanwhile. When a run is returned, nothing of its process group is left, or its
        error says what is.
        """

    def stop(self, outcome: Outcome, *, grace: timedelta, job_id: str | None = None) -> None:
        """Stop all runs, or that job's: SIGTERM, SIGKILL after `grace`, or at once without one.

        Each comes from `wait` with `outcome`, but for those that were being stopped already or had ended by themselves.
        Safe from any thread. The SIGKILL after a grace is sent by `wait`; where nobody waits, stop again without one.
        """

    def set_grace(self, grace: timedelta) -> None:
        """From now on, a run whose time is up has this long between SIGTERM and SIGKILL.

        One that has had its SIGTERM, whatever for, has no longer than that either.
        """

    def wake(self) -> None:
        """Make a `wait`, the present or the next one, return early. Safe from any thread or signal handler."""


class Storage(Protocol):
    """The database as a place: made, checked, examined, closed."""

    @property
    def name(self) -> str:
        """Where it is, as a URL without its password."""

    def initialise(self) -> str | None:
        """Create the schema or bring it up to date; idempotent, safe against others doing the same.

        What was done, as one line, or None when there was nothing to do. Raises SchemaMismatch when it is too new.
        """

    def open(self, *, create: bool = False) -> None:
        """Make sure that it can be used. With `create`, an absent database file is made; else nothing is.

        Raises DatabaseUnreachable, or SchemaMismatch with the command to run.
        """

    def examine(self) -> "Sequence[Finding]":
        """Check the database from inside; never raises: what is wrong is a finding."""

    def close(self) -> None:
        """Close every connection; those of other threads must be idle."""


class Scratch(Protocol):
    """A place for one more queue, apart from the user's own and where that one is: to be used and thrown away."""

    @property
    def name(self) -> str:
        """Where it is, once it is made: as a URL without its password."""

    @property
    def place(self) -> Path | None:
        """The directory under which its files belong, on the disk of the user's own; None: it has none."""

    def make(self, directory: Path) -> str:
        """Make the place, files in that directory; its URL. Raises DatabaseUnavailable."""

    def remove(self) -> None:
        """Remove it with all that is in it, but for the directory. Raises DatabaseUnavailable."""


class Archive(Protocol):
    """A whole queue as rows, to be copied from one database to another. Places count up in order of arrival."""

    def held(self) -> AbstractContextManager[None]:
        """Nobody else writes to this queue while the body runs: a claim, a new job or a new worker waits.

        Raises DatabaseUnavailable when it cannot be held, and at the end when somebody has broken the hold.
        """

    def size(self) -> int:
        """How many jobs there are."""

    def last(self) -> int:
        """The place of the last job; 0 when there is none."""

    def page(self, after: int, *, up_to: int, limit: int) -> "Page":
        """The next jobs after that place and up to the other, at most `limit`, as one moment shows them."""

    def store(self, page: "Page") -> None:
        """Add the rows of a page of another queue, with their places. Raises Conflict when one of them is taken."""

    def belongings(self) -> Mapping[str, Sequence[Mapping[str, object]]]:
        """The rows, by table, that belong to no job: the settings that were set, and the workers not yet given up."""

    def store_belongings(self, rows: Mapping[str, Sequence[Mapping[str, object]]]) -> None:
        """Have those settings and no others; put those workers in place of the ones with the same ids."""

    def digests(self, *, up_to: int, seen: Callable[[int], None]) -> "Mapping[str, Digest]":
        """The digests, by table, of the jobs up to that place, their attempts, and the settings.

        `seen` hears how many jobs each step has read.
        """
