"""The command line over a queue in memory."""

import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from queuectl.application.operate.queue import Queue
from queuectl.domain.attempt import RunResult
from queuectl.domain.errors import DatabaseUnavailable
from queuectl.domain.job import Job
from queuectl.domain.ports.storage import Finding, Grade
from queuectl.domain.ports.work import Claim, Run
from queuectl.domain.worker import Process
from queuectl.entrypoints.cli.app import App
from queuectl.entrypoints.cli.program import run
from tests.builders import ANN, NOON, SECOND, a_lease, a_worker, settled
from tests.fakes import ManualClock
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
    Memory,
)


@dataclass
class MemoryStorage:
    """A database that is always there. `findings` is what `doctor` is to find."""

    name: str = "memory://queue"
    findings: Sequence[Finding] = (Finding(subject="schema", grade=Grade.OK, message="the newest"),)
    trouble: DatabaseUnavailable | None = None
    """What keeps it from being opened."""
    calls: list[str] = field(default_factory=list)

    def initialise(self) -> str | None:
        self.calls.append("initialise")
        return "created the queue" if self.calls.count("initialise") == 1 else None

    def open(self, *, create: bool = False) -> None:
        self.calls.append("open" if create else "open what is there")
        if self.trouble:
            raise self.trouble

    def examine(self) -> Sequence[Finding]:
        return self.findings

    def close(self) -> None:
        self.calls.append("close")


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def document(self) -> Any:  # noqa: ANN401  # JSON
        return json.loads(self.out)

    @property
    def error(self) -> Any:  # noqa: ANN401  # JSON
        return json.loads(self.err)["error"]


class AppInMemory(App):
    """A call of the program on a queue in memory."""

    def __init__(self, args: Sequence[str], queue: Queue) -> None:
        super().__init__(args)
        self._queue = queue

    def _opened(self, *, create: bool) -> Queue:
        _ = self.out
        self.storage.open(create=create)
        return self._queue


class CommandLine:
    """Call it with arguments: it runs them, and answers with what a shell would see."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self.clock, self.storage, memory = ManualClock(NOON), MemoryStorage(), Memory()
        self.jobs, self.workers = InMemoryJobs(memory), InMemoryWorkers(memory)
        self.work = InMemoryWork(memory)
        self.gone: list[Process] = []
        """The processes of this machine that have ended."""
        self._ids = iter(range(1, 1_000_000))
        self.queue = Queue(
            jobs=self.jobs,
            attempts=InMemoryAttempts(memory),
            dependencies=InMemoryDependencies(memory),
            batches=InMemoryBatches(memory),
            workers=self.workers,
            config=InMemoryConfig(memory),
            queues=InMemoryQueues(memory),
            measurements=InMemoryMeasurements(memory),
            surroundings=InMemorySurroundings(memory),
            clock=self.clock,
            is_gone=lambda process: process in self.gone,
            new_job_ids=lambda count: [f"made-{next(self._ids)}" for _ in range(count)],
            operator=ANN,
        )
        self.meanwhile: list[Callable[[], object]] = []
        """What happens, one by one, while a command waits: each a second after the one before."""
        self.rescues = 0

    def __call__(self, *args: str, stdin: bytes = b"") -> Answer:
        app = AppInMemory(args, self.queue)
        app.storage, app.pause, app.rescue = self.storage, self._pass, self._rescue
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = run(list(args), app)
        printed = self._capsys.readouterr()
        return Answer(code, printed.out, printed.err)

    def _pass(self, _seconds: float) -> None:
        self.clock.advance(SECOND)
        assert self.meanwhile, "a command waits for something that nobody does"
        self.meanwhile.pop(0)()

    def _rescue(self) -> None:
        self.rescues += 1

    def start_next(self) -> Run:
        """What a worker does with the next due job until its command ends."""
        if not self.workers.live():
            self.workers.register(a_worker(started_at=self.clock()))
        [run] = self.work.claim(Claim(a_lease(next(self._ids)), queues=(), limit=1, at=self.clock()))
        return run

    def end(self, run: Run, result: RunResult) -> None:
        """What it does then."""
        self.work.settle([run.ended(result, self.clock())], settled)

    def run_next(self, result: RunResult) -> Job:
        """What a worker does with the next due job."""
        self.workers.register(a_worker())
        lease = a_lease(next(self._ids))
        [run] = self.work.claim(Claim(lease, queues=(), limit=1, at=self.clock()))
        [done] = self.work.settle([run.ended(result, self.clock())], settled)
        assert done.job is not None
        return done.job


@pytest.fixture
def queuectl(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    for name in ("QUEUECTL_OUTPUT", "QUEUECTL_COLOR", "QUEUECTL_CONFIG", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("QUEUECTL_DATABASE_URL", f"sqlite:///{tmp_path}/queue.db")
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys, monkeypatch)
