"""The works: one function for each line of the table of targets. Each says what it did, what it found, and what of
the target is met."""

import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg
from dependency_injector import providers

from benchmarks import fill, peers
from benchmarks.findings import Figure, Finding, Line, at_least, at_most, in_turns, percentile, ratio, shown, timed
from benchmarks.queue import PROGRAM, Hand, Queue, a_job

COMMAND = "true"
SLOTS = 16
"""Commands at a time in each worker, where several are allowed: then one commit records and claims several."""

WITH_SLOTS = f"queuectl, {SLOTS} slots"
FIRST = 20
"""Commands of a run that does not count: it reads files, fills caches and shows who cannot run here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is done. `longest` cuts off a peer's run, in seconds: what it did by then counts."""

    rounds: int = 5
    jobs: int = 5_000
    workers: int = 2
    longest: float = 60
    batch: int = 100_000
    starts: int = 300
    scheduled: int = 1_000_000
    due: int = 100_000
    few: int = 1_000
    claims: int = 100
    processes: int = 15
    sleeps: int = 640
    idle_seconds: float = 30
    snapshot_seconds: float = 60


FULL = Scale()
QUICK = Scale(
    rounds=3,
    jobs=1_000,
    longest=10,
    batch=20_000,
    starts=60,
    scheduled=100_000,
    due=10_000,
    claims=60,
    processes=5,
    sleeps=128,
    idle_seconds=8,
    snapshot_seconds=15,
)


@dataclass(slots=True)
class Bench:
    """What every work uses: the scale, a directory on a real disk, databases, the peers that could be had."""

    scale: Scale
    place: Path
    new_database: Callable[[], str] | None
    peers: Sequence[peers.Peer]
    say: Callable[[str], None]
    _number: int = 0
    _filled: dict[str, Queue] = field(default_factory=dict)

    @property
    def backends(self) -> Sequence[str]:
        return ("SQLite", "PostgreSQL") if self.new_database else ("SQLite",)

    def new_place(self) -> Path:
        self._number += 1
        return self.place / str(self._number)

    def new_queue(self, backend: str) -> Queue:
        if backend == "SQLite":
            return Queue(self.new_place())
        if self.new_database is None:
            raise RuntimeError("there is no PostgreSQL")
        return Queue(self.new_place(), self.new_database())

    def filled(self, backend: str) -> Queue:
        """The big database: a million jobs scheduled, a million finished, a hundred thousand due. Made once."""
        if backend not in self._filled:
            scale = self.scale
            self.say(f"  filling {backend} with {2 * scale.scheduled + scale.due:,} jobs")
            queue = self.new_queue(backend)
            fill.scheduled(queue, scale.scheduled)
            fill.finished(queue, scale.scheduled)
            fill.due(queue, scale.due)
            fill.settled_down(queue)
            self._filled[backend] = queue
        return self._filled[backend]

    def close(self) -> None:
        for queue in self._filled.values():
            queue.close()


Work = Callable[[Bench], Finding]


# Commands per second, beside the peers.


def true_on_sqlite(bench: Bench) -> Finding:
    """5,000 times `true` on SQLite."""
    finding = drained(bench, "SQLite", peers.ON_SQLITE)
    targets = {"xargs -P": 0.6, "task-spooler": 1.5, "HyperShell": 10.0}  # HyperShell as it comes
    finding.lines = beside(finding, targets)
    return finding


def true_on_postgres(bench: Bench) -> Finding:
    """The same on PostgreSQL."""
    if bench.new_database is None:
        raise RuntimeError("there is no PostgreSQL")
    finding = drained(bench, "PostgreSQL", [*peers.ON_POSTGRES, *peers.ON_SQLITE[:1]])
    finding.lines = beside(finding, {"pgqueuer": 1.2, "Procrastinate": 4.0})
    return finding


