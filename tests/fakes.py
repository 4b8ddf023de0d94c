"""The ports served from memory. Each of these passes the contract suite that the real adapters pass."""

import math
import signal
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from queuectl.domain.attempt import Attempt, Outcome, RunResult
from queuectl.domain.errors import CommitUnknown, DatabaseUnreachable, DuplicateJob, JobNotFound
from queuectl.domain.job import CLAIMABLE, Job, State
from queuectl.domain.metrics import Metrics, Percentiles, Totals
from queuectl.domain.policy import Policy
from queuectl.domain.ports.host import KeptOutcome, LocalProcess, NotedCommand
from queuectl.domain.ports.jobs import Decide
from queuectl.domain.ports.work import DecideLost, Ended, FirstDue, Run, Settlement
from queuectl.domain.worker import Lease, Process, WorkerRecord, WorkerState

LIVE = (WorkerState.RUNNING, WorkerState.STOPPING)
MEASURED = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMEOUT)


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
    config: dict[str, str] = field(default_factory=dict)
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

    def held_by(self, worker_id: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.lease is not None and job.lease.worker == worker_id]

    def lost_by(self, worker_id: str, at: datetime) -> list[Attempt]:
        worker = self.workers[worker_id]
        since = min(worker.renewed_at, at) - (worker.lease_expires_at - worker.renewed_at)
        lost = [it for it in self.attempts.values() if it.outcome is Outcome.LOST and it.lease.worker == worker_id]
        return [it for it in lost if it.finished_at is not None and it.finished_at >= since]

    def end_attempt(self, job: Job, result: RunResult) -> None:
        key = job.id, job.attempts
        self.attempts[key] = self.attempts[key]._replace(
            finished_at=job.updated_at,
            outcome=result.outcome,
            exit_code=result.exit_code,
            signal=result.signal,
            error=result.error,
            output=result.output,
        )

    def remove(self, job_id: str) -> None:
        del self.jobs[job_id]
        for key in [key for key in self.attempts if key[0] == job_id]:
            del self.attempts[key], self.due[key]


