"""Hosts with workers, their supervisors and an operator, around one database: the real core in simulated time."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from queuectl.application.duties.lease_watch import LeaseWatch
from queuectl.application.duties.machine import ThisMachine
from queuectl.application.duties.rescue import Rescue
from queuectl.application.ends import look_after
from queuectl.application.operate.cancel import cancel_job
from queuectl.application.operate.enqueue import enqueue_jobs
from queuectl.application.operate.queue import Queue
from queuectl.application.work.duty import WorkerPorts
from queuectl.application.work.lease import Heartbeat, LeaseTerm
from queuectl.application.work.settle import settle_spooled
from queuectl.application.work.worker import Worker
from queuectl.domain.attempt import Outcome
from queuectl.domain.errors import DatabaseUnavailable, DuplicateJob, WrongState
from queuectl.domain.events import Event
from queuectl.domain.job import DEFAULT_QUEUE, TERMINAL, Job, JobRequest
from queuectl.domain.policy import Policy
from queuectl.domain.ports.config import ConfigRepository
from queuectl.domain.ports.host import LocalProcess, NotedCommand
from queuectl.domain.ports.work import Run, Work
from queuectl.domain.ports.workers import WorkerRegistry
from queuectl.domain.queues import QueueSettings
from queuectl.domain.worker import Process, WorkerRecord, WorkerState
from tests.builders import NOON
from tests.fakes import InMemoryLocalProcesses, InMemorySpool
from tests.memory import (
    InMemoryAttempts,
    InMemoryBatches,
    InMemoryConfig,
    InMemoryDependencies,
    InMemoryJobs,
    InMemoryMeasurements,
    InMemoryQueues,
    InMemorySurroundings,
    InMemoryWork,
    InMemoryWorkers,
)
from tests.simulation.commands import Command, Script, SimulatedRunner
from tests.simulation.invariants import Member, Promises
from tests.simulation.network import SimFaults, SimNetwork
from tests.simulation.simulated_time import Action, SimulatedFlag, SimulatedProcess, Timeline

SINCE_BOOT = timedelta(days=3)

PATIENCE = timedelta(seconds=1)
"""The time for which a worker tries a transaction again, after a silence of a sixth of the lease: see `run_worker`."""


KEYS = {"one": 1, "two": 2}
"""The limit of each key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts under test; a mutant is put in place of one of them."""

    work: type[InMemoryWork] = InMemoryWork
    workers: type[InMemoryWorkers] = InMemoryWorkers
    heartbeat: type[Heartbeat] = Heartbeat
    worker: type[Worker] = Worker
    rescue: Callable[..., Callable[[Policy], timedelta]] = Rescue
    local: type[InMemoryLocalProcesses] = InMemoryLocalProcesses
    clear: bool = True
    """True: a rescuer ends what is left on its own host first."""
    server_clock: bool = True
    """True: workers on several hosts go by the server's clock, and not by their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job that the operator enqueues, how its runs go, and whether it is cancelled."""

    job: str
    at: timedelta
    scripts: Sequence[Script]
    """Of its runs, in turn; the last one of all that follow."""
    max_retries: int = 2
    priority: int = 5
    timeout: timedelta | None = None
    cancel_after: timedelta | None = None
    queue: str = DEFAULT_QUEUE
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A cluster before anything has happened in it."""

    seed: int
    hosts: int
    workers: int
    """On each host."""
    concurrency: int
    shares_a_file: bool
    """One host with one clock, as with SQLite; otherwise a server with a clock of its own."""
    policy: Mapping[str, str]
    orders: Sequence[Order]
    clock_errors: Sequence[timedelta]
    """By host: how wrong each knows the server's clock."""
    queues: Sequence[QueueSettings] = ()
    """Those with limits or a pause."""
    first_replaced_after: timedelta = timedelta()
    """The time, beyond the usual, until there is a worker in place of the first one that died."""


@dataclass(eq=False)
class Host:
    """A machine: its network, its clock, its disk, its workers and the commands that run on it."""

    name: str
    clock_error: timedelta
    boots: int = 1
    is_cut: bool = False
    stepped: timedelta = timedelta()
    """The error of its own clock, which has been set."""
    most_stepped: timedelta = timedelta()
    server_stepped: timedelta = timedelta()
    """The error of the server's clock, which has been set, as far as this host has heard."""
    supervisor: SimulatedProcess | None = None
    members: list["WorkerProcess"] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    spool: InMemorySpool = field(default_factory=InMemorySpool)
    registered: dict[Process, LocalProcess] = field(default_factory=dict)

    @property
    def machine(self) -> str:
        return f"{self.name}/{self.boots}"