def drained(bench: Bench, backend: str, against: Sequence[peers.Peer]) -> Finding:
    scale = bench.scale
    finding = Finding(
        f"{scale.jobs:,} × `{COMMAND}`, {backend}",
        f"Each contestant runs `/bin/sh -c {COMMAND}` {scale.jobs:,} times with {scale.workers} workers and keeps "
        f"outcome and output; queuectl: {peers.LOADED}, once with one command at a time in each worker, as xargs and "
        f"most have it, and once with {SLOTS}, as pgqueuer has more as well. From when to when a peer's time counts is "
        "in the table of peers. A ratio is the median of the rounds' ratios; above 1, queuectl is faster.",
    )

    def run(peer: peers.Peer, count: int) -> float:
        place = bench.new_place()
        place.mkdir()
        return peer.run(
            peers.Task(
                command=COMMAND,
                count=count,
                workers=scale.workers,
                place=place,
                longest=scale.longest,
                new_database=bench.new_database or (lambda: ""),
            )
        )

    contestants: dict[str, Callable[[], float]] = {
        "queuectl": lambda: queuectl_drains(bench, backend),
        WITH_SLOTS: lambda: queuectl_drains(bench, backend, concurrency=SLOTS),
    }
    for peer in against:
        if peer not in bench.peers:
            continue
        try:
            run(peer, FIRST)
        except (RuntimeError, subprocess.SubprocessError) as error:
            finding.notes.append(f"{peer.name} is left out: {error}.")
            bench.say(f"  without {peer.name}: {error}")
        else:
            contestants[peer.name] = partial(run, peer, scale.jobs)
    rates = in_turns(contestants, scale.rounds, bench.say)
    finding.figures = [Figure(name, values, "commands/s") for name, values in rates.items()]
    finding.bars = {name: 1 / ratio(rates["queuectl"], values) for name, values in rates.items()}
    return finding


def queuectl_drains(bench: Bench, backend: str, *, concurrency: int = 1) -> float:
    count = bench.scale.jobs
    with bench.new_queue(backend) as queue:
        queue.enqueue([{"command": COMMAND}] * count)
        begun = time.monotonic()
        queue.start_workers(bench.scale.workers, concurrency=concurrency)
        queue.wait_until_done()
        took = time.monotonic() - begun
        queue.check_all_ran_once(count)
    return count / took


def beside(finding: Finding, targets: Mapping[str, float]) -> list[Line]:
    """queuectl, both ways, beside each peer: with its target, or just told."""
    rates = {figure.name: figure.values for figure in finding.figures}
    ours = ("queuectl", WITH_SLOTS)
    lines = [
        at_least(f"{us} : {name}", ratio(rates[us], rates[name]), target)
        if name in rates
        else Line(f"{us} : {name}", "left out", f"≥ {shown(target)}")
        for us in ours
        for name, target in targets.items()
    ]
    others = [name for name in rates if name not in {*ours, *targets}]
    return lines + [Line(f"{us} : {name}", shown(ratio(rates[us], rates[name]))) for us in ours for name in others]


# Enqueueing.


def enqueue_a_batch(bench: Bench) -> Finding:
    """`enqueue -` of 100,000 JSON lines."""
    count = bench.scale.batch
    finding = Finding(
        f"`enqueue -` of {count:,} JSON lines",
        "The whole command, from the start of its process to its end, with its ids written to a pipe. The target is an "
        "absolute one, and on a machine with other work it says little; so the databases themselves take their turns "
        "as well, without a client: `INSERT INTO jobs SELECT …` of the same rows from another table, and its commit.",
    )
    lines = bench.new_place()
    lines.write_text("".join(json.dumps({"command": f"echo {number}"}) + "\n" for number in range(count)))

    def enqueue(backend: str, *, by_itself: bool = False) -> float:
        with bench.new_queue(backend) as queue:
            took = timed(lambda: queue.run("enqueue", "-", stdin=lines))
            if by_itself:
                emptied = {"SQLite": "DELETE FROM jobs", "PostgreSQL": "TRUNCATE jobs CASCADE"}[backend]
                queue.tell("CREATE TABLE other AS SELECT * FROM jobs", emptied)
                took = timed(lambda: queue.tell("INSERT INTO jobs SELECT * FROM other"))
            if queue.ask("SELECT count(*) FROM jobs") != count:
                raise RuntimeError(f"not all of {count} jobs are there")
        return count / took

    contestants = {each: lambda each=each: enqueue(each) for each in bench.backends}
    contestants |= {f"{each} itself": lambda each=each: enqueue(each, by_itself=True) for each in bench.backends}
    rates = in_turns(contestants, bench.scale.rounds, bench.say)
    finding.figures = [Figure(name, values, "jobs/s") for name, values in rates.items()]
    for backend, target in {"SQLite": 60_000, "PostgreSQL": 40_000}.items():
        if backend in rates:
            finding.lines.append(at_least(backend, statistics.median(rates[backend]), target, "jobs/s"))
            itself = f"{backend} itself"
            finding.lines.append(Line(f"{backend} : {itself}", shown(ratio(rates[backend], rates[itself]))))
    return finding