class InMemoryJobs:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def add(self, jobs: Iterable[Job]) -> None:
        with self._memory.transaction():
            new = list(jobs)
            given = Counter(job.id for job in new)
            taken = [job_id for job_id in given if job_id in self._memory.jobs]
            repeated = [job_id for job_id, times in given.items() if times > 1]
            if taken or repeated:
                raise DuplicateJob(taken, repeated=repeated)
            self._memory.jobs.update({job.id: job for job in new})

    def find(self, job_id: str) -> Job:
        with self._memory.transaction():
            return self._found(job_id)

    def search(
        self,
        *,
        states: Collection[State] = (),
        queues: Collection[str] = (),
        limit: int | None = None,
        by_end: bool = False,
    ) -> Sequence[Job]:
        with self._memory.transaction():
            newest_first = reversed(list(self._memory.jobs.values()))
            found = [job for job in newest_first if _among(job.state, states) and _among(job.queue, queues)]
            if by_end:
                found.sort(key=lambda job: job.finished_at or job.updated_at, reverse=True)
            return found[:limit]

    def attempts_of(self, job_id: str) -> Sequence[Attempt]:
        with self._memory.transaction():
            return [attempt for (owner, _), attempt in sorted(self._memory.attempts.items()) if owner == job_id]

    def outputs_of(self, job_ids: Sequence[str]) -> Mapping[str, bytes]:
        with self._memory.transaction():
            ended = [it for it in self._memory.attempts.values() if it.outcome is not None and it.job_id in job_ids]
            return {it.job_id: it.output.content for it in sorted(ended, key=lambda it: it.number)}

    def claim(
        self,
        lease: Lease,
        *,
        queues: Collection[str],
        limit: int,
        at: datetime,
        suspects: bool | None = None,
    ) -> Sequence[Run]:
        with self._memory.transaction():
            worker = self._memory.workers.get(lease.worker)
            if worker is None or worker.state is not WorkerState.RUNNING or worker.lease_expires_at <= at:
                return []
            waiting = [job for job in self._memory.jobs.values() if suspects in (None, job.suspect)]
            due = [job for job in waiting if job.is_due(at) and _among(job.queue, queues)]
            if not due:
                return []
            first = sorted(due, key=lambda job: (-job.priority, job.run_at))[:limit]
            claimed = [job.claimed(lease, at) for job in first]
            for before, job in zip(first, claimed, strict=True):
                key = job.id, job.attempts
                self._memory.jobs[job.id] = job
                self._memory.due[key] = before.run_at
                self._memory.attempts[key] = Attempt(
                    job_id=job.id, number=job.attempts, lease=lease, host=worker.host, started_at=at
                )
            policy = Policy.of(self._memory.config)
            return [Run(job=job, lease=lease, policy=policy) for job in claimed]

    def held_by(self, worker_id: str) -> Sequence[Job]:
        with self._memory.transaction():
            return self._memory.held_by(worker_id)

    def asked_to_cancel(self, worker_id: str, job_ids: Collection[str]) -> Sequence[Job]:
        with self._memory.transaction():
            held = [job for job in self._memory.held_by(worker_id) if job.id in job_ids]
            return [job for job in held if job.cancel_requested_at is not None]

    def first_due(self, *, queues: Collection[str]) -> FirstDue:
        with self._memory.transaction():
            jobs = [job for job in self._memory.jobs.values() if job.state in CLAIMABLE and _among(job.queue, queues)]
            return FirstDue(
                job=min((job.run_at for job in jobs if not job.suspect), default=None),
                suspect=min((job.run_at for job in jobs if job.suspect), default=None),
            )

    def settle(self, job: Job, lease: Lease, result: RunResult) -> Settlement:
        with self._memory.transaction():
            key = job.id, job.attempts
            attempt = self._memory.attempts.get(key)
            if attempt is None or attempt.lease != lease:
                return Settlement.GONE
            if attempt.outcome is None:
                stored = self._memory.jobs[job.id]
                asked = {name: getattr(stored, name) for name in ("cancel_requested_at", "cancel_requested_by")}
                heeded = job._replace(**asked).heeding_cancel()
                self._memory.jobs[job.id] = heeded
                self._memory.end_attempt(job, result)
                return Settlement.RECORDED if heeded.state is job.state else Settlement.CANCELLED
            if (attempt.outcome, attempt.finished_at) == (result.outcome, job.updated_at):
                return Settlement.RECORDED
            output = attempt.output if attempt.output.content else result.output
            self._memory.attempts[key] = attempt._replace(late=result.outcome, output=output)
            return Settlement.LATE

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
        with self._memory.transaction():
            settlements = [self.settle(each.job, each.lease, each.result) for each in ended]
            return settlements, self.claim(lease, queues=queues, limit=limit, at=at, suspects=suspects)

    def change(self, job_id: str, decide: Decide) -> Job:
        with self._memory.transaction():
            job = decide(self._found(job_id))
            self._memory.jobs[job_id] = job
            return job

    def change_some(self, state: State, decide: Decide, *, until: datetime, limit: int) -> Sequence[Job]:
        with self._memory.transaction():
            due = [job for job in self._oldest(state, None) if job.updated_at <= until]
            changed = [decide(job) for job in due[:limit]]
            self._memory.jobs.update({job.id: job for job in changed})
            return changed

    def remove(self, job_id: str, *, allow: Decide) -> None:
        with self._memory.transaction():
            allow(self._found(job_id))
            self._memory.remove(job_id)

    def remove_some(self, state: State, *, limit: int) -> Sequence[str]:
        with self._memory.transaction():
            removed = self._oldest(state, limit)
            for job in removed:
                self._memory.remove(job.id)
            return [job.id for job in removed]

    def rescue(
        self,
        worker_id: str,
        decide: DecideLost,
        *,
        at: datetime,
        proved_dead: bool,
        silent_since: datetime | None = None,
    ) -> Sequence[Job]:
        with self._memory.transaction():
            worker = self._memory.workers.get(worker_id)
            if worker is None or worker.state not in LIVE:
                return []
            is_gone = proved_dead or worker.renewed_at == silent_since
            if worker.lease_expires_at > at and not is_gone:
                return []
            held, before = self._memory.held_by(worker_id), self._memory.lost_by(worker_id, at)
            rescued = [decide(job, len(held) == 1 and not before) for job in held]
            for job in rescued:
                self._memory.jobs[job.id] = job
                self._memory.end_attempt(job, RunResult(outcome=Outcome.LOST, error=job.last_error))
            self._memory.workers[worker_id] = replace(worker, state=WorkerState.LOST)
            return rescued

    def _found(self, job_id: str) -> Job:
        if job_id not in self._memory.jobs:
            raise JobNotFound(job_id)
        return self._memory.jobs[job_id]

    def _oldest(self, state: State, limit: int | None) -> list[Job]:
        return [job for job in self._memory.jobs.values() if job.state is state][:limit]


