"""Unique jobs: at most one job holds a unique key, and what becomes of a new one that finds its key held.

A job holds its key from its enqueue on: until it has ended, until it starts, or for a span of time, whatever becomes of
it. An operator's retry takes the key again where the end of the job gave it up.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from queuectl.domain.duration import parse_duration
from queuectl.domain.errors import UniqueKeyTaken
from queuectl.domain.job import (
    ENDED,
    STARTED,
    TERMINAL,
    USUAL,
    Job,
    JobRequest,
    OnDuplicate,
    Spec,
    State,
    Terms,
    WaitsFor,
)


class Enqueued(StrEnum):
    """The answer to an enqueue."""

    NEW = "new"
    """The job is stored."""
    EXISTING = "existing"
    """Nothing is stored: another job holds the unique key, or the same job is there already."""
    REPLACED = "replaced"
    """The job that holds the unique key has been changed to be as the new one."""


class Added(NamedTuple):
    """The job that stands for one that was to be enqueued, and how that came about."""

    job: Job
    how: Enqueued = Enqueued.NEW


class Admission(NamedTuple):
    """The jobs that are to be stored of some that are enqueued together, and the answer for each, in their order."""

    added: Sequence[Added]
    new: Sequence[Job]
    replaced: Sequence[tuple[Job, Job]] = ()
    """Jobs that are stored already: as they are, and as they are to be."""
    expired: Sequence[Job] = ()
    """Jobs that have held their keys for long enough, and give them up."""

    def stored_as(self, stored: Sequence[Job]) -> "Admission":
        """The same, with the new jobs in the answers as they are stored: some may wait for others."""
        if stored is self.new:
            return self
        by_id = {job.id: job for job in stored}
        return self._replace(added=[it._replace(job=by_id.get(it.job.id, it.job)) for it in self.added])


class Regained(NamedTuple):
    """The fate of changed jobs of which some take a unique key again that they had given up."""

    refused: Mapping[str, Job]
    """By the id of a job that may not have it: the job that holds it."""
    expired: Sequence[Job]


def with_unique_keys(jobs: Sequence[Job], requests: Sequence[JobRequest]) -> Sequence[Job]:
    """The jobs that these requests have made; those that are to be unique hold their keys."""
    if not any("unique" in request for request in requests):
        return jobs
    return [_made_unique(job, request) for job, request in zip(jobs, requests, strict=True)]


def _made_unique(job: Job, request: JobRequest) -> Job:
    said = request.get("unique")
    if said is None:
        return job
    key = said if isinstance(said, str) else _key_of_command(job.spec)
    until = request.get("unique_until", ENDED)
    expires_at = None if until in (ENDED, STARTED) else job.created_at + parse_duration(until)
    spec = job.spec._replace(unique_key=key, unique_until=until)
    return job._replace(spec=spec, unique_held=key, unique_expires_at=expires_at)


def _key_of_command(spec: Spec) -> str:
    import hashlib  # libraries that only such a job needs
    import json  # the same

    what = json.dumps([spec.command, spec.queue, spec.cwd, sorted(spec.env.items()), spec.stdin])
    return hashlib.sha256(what.encode()).hexdigest()


def admit(
    jobs: Sequence[Job], terms: Mapping[str, Terms], *, holders: Iterable[Job] = (), stored: Iterable[Job] = ()
) -> Admission:
    """Decide about jobs that are enqueued together, one after the other: each meets what the ones before it have left.

    `holders` hold the unique keys of some of them; `stored` have the ids of some whose duplicates are to be skipped.
    Raises UniqueKeyTaken with every job that its terms have rejected.
    """
    admitting = _Admitting(holders, stored)
    rejected = {}
    for place, job in enumerate(jobs):
        try:
            admitting.meet(job, terms.get(job.id, USUAL).on_duplicate)
        except UniqueKeyTaken as error:
            rejected[place] = error.message
    if rejected:
        raise UniqueKeyTaken(rejected)
    return admitting.admission()


class _Admitting:
    """The jobs as they are and are to be, while one is met after the other."""

    def __init__(self, holders: Iterable[Job], stored: Iterable[Job]) -> None:
        holders = list(holders)
        self._before = {job.id: job for job in (*stored, *holders)}
        self._now = dict(self._before)
        self._holders = {job.unique_held: job.id for job in holders}
        self._answers: list[tuple[str, Enqueued]] = []
        self._new: set[str] = set()
        self._expired: list[Job] = []

    def meet(self, job: Job, rule: OnDuplicate | None) -> None:
        """Admit the next job. Raises UniqueKeyTaken."""
        same = self._now.get(job.id)
        if rule is OnDuplicate.SKIP and same is not None and _is_said_again(job, same):
            self._answers.append((job.id, Enqueued.EXISTING))
            return
        holder = self._holder(job)
        if holder is None or holder.id == job.id:  # that its id is taken is told where it is stored
            self._now[job.id] = job
            self._new.add(job.id)
            if job.unique_held is not None:
                self._holders[job.unique_held] = job.id
            self._answers.append((job.id, Enqueued.NEW))
            return
        if rule is OnDuplicate.REJECT and holder.id in self._new:
            raise UniqueKeyTaken({0: f"the unique key {holder.unique_held} is given more than once"})
        self._now[holder.id], how = on_conflict(job, holder, rule or OnDuplicate.SKIP)
        self._answers.append((holder.id, how))

    def _holder(self, job: Job) -> Job | None:
        if job.unique_held not in self._holders:
            return None
        holder = self._now[self._holders[job.unique_held]]
        if _has_expired(holder, job.created_at):
            self._expired.append(holder)
            del self._holders[job.unique_held]
            return None
        return holder

    def admission(self) -> Admission:
        """All that was decided."""
        by_answer = {it: [job_id for job_id, how in self._answers if how is it] for it in Enqueued}
        replaced = dict.fromkeys(by_answer[Enqueued.REPLACED])
        return Admission(
            added=[Added(self._now[job_id], how) for job_id, how in self._answers],
            new=[self._now[job_id] for job_id in by_answer[Enqueued.NEW]],
            replaced=[(self._before[job_id], self._now[job_id]) for job_id in replaced if job_id not in self._new],
            expired=self._expired,
        )


def on_conflict(new: Job, holder: Job, rule: OnDuplicate) -> Added:
    """The fate of a new job whose key another one holds; a holder is replaced only while it waits for its first run.

    The jobs that a holder waits for, its batch and its moment of creation stay. Raises UniqueKeyTaken for REJECT.
    """
    if rule is OnDuplicate.REJECT:
        raise UniqueKeyTaken({0: held_by(holder)})
    if rule is OnDuplicate.SKIP or holder.state is not State.PENDING or holder.attempts:
        return Added(holder, Enqueued.EXISTING)
    spec = new.spec._replace(id=holder.id, created_at=holder.created_at, batch=holder.spec.batch)
    replaced = holder._replace(
        spec=spec,
        run_at=new.run_at,
        updated_at=new.updated_at,
        waits_for=None if holder.waits_for is WaitsFor.KEY else holder.waits_for,  # it may have another key now
        unique_expires_at=new.unique_expires_at,
    )
    return Added(replaced, Enqueued.REPLACED)


def takes_key(before: Job, after: Job) -> bool:
    """True if the change has the job take its unique key again."""
    return before.unique_held is None and after.unique_held is not None


def regain(changes: Iterable[tuple[Job, Job]], holders: Iterable[Job]) -> Regained:
    """Decide which of these changes, before and after, may be made, as far as their unique keys go; in their order."""
    held = {job.unique_held: job for job in holders}
    refused, expired = dict[str, Job](), list[Job]()
    for before, after in changes:
        if not takes_key(before, after):
            continue
        holder = held.get(after.unique_held)
        if holder is not None and _has_expired(holder, after.updated_at):
            expired.append(holder)
            holder = None
        if holder is None:
            held[after.unique_held] = after
        else:
            refused[after.id] = holder
    return Regained(refused, expired)


def not_regained(job: Job, holder: Job) -> UniqueKeyTaken:
    """The error of a job that cannot have its unique key again."""
    return UniqueKeyTaken({0: f"job {job.id} cannot run again: {held_by(holder, its=True)}"})


def held_by(holder: Job, *, its: bool = False) -> str:
    """Say which job holds a unique key, and what it does."""
    if holder.state in TERMINAL:
        does = "has ended, but holds it for longer"
    else:
        does = "runs" if holder.state is State.PROCESSING else "waits"
    return f"job {holder.id} has {'its' if its else 'the'} unique key {holder.unique_held} and {does}"


def _is_said_again(job: Job, stored: Job) -> bool:
    return stored.spec == job.spec._replace(created_at=stored.created_at)


def _has_expired(holder: Job, at: datetime) -> bool:
    return holder.unique_expires_at is not None and holder.unique_expires_at <= at
