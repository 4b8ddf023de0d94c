"""The real queuectl, with a database and logs of its own: its commands, and its parts for what needs closer looks."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.container import Container
from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.job import Job, Spec
from queuectl.domain.ports.work import Claim, Run
from queuectl.domain.worker import Lease, Process, WorkerRecord, WorkerState
from queuectl.settings import Settings

PROGRAM = str(Path(sys.executable).with_name("queuectl"))
LOOK_AGAIN = 0.02
"""Seconds between two looks at how many jobs are left; the same for every peer."""

LONGEST = 900.0
"""Seconds until a run is given up."""


class Queue:
    """One queue in a directory of its own; `close` stops its workers."""

    def __init__(self, place: Path, url: str | None = None) -> None:
        place.mkdir(parents=True)
        self.place = place
        self.url = url or f"sqlite:///{place}/queue.db"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "LANG": "C.UTF-8",
            "QUEUECTL_DATABASE_URL": self.url,
            "QUEUECTL_LOG_DIR": str(place / "logs"),
        }
        self.run("init")
        self.container = Container(settings=Settings(database_url=self.url, log_dir=place / "logs"))
        self.container.storage().open()
        self._has_workers = False

    def __enter__(self) -> "Queue":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._has_workers:
            self.stop_workers(force=True)
        self.container.storage().close()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.place)

    def run(self, *arguments: str, stdin: Path | None = None) -> str:
        """Run one command to its end; what it prints."""
        with (stdin or Path(os.devnull)).open("rb") as source:
            done = subprocess.run(
                [PROGRAM, *arguments],
                stdin=source,
                capture_output=True,
                text=True,
                env=self.environ,
                cwd=self.place,
                timeout=LONGEST,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"queuectl {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def enqueue(self, documents: Sequence[Mapping[str, object]]) -> None:
        """Enqueue a batch with one command."""
        batch = self.place / "batch.jsonl"
        batch.write_text("".join(f"{json.dumps(document)}\n" for document in documents))
        self.run("enqueue", "-", stdin=batch)

    def start_workers(self, count: int, *, concurrency: int = 1) -> Mapping[str, object]:
        """Start workers in the background; what `worker start` says of them."""
        started = self.run("--output", "json", "worker", "start", f"--count={count}", f"--concurrency={concurrency}")
        self._has_workers = True
        answer: Mapping[str, object] = json.loads(started)
        return answer

    def stop_workers(self, *, force: bool = False) -> None:
        self._has_workers = False
        self.run("worker", "stop", *(["--force"] if force else []))

    def wait_until_done(self) -> None:
        """Return when no job is left to run."""
        give_up_at = time.monotonic() + LONGEST
        while self.ask("SELECT count(*) FROM jobs WHERE state IN ('pending', 'processing', 'failed')"):
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"queuectl: not all jobs have ended within {LONGEST:.0f} s")
            time.sleep(LOOK_AGAIN)

    def check_all_ran_once(self, count: int) -> None:
        """Raises unless exactly so many attempts are recorded, all of them successes."""
        attempts = self.ask("SELECT count(*) FROM attempts")
        succeeded = self.ask("SELECT count(*) FROM attempts WHERE outcome = 'succeeded' AND output IS NOT NULL")
        if (attempts, succeeded) != (count, count):
            raise RuntimeError(f"queuectl: of {count} commands {attempts} ran and {succeeded} succeeded")

    def ask(self, statement: str) -> object:
        """The first value that a statement gives."""
        return self.container.database().read(lambda connection: connection.scalar(statement))

    def tell(self, *statements: str) -> None:
        """Run statements in one transaction."""

        def work(connection: Connection) -> None:
            for statement in statements:
                connection.execute(statement)

        self.container.database().write(work)


class Hand:
    """A worker without processes: claims and settles through the repository, so that only the database is measured."""

    def __init__(self, queue: Queue) -> None:
        container = queue.container
        self._work, self._clock = container.work(), container.clock()
        self.id = str(container.new_worker_id())
        now = self._clock()
        process = Process(machine="of the benchmark", pid=1, started=0)  # `worker stop` must not stop this one
        container.workers().register(
            WorkerRecord(
                id=self.id,
                host=container.host_name(),
                process=process,
                supervisor=process,
                queues=(),
                concurrency=1,
                state=WorkerState.RUNNING,
                started_at=now,
                renewed_at=now,
                lease_expires_at=now + timedelta(hours=6),
            )
        )
        self._number = 0
        self._retire: Callable[[], None] = lambda: container.workers().retire(self.id, at=self._clock())

    def __enter__(self) -> "Hand":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._retire()

    def claim(self) -> Run | None:
        """Take the next due job, if there is one."""
        self._number += 1
        lease = Lease(id=f"{self.id}-{self._number}", worker=self.id)
        claimed = self._work.claim(Claim(lease, queues=(), limit=1, at=self._clock()))
        return claimed[0] if claimed else None

    def settle(self, run: Run) -> None:
        """Record it as completed."""
        end = run.ended(RunResult(outcome=Outcome.SUCCEEDED, exit_code=0), self._clock())
        self._work.settle([end], lambda job, end: job.settled(end.result, end.at, run.policy, 0))

    def turn(self) -> None:
        """Claim one job and settle it. Raises when there is none."""
        run = self.claim()
        if run is None:
            raise RuntimeError("there is no job to claim")
        self.settle(run)


def a_job(job_id: str, at: Queue, command: str | tuple[str, ...] = "true") -> Job:
    """A job as `enqueue` would make it, due now."""
    now = at.container.clock()()
    spec = Spec(
        id=job_id,
        command=command,
        queue="default",
        priority=5,
        max_retries=3,
        timeout=timedelta(minutes=5),
        created_at=now,
    )
    return Job(spec, run_at=now, updated_at=now)
