"""The drill at work: a scratch queue, the real program as a user runs it, faults by a plan, and what was seen of all.

It signals only processes that it started: workers and supervisors that the scratch queue's own registry names, which
nobody else has written to, and processes that carry the drill's mark in their environment.
"""

import contextlib
import json
import os
import random
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from queuectl.application.fleet import LocalWorkers
from queuectl.container import Container
from queuectl.domain.attempt import Outcome
from queuectl.domain.errors import QueueError
from queuectl.domain.job import TERMINAL
from queuectl.domain.ports.host import LocalProcess
from queuectl.domain.worker import Process
from queuectl.drill.judge import FROZEN_LEASES, Fault, History, Step, plan, read_ledger
from queuectl.settings import Settings

LEASE = timedelta(seconds=2)
"""As short as the policy allows, so that a short drill has many of them."""

POLICY = {"lease": "2s", "kill-grace": "1s", "backoff-max": "1s", "max-losses": "1000", "default-timeout": "none"}

CONCURRENCY = 2

WORKER_MARK = "QUEUECTL_WORKER_ID"
"""The variable by which a command tells whose it is."""

MARK = "QUEUE_DRILL"
"""The variable that all processes of a drill carry, commands included: not one that a worker keeps from those."""

SOON = 5.0
"""Seconds after which nothing may be left of a killed worker's commands: the promise is 2, this is a busy machine's."""

PATIENCE = 60.0
"""Seconds that all jobs have to end after the last fault, beside what they take when nothing disturbs them."""

TICK = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What drill is wanted."""

    span: timedelta
    jobs: int
    workers: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where a drill takes place: its queue, and the directory of its ledger and logs."""

    settings: Settings
    directory: Path
    token: str

    name: str
    """Where the queue is, without a password."""

    @property
    def ledger(self) -> Path:
        """What the jobs themselves write."""
        return self.directory / "ledger"


@contextlib.contextmanager
def scratch(settings: Settings, *, keep: bool) -> Iterator[Scene]:
    """A queue of its own beside the user's, with nothing in it; removed at the end, however that comes, unless kept."""
    place = Container(settings=settings).scratch()
    directory = Path(tempfile.mkdtemp(prefix="queuectl-drill-", dir=place.place))
    is_made = False
    try:
        url = place.make(directory)
        is_made = True
        yield Scene(
            settings=replace(settings, database_url=url, log_dir=directory / "logs"),
            directory=directory,
            token=secrets.token_hex(8),
            name=place.name,
        )
    finally:
        if not (keep and is_made):
            try:
                if is_made:
                    place.remove()
            finally:
                shutil.rmtree(directory, ignore_errors=True)


