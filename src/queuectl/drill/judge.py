"""The drill: what is done to workers, by a seed, and whether every promise was kept meanwhile.

Both are pure: a plan is made before anything happens, and a history is judged after everything has.
"""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from queuectl.domain.attempt import Attempt, Outcome
from queuectl.domain.job import TERMINAL, Job, State

EXPLAINS = frozenset({Outcome.FAILED, Outcome.TIMEOUT, Outcome.LOST, Outcome.RELEASED})
"""The outcomes of an attempt that another one may follow."""

FROZEN_LEASES = 2.5
"""How long a worker is frozen, in leases: others have taken its jobs back by then."""

PAUSES = (0.5, 2.0)
"""Seconds between two faults, at least and at most."""


class Fault(StrEnum):
    """What is done to the workers."""

    KILL_WORKER = "worker killed"
    KILL_SUPERVISOR = "supervisor killed"
    FREEZE = "worker frozen"
    STOP = "stopped"
    FORCE_STOP = "stopped by force"


PACE: Mapping[Fault, int] = {
    Fault.KILL_WORKER: 5,
    Fault.KILL_SUPERVISOR: 1,
    Fault.FREEZE: 2,
    Fault.STOP: 1,
    Fault.FORCE_STOP: 1,
}
"""How often each fault comes, in relation to the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One fault, so long after the start. `chosen`, in [0, 1), says which of the workers that there are then."""

    at: timedelta
    fault: Fault
    chosen: float


def plan(seed: int, *, span: timedelta, lease: timedelta) -> Sequence[Step]:
    """The faults of a drill of that length. The same seed gives the same faults, and every kind once if time allows.

    A worker that is frozen is left alone until it goes on, and nothing is stopped meanwhile.
    """
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be kept secret
    kinds, at, steps = list(Fault), timedelta(seconds=1), list[Step]()
    chance.shuffle(kinds)
    while at < span:
        fault = kinds.pop() if kinds else chance.choices(list(PACE), list(PACE.values()))[0]
        lasts = lease * FROZEN_LEASES if fault is Fault.FREEZE else timedelta()
        if not steps or at + lasts < span:
            steps.append(Step(at=at, fault=fault, chosen=chance.random()))
            at += lasts
        at += timedelta(seconds=chance.uniform(*PAUSES))
    return steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the ledger that the jobs themselves write: which run did what. `what`: start, alive or end."""

    job: str
    attempt: int
    what: str


def read_ledger(text: str) -> Sequence[Entry]:
    """The entries, in the order in which they were written; a last line that is not whole yet is left out."""
    lines = (line.split() for line in text.split("\n")[:-1])
    return [Entry(job=job, attempt=int(attempt), what=what) for job, attempt, what in lines]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a drill has seen: ids that `enqueue` acknowledged, the queue at the end, the ledger, and processes."""

    acknowledged: Collection[str]
    jobs: Mapping[str, Job]
    attempts: Mapping[str, Sequence[Attempt]]
    ledger: Sequence[Entry]
    orphans: Sequence[tuple[int, str]] | None
    """Processes, with their job, that outlived what they belonged to; None where processes cannot be seen."""
    rescues: Sequence[timedelta] = ()
    """From each fault that cost an attempt its worker to the moment when its job was taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A promise that was not kept, and for which job."""

    promise: str
    job: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a drill. `orphans` is None where processes cannot be seen."""

    jobs: int
    attempts: int
    runs: int
    lost: int
    overlaps: int
    orphans: int | None
    unexplained: int
    slowest_rescue: timedelta | None
    broken: Sequence[Broken]


def judged(history: History) -> Report:
    """Whether every promise was kept."""
    lost, overlaps = list(_lost(history)), list(_overlaps(history.ledger))
    unexplained = list(_unexplained(history))
    orphans = [
        Broken(promise="no orphans", job=job, message=f"process {pid} of job {job} was left running")
        for pid, job in history.orphans or ()
    ]
    return Report(
        jobs=len(history.jobs),
        attempts=sum(map(len, history.attempts.values())),
        runs=sum(entry.what == "start" for entry in history.ledger),
        lost=len(lost),
        overlaps=len(overlaps),
        orphans=None if history.orphans is None else len(orphans),
        unexplained=len(unexplained),
        slowest_rescue=max(history.rescues, default=None),
        broken=[*lost, *overlaps, *unexplained, *orphans],
    )


def _lost(history: History) -> Iterator[Broken]:
    """Every job that was acknowledged has ended, and what is completed did run to its end."""
    ends = {(entry.job, entry.attempt) for entry in history.ledger if entry.what == "end"}
    for job_id in sorted(history.acknowledged):
        job = history.jobs.get(job_id)
        if job is None:
            reason = f"job {job_id} was acknowledged and is not in the queue"
        elif job.state not in TERMINAL:
            reason = f"job {job_id} is still {job.state} after {job.attempts} attempts"
        elif job.state is State.COMPLETED and (job_id, job.attempts) not in ends:
            reason = f"job {job_id} is completed, but its attempt {job.attempts} never came to its end"
        else:
            continue
        yield Broken(promise="no job is lost", job=job_id, message=reason)


def _overlaps(ledger: Sequence[Entry]) -> Iterator[Broken]:
    """Once a later run of a job has started, no earlier one does anything. Each run is told once."""
    latest: dict[str, int] = {}
    told: set[tuple[str, int]] = set()
    for entry in ledger:
        newest = latest.setdefault(entry.job, entry.attempt)
        if entry.attempt < newest and (entry.job, entry.attempt) not in told:
            told.add((entry.job, entry.attempt))
            message = f"attempt {entry.attempt} of job {entry.job} still ran when attempt {newest} had started"
            yield Broken(promise="no overlap", job=entry.job, message=message)
        latest[entry.job] = max(newest, entry.attempt)


def _unexplained(history: History) -> Iterator[Broken]:
    """Each run has an attempt of its own, and each attempt but the first follows one that says why."""
    seen: set[tuple[str, int]] = set()
    for entry in history.ledger:
        if entry.what != "start":
            continue
        name = f"attempt {entry.attempt} of job {entry.job}"
        outcomes = {it.number: it.outcome for it in history.attempts.get(entry.job, ())}
        before = outcomes.get(entry.attempt - 1)
        if (entry.job, entry.attempt) in seen:
            reason = f"{name} ran twice"
        elif entry.attempt not in outcomes:
            reason = f"{name} ran, and the queue knows nothing of it"
        elif entry.attempt > 1 and before not in EXPLAINS:
            reason = f"{name} ran although the one before {f'ended {before}' if before else 'has no outcome'}"
        else:
            reason = None
        seen.add((entry.job, entry.attempt))
        if reason:
            yield Broken(promise="no unexplained run", job=entry.job, message=reason)