# From enqueue to start.


def enqueue_to_start(bench: Bench) -> Finding:
    """How long an idle worker takes to start a command."""
    finding = Finding(
        "From the commit of an enqueue to the start of the command, idle worker",
        f"{bench.scale.starts} jobs, one at a time, each enqueued when the worker has been idle for 20 to 60 ms. The "
        "command is `date` itself, which tells when it runs: the time that the system takes to start it is included.",
    )
    for backend in bench.backends:
        with bench.new_queue(backend) as queue:
            waits = list(start_delays(queue, bench.scale.starts))
        finding.figures.append(Figure(backend, waits, "ms"))
        finding.lines.append(at_most(f"{backend}, median", statistics.median(waits), 10, "ms"))
        finding.lines.append(at_most(f"{backend}, p99", percentile(waits, 99), 50, "ms"))
    return finding


def start_delays(queue: Queue, count: int) -> Iterator[float]:
    committed: list[int] = []
    notify = queue.container.notify()

    def notified() -> None:
        committed.append(time.time_ns())  # called right after the commit, before the workers are told
        notify()

    queue.container.notify.override(providers.Object(notified))
    jobs, attempts = queue.container.jobs(), queue.container.attempts()
    queue.start_workers(1)
    for number in range(count + 3):
        job_id = f"job-{number}"
        jobs.add([a_job(job_id, queue, ("date", "+%s%N"))])
        while not (output := attempts.outputs_of([job_id]).get(job_id)):
            time.sleep(0.005)
        if number >= 3:  # the first ones load what the later ones find
            yield (int(output) - committed[-1]) / 1_000_000
        time.sleep(random.uniform(0.02, 0.06))


# What a big database costs.


def claims_of_a_full_queue(bench: Bench) -> Finding:
    """Claim and settle, with two million other jobs and without."""
    scale = bench.scale
    finding = Finding(
        "Claim and settle in a full queue",
        f"{scale.scheduled:,} jobs are scheduled for tomorrow at priority 10, {scale.scheduled:,} are finished, and "
        f"{scale.due:,} are due at priority 3. Through the repository, with no command: {scale.claims} times in each "
        f"round, in turns with a database that has {scale.few:,} due jobs and no others. Per round the median counts.",
    )
    for backend in bench.backends:
        full = bench.filled(backend)
        with bench.new_queue(backend) as small:
            fill.due(small, scale.few)
            fill.settled_down(small)
            with Hand(full) as in_full, Hand(small) as in_small:
                times = in_turns(
                    {
                        "full": partial(median_turn, in_full, scale.claims),
                        f"{scale.few:,} jobs": partial(median_turn, in_small, scale.claims),
                    },
                    max(scale.rounds, 5),
                    bench.say,
                )
        with_full, with_few = times.values()
        finding.figures += [Figure(f"{backend}, {name}", values, "ms") for name, values in times.items()]
        finding.lines.append(at_most(backend, ratio(with_full, with_few), 1.5))
    return finding


def median_turn(hand: Hand, count: int) -> float:
    return statistics.median(timed(hand.turn) * 1000 for _ in range(count))


def looks_at_a_full_queue(bench: Bench) -> Finding:
    """`status`, `list`, `info` and `metrics` on the same database."""
    scale = bench.scale
    finding = Finding(
        "`status`, `list`, `info`, `metrics` on a full queue",
        "Whole commands, on the same database and in turns with one that has one job. All finished jobs ended within "
        "the last 20 hours, so that `metrics` counts every one of them.",
    )
    commands = {"status": ["status"], "list": ["list"], "info": ["info", "due-1"], "metrics": ["metrics"]}
    for backend in bench.backends:
        full = bench.filled(backend)
        with bench.new_queue(backend) as empty:
            fill.due(empty, 1)
            fill.settled_down(empty)
            for name, arguments in commands.items():
                times = in_turns(
                    {
                        "full": partial(timed, partial(full.run, *arguments)),
                        "empty": partial(timed, partial(empty.run, *arguments)),
                    },
                    max(scale.rounds, 3),
                    bench.say,
                )
                took, least = statistics.median(times["full"]), statistics.median(times["empty"])
                finding.figures += [Figure(f"{backend}, {name}, {which}", times[which], "s") for which in times]
                finding.lines.append(at_most(f"{backend}, {name}", took, 2 * least + 1, "s"))
    return finding


