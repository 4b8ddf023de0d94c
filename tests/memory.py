"""A queue in memory: its ports pass the contract suites that the databases' pass."""

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from queuectl.domain.attempt import RAN, Attempt, AttemptEnd, Outcome, RunResult
from queuectl.domain.batch import Batch
from queuectl.domain.dependency import (
    BATCH,
    Link,
    Parent,
    Standing,
    batch_reason,
    place,
    reason,
    standing,
    standing_after_batch,
)
from queuectl.domain.errors import BatchNotFound, CommitUnknown, DatabaseUnreachable, DuplicateJob, JobNotFound
from queuectl.domain.job import CLAIMABLE, MICROSECOND, NO_TERMS, TERMINAL, Job, On, State, Terms, WaitsFor
from queuectl.domain.limits import Candidate, Rate, Room, Start, choose, parked_behind
from queuectl.domain.metrics import Backlog, Metrics, Percentiles, Totals
from queuectl.domain.policy import Policy, StoredSettings
from queuectl.domain.ports.dependencies import Resolved, Unresolved
from queuectl.domain.ports.jobs import Decide, Removed
from queuectl.domain.ports.queues import DecideSettings
from queuectl.domain.ports.work import Claim, DecideEnd, DecideLost, FirstDue, Run, Settled, Settlement, Sweep
from queuectl.domain.queues import EVERY, QueueSettings, Starts, check_forgettable
from queuectl.domain.reasons import MAX_BEFORE, MAX_HOLDERS, Holder, Surroundings
from queuectl.domain.unique import Added, admit, not_regained, regain
from queuectl.domain.worker import WorkerRecord, WorkerState

Chosen = Collection[str]
Ends = Sequence[AttemptEnd]
Moment = datetime | None

LIVE = (WorkerState.RUNNING, WorkerState.STOPPING)


