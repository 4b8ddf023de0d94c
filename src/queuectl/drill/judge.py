"""The invariants I1 to I10 of docs/reliability.md: what must hold of every history of a queue, whatever was done to it.

A `History` is evidence from outside: from the callers of the command line, the ledger that jobs write, the process
table, looks at the database. The drill, the fault suite and the simulator hand over what they have seen, and this is
the one judge of it. Evidence that nobody has breaks nothing; nothing here looks at anything but its argument.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain, pairwise
from typing import NamedTuple

from queuectl.domain.attempt import Attempt, Outcome
from queuectl.domain.exit_codes import CONFLICT
from queuectl.domain.job import TERMINAL, Job, State

REASONS_WITHOUT_FAULT = frozenset({Outcome.FAILED, Outcome.TIMEOUT})
REASONS = REASONS_WITHOUT_FAULT | {Outcome.LOST, Outcome.RELEASED}
"""The outcomes of an attempt that another one may follow."""

UNKNOWN = "nobody knows whether the change was made"
"""The words of the command line where it cannot tell whether it has stored something."""

ATTEMPT_IS_OVER = 0
"""The attempt of a process that is known to belong to none that can be running."""


class JobRecord(NamedTuple):
    """A job as the database has it."""

    id: str
    state: str
    attempts: int
    failures: int = 0
    losses: int = 0
    max_retries: int = 3

    @classmethod
    def of(cls, job: Job) -> "JobRecord":
        """The record of a job."""
        return cls(job.id, job.state, job.attempts, job.failures, job.losses, job.max_retries)


class AttemptRecord(NamedTuple):
    """An attempt as the database has it."""

    job: str
    number: int
    outcome: str | None
    worker: str = ""
    alone: bool | None = None
    """True when its worker lost no other one with it; None: it is alone unless its worker ever lost another one."""

    @classmethod
    def of(cls, attempt: Attempt, *, alone: bool | None = None) -> "AttemptRecord":
        """The record of an attempt."""
        return cls(attempt.job_id, attempt.number, attempt.outcome, attempt.lease.worker, alone)


class Entry(NamedTuple):
    """A line of the ledger that the jobs themselves write: `what` a run did (start, alive, end), and when.

    `at` is in seconds since boot, or None where that was not noted; the order of the lines is the order of events.
    """

    job: str
    attempt: int
    what: str
    at: float | None = None


class Call(NamedTuple):
    """One call of `enqueue`: the ids it was to store, those it printed, its exit code (None: killed), its errors."""

    ids: Sequence[str]
    printed: Sequence[str]
    code: int | None
    errors: Sequence[str] = ()


class LeftProcess(NamedTuple):
    """A process of a job. `attempt` is None when it carries no mark of its own, and is known by its arguments."""

    pid: int
    job: str
    attempt: int | None
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that was seen from outside."""

    calls: Sequence[Call] = ()
    ledger: Sequence[Entry] = ()
    unwitnessed: Collection[str] = ()
    """Jobs that write nothing into the ledger."""
    jobs: Mapping[str, JobRecord] = field(default_factory=dict)
    attempts: Sequence[AttemptRecord] = ()
    looks: Sequence[Mapping[str, JobRecord]] = ()
    """Looks at the queue, one after the other."""
    processes: Sequence[LeftProcess] | None = ()
    """Processes of jobs at the end, or earlier where nothing accounted for them; None where none can be seen."""
    damage: Sequence[str] = ()
    """Results of the database's own check, and of the queries for what no queue may hold."""
    peaks: Mapping[str, float] = field(default_factory=dict)
    caps: Mapping[str, float] = field(default_factory=dict)
    """The most that was seen of each resource, and the most there may be."""
    waiting: Collection[str] = ()
    """Jobs that need not have ended."""
    asked: Mapping[str, int | None] = field(default_factory=dict)
    """Jobs that an operator had cancelled, or run again after so many attempts; None: after nobody knows how many."""
    outlived: Collection[tuple[str, int]] = ()
    """Runs that may go on beside a later one, for whoever should have ended them could not."""
    max_losses: int = 3
    faultless: bool = False
    """True when nothing was done to the queue that could explain a lost or released attempt."""
    took: float | None = None
    bound: float | None = None
    """Seconds from the last fault to the end of the last job, and the most there may be."""


