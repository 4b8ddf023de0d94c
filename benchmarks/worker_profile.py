"""`python -m benchmarks.worker_profile`: where the time of a job goes in a worker, step by step.

One worker's loop runs in this process with its steps timed, beside others that drain the same queue. Two clocks: what
passed (with waiting for disks, servers and other processes in it) and what this thread computed. A step's time is its
own, without that of the steps inside it.
"""

import argparse
import contextlib
import functools
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from benchmarks import postgres
from benchmarks.__main__ import HERE
from benchmarks.queue import Hand, Queue
from queuectl.adapters.host import clock, identity
from queuectl.adapters.observers import log
from queuectl.adapters.processes import tree
from queuectl.adapters.processes.child import Child
from queuectl.adapters.processes.runner import SubprocessRunner
from queuectl.adapters.processes.spawn import Spawn
from queuectl.adapters.sql.engine import prepared
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.adapters.sql.stores import jobs
from queuectl.application.work.lease import LeaseTerm
from queuectl.application.work.worker import Worker
from queuectl.domain.job import Job


class Steps:
    """Times of named steps, each without those of the steps inside it, per thread of calls."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inside: list[list[float]] = []

    def watch(self, owner: object, method: str, name: Callable[..., str] | str | None = None) -> None:
        """Time every call of `owner.method` from now on."""
        original = getattr(owner, method)
        said = name or f"{getattr(owner, '__name__', owner)}.{method}"

        @functools.wraps(original)
        def timed(*args: object, **kwargs: object) -> object:
            step = said if isinstance(said, str) else said(*args)
            self._inside.append([0.0, 0.0])
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return original(*args, **kwargs)
            finally:
                wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
                wall_inside, cpu_inside = self._inside.pop()
                self.wall[step] += wall - wall_inside
                self.cpu[step] += cpu - cpu_inside
                self.calls[step] += 1
                if self._inside:
                    self._inside[-1][0] += wall
                    self._inside[-1][1] += cpu

        setattr(owner, method, timed)

    def show(self, count: int) -> None:
        print(f"{'step':44} {'calls':>6} {'µs passed':>10} {'µs computed':>12}   per job")
        for step in sorted(self.wall, key=lambda step: -self.wall[step]):
            per_job = [value[step] / count * 1e6 for value in (self.wall, self.cpu)]
            print(f"{step:44} {self.calls[step] / count:6.2f} {per_job[0]:10.1f} {per_job[1]:12.1f}")
        totals = [sum(value.values()) / count * 1e6 for value in (self.wall, self.cpu)]
        print(f"{'all':44} {'':6} {totals[0]:10.1f} {totals[1]:12.1f}")


def watch_everything(steps: Steps) -> None:
    steps.watch(Worker, "work_one", "the loop itself")
    for method in ("claim", "settle", "first_due", "held_by"):
        steps.watch(jobs.SqlJobRepository, method, f"repository: {method}")
    steps.watch(Database, "_transact", "transaction: its own Python")
    for method in ("rows", "run", "run_for_each"):
        steps.watch(Connection, method, lambda _, name, *_rest: f"statement {name}")
    steps.watch(Connection, "tell", lambda _, text: f"statement {text.split()[0]}")
    steps.watch(prepared.Prepared, "bound", "values to the database's")
    steps.watch(prepared.Prepared, "row", "values from the database's")
    steps.watch(jobs, "_job", "a row to a Job")
    steps.watch(jobs, "_row", "a Job to a row")
    steps.watch(Job, "settled", "the job's next state")
    steps.watch(SubprocessRunner, "start", "runner: start")
    steps.watch(SubprocessRunner, "wait", "runner: wait, its own Python")
    steps.watch(SubprocessRunner, "_take_started", "runner: pidfd")
    steps.watch(SubprocessRunner, "_take_ended", "runner: ends")
    steps.watch(Child, "reap", "runner: reap")
    steps.watch(SubprocessRunner, "_kill_orphans", "runner: orphans")
    steps.watch(SubprocessRunner, "_reap_others", "runner: orphans")
    steps.watch(tree, "children", "/proc/self/task/*/children")
    steps.watch(identity, "process", "/proc/PID/stat and the machine's id")
    steps.watch(Spawn, "start", "posix_spawn")
    steps.watch(log, "log_event", "log lines")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker_profile", description=__doc__)
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL; else on SQLite")
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=2, help="this one included")
    parser.add_argument("--slots", type=int, default=1, help="commands at a time in each worker")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    (HERE / ".work").mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="profile-", dir=HERE / ".work"))
    try:
        if arguments.postgres:
            with postgres.running() as server:
                if isinstance(server, str):
                    raise SystemExit(server)
                apart(place / "queue", server.new_database(), arguments.jobs, arguments.workers, arguments.slots)
        else:
            apart(place / "queue", None, arguments.jobs, arguments.workers, arguments.slots)
    finally:
        shutil.rmtree(place)


def apart(*arguments: object) -> None:
    """In a process of its own: a worker takes all children of its process for its commands', servers included."""
    process = multiprocessing.get_context("spawn").Process(target=profiled, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"the profiled process ended with {process.exitcode}")


def profiled(place: Path, url: str | None, count: int, workers: int, slots: int) -> None:
    steps = Steps()
    with contextlib.ExitStack() as stack, Queue(place, url) as queue, Hand(queue) as hand:
        queue.enqueue([{"command": "true"}] * count)
        watch_everything(steps)
        container = queue.container
        container.events.override(log.log_event)
        file = stack.enter_context((place / "log").open("w"))
        stack.enter_context(contextlib.redirect_stderr(file))
        lease = timedelta(hours=6)
        heartbeat = container.heartbeat(hand.id, lease=LeaseTerm(lease, elapsed=clock.elapsed))
        worker: Worker = container.worker(hand.id, queues=(), concurrency=slots, heartbeat=heartbeat)
        if workers > 1:
            queue.start_workers(workers - 1, concurrency=slots)
        container.contain()  # only now: those workers' supervisor is not to become a child of ours
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        while not worker.is_idle:
            worker.work_one()
        took, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        own = int(str(queue.ask(f"SELECT count(*) FROM attempts WHERE worker = '{hand.id}'")))
    children = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / own * 1e6
    print(f"{count} jobs, {workers} workers, {took:.1f} s; {own} of them here: {took / own * 1e6:.0f} µs each")
    steps.show(own)
    print(f"the commands themselves computed {children:.0f} µs each")


if __name__ == "__main__":
    main()