class InMemoryWorkers:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def register(self, worker: WorkerRecord) -> None:
        with self._memory.transaction():
            self._memory.workers[worker.id] = worker

    def renew(self, worker_id: str, *, state: WorkerState, at: datetime, until: datetime) -> bool:
        with self._memory.transaction():
            worker = self._memory.workers.get(worker_id)
            if worker is None or worker.state not in LIVE:
                return False
            self._memory.workers[worker_id] = replace(worker, state=state, renewed_at=at, lease_expires_at=until)
            return True

    def retire(self, worker_id: str, *, at: datetime) -> None:
        with self._memory.transaction():
            worker = self._memory.workers.get(worker_id)
            if worker is not None and worker.state in LIVE and not self._memory.held_by(worker_id):
                self._memory.workers[worker_id] = replace(worker, state=WorkerState.STOPPED, renewed_at=at)

    def live(self) -> Sequence[WorkerRecord]:
        with self._memory.transaction():
            return self._live()

    def suspects(self, *, at: datetime, machine: str, beyond: datetime) -> Sequence[WorkerRecord]:
        with self._memory.transaction():
            return self._live(
                lambda worker: not at < worker.lease_expires_at <= beyond or worker.process.machine == machine
            )

    def ended_on(self, machine: str) -> Sequence[WorkerRecord]:
        with self._memory.transaction():
            ended = [worker for worker in self._memory.workers.values() if worker.state not in LIVE]
            return sorted((it for it in ended if it.process.machine == machine), key=lambda worker: worker.started_at)

    def _live(self, chosen: Callable[[WorkerRecord], bool] = lambda _: True) -> list[WorkerRecord]:
        live = [worker for worker in self._memory.workers.values() if worker.state in LIVE and chosen(worker)]
        in_order = sorted(live, key=lambda worker: worker.started_at)
        return [replace(worker, jobs=len(self._memory.held_by(worker.id))) for worker in in_order]


class InMemoryLocalProcesses:
    """What one process sees and says in a `machine`'s registrations, by process; `end` has another one killed."""

    def __init__(
        self,
        machine: dict[Process, LocalProcess],
        own: Process,
        *,
        end: Callable[[LocalProcess], None] = lambda _: None,
    ) -> None:
        self._machine = machine
        self._own = own
        self._end = end

    def join(self, supervisor: Process | None, *, worker: str = "") -> bool:
        self._machine[self._own] = LocalProcess(self._own, supervisor or self._own, worker, is_alive=True)
        return True

    def renew(self, lease_ends: timedelta, *, kill_grace: timedelta, fit_until: timedelta) -> None:
        if self._own in self._machine:
            own = self._machine[self._own]
            self._say(own._replace(lease_ends=lease_ends, kill_grace=kill_grace, fit_until=fit_until))

    def note(self, slot: int, pid: int, output: int) -> None:
        commands = [*self._machine[self._own].commands]
        commands += [NotedCommand(0, timedelta(), 0)] * (slot + 1 - len(commands))
        commands[slot] = NotedCommand(pid, timedelta(), output)
        self._say(self._machine[self._own]._replace(commands=commands))

    def registered(self, *, of: Collection[str] = ()) -> Sequence[LocalProcess]:
        return [it._replace(commands=[each for each in it.commands if each.output]) for it in self._machine.values()]

    def send(self, target: LocalProcess, number: signal.Signals) -> bool:
        return self._is_alive(target)

    def kill(self, target: LocalProcess) -> bool:
        self._end(target)
        if self._is_alive(target):
            self._say(self._machine[target.process]._replace(is_alive=False))
        return True

    def forget(self, gone: LocalProcess) -> None:
        if not self._is_alive(gone):
            self._machine.pop(gone.process, None)

    def _is_alive(self, target: LocalProcess) -> bool:
        return target.process in self._machine and self._machine[target.process].is_alive

    def _say(self, said: LocalProcess) -> None:
        self._machine[said.process] = said


class InMemoryConfig:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def stored(self) -> Mapping[str, str]:
        with self._memory.transaction():
            return dict(self._memory.config)

    def store(self, key: str, value: str) -> None:
        with self._memory.transaction():
            self._memory.config[key] = value

    def clear(self, key: str) -> None:
        with self._memory.transaction():
            self._memory.config.pop(key, None)


class InMemoryMeasurements:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def counts(self) -> Mapping[State, int]:
        with self._memory.transaction():
            states = [job.state for job in self._memory.jobs.values()]
            return {state: states.count(state) for state in State}

    def due(self, *, at: datetime) -> Mapping[str, int]:
        with self._memory.transaction():
            return Counter(job.queue for job in self._memory.jobs.values() if job.is_due(at))

    def metrics(self, *, since: datetime, detailed: bool) -> Metrics:
        with self._memory.transaction():
            ended = [it for it in self._memory.attempts.values() if it.finished_at and it.finished_at >= since]
            measured = [attempt for attempt in ended if attempt.outcome in MEASURED]
            outcomes = [attempt.outcome for attempt in ended]
            done = [job for job in self._memory.jobs.values() if job.finished_at and job.finished_at >= since]
            completions = [attempt.number for attempt in ended if attempt.outcome is Outcome.SUCCEEDED]
            return Metrics(
                since=since,
                attempts={outcome: outcomes.count(outcome) for outcome in Outcome},
                completed=len(completions),
                dead=len([job for job in done if job.state is State.DEAD]),
                retried=len([number for number in completions if number > 1]),
                most_attempts=max(completions, default=0),
                wait=_percentiles([it.started_at - self._memory.due[it.job_id, it.number] for it in measured]),
                run=_percentiles([_ran(attempt) for attempt in measured]),
                workers=_totals((it.lease.worker, it) for it in ended) if detailed else (),
                queues=_totals((self._memory.jobs[it.job_id].queue, it) for it in ended) if detailed else (),
            )