Breach = tuple[str, str]
"""A job, or nothing, and a message."""


def acknowledged(history: History) -> list[str]:
    """The ids of which a caller was told that they are stored."""
    return [job_id for call in history.calls if call.code == 0 for job_id in call.printed]


def is_orphan(process: LeftProcess, jobs: Mapping[str, JobRecord]) -> bool:
    """True when no running attempt of those jobs accounts for the process."""
    job = jobs.get(process.job)
    return job is None or job.state != State.PROCESSING or process.attempt not in (None, job.attempts)


def _no_loss(history: History) -> Iterator[Breach]:
    """Every acknowledged job reaches a terminal state, and the last run of each completed one came to its end."""
    ended = {(entry.job, entry.attempt) for entry in history.ledger if entry.what == "end"}
    for job_id in acknowledged(history):
        job = history.jobs.get(job_id)
        if job is None:
            yield job_id, f"job {job_id} was acknowledged and is not in the queue"
        elif job.state not in TERMINAL and job_id not in history.waiting:
            yield job_id, f"job {job_id} is still {job.state} after {job.attempts} attempts"
        elif job.state != State.COMPLETED or job_id in history.unwitnessed:
            continue
        elif (job_id, job.attempts) not in ended:
            yield job_id, f"job {job_id} is completed, but its attempt {job.attempts} never came to its end"


def _no_unexplained_run(history: History) -> Iterator[Breach]:
    """A run has an attempt of its own, and the attempt before it says why there was another one."""
    outcomes = {(row.job, row.number): row.outcome for row in history.attempts}
    starts = Counter((entry.job, entry.attempt) for entry in history.ledger if entry.what == "start")
    for run, count in starts.items():
        if count > 1:
            yield run[0], f"{_named(run)} ran {count} times"
        if run not in outcomes:
            yield run[0], f"{_named(run)} ran, and the queue knows nothing of it"
    reasons = REASONS_WITHOUT_FAULT if history.faultless else REASONS
    for job_id, number in outcomes:
        before = outcomes.get((job_id, number - 1))
        if number > 1 and before not in reasons and not _was_asked(history, job_id, number - 1):
            how = f"ended {before}" if before else "has no outcome"
            yield job_id, f"{_named((job_id, number))} came although the one before {how}"


def _no_overlap(history: History) -> Iterator[Breach]:
    """Once a later run of a job has done anything, no earlier one does. Each run is reported once."""
    latest: dict[str, Entry] = {}
    reported = set(history.outlived)
    for entry in history.ledger:
        run, newest = (entry.job, entry.attempt), latest.setdefault(entry.job, entry)
        is_behind = entry.attempt < newest.attempt
        if run not in reported and (is_behind or _is_older(entry, newest)):
            reported.add(run)
            yield entry.job, _at_a_time(*sorted((entry, newest), key=lambda it: it.attempt))
        if not is_behind:
            latest[entry.job] = entry


def _is_older(entry: Entry, newest: Entry) -> bool:
    """True when a later run was noted at an earlier time."""
    if entry.at is None or newest.at is None:
        return False
    return entry.attempt > newest.attempt and entry.at < newest.at


def _at_a_time(earlier: Entry, later: Entry) -> str:
    has_times = earlier.at is not None and later.at is not None
    times = f" ({earlier.at:.2f} s and {later.at:.2f} s since boot)" if has_times else ""
    return f"attempt {earlier.attempt} of job {earlier.job} still ran when attempt {later.attempt} had started{times}"


def _no_orphans(history: History) -> Iterator[Breach]:
    """No process is left of a job that is not running."""
    for each in history.processes or ():
        if is_orphan(each, history.jobs):
            name = f"process {each.pid} ({each.command})" if each.command else f"process {each.pid}"
            yield each.job, f"{name} of job {each.job} was left running"


