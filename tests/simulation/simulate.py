"""One seed, one history: the plan that it makes, the faults that disturb it, and the verdict.

python -m tests.simulation --mode safety --seed 17
"""

import random
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from queuectl.application.work.suspects import PATIENCE_WITH_OTHERS
from queuectl.domain.job import DEFAULT_QUEUE
from queuectl.domain.limits import Rate
from queuectl.domain.queues import Pause, QueueSettings
from tests.builders import NOON
from tests.simulation.cluster import KEYS, Host, Order, Parts, Plan, SimCluster, WorkerProcess
from tests.simulation.commands import Script
from tests.simulation.invariants import PromiseBroken
from tests.simulation.network import SimFaults
from tests.simulation.simulated_time import TimeStandsStill

LEASE = timedelta(seconds=3)
POLICY = {"lease": "3s", "kill-grace": "1s", "backoff-base": "1.2", "backoff-max": "1500ms", "max-losses": "6"}

FAULTS_FOR = timedelta(seconds=15)
"""The time for which faults go on: in safety mode the whole history."""


class Mode(StrEnum):
    CALM = "calm"
    """No fault at all: every run is asked for, none is a second one."""
    SAFETY = "safety"
    """Faults all the time: nothing forbidden ever happens."""
    LIVENESS = "liveness"
    """Faults stop: every job must end within a stated time."""
    POISON = "poison"
    """No fault but jobs that kill their workers, among more work than there are slots: only those die of it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of one history."""

    violation: str | None
    runs: int
    double_runs: int
    outlived: int
    simulated: timedelta
    trace: tuple[str, ...] = ()


def simulate(seed: int, mode: Mode, parts: Parts = Parts(), *, traced: bool = False) -> Verdict:  # noqa: B008 - frozen
    """Run the history of that seed, up to the first broken promise."""
    lines: list[str] = []

    def note(at: timedelta, text: str) -> None:
        lines.append(f"{at.total_seconds():9.3f}  {text}")

    chosen = random.Random(f"{mode} {seed}")
    plan = planned(seed, mode, chosen)
    cluster = SimCluster(plan, parts, note if traced else None, SUSPECTS_WAIT if mode is Mode.POISON else None)
    violation = None
    try:
        if mode in (Mode.SAFETY, Mode.LIVENESS):
            FaultInjector(cluster, chosen).begin()
            cluster.timeline.run(until=FAULTS_FOR)
            if mode is Mode.LIVENESS:
                cluster.note("-- faults stop --")
        if mode is not Mode.SAFETY:
            cluster.timeline.run(until=FAULTS_FOR + bound(plan), unless=lambda: cluster.is_quiet)
            cluster.timeline.run(until=cluster.timeline.now + LEASE / 6)  # whatever would come after the end
        cluster.promises.finished(in_time=mode is not Mode.SAFETY)
        if mode is Mode.CALM:
            cluster.promises.undisturbed()
        if mode is Mode.POISON:
            cluster.promises.blamed({order.job for order in plan.orders if order.scripts[0].kills_its_worker})
    except (PromiseBroken, TimeStandsStill) as broken:
        violation = str(broken)
    finally:
        cluster.end()
    return Verdict(
        violation=violation,
        runs=len(cluster.promises.runs),
        double_runs=cluster.promises.double_runs,
        outlived=len(cluster.promises.outlived),
        simulated=cluster.timeline.now,
        trace=tuple(lines),
    )


def reported(seed: int, mode: Mode, violation: str) -> str:
    """Word a broken promise, and the command that shows how it came to that."""
    return f"{violation}\nthe same again, with a trace: python -m tests.simulation --mode {mode} --seed {seed}"


def bound(plan: Plan) -> timedelta:
    """The time, after the last fault, in which the last job must end: I7.

    Hosts come back, the leases of who is gone run out, clocks that were set are waited for; then every job may need
    all its attempts, one after the other on one slot.
    """
    per_job = [
        (order.max_retries + 1) * (max(script.lasts for script in order.scripts) + timedelta(seconds=2 + 1 + 2))
        for order in plan.orders
    ]
    return MAX_FAULT + 2 * MAX_STEP + 3 * LEASE + PATIENCE_WITH_OTHERS[1] * LEASE + sum(per_job, timedelta())


MAX_FAULT = 2.5 * LEASE
MAX_STEP = 2 * LEASE