class SimCluster:
    """Everything that happens from the plan on; what disturbs it is called from outside."""

    def __init__(
        self,
        plan: Plan,
        parts: Parts,
        trace: Callable[[timedelta, str], None] | None,
        suspects_wait: timedelta | None = None,
    ) -> None:
        """`suspects_wait`: the longest that a suspect may wait for a worker, where that is to be held."""
        self.plan = plan
        self.parts = parts
        self.timeline = Timeline()
        self.random = random.Random(plan.seed)
        self.policy = Policy.of(plan.policy)
        self.faults = SimFaults()
        self.hosts = [Host(f"h{number}", error) for number, error in enumerate(plan.clock_errors, start=1)]
        self.promises = Promises(lambda: self.timeline.now, self.latest, self.policy.max_losses, suspects_wait)
        self.memory = self.promises.memory
        self.memory.config.update(plan.policy)
        self.memory.queues.update({it.name: it for it in plan.queues})
        self.jobs, self.work = InMemoryJobs(self.memory), parts.work(self.memory)
        self.workers = parts.workers(self.memory)
        self.config = InMemoryConfig(self.memory)
        self.dependencies = InMemoryDependencies(self.memory)
        self.queues = InMemoryQueues(self.memory)
        self.scripts = {order.job: order.scripts for order in plan.orders}
        self._trace = trace
        self._pids = 100
        self._longer = plan.first_replaced_after
        self.server_stepped = self.most_stepped = timedelta()
        self.ordered = 0
        for host in self.hosts:
            self.start_workers(host)
        self.operator = Operator(self)

    def note(self, text: str) -> None:
        if self._trace is not None:
            self._trace(self.timeline.now, text)

    def latest(self) -> datetime:
        """The latest moment that the database's clock can have shown to anybody."""
        stepped = self.hosts[0].most_stepped if self.plan.shares_a_file else self.most_stepped
        return NOON + self.timeline.now + stepped

    def clock(self, host: Host) -> datetime:
        """The database's clock as that host knows it."""
        if self.plan.shares_a_file or not self.parts.server_clock:
            return NOON + self.timeline.now + host.stepped
        return NOON + self.timeline.now + host.clock_error + host.server_stepped

    def elapsed(self) -> timedelta:
        return SINCE_BOOT + self.timeline.now

    def network(self, process: SimulatedProcess, host: Host | None) -> SimNetwork:
        return SimNetwork(
            self.timeline,
            process,
            faults=self.faults,
            is_cut=lambda: host is not None and host.is_cut,
            gives_up_after=self.policy.lease / 6 + PATIENCE,
            committed=self._committed if self._trace is not None else self.promises.committed,
            seed=self.random.randrange(1 << 30),
        )

    def new_pid(self) -> int:
        self._pids += 1
        return self._pids

    @property
    def is_quiet(self) -> bool:
        """True when all that was ordered has ended, and nothing runs that somebody could end."""
        return (
            self.operator.is_done
            and all(job.state in TERMINAL for job in self.memory.jobs.values())
            and not self.promises.left()
        )

    def end(self) -> None:
        """Let go of everything."""
        for host in self.hosts:
            for worker in list(host.members):
                worker.end()
            if host.supervisor is not None:
                host.supervisor.die()
        self.operator.end()

    # What supervisors and users do.

    def start_workers(self, host: Host) -> None:
        """`worker start` on a host that runs none."""
        host.supervisor = SimulatedProcess(self.timeline, f"{host.name} supervisor")
        for _ in range(self.plan.workers):
            WorkerProcess(self, host)

    def replace(self, worker: "WorkerProcess") -> None:
        """Do as the supervisor when a worker has ended: kill what it left behind, start another."""
        host, supervisor = worker.host, worker.supervisor
        longer, self._longer = self._longer, timedelta()

        def clear_and_start() -> None:
            supervisor.pause(self.span(0.01, 0.3))
            self.kill_commands(host, worker.id, "the supervisor")
            supervisor.pause(self.span(0.3, 1.5) + longer)
            WorkerProcess(self, host)

        supervisor.start(clear_and_start)

    def kill_commands(self, host: Host, worker_id: str, who: str) -> None:
        for command in [it for it in host.commands if it.run.lease.worker == worker_id]:
            self.note(f"{host.name} {who} kills {command}")
            command.kill()

    # Faults.

    def crash(self, worker: "WorkerProcess") -> None:
        """`kill -9`."""
        if not worker.process.is_dead:
            worker.end()
            self.replace(worker)

    def crash_all(self, host: Host, *, back_after: timedelta) -> None:
        """`kill -9` for the supervisor and its workers, in one burst: their commands go on."""
        if host.supervisor is not None:
            host.supervisor.die()
        host.supervisor = None
        for command in host.commands:
            command.is_forsaken = True
        for worker in list(host.members):
            worker.end()
        self.timeline.after(back_after, lambda: None if host.supervisor else self.start_workers(host))

    def power_off(self, host: Host, *, back_after: timedelta) -> None:
        """The machine dies, and everything on it."""
        self.crash_all(host, back_after=back_after)
        host.boots += 1
        for command in list(host.commands):
            command.kill()

    def freeze_host(self, host: Host, span: timedelta) -> None:
        """The machine stands still: suspended, or starved."""
        processes = [host.supervisor, *(worker.process for worker in host.members)]
        frozen = [*(each for each in processes if each is not None), *host.commands]
        for each in frozen:
            each.freeze()

        def thaw() -> None:
            for each in frozen:
                each.thaw()

        self.timeline.after(span, thaw)

    def set_clock(self, host: Host, wrong_by: timedelta) -> None:
        host.stepped = wrong_by
        host.most_stepped = max(host.most_stepped, wrong_by)

    def set_server_clock(self, wrong_by: timedelta) -> None:
        """Each host hears of it when it asks for the time next, within ten seconds."""
        self.server_stepped = wrong_by
        self.most_stepped = max(self.most_stepped, wrong_by)
        for host in self.hosts:
            news = self.span(0, 9.9)
            self.timeline.after(news, lambda host=host: setattr(host, "server_stepped", self.server_stepped))

    def spawn(self, worker: "WorkerProcess", run: Run, on_end: Action) -> Command:
        scripts = self.scripts[run.job.id]
        script = scripts[min(run.job.attempts, len(scripts)) - 1]

        def ended(command: Command) -> None:
            worker.host.commands.remove(command)
            how = "is killed" if command.exit_code is None else f"ends with {command.exit_code}"
            self.note(f"{worker.host.name} command {command} {how}")
            self.promises.ended(command)
            on_end()

        command = Command(self.timeline, run, worker.process, worker.host.name, script, ended)
        worker.host.commands.append(command)
        if script.kills_its_worker:
            self.timeline.after(script.lasts / 2, lambda: None if command.is_over else self.crash(worker))
        self.note(f"{worker} command {command} starts, to last {script.lasts.total_seconds():.2f} s")
        self.promises.started(command)
        return command

    def span(self, least: float, most: float) -> timedelta:
        return timedelta(seconds=self.random.uniform(least, most))

    def _committed(
        self, caller: SimulatedProcess, what: str, args: tuple[object, ...], answer: object, sent_at: timedelta
    ) -> None:
        self.note(_described(caller, what, args, answer))
        self.promises.committed(caller, what, args, answer, sent_at)