def _among(value: str, chosen: Collection[str]) -> bool:
    return not chosen or value in chosen


def _ran(attempt: Attempt) -> timedelta:
    assert attempt.finished_at is not None
    return attempt.finished_at - attempt.started_at


def _percentiles(spans: list[timedelta]) -> Percentiles:
    def nearest_rank(percent: int) -> timedelta | None:
        return sorted(spans)[math.ceil(len(spans) * percent / 100) - 1] if spans else None

    return Percentiles(p50=nearest_rank(50), p95=nearest_rank(95))


def _totals(attempts: Iterable[tuple[str, Attempt]]) -> Sequence[Totals]:
    by_name: dict[str, list[Attempt]] = defaultdict(list)
    for name, attempt in attempts:
        by_name[name].append(attempt)
    return [
        Totals(
            name=name,
            succeeded=len([it for it in group if it.outcome is Outcome.SUCCEEDED]),
            failed=len([it for it in group if it.outcome in (Outcome.FAILED, Outcome.TIMEOUT)]),
            busy=sum(map(_ran, group), timedelta()),
        )
        for name, group in sorted(by_name.items())
    ]


class InMemorySpool:
    """`room` is for how many outcomes it has room."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self._kept: dict[tuple[str, int, str], KeptOutcome] = {}

    def keep(self, outcome: KeptOutcome) -> bool:
        if len(self._kept) >= self.room:
            return False
        self._kept[_whose(outcome)] = outcome
        return True

    def kept(self) -> Sequence[KeptOutcome]:
        return list(self._kept.values())

    def forget(self, outcome: KeptOutcome) -> None:
        self._kept.pop(_whose(outcome), None)


def _whose(outcome: KeptOutcome) -> tuple[str, int, str]:
    return outcome.job_id, outcome.attempt, outcome.lease.id


class ManualClock:
    """Time is a value: called, it is the moment; `elapsed` is the time since boot; both move by `advance` alone."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._elapsed = timedelta(days=3)

    def __call__(self) -> datetime:
        return self.now

    def elapsed(self) -> timedelta:
        return self._elapsed

    def advance(self, span: timedelta) -> None:
        self.now += span
        self._elapsed += span


class ScriptedRunner:
    """Commands that end as they are told: by `scripts` (job id to the results of its runs, in turn) or by `end`.

    A `wait` that has nothing to report moves the clock on by its timeout.
    """

    def __init__(self, clock: ManualClock, scripts: Mapping[str, Sequence[RunResult]] | None = None) -> None:
        self._clock = clock
        self._scripts = {job_id: deque(results) for job_id, results in (scripts or {}).items()}
        self._ended: list[tuple[Run, RunResult]] = []
        self._woken = False
        self.running: dict[str, Run] = {}
        self.started: list[str] = []
        self.waited: list[timedelta] = []
        self.stops: list[tuple[Outcome, timedelta]] = []
        self.stuck = 0
        self.grace = timedelta()

    def start(self, run: Run) -> None:
        self.started.append(run.job.id)
        self.running[run.job.id] = run
        if script := self._scripts.get(run.job.id):
            self.end(run.job.id, script.popleft())

    def end(self, job_id: str, result: RunResult) -> None:
        self._ended.append((self.running.pop(job_id), result))

    def wait(self, timeout: timedelta) -> Sequence[tuple[Run, RunResult]]:
        self.waited.append(timeout)
        if not self._ended and not self._woken:
            self._clock.advance(timeout)
        self._woken = False
        ended, self._ended = self._ended, []
        return ended

    def set_grace(self, grace: timedelta) -> None:
        self.grace = grace

    def stop(self, outcome: Outcome, *, grace: timedelta, job_id: str | None = None) -> None:
        self.stops.append((outcome, grace))
        for each in [it for it in self.running if job_id in (None, it)]:
            self.end(each, RunResult(outcome=outcome, error="stopped"))

    def wake(self) -> None:
        self._woken = True
