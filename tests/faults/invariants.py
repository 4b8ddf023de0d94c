"""The invariants I1 to I10: what must hold after any fault, judged by what was seen from outside of queuectl.

A `History` is that evidence. One function per invariant takes it and yields a line for each breach; `check` calls
them all. Nothing here looks at anything but its argument, so that good and bad histories can be written down in tests.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

TERMINAL = frozenset({"completed", "dead", "cancelled"})
REASONS = frozenset({"failed", "timeout", "lost", "released"})
"""The outcomes of an attempt after which there may be another one."""
REASONS_WITHOUT_FAULT = frozenset({"failed", "timeout"})

UNKNOWN = "nobody knows whether the change was made"
"""What the command line says when it cannot tell whether it has stored something."""


class Broken(AssertionError):
    """Some invariants do not hold; each line of the message begins with the invariant's number."""


class Line(Protocol):
    """What a run of a job wrote into the ledger, and when (seconds since boot)."""

    @property
    def job(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def what(self) -> str: ...
    @property
    def since_boot(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job as the database has it."""

    id: str
    state: str
    attempts: int
    failures: int = 0
    losses: int = 0
    max_retries: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """An attempt as the database has it."""

    job_id: str
    number: int
    outcome: str | None
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a look at the queue showed of one job."""

    state: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of `enqueue`: the ids it was to store, those it printed, its exit code (None: killed), its errors."""

    ids: Sequence[str]
    printed: Sequence[str]
    code: int | None
    errors: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A process of a job. `attempt` is None when it carries no mark of its own, and is known by its arguments."""

    pid: int
    job: str
    attempt: int | None
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was seen from outside: by the callers of the command line, in the ledger, in /proc, in the database."""

    calls: Sequence[Call] = ()
    ledger: Sequence[Line] = ()
    unwitnessed: Collection[str] = ()
    """Jobs that write nothing into the ledger."""
    jobs: Mapping[str, JobRow] = field(default_factory=dict)
    attempts: Sequence[AttemptRow] = ()
    sightings: Sequence[Mapping[str, Sighting]] = ()
    """Looks at the queue, one after the other."""
    processes: Sequence[Left] = ()
    damage: Sequence[str] = ()
    """What the database's own check, and the queries for what no queue may hold, found."""
    peaks: Mapping[str, float] = field(default_factory=dict)
    caps: Mapping[str, float] = field(default_factory=dict)
    """The most that was seen of each resource, and the most there may be."""
    waiting: Collection[str] = ()
    """Jobs that need not have ended."""
    asked: Collection[str] = ()
    """Jobs that an operator had cancelled, or run again."""
    max_losses: int = 3
    faultless: bool = False
    """Whether nothing was done to the queue that could explain a lost or released attempt."""
    took: float | None = None
    bound: float | None = None
    """Seconds from the last fault to the end of the last job, and the most there may be."""


def no_loss(history: History) -> Iterator[str]:
    """I1: every acknowledged job reaches a terminal state, and each completed one has its end in the ledger."""
    ended = {line.job for line in history.ledger if line.what == "end"}
    for job_id in _acknowledged(history):
        job = history.jobs.get(job_id)
        if job is None:
            yield f"{job_id} was acknowledged, and is not in the database"
        elif job.state not in TERMINAL and job_id not in history.waiting:
            yield f"{job_id} was acknowledged, and is still {job.state} after {job.attempts} attempts"
        elif job.state == "completed" and job_id not in ended and job_id not in history.unwitnessed:
            yield f"{job_id} is completed, and never wrote its end into the ledger"


def no_unexplained_run(history: History) -> Iterator[str]:
    """I2: a run has an attempt of its own, and what came before says why there was another one."""
    outcomes = {(row.job_id, row.number): row.outcome for row in history.attempts}
    starts = Counter((line.job, line.attempt) for line in history.ledger if line.what == "start")
    for run, count in starts.items():
        if count > 1:
            yield f"{_named(run)} started {count} times"
        if run not in outcomes:
            yield f"{_named(run)} wrote into the ledger, and has no row"
    reasons = REASONS_WITHOUT_FAULT if history.faultless else REASONS
    for job_id, number in outcomes:
        before = outcomes.get((job_id, number - 1))
        if number > 1 and before not in reasons and job_id not in history.asked:
            yield f"{_named((job_id, number))} followed one that ended as {before}, which does not explain it"


def no_overlap(history: History) -> Iterator[str]:
    """I3: once a later run of a job has done anything, no earlier one does."""
    latest: dict[str, Line] = {}
    for line in history.ledger:
        before = latest.get(line.job, line)
        if line.attempt < before.attempt:
            yield f"{_told(line)} after {_told(before)}"
        else:
            if line.attempt > before.attempt and line.since_boot < before.since_boot:
                yield f"{_told(line)} before {_told(before)}"
            latest[line.job] = line


def no_orphans(history: History) -> Iterator[str]:
    """I4: no process is left of a job that is not running."""
    for each in history.processes:
        if is_orphan(each, history.jobs):
            job = history.jobs.get(each.job)
            state = job.state if job else "unknown"
            yield f"process {each.pid} ({each.command}) is left of {each.job}, which is {state}"


def is_orphan(process: Left, jobs: Mapping[str, JobRow]) -> bool:
    """Whether no running attempt of those jobs accounts for the process."""
    job = jobs.get(process.job)
    return job is None or job.state != "processing" or process.attempt not in (None, job.attempts)


def terminal_is_terminal(history: History) -> Iterator[str]:
    """I5: only an operator's command changes a terminal state."""
    for earlier, later in _looks(history):
        for job_id, before in earlier.items():
            after = later.get(job_id)
            if (
                before.state in TERMINAL
                and job_id not in history.asked
                and (after is None or after.state != before.state)
            ):
                yield f"{job_id} was {before.state}, and then {after.state if after else 'gone'}"


def counting(history: History) -> Iterator[str]:
    """I6: attempts never fall and are numbered from 1, each ends once, and no limit is passed."""
    for earlier, later in _looks(history):
        for job_id in earlier.keys() & later.keys():
            if later[job_id].attempts < earlier[job_id].attempts:
                yield f"{job_id} had {earlier[job_id].attempts} attempts, and then {later[job_id].attempts}"
    rows = defaultdict(list)
    for row in history.attempts:
        rows[row.job_id].append(row)
    for job in history.jobs.values():
        yield from _miscounted(job, sorted(rows[job.id], key=lambda row: row.number), history)


def _miscounted(job: JobRow, rows: Sequence[AttemptRow], history: History) -> Iterator[str]:
    numbers = [row.number for row in rows]
    if numbers != list(range(1, job.attempts + 1)):
        yield f"{job.id} counts {job.attempts} attempts, and has rows for {numbers}"
    for row in rows:
        runs_now = job.state == "processing" and row.number == job.attempts
        if (row.outcome is None) != runs_now:
            yield f"{job.id} is {job.state}, and the outcome of its attempt {row.number} is {row.outcome}"
    if job.failures > job.max_retries + 1:
        yield f"{job.id} failed {job.failures} times with {job.max_retries} retries"
    if job.losses > history.max_losses:
        yield f"{job.id} was lost {job.losses} times of at most {history.max_losses}"
    if job.id not in history.asked:
        counted = Counter(row.outcome for row in rows)
        if job.failures != counted["failed"] + counted["timeout"]:
            yield f"{job.id} counts {job.failures} failures, and its attempts say {dict(counted)}"
        least, most = _losses_that_count(rows, history)
        if not least <= job.losses <= most:
            yield f"{job.id} counts {job.losses} losses, and its attempts say {dict(counted)}: {least} to {most}"


def _losses_that_count(rows: Sequence[AttemptRow], history: History) -> tuple[int, int]:
    """How many of a job's losses count, at least and at most.

    The first loss in a row counts if it was the only one of its worker, and if the worker did not give the job back
    itself, which cannot be told from outside; after it the job runs apart, and each counts.
    """
    lost_by = Counter(row.worker for row in history.attempts if row.outcome == "lost")
    least = most = 0
    before = None
    for row in rows:
        if row.outcome == "lost":
            is_next = before == "lost"
            least += is_next
            most += is_next or lost_by[row.worker] == 1
        if row.outcome != "released":  # which says nothing about the job
            before = row.outcome
    return least, most


def progress(history: History) -> Iterator[str]:
    """I7: after the last fault all runnable jobs end within a stated bound."""
    if history.bound is None:
        return
    open_jobs = [job.id for job in history.jobs.values() if job.state not in TERMINAL and job.id not in history.waiting]
    if open_jobs:
        yield f"{len(open_jobs)} jobs have not ended {history.bound:g} s after the last fault: {open_jobs[:5]}"
    elif history.took is not None and history.took > history.bound:
        yield f"the last job ended {history.took:.1f} s after the last fault, and not within {history.bound:g} s"


def integrity(history: History) -> Iterator[str]:
    """I8: the database is whole, and holds nothing that no queue may hold."""
    yield from history.damage


def bounded(history: History) -> Iterator[str]:
    """I9: memory, descriptors, processes, connections and files stay under their caps."""
    for name, cap in history.caps.items():
        if (peak := history.peaks.get(name)) is None:
            yield f"{name}: never measured"
        elif peak > cap:
            yield f"{name}: {peak:g}, and at most {cap:g} is allowed"


def honest(history: History) -> Iterator[str]:
    """I10: an id is printed with exit code 0 exactly when the job is stored; a failure is one clear line and a code."""
    acknowledged = set(_acknowledged(history))
    for call in history.calls:
        stored = [job_id for job_id in call.ids if job_id in history.jobs]
        yield from _dishonest(call, stored, acknowledged)


def _dishonest(call: Call, stored: Sequence[str], acknowledged: Collection[str]) -> Iterator[str]:
    name = f"`enqueue` of {', '.join(call.ids[:3])}{' …' if len(call.ids) > 3 else ''}"
    if missing := [job_id for job_id in call.printed if job_id not in stored]:
        yield f"{name} printed {missing[:5]}, which the database does not have"
    if stored and len(stored) < len(call.ids) and not acknowledged.intersection(call.ids):
        yield f"{name} stored only {len(stored)} of {len(call.ids)} jobs"
    if call.code == 0 and list(call.printed) != list(call.ids):
        yield f"{name} exited with 0, and printed {len(call.printed)} ids of {len(call.ids)}"
    if call.code in (0, None):
        return
    if len(call.errors) != 1:
        yield f"{name} exited with {call.code}, and said {list(call.errors)} instead of one line"
    if call.printed:
        yield f"{name} exited with {call.code}, and printed {call.printed[:5]}"
    is_unknown = any(UNKNOWN in error for error in call.errors)
    if call.code != 4 and not is_unknown and (own := [each for each in stored if each not in acknowledged]):
        yield f"{name} exited with {call.code}, and stored {own[:5]}"


INVARIANTS: Mapping[str, Callable[[History], Iterable[str]]] = {
    "I1 no loss": no_loss,
    "I2 no unexplained run": no_unexplained_run,
    "I3 no overlap": no_overlap,
    "I4 no orphans": no_orphans,
    "I5 terminal is terminal": terminal_is_terminal,
    "I6 counting": counting,
    "I7 progress": progress,
    "I8 integrity": integrity,
    "I9 bounded": bounded,
    "I10 honest command line": honest,
}


def breaches(history: History) -> list[str]:
    """Every breach of every invariant, each with the invariant's number and name before it."""
    return [f"{name}: {breach}" for name, judge in INVARIANTS.items() for breach in judge(history)]


def check(history: History) -> None:
    """Raises Broken unless all invariants hold."""
    if found := breaches(history):
        raise Broken("\n".join(found))


def _acknowledged(history: History) -> list[str]:
    return [job_id for call in history.calls if call.code == 0 for job_id in call.printed]


def _looks(history: History) -> Iterator[tuple[Mapping[str, Sighting], Mapping[str, Sighting]]]:
    last = {job.id: Sighting(job.state, job.attempts) for job in history.jobs.values()}
    return pairwise([*history.sightings, last])


def _named(run: tuple[str, int]) -> str:
    return f"{run[0]} attempt {run[1]}"


def _told(line: Line) -> str:
    return f"{_named((line.job, line.attempt))} wrote {line.what!r} at {line.since_boot:.2f}"
