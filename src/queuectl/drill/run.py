"""The drill at work: a scratch queue, the real program as a user runs it, faults by a plan, and what was seen of all.

It signals only processes that it started: workers and supervisors that the scratch queue's own registry names, which
nobody else has written to, and processes that carry the drill's mark in their environment.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from queuectl.application.fleet import LocalWorkers
from queuectl.application.operate.configure import set_setting
from queuectl.application.operate.inspect import attempts_of, search_jobs
from queuectl.container import Container
from queuectl.domain.attempt import Attempt, Outcome
from queuectl.domain.errors import QueueError
from queuectl.domain.job import TERMINAL, Job
from queuectl.domain.ports.host import LocalProcess
from queuectl.domain.worker import WORKER_MARK, Process
from queuectl.drill.judge import ATTEMPT_IS_OVER, AttemptRecord, Call, History, JobRecord, LeftProcess, check
from queuectl.drill.plan import FROZEN_LEASES, Document, Fault, Order, Step, batches, faults, read_ledger, undisturbed
from queuectl.drill.report import Report
from queuectl.settings import Settings

LEASE = timedelta(seconds=2)
"""As short as the policy allows, so that a short drill has many of them."""

MAX_LOSSES = 1000

POLICY = {
    "lease": "2s",
    "kill-grace": "1s",
    "backoff-max": "1s",
    "max-losses": str(MAX_LOSSES),
    "default-timeout": "none",
}

CONCURRENCY = 2

MARK = "QUEUE_DRILL"
"""The variable that all processes of a drill carry, commands included: not one that a worker keeps from those."""

CLEANUP_TIMEOUT = 5.0
"""Seconds after which nothing may be left of a killed worker's commands: the promise is 2, this is a busy machine's."""

PATIENCE = 60.0
"""Seconds that all jobs have to end after the last fault, beside what they take when nothing disturbs them."""

TICK = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The surroundings of a drill: its queue, and the directory of its ledger and logs."""

    settings: Settings
    directory: Path
    token: str

    name: str
    """The queue's URL, without a password."""

    @property
    def ledger(self) -> Path:
        """The file that the jobs themselves write."""
        return self.directory / "ledger"


@contextlib.contextmanager
def scratch(settings: Settings, *, keep: bool) -> Iterator[Scene]:
    """A queue of its own beside the user's, with nothing in it; removed at the end, however that comes, unless kept."""
    queue = Container(settings=settings).scratch()
    directory = Path(tempfile.mkdtemp(prefix="queuectl-drill-", dir=queue.directory))
    with contextlib.ExitStack() as clear_away:
        clear_away.callback(shutil.rmtree, directory, ignore_errors=True)
        url = queue.make(directory)
        clear_away.callback(queue.remove)
        if keep:
            clear_away.pop_all()
        yield Scene(
            settings=replace(settings, database_url=url, log_dir=directory / "logs"),
            directory=directory,
            token=secrets.token_hex(8),
            name=queue.name,
        )