MAX_JOB = timedelta(seconds=2)
SUSPECTS_WAIT = (PATIENCE_WITH_OTHERS[1] + 1) * LEASE + 14 * MAX_JOB
"""In poison mode, how long a suspect may wait: a worker's patience, a look at what waits, the end of what that worker
has in hand, and all the suspects before it, of which some take their worker with them."""


def planned(seed: int, mode: Mode, chosen: random.Random) -> Plan:
    return _poisoned(seed, chosen) if mode is Mode.POISON else _limited(_disturbed(seed, chosen), chosen)


def _limited(plan: Plan, chosen: random.Random) -> Plan:
    """The same with keys, and queues with limits, of which one may be paused at first."""
    pause = Pause(NOON, "operator", NOON + timedelta(seconds=chosen.uniform(0, 5)))
    queues = [
        QueueSettings("limited", concurrency=chosen.choice([1, 2])),
        QueueSettings("rated", rate=Rate(chosen.choice([1, 2]), timedelta(seconds=1))),
        QueueSettings("paused", pause=pause),
    ]
    names = [DEFAULT_QUEUE, *(it.name for it in queues)]
    orders = [
        replace(order, queue=chosen.choice(names), key=chosen.choice([None, None, *KEYS])) for order in plan.orders
    ]
    return replace(plan, orders=orders, queues=queues)


def _disturbed(seed: int, chosen: random.Random) -> Plan:
    shares_a_file = chosen.random() < 0.3
    hosts = 1 if shares_a_file else chosen.choice([2, 2, 3])
    return Plan(
        seed=seed,
        hosts=hosts,
        workers=chosen.choice([2, 3]) if shares_a_file else 1,
        concurrency=chosen.choice([1, 2, 3]),
        shares_a_file=shares_a_file,
        policy=POLICY,
        orders=[_order(number, chosen) for number in range(chosen.randint(3, 9))],
        clock_errors=[timedelta(milliseconds=chosen.uniform(-20, 20)) for _ in range(hosts)],
    )


def _order(number: int, chosen: random.Random) -> Order:
    def script() -> Script:
        lasts = chosen.choice([0.05, 1, 4, 10, 10]) * chosen.uniform(0.5, 1.5)
        obeys_in = chosen.choice([timedelta(milliseconds=20), timedelta(milliseconds=700), None])
        return Script(timedelta(seconds=lasts), chosen.choice([0, 0, 0, 1]), obeys_in)

    return Order(
        job=f"job-{number}",
        at=timedelta(seconds=chosen.uniform(0, 8)),
        scripts=[script() for _ in range(3)],
        max_retries=chosen.choice([0, 1, 3]),
        priority=chosen.randint(4, 6),
        timeout=timedelta(seconds=chosen.uniform(1, 8)) if chosen.random() < 0.2 else None,
        cancel_after=timedelta(seconds=chosen.uniform(0, 10)) if chosen.random() < 0.15 else None,
    )


def _poisoned(seed: int, chosen: random.Random) -> Plan:
    hosts, workers, concurrency = 2, chosen.choice([1, 2]), chosen.choice([2, 3, 4])
    slots = hosts * workers * concurrency

    def script(*, kills_its_worker: bool = False) -> Script:
        lasts = MAX_JOB * chosen.uniform(0.3, 1)
        return Script(lasts, kills_its_worker=kills_its_worker)

    def order(number: int, *, kills_its_worker: bool = False) -> Order:
        at = timedelta(seconds=chosen.uniform(0, 5))
        scripts = [script(kills_its_worker=kills_its_worker)]
        return Order(job=f"job-{number}", at=at, scripts=scripts, priority=chosen.randint(4, 6))

    number_of_poison = chosen.choice([1, 1, 2])
    return Plan(
        seed=seed,
        hosts=hosts,
        workers=workers,
        concurrency=concurrency,
        shares_a_file=False,
        policy=POLICY | {"max-losses": "3"},
        orders=[order(number, kills_its_worker=number < number_of_poison) for number in range(25 * slots)],
        clock_errors=[timedelta(milliseconds=chosen.uniform(-20, 20)) for _ in range(hosts)],
        first_replaced_after=timedelta(seconds=chosen.choice([0, 60])),
    )