class WorkerProcess:
    """One worker process: a worker, a heartbeat and a runner, as `run_worker` puts them together."""

    def __init__(self, cluster: SimCluster, host: Host) -> None:
        self.cluster, self.host = cluster, host
        pid = cluster.new_pid()
        self.id = f"w{pid}"
        self.process = SimulatedProcess(cluster.timeline, f"{host.name} {self.id}")
        assert host.supervisor is not None
        self.supervisor = host.supervisor
        self.worker: Worker | None = None
        self._pid = pid
        self.local = cluster.parts.local(host.registered, self.identity, end=self._kill)
        host.members.append(self)
        self.process.start(self._work)

    def __str__(self) -> str:
        return self.process.name

    def end(self) -> None:
        """Its process is gone."""
        self.process.die()
        if self.identity in self.host.registered:
            self.host.registered[self.identity] = self.host.registered[self.identity]._replace(is_alive=False)
        if self in self.host.members:
            self.host.members.remove(self)

    def stop(self, *, force: bool) -> None:
        if self.worker is not None:
            self.worker.stop(force=force)

    @property
    def identity(self) -> Process:
        return Process(machine=self.host.machine, pid=self._pid, started=1)

    def _renew_here(self, lease_ends: timedelta) -> None:
        self.local.renew(lease_ends, kill_grace=self.cluster.policy.kill_grace, fit_until=timedelta())

    def _kill(self, target: LocalProcess) -> None:
        """Kill one that has outlived its lease, as a rescuer does."""
        for it in self.host.members:
            if it.id == target.worker:
                self.cluster.note(f"{self} kills {it}")
                self.cluster.timeline.after(timedelta(), partial(self.cluster.crash, it))
        self.process.pause(timedelta(milliseconds=5))

    def _work(self) -> None:
        """Do as `run_worker`."""
        cluster = self.cluster
        network = cluster.network(self.process, self.host)
        work, workers, config = (network.reach(it) for it in (cluster.work, cluster.workers, cluster.config))
        try:
            lease = self._registered(workers, config)
        except DatabaseUnavailable:
            cluster.timeline.after(timedelta(), self._gone)
            return
        runner = SimulatedRunner(cluster.timeline, self.process, partial(cluster.spawn, self), self._take_up)
        heartbeat = cluster.parts.heartbeat(
            self.id,
            workers=workers,
            lease=lease,
            clock=self._clock,
            wake=runner.wake,
            sign_of_life=self._renew_here,
            new_flag=lambda: SimulatedFlag(self.process),
        )
        self.worker = self._made(work, workers, config, runner, heartbeat)
        self.process.start(heartbeat.run)
        self.process.start(lambda: heartbeat.watch(lambda grace: runner.stop(Outcome.LOST, grace=grace)))
        self.worker.run()
        heartbeat.close()
        try:
            workers.retire(self.id, at=self._clock())
        except DatabaseUnavailable:
            cluster.note(f"{self} could not retire")
        cluster.timeline.after(timedelta(), self._gone)

    def _registered(self, workers: WorkerRegistry, config: ConfigRepository) -> LeaseTerm:
        length = Policy.of(config.stored()).lease
        lease, record = LeaseTerm(length, elapsed=self.cluster.elapsed), self._record(length)
        member = Member(self.process, self.supervisor, self.host.name, length, self.cluster.timeline.now)
        self.cluster.promises.members[self.id] = member
        self.local.join(record.supervisor, worker=self.id)
        workers.register(record)
        self._renew_here(lease.ends_at)
        return lease

    def _made(
        self,
        work: Work,
        workers: WorkerRegistry,
        config: ConfigRepository,
        runner: SimulatedRunner,
        heartbeat: Heartbeat,
    ) -> Worker:
        cluster = self.cluster
        lease_ids = (f"{self.id}-{number}" for number in range(1, 1_000_000))
        return cluster.parts.worker(
            self.id,
            queues=(),
            concurrency=cluster.plan.concurrency,
            heartbeat=heartbeat,
            ports=WorkerPorts(
                work=work,
                config=config,
                runner=runner,
                spool=self.host.spool,
                events=self._note_event,
                new_lease_id=lambda: next(lease_ids),
                clock=self._clock,
                elapsed=cluster.elapsed,
                chance=cluster.random.random,
                look_after=self._look_after,
            ),
            fleet=[self._rescue(work, workers, config)],
        )

    def _rescue(self, work: Work, workers: WorkerRegistry, config: ConfigRepository) -> Callable[[Policy], timedelta]:
        cluster = self.cluster
        return cluster.parts.rescue(
            work=work,
            workers=workers,
            machine=ThisMachine(
                id=self.host.machine,
                local=self.local,
                is_alive=self._is_alive,
                clear=self._clear,
                elapsed=cluster.elapsed,
            ),
            config=config,
            settle_spooled=partial(
                settle_spooled,
                work=work,
                config=config,
                spool=self.host.spool,
                events=self._note_event,
                look_after=self._look_after,
            ),
            events=self._note_event,
            clock=self._clock,
            watch=LeaseWatch(cluster.elapsed),
            look_after=self._look_after,
        )

    def _look_after(self, jobs: Sequence[Job]) -> None:
        network = self.cluster.network(self.process, self.host)
        look_after(jobs, dependencies=network.reach(self.cluster.dependencies), clock=self._clock)

    def _clock(self) -> datetime:
        return self.cluster.clock(self.host)

    def _take_up(self, run: Run) -> timedelta:
        self.cluster.promises.taken_up(run)
        return self.cluster.span(0.001, 0.005)

    def _clear(self, worker_id: str, _noted: Sequence[NotedCommand]) -> None:
        if self.cluster.parts.clear:
            self.cluster.kill_commands(self.host, worker_id, self.id)

    def _gone(self) -> None:
        if not self.process.is_dead:
            self.cluster.note(f"{self} exits")
            self.end()
            self.cluster.replace(self)

    def _record(self, lease: timedelta) -> WorkerRecord:
        now = self.cluster.clock(self.host)
        return WorkerRecord(
            id=self.id,
            host=self.host.name,
            process=self.identity,
            supervisor=Process(machine=self.host.machine, pid=1, started=1),
            queues=(),
            concurrency=self.cluster.plan.concurrency,
            state=WorkerState.RUNNING,
            started_at=now,
            renewed_at=now,
            lease_expires_at=now + lease,
        )

    def _is_alive(self, process: Process) -> bool:
        return any(it._pid == process.pid for it in self.host.members)

    def _note_event(self, event: Event) -> None:
        if self.cluster._trace is not None:
            self.cluster.note(f"{self} {_described_event(event)}")


