"""The reasons why a job does not run now, in the order in which they bind, and when it is likely to start.

Each reason above `workers_busy` is one for which no claim takes the job at this moment. Below it a claim would: the
job only has to wait its turn.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from queuectl.domain.dependency import Standing, batch_of, standing
from queuectl.domain.job import TERMINAL, Dependency, Job, On, State, WaitsFor
from queuectl.domain.queues import EVERY, QueueSettings
from queuectl.domain.worker import WorkerRecord

MAX_BEFORE = 10_000
"""Jobs that are counted before another: whoever has more before it hears that there are at least so many."""

MAX_HOLDERS = 10
"""Jobs that are named as those which hold a limit."""


class Code(StrEnum):
    """The reasons, in the order in which they bind."""

    ENDED = "ended"
    RUNNING = "running"
    PAUSED = "paused"
    NOT_DUE = "not_due"
    AFTER_JOBS = "after_jobs"
    AFTER_BATCH = "after_batch"
    KEY_FULL = "key_full"
    QUEUE_FULL = "queue_full"
    RATE = "rate"
    NO_WORKER = "no_worker"
    NO_LABEL = "no_label"
    WORKERS_BUSY = "workers_busy"
    BEHIND = "behind"
    NEXT = "next"


TAKES_TURNS = frozenset({Code.WORKERS_BUSY, Code.BEHIND, Code.NEXT})
"""The reasons of a job that a claim may take."""

ENDLESS = frozenset({Code.ENDED, Code.RUNNING, Code.AFTER_JOBS, Code.AFTER_BATCH, Code.NO_WORKER, Code.NO_LABEL})
"""Reasons whose end nobody can foresee."""


class Holder(NamedTuple):
    """A job that runs and holds what another waits for."""

    job: str
    worker: str
    since: datetime | None


class Surroundings(NamedTuple):
    """The things around a job that decide when it starts, as the database has them at one moment."""

    parents: Sequence[tuple[Dependency, State | None]] = ()
    """The jobs and batches that it runs after, with the states of the jobs; None: a batch, or a job that is gone."""
    key_running: int = 0
    """Jobs that run with its key."""
    key_holders: Sequence[Holder] = ()
    """The first of them."""
    queue_running: int = 0
    """Jobs that run in the slots of its queue, if that has a limit."""
    queue_holders: Sequence[Holder] = ()
    """The first of them."""
    next_start: datetime | None = None
    """The moment from which on the rate of its queue allows a start, where it allows none now."""
    before: int = 0
    """Jobs that go before it: of those that wait for the same key, or else for the same workers."""
    usual_run: timedelta | None = None
    """The time that half of the last runs in its queue took at most."""


class Facts(NamedTuple):
    """All that decides when a job starts."""

    queues: Mapping[str, QueueSettings]
    """The settings of all queues of which something was set, and the pause of all."""
    workers: Sequence[WorkerRecord]
    """The workers that claim jobs now."""
    around: Surroundings = Surroundings()

    def queue(self, name: str) -> QueueSettings:
        """The settings of a queue."""
        return self.queues.get(name, QueueSettings(name))

    def serving(self, job: Job) -> Sequence[WorkerRecord]:
        """The workers that serve its queue."""
        queue = self.queue(job.queue)
        return [it for it in self.workers if queue.is_served_by(it.queues)]

    def fitting(self, job: Job) -> Sequence[WorkerRecord]:
        """Of those, the workers that have all labels that it needs."""
        return [it for it in self.serving(job) if set(job.spec.needs) <= set(it.labels)]


class Reason(NamedTuple):
    """One reason: `until` is its end, if that is known; `hint` what can be done about it."""

    code: Code
    message: str
    since: datetime | None = None
    until: datetime | None = None
    holders: Sequence[Holder] = ()
    hint: str | None = None


def reasons(job: Job, facts: Facts, at: datetime) -> Sequence[Reason]:
    """All reasons why the job does not run at that moment, in the order in which they bind; one at least."""
    if job.state in TERMINAL:
        return [_ended(job)]
    if job.state is State.PROCESSING:
        return [_running(job)]
    held = [
        *_pauses(job, facts, at),
        *_not_due(job, at),
        *_parents(job, facts.around.parents),
        *_key(job, facts.around),
        *_limits(job, facts, at),
        *_workers(job, facts),
        *_line(job, facts.around),
    ]
    return held or [Reason(Code.NEXT, "nothing holds it back: a worker takes it in a moment")]


def estimate(job: Job, facts: Facts, found: Sequence[Reason], at: datetime) -> datetime | None:
    """The moment at which the job is likely to start, if nothing else comes before it; None: nobody can know."""
    codes = {it.code for it in found}
    if codes & ENDLESS or any(it.code is Code.PAUSED and it.until is None for it in found):
        return None
    earliest = max([at, *(it.until for it in found if it.until is not None)])
    if not codes & {Code.KEY_FULL, Code.QUEUE_FULL, Code.WORKERS_BUSY, Code.BEHIND}:
        return earliest
    around, queue = facts.around, facts.queue(job.queue)
    if around.usual_run is None or around.before >= MAX_BEFORE:
        return None
    limits = [sum(it.concurrency for it in facts.fitting(job)), queue.concurrency]
    if Code.KEY_FULL in codes:
        limits.append(job.spec.key_limit or 1)
    capacity = min(it for it in limits if it is not None)
    wait = math.ceil((around.before + 1) / capacity) * around.usual_run
    if queue.rate is not None:
        wait = max(wait, around.before // queue.rate.starts * queue.rate.period)
    return earliest + wait


def _ended(job: Job) -> Reason:
    verb = "is" if job.state is State.DEAD else "was" if job.state is State.CANCELLED else "has"
    error = f": {job.last_error}" if job.last_error else ""
    hint = None if job.state is State.COMPLETED else f"queuectl retry {job.id}"
    return Reason(Code.ENDED, f"it {verb} {job.state}{error}", since=job.finished_at, hint=hint)


def _running(job: Job) -> Reason:
    worker = job.lease.worker if job.lease else ""
    message = "it runs, and is to be cancelled" if job.cancel_requested_at else "it runs"
    holder = Holder(job.id, worker, job.started_at)
    return Reason(Code.RUNNING, message, since=job.started_at, holders=[holder])


def _pauses(job: Job, facts: Facts, at: datetime) -> Iterator[Reason]:
    paused = [
        (EVERY, "all queues are paused", "queuectl resume --all"),
        (job.queue, f"queue {job.queue} is paused", f"queuectl queue resume {job.queue}"),
    ]
    for name, message, hint in paused:
        pause = facts.queue(name).pause
        if pause is not None and pause.lasts(at):
            because = f": {pause.reason}" if pause.reason else ""
            said = f"{message} by {pause.by}{because}"
            yield Reason(Code.PAUSED, said, since=pause.at, until=pause.until, hint=hint)


def _not_due(job: Job, at: datetime) -> Iterator[Reason]:
    if job.run_at > at:
        failed = f"run {job.attempts} failed, and it is tried again: {job.last_error or 'no error'}"
        message = failed if job.state is State.FAILED else "it is not due yet"
        yield Reason(Code.NOT_DUE, message, until=job.run_at)


def _parents(job: Job, parents: Sequence[tuple[Dependency, State | None]]) -> Iterator[Reason]:
    if job.waits_for is not WaitsFor.JOBS:
        return
    batches = [batch for it, _ in parents if (batch := batch_of(it.parent)) is not None]
    unmet = [
        (it, state)
        for it, state in parents
        if batch_of(it.parent) is None and standing(it.on, state) is not Standing.MET
    ]
    unmet.sort(key=lambda it: it[1] is not State.DEAD)
    if unmet or not batches:
        stands = ", ".join(f"{it.parent} ({_parent_state(it.on, state)})" for it, state in unmet[:MAX_HOLDERS])
        more = f" and {len(unmet) - MAX_HOLDERS:,} more" if len(unmet) > MAX_HOLDERS else ""
        dead = next((it.parent for it, state in unmet if state is State.DEAD), None)
        hint = f"queuectl retry {dead}" if dead else None
        yield Reason(Code.AFTER_JOBS, f"it runs after {stands or 'other jobs'}{more}", hint=hint)
    if batches:
        named = ", ".join(batches)
        yield Reason(Code.AFTER_BATCH, f"it runs after {'batch' if len(batches) == 1 else 'batches'} {named}")


def _parent_state(on: On, state: State | None) -> str:
    now = state or "removed"
    return f"{now}, waits for its failure" if on is On.FAILURE else str(now)


def _key(job: Job, around: Surroundings) -> Iterator[Reason]:
    key, limit = job.spec.key, job.spec.key_limit or 1
    is_parked = job.waits_for is WaitsFor.KEY
    if key is None or not (is_parked or around.key_running >= limit):
        return
    message = f"key {key} is at its limit: {around.key_running:,} of {limit:,} run"
    if around.key_running < limit:
        message = f"key {key} was at its limit, and is free again: its next job is let go in a moment"
    if is_parked and around.before:
        message += f"; {_counted(around.before)} for it before this one"
    yield Reason(Code.KEY_FULL, message, holders=around.key_holders)


def _limits(job: Job, facts: Facts, at: datetime) -> Iterator[Reason]:
    around, queue = facts.around, facts.queue(job.queue)
    if queue.concurrency is not None and around.queue_running >= queue.concurrency:
        message = f"queue {job.queue} is at its limit: {around.queue_running:,} of {queue.concurrency:,} run"
        yield Reason(Code.QUEUE_FULL, message, holders=around.queue_holders)
    if queue.rate is not None and around.next_start is not None and around.next_start > at:
        message = f"queue {job.queue} has had all starts that its rate of {queue.rate} allows"
        yield Reason(Code.RATE, message, until=around.next_start)


def _workers(job: Job, facts: Facts) -> Iterator[Reason]:
    serving, fitting, needs = facts.serving(job), facts.fitting(job), job.spec.needs
    start = "queuectl worker start" + (f" --queue {job.queue}" if facts.queue(job.queue).reserved else "")
    start += "".join(f" --label {label}" for label in needs)
    if not serving:
        yield Reason(Code.NO_WORKER, f"no live worker serves queue {job.queue}", hint=start)
    elif not fitting:
        yield Reason(Code.NO_LABEL, _missing(needs, serving), hint=start)
    elif all(it.jobs >= it.concurrency for it in fitting):
        slots = sum(it.concurrency for it in fitting)
        whose = "the worker" if len(fitting) == 1 else f"the {len(fitting):,} workers"
        message = f"all {slots:,} slots of {whose} that may run it are taken" if slots > 1 else f"{whose} is busy"
        yield Reason(Code.WORKERS_BUSY, message)


def _missing(needs: Collection[str], serving: Sequence[WorkerRecord]) -> str:
    nobody_has = [label for label in needs if not any(label in it.labels for it in serving)]
    if len(nobody_has) == 1:
        return f"it needs label {nobody_has[0]}, and no live worker has it"
    wanted = ", ".join(nobody_has or needs)
    return f"it needs labels {wanted}, and no live worker has " + ("any of them" if nobody_has else "them all")


def _line(job: Job, around: Surroundings) -> Iterator[Reason]:
    if around.before and job.waits_for is None:
        jobs = "1 job goes" if around.before == 1 else f"{_number(around.before)} jobs go"
        yield Reason(Code.BEHIND, f"{jobs} before it")


def _counted(before: int) -> str:
    return "1 job waits" if before == 1 else f"{_number(before)} jobs wait"


def _number(before: int) -> str:
    return f"{before:,}" + (" or more" if before >= MAX_BEFORE else "")