class FaultInjector:
    """Disturbs a cluster until FAULTS_FOR: each seed with its own few kinds of faults, and its own pace."""

    def __init__(self, cluster: SimCluster, chosen: random.Random) -> None:
        self._cluster = cluster
        self._random = chosen
        kinds = [
            self._crash,
            self._crash_all,
            self._power_off,
            self._freeze_worker,
            self._freeze_host,
            self._partition,
            self._partition,
            self._partition,
            self._outage,
            self._step_clock,
            self._step_server_clock,
            self._stop_worker,
        ]
        self._kinds = chosen.sample(kinds, chosen.randint(1, 4))
        self._pace = chosen.choice([0.7, 2.0, 5.0])
        self._faults = SimFaults(
            slow=chosen.choice([0, 0.02, 0.2]),
            answer_lost=chosen.choice([0, 0.02, 0.1]),
            made_twice=chosen.choice([0, 0.02, 0.1]),
        )

    def begin(self) -> None:
        faults = self._cluster.faults
        faults.slow, faults.answer_lost = self._faults.slow, self._faults.answer_lost
        faults.made_twice = self._faults.made_twice
        self._cluster.timeline.at(FAULTS_FOR, self._end)
        self._later()

    def _later(self) -> None:
        span = timedelta(seconds=self._random.expovariate(1 / self._pace))
        if self._cluster.timeline.now + span < FAULTS_FOR:
            self._cluster.timeline.after(span, self._strike)

    def _strike(self) -> None:
        self._random.choice(self._kinds)()
        self._later()

    def _end(self) -> None:
        """The network is good again. What is frozen, cut or down comes back in its time, by MAX_FAULT."""
        faults = self._cluster.faults
        faults.slow = faults.answer_lost = faults.made_twice = 0

    def _span(self) -> timedelta:
        return LEASE * self._random.choice([0.1, 0.7, 1.2, 1.8, 2.5]) * self._random.uniform(0.8, 1)

    def _host(self) -> Host:
        return self._random.choice(self._cluster.hosts)

    def _worker(self) -> WorkerProcess | None:
        workers = [worker for host in self._cluster.hosts for worker in host.members]
        return self._random.choice(workers) if workers else None

    def _crash(self) -> None:
        if worker := self._worker():
            self._cluster.note(f"** kill -9 {worker}")
            self._cluster.crash(worker)

    def _crash_all(self) -> None:
        host, span = self._host(), self._span()
        self._cluster.note(f"** kill -9 the supervisor and all workers of {host.name}; started again in {span}")
        self._cluster.crash_all(host, back_after=span)

    def _power_off(self) -> None:
        host, span = self._host(), self._span()
        self._cluster.note(f"** power cut of {host.name} for {span}")
        self._cluster.power_off(host, back_after=span)

    def _freeze_worker(self) -> None:
        worker, span = self._worker(), self._span()
        if worker and not worker.process.is_frozen:
            self._cluster.note(f"** {worker} is frozen for {span}, its commands go on")
            worker.process.freeze()
            self._cluster.timeline.after(span, worker.process.thaw)

    def _freeze_host(self) -> None:
        host, span = self._host(), self._span()
        self._cluster.note(f"** {host.name} is frozen for {span}, commands and all")
        self._cluster.freeze_host(host, span)

    def _partition(self) -> None:
        host, span = self._host(), self._span()
        if not host.is_cut:
            self._cluster.note(f"** {host.name} is cut from the database for {span}")
            host.is_cut = True
            self._cluster.timeline.after(span, lambda: setattr(host, "is_cut", False))

    def _outage(self) -> None:
        faults, span = self._cluster.faults, self._span()
        if not faults.is_down:
            self._cluster.note(f"** the database is down for {span}")
            faults.is_down = True
            self._cluster.timeline.after(span, lambda: setattr(faults, "is_down", False))

    def _step_clock(self) -> None:
        host = self._host()
        wrong_by = MAX_STEP * self._random.uniform(-1, 1)
        self._cluster.note(f"** the clock of {host.name} is set to be wrong by {wrong_by.total_seconds():.1f} s")
        self._cluster.set_clock(host, wrong_by)

    def _step_server_clock(self) -> None:
        wrong_by = MAX_STEP * self._random.uniform(-1, 1)
        self._cluster.note(f"** the server's clock is set to be wrong by {wrong_by.total_seconds():.1f} s")
        self._cluster.set_server_clock(wrong_by)

    def _stop_worker(self) -> None:
        if worker := self._worker():
            force = self._random.random() < 0.5
            self._cluster.note(f"** {worker} is asked to stop{' by force' if force else ''}")
            worker.stop(force=force)