# Many commands at once, and none.


def many_at_once(bench: Bench) -> Finding:
    """640 times `sleep 1` with `--concurrency 64`."""
    count = bench.scale.sleeps
    least = count / 64
    finding = Finding(
        f"`--concurrency 64`, {count} × `sleep 1`",
        f"One worker; {peers.LOADED}. Less than {least:g} s is impossible; the target adds 1.5 s.",
    )

    def run(backend: str) -> float:
        with bench.new_queue(backend) as queue:
            queue.enqueue([{"command": "sleep 1"}] * count)
            begun = time.monotonic()
            queue.start_workers(1, concurrency=64)
            queue.wait_until_done()
            took = time.monotonic() - begun
            queue.check_all_ran_once(count)
        return took

    times = in_turns({each: partial(run, each) for each in bench.backends}, min(3, bench.scale.rounds), bench.say)
    for backend, values in times.items():
        finding.figures.append(Figure(backend, values, "s"))
        finding.lines.append(at_most(backend, statistics.median(values), least + 1.5, "s"))
    return finding


def idle_workers(bench: Bench) -> Finding:
    """What eight workers cost that have nothing to do."""
    seconds = bench.scale.idle_seconds
    finding = Finding(
        "Eight idle workers",
        f"Processor time of the workers in {seconds:g} s, by `/proc/PID/stat`; memory of workers and supervisor as PSS "
        "(shared pages counted once), by `/proc/PID/smaps_rollup`.",
    )
    for backend in bench.backends:
        with bench.new_queue(backend) as queue:
            started = queue.start_workers(8)
            pids = [int(worker["pid"]) for worker in started["workers"]]  # type: ignore[attr-defined]
            time.sleep(3)
            before = sum(map(processor_seconds, pids))
            time.sleep(seconds)
            used = (sum(map(processor_seconds, pids)) - before) / seconds / len(pids) * 100
            memory = sum(map(proportional_set_size, [*pids, int(str(started["supervisor_pid"]))])) / 1_000_000
        finding.figures += [Figure(f"{backend}, processor", [used], "%"), Figure(f"{backend}, memory", [memory], "MB")]
        finding.lines.append(at_most(f"{backend}, processor per worker", used, 0.5, "%"))
        finding.lines.append(at_most(f"{backend}, memory of all", memory, 150, "MB"))
    return finding


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def proportional_set_size(pid: int) -> int:
    """Bytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))


# How long a command line takes to start.


def commands_without_a_database(bench: Bench) -> Finding:
    """`--help`, `--version`, usage errors."""
    finding = Finding(
        "`--help`, `--version`, usage errors",
        f'Whole processes, {bench.scale.processes} rounds, in turns with `python -c "import click"`.',
    )
    commands = {
        "`--help`": ["--help"],
        "`--version`": ["--version"],
        "`worker start --help`": ["worker", "start", "--help"],
        "unknown command": ["nonsense"],
        "bad option": ["list", "--limit", "many"],
    }
    with bench.new_queue("SQLite") as queue:
        baseline, times = beside_python(queue, "import click", commands, bench.scale.processes)
    finding.figures = [Figure('python -c "import click"', baseline, "s")]
    for name, values in times.items():
        finding.figures.append(Figure(name, values, "s"))
        finding.lines.append(at_most(name, ratio(values, baseline), 1.3))
    return finding


def commands_with_a_database(bench: Bench) -> Finding:
    """`enqueue` of one job, `status`, on SQLite."""
    finding = Finding(
        "`enqueue` of one job, `status` (SQLite)",
        f'Whole processes, {bench.scale.processes} rounds, in turns with `python -c "import click, sqlite3"`. '
        "There is no target; the ratio is told.",
    )
    commands = {"`enqueue`": ["enqueue", '{"command": "true"}'], "`status`": ["status"]}
    with bench.new_queue("SQLite") as queue:
        baseline, times = beside_python(queue, "import click, sqlite3", commands, bench.scale.processes)
    finding.figures = [Figure('python -c "import click, sqlite3"', baseline, "s")]
    for name, values in times.items():
        finding.figures.append(Figure(name, values, "s"))
        finding.lines.append(Line(name, shown(ratio(values, baseline))))
    return finding


def beside_python(
    queue: Queue, statement: str, commands: Mapping[str, Sequence[str]], rounds: int
) -> tuple[list[float], dict[str, list[float]]]:
    def run(command: Sequence[str]) -> float:
        return timed(
            lambda: subprocess.run(
                command, env=queue.environ, cwd=queue.place, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        )

    command_lines = {name: [PROGRAM, *arguments] for name, arguments in commands.items()}
    contestants = {"": [sys.executable, "-c", statement], **command_lines}
    for command in contestants.values():
        run(command)  # writes the bytecode, reads the files
    times = in_turns({name: partial(run, command) for name, command in contestants.items()}, rounds)
    return times.pop(""), times


# A long transaction beside the work.


def open_snapshot(bench: Bench) -> Finding:
    """One snapshot open in PostgreSQL while workers are busy."""
    if bench.new_database is None:
        raise RuntimeError("there is no PostgreSQL")
    seconds, workers = bench.scale.snapshot_seconds, bench.scale.workers
    finding = Finding(
        "One open snapshot in PostgreSQL under full load",
        f"{workers} workers run `{COMMAND}` without a pause from a backlog that is kept filled, and a claim of one job "
        f"is timed about 50 times a second: for {seconds:g} s, and then for {seconds:g} s with a transaction open that "
        "has seen a snapshot. What it keeps from being cleaned grows with time: give the option "
        "`--snapshot-seconds 600` for the ten minutes that the target speaks of.",
    )
    with bench.new_queue("PostgreSQL") as queue, busy(queue, workers), Hand(queue) as hand:
        timed_claims(hand, 3)
        normal = timed_claims(hand, seconds)
        with psycopg.connect(queue.url) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            connection.execute("SELECT count(*) FROM jobs")
            held = timed_claims(hand, seconds)
        ran = queue.ask("SELECT count(*) FROM attempts WHERE outcome = 'succeeded'")
    finding.notes.append(f"{ran:,} jobs ran meanwhile.")
    finding.figures = [Figure("claim", normal, "ms"), Figure("claim beside the snapshot", held, "ms")]
    finding.lines = [
        Line("claim p99, normal", shown(percentile(normal, 99), "ms")),
        Line("claim p99, beside the snapshot", shown(percentile(held, 99), "ms")),
        at_most("p99 beside the snapshot : normal", percentile(held, 99) / percentile(normal, 99), 3),
    ]
    return finding


@contextmanager
def busy(queue: Queue, workers: int) -> Iterator[None]:
    """Workers with a backlog that never ends."""
    over = threading.Event()
    jobs = queue.container.jobs()

    def keep_filled() -> None:
        number = 0
        while not over.wait(0.2):
            waiting = queue.ask("SELECT count(*) FROM jobs WHERE state = 'pending'")
            if isinstance(waiting, int) and waiting < 2_000:
                jobs.add([a_job(f"job-{number + each}", queue, COMMAND) for each in range(1_000)])
                number += 1_000

    queue.enqueue([{"command": COMMAND}] * 2_000)
    feeder = threading.Thread(target=keep_filled)
    queue.start_workers(workers)
    feeder.start()
    try:
        yield
    finally:
        over.set()
        feeder.join()


def timed_claims(hand: Hand, seconds: float) -> list[float]:
    """Milliseconds of each claim."""
    times, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        begun = time.perf_counter()
        run = hand.claim()
        times.append((time.perf_counter() - begun) * 1000)
        if run:
            hand.settle(run)
        time.sleep(0.015)
    return times


ALL: Mapping[str, Work] = {
    work.__name__.replace("_", "-"): work
    for work in (
        true_on_sqlite,
        true_on_postgres,
        enqueue_a_batch,
        enqueue_to_start,
        claims_of_a_full_queue,
        looks_at_a_full_queue,
        many_at_once,
        idle_workers,
        commands_without_a_database,
        commands_with_a_database,
        open_snapshot,
    )
}