@dataclass(eq=False)
class Memory:
    """What the fakes of one queue share. `jobs` keeps the order of arrival.

    `outage` is the error that every transaction meets; `answers_lost` is how many of the next ones are committed,
    but their callers hear only an error, as when a connection breaks during the commit.
    """

    jobs: dict[str, Job] = field(default_factory=dict)
    attempts: dict[tuple[str, int], Attempt] = field(default_factory=dict)
    due: dict[tuple[str, int], datetime] = field(default_factory=dict)
    workers: dict[str, WorkerRecord] = field(default_factory=dict)
    settings: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    queues: dict[str, QueueSettings] = field(default_factory=dict)
    used: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    links: dict[str, list[Link]] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    outage: str | None = None
    answers_lost: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _depth: int = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            if self.outage is not None:
                raise DatabaseUnreachable(self.outage)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            if self.answers_lost and not self._depth:
                self.answers_lost -= 1
                raise CommitUnknown("the connection broke during the commit")

    @property
    def config(self) -> dict[str, str]:
        return self.settings[""]

    def running(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.state is State.PROCESSING]

    def serves(self, queues: Chosen, labels: Chosen, job: Job) -> bool:
        """Whether such a worker may claim it, as far as queues and labels go."""
        is_meant = job.queue in queues if queues else not self.queue(job.queue).reserved
        return is_meant and set(job.spec.needs) <= set(labels)

    def queue(self, name: str) -> QueueSettings:
        return self.queues.get(name, QueueSettings(name))

    def room(self, name: str, at: datetime) -> Room:
        queue = self.queue(name)
        if queue.is_paused(at) or self.queue(EVERY).is_paused(at):
            return Room(slots=())
        taken = {job.slot for job in self.running() if job.queue == name and job.slot is not None}
        free = [slot for slot in range(queue.concurrency or 0) if slot not in taken]
        above = sum(slot >= (queue.concurrency or 0) for slot in taken)
        slots = None if queue.concurrency is None else tuple(free[: max(0, len(free) - above)])
        starts = None if queue.rate is None else self.starts(name, queue.rate, at)
        return Room(slots, starts)

    def starts(self, name: str, rate: Rate, at: datetime) -> tuple[int, ...]:
        used = sum(each + rate.period > at for each in self.used[name])
        return tuple(range(max(0, rate.starts - used)))

    def opens_at(self, name: str) -> datetime | None:
        """The moment from which on a job may start in it; None: not by itself."""
        queue, every = self.queue(name), self.queue(EVERY)
        runs = sum(job.queue == name and job.slot is not None for job in self.running())
        pauses = [it.pause for it in (queue, every) if it.pause is not None]
        if any(it.until is None for it in pauses) or (queue.concurrency is not None and runs >= queue.concurrency):
            return None
        opens = [it.until for it in pauses if it.until is not None]
        if queue.rate is not None and len(used := sorted(self.used[name])) >= queue.rate.starts:
            opens.append(used[-queue.rate.starts] + queue.rate.period)
        return max(opens, default=datetime.min.replace(tzinfo=UTC))

    def lane(self, job: Job) -> tuple[str, tuple[str, ...]]:
        """The line that it waits in: of its queue alone, if something was set for that or workers name it."""
        has_own = job.queue in self.queues or any(job.queue in it.queues for it in self.workers.values())
        return job.queue if has_own else "", tuple(job.spec.needs)

    def expose(self, jobs: Iterable[Job]) -> None:
        """Whoever is parked for a key that one of these jobs leaves may be claimed, and parked again."""
        keys = {job.spec.key for job in jobs} - {None}
        parked = [it for it in self.jobs.values() if it.waits_for is WaitsFor.KEY and it.spec.key in keys]
        self.store(it._replace(waits_for=None) for it in parked)

    def unique_holders(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.unique_held is not None]

    def regained(self, changes: Sequence[tuple[Job, Job]]) -> Mapping[str, Job]:
        decided = regain(changes, self.unique_holders())
        self.store(job._replace(unique_held=None) for job in decided.expired)
        return decided.refused

    def found(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise JobNotFound(job_id)
        return self.jobs[job_id]

    def dead(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.state is State.DEAD]

    def store(self, jobs: Iterable[Job]) -> None:
        self.jobs.update({job.id: job for job in jobs})

    def held_by(self, worker_id: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.lease is not None and job.lease.worker == worker_id]

    def alive(self, worker_id: str) -> WorkerRecord | None:
        return next((it for it in self.workers.values() if it.id == worker_id and it.state in LIVE), None)

    def change(self, worker_id: str, **changes: Any) -> bool:  # noqa: ANN401 - fields of a worker
        if worker := self.alive(worker_id):
            self.workers[worker_id] = replace(worker, **changes)
        return worker is not None

    def lost_by(self, worker_id: str, at: datetime) -> list[Attempt]:
        worker = self.workers[worker_id]
        since = min(worker.renewed_at, at) - (worker.lease_expires_at - worker.renewed_at)
        lost = [it for it in self.attempts.values() if it.outcome is Outcome.LOST and it.lease.worker == worker_id]
        return [it for it in lost if it.finished_at is not None and it.finished_at >= since]

    def end_attempt(self, key: tuple[str, int], at: datetime, result: RunResult) -> None:
        self.attempts[key] = self.attempts[key]._replace(finished_at=at, **result._asdict())

    def children_of(self, parent: str) -> list[tuple[Job, Link]]:
        """Those that wait for it, each with what is not met."""
        waiting = [job for job in self.jobs.values() if job.waits_for is WaitsFor.JOBS]
        links = [(job, link) for job in waiting for link in self.links.get(job.id, ())]
        return [(job, link) for job, link in links if link.dependency.parent == parent and not link.is_met]

    def counts(self, batch: str) -> dict[State, int]:
        return {state: sum((it.spec.batch, it.state) == (batch, state) for it in self.jobs.values()) for state in State}

    def open_batches(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if job.spec.batch is not None:
                new = Batch(job.spec.batch, job.created_at, None, {})
                self.batches[job.spec.batch] = self.batches.get(job.spec.batch, new)._replace(finished_at=None)

    def look_after(
        self, parent: str, stands: Callable[[On], Standing], why: Callable[[On], str], at: datetime
    ) -> Resolved:
        released, cancelled = 0, []
        for job, link in self.children_of(parent):
            match stands(link.dependency.on):
                case Standing.MET:
                    self.links[job.id] = [it._replace(is_met=it.is_met or it == link) for it in self.links[job.id]]
                    self.store([job := job.with_parent_met(at)])
                    released += job.waits_for is None
                case Standing.NEVER:
                    self.store([job := job.never_run(why(link.dependency.on), at)])
                    cancelled.append(job)
        return Resolved(released, cancelled)

    def cancel_children(self, job: Job, at: datetime) -> list[Job]:
        parents = [job.id, *([f"{BATCH}{job.spec.batch}"] if job.spec.batch else [])]
        stands = {On.SUCCESS: Standing.NEVER, On.END: Standing.WAITS, On.FAILURE: Standing.WAITS}
        return [
            child
            for parent in parents
            for child in self.look_after(parent, lambda on: stands[on], lambda _: reason(job.id, None), at).cancelled
        ]

    def remove(self, job_id: str) -> None:
        del self.jobs[job_id]
        self.links.pop(job_id, None)
        for key in [key for key in self.attempts if key[0] == job_id]:
            del self.attempts[key], self.due[key]


class InMemory:
    """A fake. Every public method is one transaction."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def __init_subclass__(cls) -> None:
        for name, method in [it for it in vars(cls).items() if not it[0].startswith("_")]:
            setattr(cls, name, _in_transaction(method))


def _in_transaction(method: Callable[..., object]) -> Callable[..., object]:
    def within(self: InMemory, *args: object, **kwargs: object) -> object:
        with self._memory.transaction():
            return method(self, *args, **kwargs)

    return within


class InMemoryJobs(InMemory):
    def add(self, jobs: Iterable[Job], terms: Mapping[str, Terms] = NO_TERMS) -> Sequence[Added]:
        memory = self._memory
        admission = admit(list(jobs), terms, holders=memory.unique_holders(), stored=memory.jobs.values())
        given = Counter(job.id for job in admission.new)
        taken = [job_id for job_id in given if job_id in memory.jobs]
        repeated = [job_id for job_id, times in given.items() if times > 1]
        if taken or repeated:
            raise DuplicateJob(taken, repeated=repeated)
        states = {job.id: job.state for job in memory.jobs.values()}
        ours = {job_id: it for job_id, it in terms.items() if job_id in given}
        placing = place(admission.new, ours, states, {name: memory.counts(name) for name in memory.batches})
        memory.store(job._replace(unique_held=None) for job in admission.expired)
        memory.expose(before for before, _ in admission.replaced)
        stored = parked_behind(placing.jobs)
        memory.store([*stored, *(after for _, after in admission.replaced)])
        memory.store(memory.jobs[it]._replace(has_dependents=True) for it in placing.awaited)
        memory.open_batches(stored)
        for link in placing.links:
            memory.links.setdefault(link.child, []).append(link)
        return admission.stored_as(stored).added

    def find(self, job_id: str) -> Job:
        return self._memory.found(job_id)

    def search(
        self,
        *,
        states: Chosen = (),
        queues: Chosen = (),
        keys: Chosen = (),
        tags: Chosen = (),
        limit: int | None = None,
        by_end: bool = False,
    ) -> Sequence[Job]:
        newest_first = reversed(list(self._memory.jobs.values()))
        found = [job for job in newest_first if _among(job.state, states) and _among(job.queue, queues)]
        found = [job for job in found if _among(job.key, keys) and (not tags or set(job.tags) & set(tags))]
        if by_end:
            found.sort(key=lambda job: job.finished_at or job.updated_at, reverse=True)
        return found[:limit]

    def change(self, job_id: str, decide: Decide) -> Job:
        before = self._memory.found(job_id)
        job = decide(before)
        if job_id in (refused := self._memory.regained([(before, job)])):
            raise not_regained(job, refused[job_id])
        self._memory.store([job])
        self._memory.expose([before])
        if before.state in TERMINAL and job.state in CLAIMABLE:
            self._memory.open_batches([job])
        if before.blockers and not job.blockers:
            self._memory.links[job_id] = [it for it in self._memory.links.get(job_id, ()) if it.is_met]
        return job

    def change_dead(self, decide: Decide, *, until: datetime, limit: int) -> Sequence[Job]:
        due = [job for job in self._memory.dead() if job.updated_at <= until]
        changes = [(job, decide(job)) for job in due[:limit]]
        refused = self._memory.regained(changes)
        changed = [job._replace(updated_at=until + MICROSECOND) if job.id in refused else it for job, it in changes]
        self._memory.store(changed)
        self._memory.open_batches(job for job in changed if job.state in CLAIMABLE)
        return changed

    def remove(self, job_id: str, *, allow: Decide, at: datetime) -> Removed:
        allow(job := self._memory.found(job_id))
        cancelled = self._memory.cancel_children(job, at)
        self._memory.remove(job_id)
        return Removed([job_id], cancelled)

    def remove_dead(self, *, limit: int, at: datetime) -> Removed:
        dead = self._memory.dead()[:limit]
        removed = [self.remove(job.id, allow=lambda job: job, at=at) for job in dead]
        return Removed([job.id for job in dead], [job for each in removed for job in each.cancelled])


class InMemoryAttempts(InMemory):
    def attempts_of(self, job_id: str) -> Sequence[Attempt]:
        return [attempt for (owner, _), attempt in sorted(self._memory.attempts.items()) if owner == job_id]

    def outputs_of(self, job_ids: Sequence[str]) -> Mapping[str, bytes]:
        ended = [it for it in self._memory.attempts.values() if it.outcome is not None and it.job_id in job_ids]
        return {it.job_id: it.output.content for it in sorted(ended, key=lambda it: it.number)}


class InMemoryDependencies(InMemory):
    def resolve(self, job_id: str, *, at: datetime) -> Resolved:
        memory, job = self._memory, self._memory.jobs.get(job_id)
        if job is None or job.state not in TERMINAL:
            return Resolved()
        done = memory.look_after(job_id, lambda on: standing(on, job.state), lambda _: reason(job_id, job.state), at)
        if not memory.children_of(job_id):
            memory.store([job._replace(has_dependents=False)])
        return done

    def finish(self, batch: str, *, at: datetime) -> Resolved:
        counts = self._memory.counts(batch)
        if batch not in self._memory.batches or any(counts[it] for it in (*CLAIMABLE, State.PROCESSING)):
            return Resolved()
        finished_at = self._memory.batches[batch].finished_at or at
        self._memory.batches[batch] = self._memory.batches[batch]._replace(finished_at=finished_at)
        return self._memory.look_after(
            f"{BATCH}{batch}", lambda on: standing_after_batch(on, counts), lambda on: batch_reason(batch, on), at
        )

    def unresolved(self, *, limit: int) -> Unresolved:
        memory = self._memory
        ended = [job for job in memory.jobs.values() if job.state in TERMINAL and job.has_dependents]
        jobs = [job.id for job in ended if job.state is not State.DEAD or self._are_decided(job)]
        batches = [name for name in memory.batches if self._is_left(name)]
        return Unresolved(jobs[:limit], batches[:limit])

    def _are_decided(self, job: Job) -> bool:
        return any(it.dependency.on is not On.SUCCESS for _, it in self._memory.children_of(job.id))

    def _is_left(self, name: str) -> bool:
        memory, counts = self._memory, self._memory.counts(name)
        links = [link for _, link in memory.children_of(f"{BATCH}{name}")]
        stands = [standing_after_batch(link.dependency.on, counts) for link in links]
        has_ended = not any(counts[it] for it in (*CLAIMABLE, State.PROCESSING))
        return has_ended and (not memory.batches[name].finished_at or any(it is not Standing.WAITS for it in stands))

    def parents_of(self, job_ids: Sequence[str]) -> Mapping[str, Sequence[Parent]]:
        memory = self._memory
        found = {it: sorted(memory.links.get(it, ()), key=lambda link: link.dependency.parent) for it in job_ids}
        return {child: [self._parent(link) for link in links] for child, links in found.items() if links}

    def _parent(self, link: Link) -> Parent:
        job = self._memory.jobs.get(link.dependency.parent)
        return Parent(link.dependency, link.is_met, job and job.state)

    def waiting_for_dead(self) -> int:
        return len({job.id for dead in self._memory.dead() for job, _ in self._memory.children_of(dead.id)})


class InMemoryBatches(InMemory):
    def find(self, name: str) -> Batch:
        if name not in self._memory.batches:
            raise BatchNotFound(name)
        return self._shown(self._memory.batches[name])

    def newest(self, *, limit: int | None) -> Sequence[Batch]:
        batches = sorted(self._memory.batches.values(), key=lambda it: it.name)
        return [self._shown(it) for it in sorted(batches, key=lambda it: it.created_at, reverse=True)[:limit]]

    def _shown(self, batch: Batch) -> Batch:
        counts = self._memory.counts(batch.name)
        is_open = any(counts[it] for it in (*CLAIMABLE, State.PROCESSING))
        return batch._replace(jobs=counts, finished_at=None if is_open else batch.finished_at)


class InMemoryWork(InMemory):
    def claim(self, claim: Claim) -> Sequence[Run]:
        memory, at = self._memory, claim.at
        worker = memory.workers.get(claim.lease.worker)
        if worker is None or worker.state is not WorkerState.RUNNING or worker.lease_expires_at <= at:
            return []
        waiting = [job for job in memory.jobs.values() if claim.suspects in (None, job.suspect)]
        due = [job for job in waiting if job.is_due(at) and memory.serves(claim.queues, claim.labels, job)]
        due.sort(key=lambda job: job.claim_order)
        candidates = [Candidate(seq, it.queue, it.spec.key, it.spec.key_limit) for seq, it in enumerate(due)]
        running = Counter(job.spec.key for job in memory.running() if job.spec.key is not None)
        rooms = {queue: memory.room(queue, at) for queue in {job.queue for job in due}}
        choice = choose(candidates, running, rooms, claim.limit)
        memory.store(due[seq]._replace(waits_for=WaitsFor.KEY) for seq in choice.parked)
        return [self._start(due[it.seq], it, worker, claim) for it in choice.starts]

    def _start(self, before: Job, start: Start, worker: WorkerRecord, claim: Claim) -> Run:
        memory = self._memory
        if start.start is not None:
            memory.used[before.queue].append(claim.at)
        memory.store([job := before.claimed(claim.lease, claim.at, start.slot)])
        key = job.id, job.attempts
        memory.due[key] = before.run_at
        memory.attempts[key] = Attempt(*key, lease=claim.lease, host=worker.host, started_at=claim.at)
        return Run(job=job, lease=claim.lease, policy=Policy.of_queue(job.queue, memory.settings))

    def settle(self, ends: Ends, decide: DecideEnd) -> Sequence[Settled]:
        return [self._settled(end, decide) for end in ends]

    def _settled(self, end: AttemptEnd, decide: DecideEnd) -> Settled:
        key = end.job_id, end.number
        attempt = self._memory.attempts.get(key)
        if attempt is None or attempt.lease != end.lease:
            return Settled(Settlement.GONE, None)
        job = self._memory.jobs[end.job_id]
        if job.lease == end.lease and attempt.outcome is None:
            self._memory.expose([job])
            self._memory.store([job := decide(job, end)])
            self._memory.end_attempt(key, end.at, end.result)
        elif (attempt.outcome, attempt.finished_at) != (end.result.outcome, end.at):
            output = attempt.output if attempt.output.content else end.result.output
            self._memory.attempts[key] = attempt._replace(late=end.result.outcome, output=output)
            return Settled(Settlement.LATE, None)
        return Settled(Settlement.RECORDED, job)

    def settle_and_claim(self, ends: Ends, decide: DecideEnd, claim: Claim) -> tuple[Sequence[Settled], Sequence[Run]]:
        return self.settle(ends, decide), self.claim(claim)

    def sweep_keys(self, after: str, *, limit: int) -> Sweep:
        return Sweep([], "")

    def held_by(self, worker_id: str) -> Sequence[Job]:
        return self._memory.held_by(worker_id)

    def cancel_requests(self, worker_id: str, job_ids: Collection[str]) -> Sequence[Job]:
        return [it for it in self._memory.held_by(worker_id) if it.id in job_ids and it.cancel_requested_at]

    def first_due(self, *, queues: Chosen, labels: Chosen = ()) -> FirstDue:
        memory, earliest = self._memory, {False: [], True: []}
        for job in memory.jobs.values():
            if job.state in CLAIMABLE and job.waits_for is None and memory.serves(queues, labels, job):
                opens_at = memory.opens_at(job.queue)
                if opens_at is not None:
                    earliest[job.suspect].append(max(opens_at, job.run_at))
        return FirstDue(*(min(earliest[it], default=None) for it in (False, True)))

    def rescue(
        self, worker_id: str, decide: DecideLost, *, at: datetime, proved_dead: bool, silent_since: Moment = None
    ) -> Sequence[Job]:
        worker = self._memory.alive(worker_id)
        if worker is None or (worker.lease_expires_at > at and not proved_dead and worker.renewed_at != silent_since):
            return []
        held, before = self._memory.held_by(worker_id), self._memory.lost_by(worker_id, at)
        rescued = [decide(job, len(held) == 1 and not before) for job in held]
        for job in rescued:
            lost = RunResult(outcome=Outcome.LOST, error=job.last_error)
            self._memory.end_attempt((job.id, job.attempts), job.updated_at, lost)
        self._memory.store(rescued)
        self._memory.expose(rescued)
        self._memory.change(worker_id, state=WorkerState.LOST)
        return rescued


class InMemoryWorkers(InMemory):
    def register(self, worker: WorkerRecord) -> None:
        self._memory.workers[worker.id] = worker

    def renew(self, worker_id: str, *, state: WorkerState, at: datetime, until: datetime) -> bool:
        return self._memory.change(worker_id, state=state, renewed_at=at, lease_expires_at=until)

    def retire(self, worker_id: str, *, at: datetime) -> None:
        if not self._memory.held_by(worker_id):
            self._memory.change(worker_id, state=WorkerState.STOPPED, renewed_at=at)

    def live(self) -> Sequence[WorkerRecord]:
        return [it for it in self._all() if it.state in LIVE]

    def expired_or_local(self, *, at: datetime, machine: str, beyond: datetime) -> Sequence[WorkerRecord]:
        return [it for it in self.live() if it.process.machine == machine or not at < it.lease_expires_at <= beyond]

    def stopped_on(self, machine: str) -> Sequence[WorkerRecord]:
        return [it for it in self._all() if it.state not in LIVE and it.process.machine == machine]

    def _all(self) -> Sequence[WorkerRecord]:
        workers = sorted(self._memory.workers.values(), key=lambda worker: worker.started_at)
        return [replace(worker, jobs=len(self._memory.held_by(worker.id))) for worker in workers]


class InMemoryConfig(InMemory):
    def stored(self, queue: str = "") -> Mapping[str, str]:
        return self.by_queue().get(queue, {})

    def by_queue(self) -> StoredSettings:
        return {queue: dict(texts) for queue, texts in self._memory.settings.items() if texts}

    def store(self, key: str, value: str, queue: str = "") -> None:
        self._memory.settings[queue][key] = value

    def clear(self, key: str, queue: str = "") -> None:
        self._memory.settings[queue].pop(key, None)


class InMemoryQueues(InMemory):
    def all(self) -> Mapping[str, QueueSettings]:
        return dict(self._memory.queues)

    def change(self, name: str, decide: DecideSettings) -> QueueSettings:
        decided = self._memory.queues[name] = decide(self._memory.queue(name))
        counting = decided.rate.starts if decided.rate else 0
        self._memory.used[name] = sorted(self._memory.used[name])[-counting:] if counting else []
        return decided

    def starts(self, *, at: datetime) -> Mapping[str, Starts]:
        return {name: self._starts(it.rate, self._memory.used[name], at) for name, it in self.all().items() if it.rate}

    def _starts(self, rate: Rate, used: list[datetime], at: datetime) -> Starts:
        free = sorted(it + rate.period for it in used if it + rate.period > at)[-rate.starts :]
        return Starts(len(free), free[0] if len(free) == rate.starts else None)

    def move(self, name: str, to: str, *, states: Chosen, at: datetime) -> int:
        found = [it for it in self._memory.jobs.values() if it.queue == name and it.state in states]
        for job in found:
            spec = job.spec._replace(queue=to)
            moved = job._replace(spec=spec, waits_for=_but_for_key(job.waits_for), updated_at=at)
            self._memory.store([moved])
        self._memory.expose(found)
        return len(found)

    def forget(self, name: str) -> None:
        unfinished = [it for it in self._memory.jobs.values() if it.queue == name and it.state not in TERMINAL]
        live = [it.queues for it in self._memory.workers.values() if it.state in LIVE]
        check_forgettable(name, len(unfinished), live)
        for each in (self._memory.queues, self._memory.used, self._memory.settings):
            each.pop(name, None)


class InMemoryMeasurements(InMemory):
    def counts(self) -> Mapping[State, int]:
        return {state: sum(job.state is state for job in self._memory.jobs.values()) for state in State}

    def due(self, *, at: datetime) -> Mapping[str, int]:
        return Counter(job.queue for job in self._memory.jobs.values() if job.is_due(at))

    def backlog(self, *, at: datetime) -> Sequence[Backlog]:
        found: dict[tuple[str, State, Sequence[str]], list[Job]] = defaultdict(list)
        for job in self._memory.jobs.values():
            if job.state not in (State.COMPLETED, State.CANCELLED):
                found[job.queue, job.state, tuple(job.spec.needs)].append(job)
        rows = []
        for group, jobs in sorted(found.items()):
            due = [it.run_at for it in jobs if it._replace(waits_for=_but_for_key(it.waits_for)).is_due(at)]
            rows.append(Backlog(*group, len(jobs), len(due), min(due, default=None)))
        return rows

    def metrics(self, *, since: datetime, detailed: bool) -> Metrics:
        ended = [it for it in self._memory.attempts.values() if it.finished_at and it.finished_at >= since]
        ran = [attempt for attempt in ended if attempt.outcome in RAN]
        completions = [attempt.number for attempt in ended if attempt.outcome is Outcome.SUCCEEDED]
        return Metrics(
            since=since,
            attempts={outcome: [it.outcome for it in ended].count(outcome) for outcome in Outcome},
            completed=len(completions),
            dead=sum(job.finished_at is not None and job.finished_at >= since for job in self._memory.dead()),
            retried=sum(number > 1 for number in completions),
            most_attempts=max(completions, default=0),
            wait=_percentiles([it.started_at - self._memory.due[it.job_id, it.number] for it in ran]),
            run=_percentiles(list(map(_ran, ran))),
            workers=_totals((it.lease.worker, it) for it in ended) if detailed else (),
            queues=_totals((self._memory.jobs[it.job_id].queue, it) for it in ended) if detailed else (),
        )


class InMemorySurroundings(InMemory):
    def of_job(self, job_id: str, *, at: datetime) -> Surroundings:
        job = self._memory.jobs.get(job_id)
        if job is None:
            return Surroundings()
        around, running = self._around(job, at), self._memory.running()
        ends = [it for it in self._memory.attempts.values() if it.finished_at and it.outcome in RAN]
        runs = sorted(_ran(it) for it in ends if self._memory.jobs[it.job_id].queue == job.queue)
        in_slots = [it for it in running if it.queue == job.queue and it.slot is not None]
        return around._replace(
            key_holders=_holders(it for it in running if it.spec.key is not None and it.spec.key == job.spec.key),
            queue_holders=_holders(sorted(in_slots, key=lambda it: it.slot)) if around.queue_running else (),
            before=min(MAX_BEFORE, len(self._before(job, max(at, job.run_at)))),
            usual_run=runs[(len(runs) - 1) // 2] if runs else None,
        )

    def of_jobs(self, job_ids: Sequence[str], *, at: datetime) -> Mapping[str, Surroundings]:
        jobs = [self._memory.jobs[job_id] for job_id in job_ids if job_id in self._memory.jobs]
        found = {job.id: self._around(job, at) for job in jobs}
        behind = [job.id for job in jobs if job.waits_for is None and self._before(job, at)]
        return {job_id: it._replace(before=int(job_id in behind)) for job_id, it in found.items()}

    def _around(self, job: Job, at: datetime) -> Surroundings:
        memory, queue, running = self._memory, self._memory.queue(job.queue), self._memory.running()
        used = sorted(memory.used[job.queue])
        next_start = None
        if queue.rate is not None and len(used) >= queue.rate.starts:
            next_start = used[-queue.rate.starts] + queue.rate.period
        links = memory.links.get(job.id, []) if job.waits_for is WaitsFor.JOBS else []
        parents = [link.dependency for link in links if not link.is_met]
        states = {parent: memory.jobs[parent].state for parent, _ in parents if parent in memory.jobs}
        return Surroundings(
            parents=[(it, states.get(it.parent)) for it in sorted(parents)],
            key_running=sum(it.spec.key is not None and it.spec.key == job.spec.key for it in running),
            queue_running=sum(it.queue == job.queue and it.slot is not None for it in running),
            next_start=next_start if next_start is not None and next_start > at else None,
        )

    def _before(self, job: Job, due_by: datetime) -> list[Job]:
        memory, jobs = self._memory, list(self._memory.jobs.values())
        if job.state not in CLAIMABLE or job.waits_for is WaitsFor.JOBS:
            return []
        line = [it for it in jobs if it.state in CLAIMABLE and it.waits_for is job.waits_for]
        if job.waits_for is WaitsFor.KEY:
            line = [it for it in line if it.spec.key == job.spec.key]
        else:
            line = [it for it in line if it.run_at <= due_by]
        lane = memory.lane(job)
        ranked = sorted((it for it in line if memory.lane(it) == lane), key=lambda it: it.claim_order)
        return ranked[: ranked.index(job)] if job in ranked else ranked


def _holders(jobs: Iterable[Job]) -> list[Holder]:
    return [Holder(it.id, it.lease.worker if it.lease else "", it.started_at) for it in jobs][:MAX_HOLDERS]


def _among(value: str, chosen: Chosen) -> bool:
    return not chosen or value in chosen


def _but_for_key(waits_for: WaitsFor | None) -> WaitsFor | None:
    return None if waits_for is WaitsFor.KEY else waits_for


def _ran(attempt: Attempt) -> timedelta:
    return (attempt.finished_at or attempt.started_at) - attempt.started_at


def _percentiles(spans: list[timedelta]) -> Percentiles:
    in_order = sorted(spans)
    return Percentiles(*(in_order[math.ceil(len(spans) * part) - 1] if spans else None for part in (0.5, 0.95)))


def _totals(attempts: Iterable[tuple[str, Attempt]]) -> Sequence[Totals]:
    by_name: dict[str, list[Attempt]] = defaultdict(list)
    for name, attempt in attempts:
        by_name[name].append(attempt)
    return [
        Totals(
            name=name,
            succeeded=sum(it.outcome is Outcome.SUCCEEDED for it in group),
            failed=sum(it.outcome in (Outcome.FAILED, Outcome.TIMEOUT) for it in group),
            busy=sum(map(_ran, group), timedelta()),
        )
        for name, group in sorted(by_name.items())
    ]
