"""Hosts with workers, their supervisors and an operator, around one database: the real core in simulated time."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from queuectl.application.duties.lease_watch import LeaseWatch
from queuectl.application.duties.machine import ThisMachine
from queuectl.application.duties.rescue import Rescue
from queuectl.application.operate.queue import Queue
from queuectl.application.work.duty import TimeAndChance
from queuectl.application.work.lease import Heartbeat, LeaseTerm
from queuectl.application.work.settle import settle_kept
from queuectl.application.work.worker import Worker, WorkerPorts
from queuectl.domain.attempt import Outcome
from queuectl.domain.errors import DatabaseUnavailable, DuplicateJob, WrongState
from queuectl.domain.events import Event
from queuectl.domain.job import TERMINAL, JobRequest
from queuectl.domain.policy import Policy
from queuectl.domain.ports.host import Elapsed, LocalProcess
from queuectl.domain.ports.work import Run
from queuectl.domain.worker import Process, WorkerRecord, WorkerState
from tests.builders import NOON
from tests.fakes import (
    InMemoryConfig,
    InMemoryJobs,
    InMemoryLocalProcesses,
    InMemoryMeasurements,
    InMemorySpool,
    InMemoryWorkers,
)
from tests.simulation.commands import Command, Script, SimulatedRunner
from tests.simulation.invariants import Member, Promises
from tests.simulation.network import Weather, Wire
from tests.simulation.simulated_time import Action, SimulatedFlag, SimulatedProcess, Timeline

SINCE_BOOT = timedelta(days=3)

PATIENCE = timedelta(seconds=1)
"""How long a worker tries one transaction again, after a silence of a sixth of the lease: see `run_worker`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is under test; a mutant is put in place of one of them."""

    jobs: type[InMemoryJobs] = InMemoryJobs
    workers: type[InMemoryWorkers] = InMemoryWorkers
    heartbeat: type[Heartbeat] = Heartbeat
    worker: type[Worker] = Worker
    rescue: Callable[..., Callable[[Policy], timedelta]] = Rescue
    local: type[InMemoryLocalProcesses] = InMemoryLocalProcesses
    watch: Callable[[Elapsed], LeaseWatch] = LeaseWatch
    clear: bool = True
    """Whether a rescuer ends what is left on its own host first."""
    server_clock: bool = True
    """Whether workers on several hosts go by the server's clock, and not by their own."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A world before anything has happened."""

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
    first_replaced_after: timedelta = timedelta()
    """How much longer than usual it takes until there is a worker in place of the first one that died."""


@dataclass(eq=False)
class Host:
    """A machine: its network, its clock, its disk, its workers and the commands that run on it."""

    name: str
    clock_error: timedelta
    boots: int = 1
    is_cut: bool = False
    stepped: timedelta = timedelta()
    """How far its own clock has been set from the true time."""
    most_stepped: timedelta = timedelta()
    server_stepped: timedelta = timedelta()
    """How far the server's clock has been set, as far as this host has heard."""
    supervisor: SimulatedProcess | None = None
    members: list["WorkerProcess"] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    spool: InMemorySpool = field(default_factory=InMemorySpool)
    registered: dict[Process, LocalProcess] = field(default_factory=dict)

    @property
    def machine(self) -> str:
        return f"{self.name}/{self.boots}"