class Drill:
    """One drill; `run` has it happen and reports on it. `log` gets a line about each step."""

    def __init__(self, scene: Scene, order: Order, log: Callable[[str], None]) -> None:
        self._order = order
        self._log = log
        self._ledger = scene.ledger
        self._container = Container(settings=scene.settings)
        self._program = Program(scene, workers=order.workers)
        self._evidence = Evidence(self._container, scene)
        self._faults: Counter[Fault] = Counter()
        self._frozen: list[tuple[float, LocalProcess]] = []

    def run(self) -> Report:
        """Set the scene, let it happen, stop everything, and judge. Nothing of it runs any more when this returns."""
        try:
            self._container.storage().initialise()
            for key, value in POLICY.items():
                set_setting(self._container.queue(), key, value)
            self._program.start_workers()
            self._disturb()
            self._wait_for_the_end()
            self._thaw(at_once=True)
            self._program.stop_workers()
            self._evidence.look(at_once=True)
            history = self._evidence.history()
            slowest = max(self._evidence.rescues(), default=None)
            return Report(history=history, faults=self._faults, slowest_rescue=slowest, violations=check(history))
        finally:
            self._stop_everything()

    def _workers(self) -> LocalWorkers:
        workers: LocalWorkers = self._container.local_workers()
        return workers

    def _disturb(self) -> None:
        steps = faults(self._order.seed, span=self._order.span, lease=LEASE)
        waiting = batches(self._order, self._ledger)
        began = time.monotonic()
        while (now := timedelta(seconds=time.monotonic() - began)) < self._order.span or steps or waiting:
            while waiting and waiting[0].at <= now:
                self._evidence.calls.append(self._program.enqueue(waiting.pop(0).documents))
            if steps and steps[0].at <= now and not self._frozen:
                self._strike(steps.pop(0))
            self._thaw()
            self._evidence.look()
            time.sleep(TICK)

    def _strike(self, step: Step) -> None:
        workers = self._workers()
        if not workers.alive:
            self._program.start_workers()
            workers = self._workers()
        victim = workers.alive[int(step.chosen * len(workers.alive))]
        match step.fault:
            case Fault.KILL_WORKER:
                self._hit_worker(step, victim, signal.SIGKILL)
                self._evidence.look_later(victim.worker)
            case Fault.FREEZE:
                self._hit_worker(step, victim, signal.SIGSTOP)
                self._frozen.append((time.monotonic() + (LEASE * FROZEN_LEASES).total_seconds(), victim))
            case Fault.KILL_SUPERVISOR:
                self._signal(step, victim.supervisor, signal.SIGKILL)
                self._program.start_workers()
            case Fault.STOP | Fault.FORCE_STOP:
                self._faults[step.fault] += 1
                self._log(f"all workers are {step.fault}, and started again")
                self._program.stop_workers(force=step.fault is Fault.FORCE_STOP)
                self._program.start_workers()

    def _hit_worker(self, step: Step, victim: LocalProcess, number: signal.Signals) -> None:
        at = self._container.clock()()
        if self._signal(step, victim.process, number):
            self._evidence.hit_at[victim.worker] = at

    def _signal(self, step: Step, target: Process, number: signal.Signals) -> bool:
        was_there = bool(self._container.signal_process()(target, number))
        if was_there:
            self._faults[step.fault] += 1
            self._log(f"{step.fault}: pid {target.pid}")
        return was_there

    def _thaw(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        for due, worker in [it for it in self._frozen if at_once or it[0] <= now]:
            self._frozen.remove((due, worker))
            if self._container.signal_process()(worker.process, signal.SIGCONT):
                self._log(f"worker goes on: pid {worker.process.pid}")
                self._evidence.look_later(worker.worker)

    def _wait_for_the_end(self) -> None:
        """Wait until every job has ended, or longer than that may take."""
        give_up_at = time.monotonic() + PATIENCE + 2 * undisturbed(self._order).total_seconds()
        self._log("no more faults: waiting for the jobs to end")
        while time.monotonic() < give_up_at:
            self._thaw()
            self._evidence.look()
            if all(job.state in TERMINAL for job in self._evidence.jobs()):
                return
            if not self._workers().alive:
                self._program.start_workers()
            time.sleep(10 * TICK)

    def _stop_everything(self) -> None:
        """However the drill has ended: let the frozen go on, stop the workers by force, kill what is left."""
        send = self._container.signal_process()
        try:
            self._thaw(at_once=True)
            self._program.stop_workers(force=True)
            for target in self._workers().targets:
                send(target.process, signal.SIGKILL)
        finally:
            while left := self._evidence.left_processes():
                for process in left:
                    send(process, signal.SIGKILL)
                time.sleep(TICK)
            self._container.storage().close()


class Program:
    """The real `queuectl`, called as a user calls it, each time in a process of its own."""

    def __init__(self, scene: Scene, *, workers: int) -> None:
        self._workers = workers
        self._environ = {name: text for name, text in os.environ.items() if not name.startswith("QUEUECTL_")} | {
            "QUEUECTL_DATABASE_URL": scene.settings.database_url,
            "QUEUECTL_LOG_DIR": str(scene.settings.log_dir),
            MARK: scene.token,
        }

    def start_workers(self) -> None:
        """Start them in the background. Raises QueueError."""
        self._call("worker", "start", f"--count={self._workers}", f"--concurrency={CONCURRENCY}")

    def stop_workers(self, *, force: bool = False) -> None:
        """Stop all, or as many as end in time."""
        options = ["--force"] if force else []
        self._call("worker", "stop", "--timeout", str(PATIENCE), *options, may_fail=True)

    def enqueue(self, documents: Sequence[Document]) -> Call:
        """Enqueue these jobs. Raises QueueError."""
        lines = "".join(json.dumps(each) + "\n" for each in documents)
        printed = self._call("enqueue", "-", "--output", "id", stdin=lines).split()
        return Call(ids=[str(each["id"]) for each in documents], printed=printed, code=0)

    def _call(self, *args: str, stdin: str = "", may_fail: bool = False) -> str:
        done = subprocess.run(  # noqa: S603 - this program itself
            [sys.executable, "-P", "-m", "queuectl", *args],
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
            start_new_session=True,  # Ctrl-C is for the drill, which then stops everything in its order
            env=self._environ,
        )
        if done.returncode != 0 and not may_fail:
            reason = done.stderr.strip().rpartition("\n")[2] or "it gave no reason"
            raise QueueError(f"`queuectl {args[0]}` failed in the drill with exit code {done.returncode}: {reason}")
        return done.stdout


class Evidence:
    """The drill's observations: answers of the program, when workers were hit, processes that were left behind."""

    def __init__(self, container: Container, scene: Scene) -> None:
        self.calls: list[Call] = []
        self.hit_at: dict[str, datetime] = {}
        """By worker: the moment, by the database's clock, at which it was killed or frozen."""
        self._container = container
        self._scene = scene
        self._looks: list[tuple[float, str]] = []
        """Moments at which to look for what is left of the commands of a worker that was hit."""
        self._orphans: dict[int, str] = {}

    def look_later(self, worker_id: str) -> None:
        """Have a look at what is left of that worker's commands when all must be gone."""
        self._looks.append((time.monotonic() + CLEANUP_TIMEOUT, worker_id))

    def look(self, *, at_once: bool = False) -> None:
        """Look at the commands of workers that were hit some time ago; `at_once`: at all that is left, of anybody."""
        now = time.monotonic()
        for due, worker_id in [it for it in self._looks if it[0] <= now]:
            self._looks.remove((due, worker_id))
            self._note_orphans(WORKER_MARK, worker_id)
        if at_once:
            self._note_orphans(MARK, self._scene.token)

    def left_processes(self) -> list[Process]:
        """All that still runs of the drill."""
        find = self._container.find_process()
        pids = self._container.marked()(MARK, self._scene.token)
        return [process for pid in pids if (process := find(pid)) is not None]

    def jobs(self) -> Sequence[Job]:
        """The jobs as they are now."""
        return search_jobs(self._container.queue())

    def rescues(self) -> list[timedelta]:
        """The time from each hit that cost an attempt its worker to the moment when its job was taken back."""
        return [
            attempt.finished_at - self.hit_at[attempt.lease.worker]
            for attempt in self._attempts()
            if attempt.outcome is Outcome.LOST and attempt.finished_at and attempt.lease.worker in self.hit_at
        ]

    def history(self) -> History:
        """The evidence for the judge."""
        ledger = self._scene.ledger
        orphans = [LeftProcess(pid, job, ATTEMPT_IS_OVER, "") for pid, job in self._orphans.items()]
        return History(
            calls=self.calls,
            jobs={job.id: JobRecord.of(job) for job in self.jobs()},
            attempts=list(map(AttemptRecord.of, self._attempts())),
            ledger=read_ledger(ledger.read_text() if ledger.exists() else ""),
            processes=orphans if self._container.sees_processes() else None,
            max_losses=MAX_LOSSES,
        )

    def _attempts(self) -> Iterator[Attempt]:
        for job in self.jobs():
            yield from attempts_of(self._container.queue(), job.id)

    def _note_orphans(self, mark: str, value: str) -> None:
        found: Mapping[int, str | None] = self._container.marked()(mark, value)
        self._orphans |= {pid: job for pid, job in found.items() if job is not None}