@dataclass(slots=True)
class Drill:
    """One drill; `run` has it happen and tells what was seen. `tell` hears each step as a line."""

    scene: Scene
    order: Order
    tell: Callable[[str], None]
    faults: Counter[Fault] = field(default_factory=Counter, init=False)
    _acknowledged: list[str] = field(default_factory=list, init=False)
    _orphans: dict[int, str] = field(default_factory=dict, init=False)
    _hit: dict[str, datetime] = field(default_factory=dict, init=False)
    """By worker: when, by the database's clock, it was killed or frozen."""
    _looks: list[tuple[float, str]] = field(default_factory=list, init=False)
    """When to look whether anything is left of the commands of a worker that was hit."""
    _frozen: list[tuple[float, LocalProcess]] = field(default_factory=list, init=False)
    _container: Container = field(init=False)

    def __post_init__(self) -> None:
        self._container = Container(settings=self.scene.settings)

    def run(self) -> History:
        """Set the scene, let it happen, stop everything, and look. Nothing of it runs any more when this returns."""
        try:
            self._container.storage().initialise()
            for key, value in POLICY.items():
                self._container.queue().set(key, value)
            self._start()
            self._disturb()
            self._wait_for_the_end()
            self._thaw(at_once=True)
            self._queuectl("worker", "stop", "--timeout", str(PATIENCE), may_fail=True)
            self._look_for_orphans(at_once=True)
            return self._history()
        finally:
            self._stop_everything()

    # What happens.

    def _disturb(self) -> None:
        steps = list(plan(self.order.seed, span=self.order.span, lease=LEASE))
        batches = list(_batches(self.order))
        began, ends_after = time.monotonic(), self.order.span.total_seconds()
        while (now := time.monotonic() - began) < ends_after or steps or batches:
            due = [document for at, batch in batches if at <= now for document in batch]
            batches = [(at, batch) for at, batch in batches if at > now]
            if due:
                self._enqueue(due)
            if steps and steps[0].at.total_seconds() <= now and not self._frozen:
                self._strike(steps.pop(0))
            self._thaw()
            self._look_for_orphans()
            time.sleep(TICK)

    def _enqueue(self, documents: Sequence[Mapping[str, object]]) -> None:
        lines = "".join(
            json.dumps({**each, "command": _command(self.scene.ledger, str(each["command"]))}) + "\n"
            for each in documents
        )
        self._acknowledged += self._queuectl("enqueue", "-", "--output", "id", stdin=lines).split()

    def _strike(self, step: Step) -> None:
        workers = self._workers()
        if not workers.alive:
            self._start()
            workers = self._workers()
        victim = workers.alive[int(step.chosen * len(workers.alive))]
        match step.fault:
            case Fault.KILL_WORKER:
                self._hit_worker(step, victim, signal.SIGKILL)
                self._looks.append((time.monotonic() + SOON, victim.worker))
            case Fault.FREEZE:
                self._hit_worker(step, victim, signal.SIGSTOP)
                self._frozen.append((time.monotonic() + (LEASE * FROZEN_LEASES).total_seconds(), victim))
            case Fault.KILL_SUPERVISOR:
                self._signal(step, victim.supervisor, signal.SIGKILL)
                self._start()
            case Fault.STOP | Fault.FORCE_STOP:
                force = ["--force"] if step.fault is Fault.FORCE_STOP else []
                self.faults[step.fault] += 1
                self.tell(f"all workers are {step.fault}, and started again")
                self._queuectl("worker", "stop", "--timeout", str(PATIENCE), *force, may_fail=True)
                self._start()

    def _hit_worker(self, step: Step, victim: LocalProcess, number: signal.Signals) -> None:
        at = self._container.clock()()
        if self._signal(step, victim.process, number):
            self._hit[victim.worker] = at

    def _signal(self, step: Step, target: Process, number: signal.Signals) -> bool:
        was_there = self._container.signal_process()(target, number)
        if was_there:
            self.faults[step.fault] += 1
            self.tell(f"{step.fault}: pid {target.pid}")
        return was_there

    def _thaw(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        for due, worker in [it for it in self._frozen if at_once or it[0] <= now]:
            self._frozen.remove((due, worker))
            if self._container.signal_process()(worker.process, signal.SIGCONT):
                self.tell(f"worker goes on: pid {worker.process.pid}")
                self._looks.append((now + SOON, worker.worker))

    def _wait_for_the_end(self) -> None:
        """Until every job has ended, or longer than that may take."""
        undisturbed = sum(seconds for seconds, _ in _durations(self.order)) / self.order.workers
        give_up_at = time.monotonic() + PATIENCE + 2 * undisturbed
        self.tell("no more faults: waiting for the jobs to end")
        while time.monotonic() < give_up_at:
            self._thaw()
            self._look_for_orphans()
            jobs = self._container.queue().search()
            if all(job.state in TERMINAL for job in jobs):
                return
            if not self._workers().alive:
                self._start()
            time.sleep(10 * TICK)

    # What is seen.

    def _look_for_orphans(self, *, at_once: bool = False) -> None:
        """At the commands of workers that were hit some time ago; `at_once`: at all that is left, of anybody."""
        now = time.monotonic()
        for due, worker_id in [it for it in self._looks if it[0] <= now]:
            self._looks.remove((due, worker_id))
            self._note_orphans(WORKER_MARK, worker_id)
        if at_once:
            self._note_orphans(MARK, self.scene.token)

    def _note_orphans(self, mark: str, value: str) -> None:
        self._orphans |= {pid: job for pid, job in self._container.marked()(mark, value).items() if job is not None}

    def _history(self) -> History:
        queue = self._container.queue()
        jobs = {job.id: job for job in queue.search()}
        attempts = {job_id: queue.history(job_id) for job_id in jobs}
        rescues = [
            attempt.finished_at - self._hit[attempt.lease.worker]
            for history in attempts.values()
            for attempt in history
            if attempt.outcome is Outcome.LOST and attempt.finished_at and attempt.lease.worker in self._hit
        ]
        return History(
            acknowledged=self._acknowledged,
            jobs=jobs,
            attempts=attempts,
            ledger=read_ledger(self.scene.ledger.read_text() if self.scene.ledger.exists() else ""),
            orphans=list(self._orphans.items()) if self._container.sees_processes() else None,
            rescues=rescues,
        )

    # How it is done.

    def _start(self) -> None:
        self._queuectl("worker", "start", f"--count={self.order.workers}", f"--concurrency={CONCURRENCY}")

    def _workers(self) -> LocalWorkers:
        workers: LocalWorkers = self._container.local_workers()
        return workers

    def _queuectl(self, *args: str, stdin: str = "", may_fail: bool = False) -> str:
        """What the program prints; called as a user calls it, in a process of its own."""
        own = {name: text for name, text in os.environ.items() if not name.startswith("QUEUECTL_")}
        done = subprocess.run(  # noqa: S603 - this program itself
            [sys.executable, "-P", "-m", "queuectl", *args],
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
            start_new_session=True,  # Ctrl-C is for the drill, which then stops everything in its order
            env=own
            | {
                "QUEUECTL_DATABASE_URL": self.scene.settings.database_url,
                "QUEUECTL_LOG_DIR": str(self.scene.settings.log_dir),
                MARK: self.scene.token,
            },
        )
        if done.returncode != 0 and not may_fail:
            said = done.stderr.strip().rpartition("\n")[2] or "it said nothing"
            raise QueueError(f"`queuectl {args[0]}` failed in the drill with exit code {done.returncode}: {said}")
        return done.stdout

    def _stop_everything(self) -> None:
        """However the drill has ended: let the frozen go on, stop the workers by force, kill what is left."""
        find, marked = self._container.find_process(), self._container.marked()
        send = self._container.signal_process()
        try:
            self._thaw(at_once=True)
            self._queuectl("worker", "stop", "--force", "--timeout", str(PATIENCE), may_fail=True)
            for target in self._workers().targets:
                send(target.process, signal.SIGKILL)
        finally:
            while left := [process for pid in marked(MARK, self.scene.token) if (process := find(pid)) is not None]:
                for process in left:
                    send(process, signal.SIGKILL)
                time.sleep(TICK)
            self._container.storage().close()


def _durations(order: Order) -> Iterator[tuple[float, random.Random]]:
    """How long each job runs, in seconds, by the seed; and the chance from which the rest of it follows."""
    chance = random.Random(order.seed)  # noqa: S311 - to be repeated, not to be kept secret
    for _ in range(order.jobs):
        least, most = chance.choices([(0.1, 0.8), (1, 2), (3, 6)], [14, 5, 1])[0]
        yield chance.uniform(least, most), chance


def _batches(order: Order) -> Iterator[tuple[float, list[Mapping[str, object]]]]:
    """The jobs, each second's together: when to enqueue them, in seconds from the start."""
    documents = [_document(number, seconds, chance) for number, (seconds, chance) in enumerate(_durations(order), 1)]
    count = max(1, int(order.span.total_seconds()))
    for number in range(count):
        if batch := documents[number * len(documents) // count : (number + 1) * len(documents) // count]:
            yield float(number), batch


def _document(number: int, seconds: float, chance: random.Random) -> Mapping[str, object]:
    """One job: it notes its start, that it is alive, and its end; some leave a child behind, some fail at first."""
    leaves_a_child = "(setsid sleep 600 || sleep 600) >/dev/null 2>&1 & " if chance.random() < 0.25 else ""
    fails_at_first = '; [ "$QUEUECTL_ATTEMPT" -gt 1 ]' if chance.random() < 0.15 else ""
    alive = f"i=0; while [ $i -lt {max(1, round(seconds * 10))} ]; do sleep 0.1; note alive; i=$((i+1)); done"
    return {
        "id": f"drill-{number:04}",
        "max_retries": 5,
        "command": f"note start; {leaves_a_child}{alive}; note end{fails_at_first}",
    }


def _command(ledger: Path, body: str) -> str:
    """The shell command: a line is appended whole, so their order is the order in which things happened."""
    line = '"$QUEUECTL_JOB_ID $QUEUECTL_ATTEMPT $1"'
    return f"note() {{ echo {line} >>{shlex.quote(str(ledger))}; }}; {body}"