def _terminal_is_terminal(history: History) -> Iterator[Breach]:
    """Only an operator's command changes a terminal state."""
    for earlier, later in _pairs_of_looks(history):
        for job_id, before in earlier.items():
            after = later.get(job_id)
            is_other = after is None or after.state != before.state
            if before.state in TERMINAL and is_other and not _was_asked(history, job_id, before.attempts):
                yield job_id, f"job {job_id} was {before.state}, and then {after.state if after else 'gone'}"


def _counting(history: History) -> Iterator[Breach]:
    """Attempts never fall and are numbered from 1, each ends once, and no limit is passed."""
    for earlier, later in _pairs_of_looks(history):
        for job_id in earlier.keys() & later.keys():
            before, after = earlier[job_id].attempts, later[job_id].attempts
            if after < before:
                yield job_id, f"job {job_id} had {before} attempts, and then {after}"
    rows = defaultdict(list)
    for row in history.attempts:
        rows[row.job].append(row)
    lost_by = Counter(row.worker for row in history.attempts if row.outcome == Outcome.LOST)
    for job in history.jobs.values():
        of_job = sorted(rows[job.id], key=lambda row: row.number)
        counts = _miscounted(job, of_job, history, lost_by)
        for breach in chain(_misnumbered(job, of_job), _beyond_limits(job, history), counts):
            yield job.id, f"job {job.id} {breach}"


def _misnumbered(job: JobRecord, rows: Sequence[AttemptRecord]) -> Iterator[str]:
    numbers = [row.number for row in rows]
    if numbers != list(range(1, job.attempts + 1)):
        yield f"counts {job.attempts} attempts, and has rows for {numbers}"
    for row in rows:
        runs_now = job.state == State.PROCESSING and row.number == job.attempts
        if (row.outcome is None) != runs_now:
            yield f"is {job.state}, and the outcome of its attempt {row.number} is {row.outcome}"


def _beyond_limits(job: JobRecord, history: History) -> Iterator[str]:
    if job.failures > job.max_retries + 1:
        yield f"failed {job.failures} times with {job.max_retries} retries"
    if job.losses > history.max_losses:
        yield f"was lost {job.losses} times of at most {history.max_losses}"


def _miscounted(
    job: JobRecord, rows: Sequence[AttemptRecord], history: History, lost_by: Mapping[str, int]
) -> Iterator[str]:
    counted_from = history.asked.get(job.id, 0)
    if counted_from is None:
        return
    since = [row for row in rows if row.number > counted_from]
    ended = Counter(row.outcome for row in since)
    if job.failures != ended[Outcome.FAILED] + ended[Outcome.TIMEOUT]:
        yield f"counts {job.failures} failures, and its attempts say {dict(ended)}"
    least, most = _losses_that_count(since, lost_by)
    if not least <= job.losses <= most:
        yield f"counts {job.losses} losses, and its attempts say {dict(ended)}: {least} to {most}"


def _losses_that_count(rows: Sequence[AttemptRecord], lost_by: Mapping[str, int]) -> tuple[int, int]:
    """The losses of a job that count, at least and at most.

    The first loss in a row counts if it was the only one of its worker, and if the worker did not give the job back
    itself, which cannot be seen from outside; after it the job runs apart, and each counts.
    """
    least = most = 0
    before = None
    for row in rows:
        if row.outcome == Outcome.LOST:
            is_next = before == Outcome.LOST
            least += is_next
            most += is_next or (lost_by[row.worker] == 1 if row.alone is None else row.alone)
        if row.outcome != Outcome.RELEASED:  # which says nothing about the job
            before = row.outcome
    return least, most


def _progress(history: History) -> Iterator[Breach]:
    """After the last fault all runnable jobs end within a stated bound."""
    if history.bound is None:
        return
    open_jobs = [job.id for job in history.jobs.values() if job.state not in TERMINAL and job.id not in history.waiting]
    if open_jobs:
        yield (
            open_jobs[0],
            f"{len(open_jobs)} jobs have not ended {history.bound:g} s after the last fault: {open_jobs[:5]}",
        )
    elif history.took is not None and history.took > history.bound:
        yield "", f"the last job ended {history.took:.1f} s after the last fault, and not within {history.bound:g} s"