class Operator:
    """Enqueues and cancels as the plan's orders say, and asks again until it has an answer."""

    def __init__(self, cluster: SimCluster) -> None:
        self._cluster = cluster
        self._open = sum(1 + (order.cancel_after is not None) for order in cluster.plan.orders)
        self._process = SimulatedProcess(cluster.timeline, "operator")
        network = cluster.network(self._process, None)
        self._queue = Queue(
            jobs=network.reach(cluster.jobs),
            attempts=network.reach(InMemoryAttempts(cluster.memory)),
            dependencies=network.reach(cluster.dependencies),
            batches=network.reach(InMemoryBatches(cluster.memory)),
            workers=network.reach(cluster.workers),
            config=network.reach(cluster.config),
            queues=network.reach(cluster.queues),
            measurements=network.reach(InMemoryMeasurements(cluster.memory)),
            surroundings=network.reach(InMemorySurroundings(cluster.memory)),
            clock=lambda: cluster.clock(cluster.hosts[0]),
            is_gone=lambda _process: False,
            new_job_ids=lambda count: [""] * count,
            operator="operator",
        )
        for order in cluster.plan.orders:
            cluster.timeline.at(order.at, lambda order=order: self._process.start(lambda: self._enqueue(order)))
            if order.cancel_after is not None:
                moment = order.at + order.cancel_after
                cluster.timeline.at(moment, lambda order=order: self._process.start(lambda: self._cancel(order)))

    @property
    def is_done(self) -> bool:
        return self._open == 0

    def end(self) -> None:
        self._process.die()

    def _enqueue(self, order: Order) -> None:
        request = JobRequest(
            id=order.job,
            command="",
            max_retries=order.max_retries,
            priority=order.priority,
            timeout=order.timeout,
            queue=order.queue,
            **({"key": order.key, "key_limit": KEYS[order.key]} if order.key else {}),
        )
        self._until_answered(lambda: enqueue_jobs(self._queue, [request], cwd="/"))
        self._cluster.promises.acknowledged.add(order.job)
        self._open -= 1

    def _cancel(self, order: Order) -> None:
        """Cancel a job, whether it waits, runs or has ended."""
        while order.job not in self._cluster.promises.acknowledged:
            self._process.pause(timedelta(seconds=1))
        self._until_answered(lambda: cancel_job(self._queue, order.job))
        self._open -= 1

    def _until_answered(self, ask: Callable[[], object]) -> None:
        while True:
            try:
                ask()
            except DatabaseUnavailable:
                self._process.pause(timedelta(milliseconds=500))
            except (DuplicateJob, WrongState):  # stored, or ended, or asked before: the answer was lost
                return
            else:
                return


def _described(caller: SimulatedProcess, what: str, args: tuple[object, ...], answer: object) -> str:
    match what:
        case "claim":
            return f"{caller} claim -> {', '.join(f'{run.job.id}#{run.job.attempts}' for run in answer) or 'nothing'}"
        case "settle":
            (end,) = args
            outcome = f"{end.result.outcome} under {end.lease.id}"
            now = f"{answer.settlement}, {answer.job and answer.job.state}"
            return f"{caller} settle {end.job_id}#{end.number} {outcome} -> {now}"
        case "rescue":
            return (
                f"{caller} rescue of {args[0]} -> {', '.join(f'{job.id} {job.state}' for job in answer) or 'nothing'}"
            )
        case "add" | "change" | "retire" | "register":
            return f"{caller} {what}"
        case "renew":
            return f"{caller} renew -> {answer}"
    return f"{caller} {what} -> {answer if isinstance(answer, datetime) else '...'}"


def _described_event(event: Event) -> str:
    return type(event).__name__