class World:
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
        self.weather = Weather()
        self.hosts = [Host(f"h{number}", error) for number, error in enumerate(plan.clock_errors, start=1)]
        self.promises = Promises(lambda: self.timeline.now, self.latest, self.policy.max_losses, suspects_wait)
        self.memory = self.promises.memory
        self.memory.config.update(plan.policy)
        self.jobs, self.workers = parts.jobs(self.memory), parts.workers(self.memory)
        self.config = InMemoryConfig(self.memory)
        self.scripts = {order.job: order.scripts for order in plan.orders}
        self._trace = trace
        self._pids = 100
        self._longer = plan.first_replaced_after
        self.server_stepped = self.most_stepped = timedelta()
        self.ordered = 0
        for host in self.hosts:
            self.start_workers(host)
        self.operator = Operator(self)

    def tell(self, text: str) -> None:
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

    def wire(self, process: SimulatedProcess, host: Host | None) -> Wire:
        return Wire(
            self.timeline,
            process,
            weather=self.weather,
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
        """Whether all that was ordered has ended, and nothing runs that somebody could end."""
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
        """What the supervisor does when a worker has ended: kill what it left behind, start another."""
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
            self.tell(f"{host.name} {who} kills {command}")
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
            self.tell(f"{worker.host.name} command {command} {how}")
            self.promises.ended(command)
            on_end()

        command = Command(self.timeline, run, worker.process, worker.host.name, script, ended)
        worker.host.commands.append(command)
        if script.kills_its_worker:
            self.timeline.after(script.lasts / 2, lambda: None if command.is_over else self.crash(worker))
        self.tell(f"{worker} command {command} starts, to last {script.lasts.total_seconds():.2f} s")
        self.promises.started(command)
        return command

    def span(self, least: float, most: float) -> timedelta:
        return timedelta(seconds=self.random.uniform(least, most))

    def _committed(
        self, caller: SimulatedProcess, what: str, args: tuple[object, ...], answer: object, sent_at: timedelta
    ) -> None:
        self.tell(_told(caller, what, args, answer))
        self.promises.committed(caller, what, args, answer, sent_at)


class WorkerProcess:
    """One worker process: what `run_worker` makes of a worker, a heartbeat and a runner."""

    def __init__(self, world: World, host: Host) -> None:
        self.world, self.host = world, host
        pid = world.new_pid()
        self.id = f"w{pid}"
        self.process = SimulatedProcess(world.timeline, f"{host.name} {self.id}")
        assert host.supervisor is not None
        self.supervisor = host.supervisor
        self.worker: Worker | None = None
        self._pid = pid
        self.local = world.parts.local(host.registered, self.identity, end=self._kill)
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

    def _tell_host(self, lease_ends: timedelta) -> None:
        self.local.renew(lease_ends, kill_grace=self.world.policy.kill_grace, fit_until=timedelta())

    def _kill(self, target: LocalProcess) -> None:
        """What a rescuer does to one that has outlived its lease."""
        for it in self.host.members:
            if it.id == target.worker:
                self.world.tell(f"{self} kills {it}")
                self.world.timeline.after(timedelta(), partial(self.world.crash, it))
        self.process.pause(timedelta(milliseconds=5))

    def _work(self) -> None:
        world, host, timeline = self.world, self.host, self.world.timeline
        wire = world.wire(self.process, host)
        jobs, workers, config = (wire.reach(it) for it in (world.jobs, world.workers, world.config))
        try:
            lease = Policy.of(config.stored()).lease
            sent_at, record = world.elapsed(), self._record(lease)
            world.promises.members[self.id] = Member(self.process, self.supervisor, host.name, lease, timeline.now)
            self.local.join(record.supervisor, worker=self.id)
            workers.register(record)
            self._tell_host(sent_at + lease)
        except DatabaseUnavailable:
            timeline.after(timedelta(), self._gone)
            return

        def spawn(run: Run, on_end: Action) -> Command:
            return world.spawn(self, run, on_end)

        def take_up(run: Run) -> timedelta:
            world.promises.taken_up(run)
            return world.span(0.001, 0.005)

        runner = SimulatedRunner(timeline, self.process, spawn, take_up)
        heartbeat = world.parts.heartbeat(
            self.id,
            workers=workers,
            lease=LeaseTerm(lease, elapsed=world.elapsed, sent_at=sent_at),
            clock=lambda: world.clock(host),
            wake=runner.wake,
            tell=self._tell_host,
            new_flag=lambda: SimulatedFlag(self.process),
        )

        rescue = world.parts.rescue(
            jobs=jobs,
            workers=workers,
            machine=ThisMachine(
                id=host.machine,
                local=self.local,
                is_alive=self._is_alive,
                clear=lambda worker_id, _noted: world.parts.clear and world.kill_commands(host, worker_id, self.id),
                elapsed=world.elapsed,
            ),
            settle_spooled=partial(settle_kept, jobs=jobs, spool=host.spool, events=self._tell),
            events=self._tell,
            clock=lambda: world.clock(host),
            watch=world.parts.watch(world.elapsed),
        )

        lease_ids = (f"{self.id}-{number}" for number in range(1, 1_000_000))
        self.worker = world.parts.worker(
            self.id,
            queues=(),
            concurrency=world.plan.concurrency,
            heartbeat=heartbeat,
            ports=WorkerPorts(
                jobs=jobs,
                config=config,
                runner=runner,
                spool=host.spool,
                events=self._tell,
                new_lease_id=lambda: next(lease_ids),
                time=TimeAndChance(lambda: world.clock(host), world.elapsed, world.random.random),
            ),
            fleet=[rescue],
        )
        self.process.start(heartbeat.run)
        self.process.start(lambda: heartbeat.watch(lambda grace: runner.stop(Outcome.LOST, grace=grace)))
        self.worker.run()
        heartbeat.close()
        try:
            workers.retire(self.id, at=world.clock(host))
        except DatabaseUnavailable:
            world.tell(f"{self} could not retire")
        timeline.after(timedelta(), self._gone)

    def _gone(self) -> None:
        if not self.process.is_dead:
            self.world.tell(f"{self} exits")
            self.end()
            self.world.replace(self)

    def _record(self, lease: timedelta) -> WorkerRecord:
        now = self.world.clock(self.host)
        return WorkerRecord(
            id=self.id,
            host=self.host.name,
            process=self.identity,
            supervisor=Process(machine=self.host.machine, pid=1, started=1),
            queues=(),
            concurrency=self.world.plan.concurrency,
            state=WorkerState.RUNNING,
            started_at=now,
            renewed_at=now,
            lease_expires_at=now + lease,
        )

    def _is_alive(self, process: Process) -> bool:
        return any(it._pid == process.pid for it in self.host.members)

    def _tell(self, event: Event) -> None:
        if self.world._trace is not None:
            self.world.tell(f"{self} {_told_event(event)}")


class Operator:
    """Enqueues and cancels as the plan's orders say, and asks again until it has an answer."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open = sum(1 + (order.cancel_after is not None) for order in world.plan.orders)
        self._process = SimulatedProcess(world.timeline, "operator")
        wire = world.wire(self._process, None)
        self._queue = Queue(
            jobs=wire.reach(world.jobs),
            workers=wire.reach(world.workers),
            config=wire.reach(world.config),
            measurements=wire.reach(InMemoryMeasurements(world.memory)),
            clock=lambda: world.clock(world.hosts[0]),
            is_gone=lambda _process: False,
            new_job_ids=lambda count: [""] * count,
            operator="operator",
        )
        for order in world.plan.orders:
            world.timeline.at(order.at, lambda order=order: self._process.start(lambda: self._enqueue(order)))
            if order.cancel_after is not None:
                moment = order.at + order.cancel_after
                world.timeline.at(moment, lambda order=order: self._process.start(lambda: self._cancel(order)))

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
        )
        self._until_answered(lambda: self._queue.enqueue([request], cwd="/"))
        self._world.promises.acknowledged.add(order.job)
        self._open -= 1

    def _cancel(self, order: Order) -> None:
        """Cancel a job, whether it waits, runs or has ended."""
        while order.job not in self._world.promises.acknowledged:
            self._process.pause(timedelta(seconds=1))
        self._until_answered(lambda: self._queue.cancel(order.job))
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


def _told(caller: SimulatedProcess, what: str, args: tuple[object, ...], answer: object) -> str:
    match what:
        case "claim":
            return f"{caller} claim -> {', '.join(f'{run.job.id}#{run.job.attempts}' for run in answer) or 'nothing'}"
        case "settle":
            job, lease, result = args
            return f"{caller} settle {job.id}#{job.attempts} {result.outcome} under {lease.id} -> {answer}, {job.state}"
        case "rescue":
            return (
                f"{caller} rescue of {args[0]} -> {', '.join(f'{job.id} {job.state}' for job in answer) or 'nothing'}"
            )
        case "add" | "change" | "retire" | "register":
            return f"{caller} {what}"
        case "renew":
            return f"{caller} renew -> {answer}"
    return f"{caller} {what} -> {answer if isinstance(answer, datetime) else '...'}"


def _told_event(event: Event) -> str:
    return type(event).__name__