def _integrity(history: History) -> Iterator[Breach]:
    """The database is whole, and holds nothing that no queue may hold."""
    yield from (("", damage) for damage in history.damage)


def _bounded(history: History) -> Iterator[Breach]:
    """Memory, descriptors, processes, connections and files stay under their caps."""
    for name, cap in history.caps.items():
        if (peak := history.peaks.get(name)) is None:
            yield "", f"{name}: never measured"
        elif peak > cap:
            yield "", f"{name}: {peak:g}, and at most {cap:g} is allowed"


def _honest(history: History) -> Iterator[Breach]:
    """An id is printed with exit code 0 exactly when the job is stored; a failure is one clear line and a code."""
    known = set(acknowledged(history))
    for call in history.calls:
        stored = [job_id for job_id in call.ids if job_id in history.jobs]
        name = f"`enqueue` of {', '.join(call.ids[:3])}{' …' if len(call.ids) > 3 else ''}"
        for breach in chain(_misprinted(call, stored, known), _failed_badly(call, stored, known)):
            yield call.ids[0] if len(call.ids) == 1 else "", f"{name} {breach}"


def _misprinted(call: Call, stored: Sequence[str], known: Set[str]) -> Iterator[str]:
    if missing := [job_id for job_id in call.printed if job_id not in stored]:
        yield f"printed {missing[:5]}, which the database does not have"
    if stored and len(stored) < len(call.ids) and known.isdisjoint(call.ids):
        yield f"stored only {len(stored)} of {len(call.ids)} jobs"
    if call.code == 0 and list(call.printed) != list(call.ids):
        yield f"exited with 0, and printed {len(call.printed)} ids of {len(call.ids)}"


def _failed_badly(call: Call, stored: Sequence[str], known: Set[str]) -> Iterator[str]:
    if call.code in (0, None):
        return
    if len(call.errors) != 1:
        yield f"exited with {call.code}, and said {list(call.errors)} instead of one line"
    if call.printed:
        yield f"exited with {call.code}, and printed {call.printed[:5]}"
    is_unknown = any(UNKNOWN in error for error in call.errors)
    if call.code != CONFLICT and not is_unknown and (own := [each for each in stored if each not in known]):
        yield f"exited with {call.code}, and stored {own[:5]}"


def _was_asked(history: History, job_id: str, attempts: int) -> bool:
    """True when an operator may have had the job cancelled or run again after so many attempts."""
    if job_id not in history.asked:
        return False
    after = history.asked[job_id]
    return after is None or attempts <= after


def _pairs_of_looks(history: History) -> Iterator[tuple[Mapping[str, JobRecord], Mapping[str, JobRecord]]]:
    return pairwise([*history.looks, history.jobs])


def _named(run: tuple[str, int]) -> str:
    return f"attempt {run[1]} of job {run[0]}"


class Invariant(Enum):
    """A promise: its number in the docs, its name, and every breach of it in a history."""

    NO_LOSS = "I1", "no job is lost", _no_loss
    NO_UNEXPLAINED_RUN = "I2", "no unexplained run", _no_unexplained_run
    NO_OVERLAP = "I3", "no overlap", _no_overlap
    NO_ORPHANS = "I4", "no orphans", _no_orphans
    TERMINAL_IS_TERMINAL = "I5", "terminal is terminal", _terminal_is_terminal
    COUNTING = "I6", "counting", _counting
    PROGRESS = "I7", "progress", _progress
    INTEGRITY = "I8", "integrity", _integrity
    BOUNDED = "I9", "bounded", _bounded
    HONEST = "I10", "honest command line", _honest

    @property
    def code(self) -> str:
        """The number."""
        return self.value[0]

    def __str__(self) -> str:
        return self.value[1]


class Violation(NamedTuple):
    """An invariant that does not hold, for which job (empty: for none in particular), and how that shows."""

    invariant: Invariant
    job: str
    message: str

    def __str__(self) -> str:
        return f"{self.invariant.code} {self.invariant}: {self.message}"


def check(history: History, only: Iterable[Invariant] = Invariant) -> list[Violation]:
    """Every breach of these invariants."""
    return [Violation(each, job, message) for each in only for job, message in each.value[2](history)]
