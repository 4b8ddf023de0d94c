"""The real `queuectl` in a directory of its own: run to its end, its workers started, watched and cleared away."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.integration.launcher import launcher
from tests.integration.log import PATIENCE, Log

QUEUECTL = str(Path(sys.executable).with_name("queuectl"))
ENDED = ("completed", "dead", "cancelled")
PLAIN = {"PATH", "HOME", "LANG"}
"""Variables of which Python needs nothing when it starts, or that are the same for all tests."""

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = PATIENCE, *, every: float = 0.02) -> T:
    """Wait until `condition` returns something true, and return it; fail when that takes over `timeout` seconds."""
    give_up_at = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < give_up_at, f"not within {timeout} s; the last answer was {result!r}"
        time.sleep(every)
    return result


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one call of the command line."""

    stdout: str
    stderr: str
    code: int

    @property
    def errors(self) -> list[str]:
        """The messages of the `error:` lines."""
        return [line.removeprefix("error: ") for line in self.stderr.splitlines() if line.startswith("error: ")]


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes of one `worker start`."""

    supervisor: int
    pids: Sequence[int]
    log_file: Path

    @property
    def log(self) -> Log:
        return Log.at(self.log_file)


class Cli:
    """One user of one queue. All that it starts is known by its HOME, and `close` leaves nothing of that running."""

    def __init__(self, directory: Path, database_url: str | None) -> None:
        self.directory = directory / "work"
        self.home = directory / "home"
        self.logs = directory / "logs"
        self.directory.mkdir()
        self.home.mkdir()
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8"}
        self.environ["QUEUECTL_LOG_DIR"] = str(self.logs)
        if mutant := os.environ.get("QUEUECTL_TEST_PYTHONPATH"):  # a queuectl that is broken on purpose is to be tested
            self.environ["PYTHONPATH"] = mutant
        if database_url is not None:
            self.environ["QUEUECTL_DATABASE_URL"] = database_url
        self._foreground: list[subprocess.Popen[bytes]] = []

    def run(
        self,
        *args: str,
        stdin: str | bytes = b"",
        check: bool = True,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = (QUEUECTL,),
        umask: int = -1,
        preexec_fn: Callable[[], object] | None = None,
    ) -> Result:
        """Run one command line to its end; unless `check` is False it must succeed."""
        content = stdin.encode() if isinstance(stdin, str) else stdin
        environ = self.environ | dict(env or {})
        is_plain = program == (QUEUECTL,) and umask == -1 and preexec_fn is None
        is_plain &= all(name.startswith("QUEUECTL_") for name in environ.keys() - PLAIN)
        is_plain &= environ["LANG"] == self.environ["LANG"] == "C.UTF-8"
        if is_plain:
            done = launcher().run(args, stdin=content, env=environ, cwd=self.directory, timeout=2 * PATIENCE)
        else:
            done = subprocess.run(
                [*program, *args],
                input=content,
                capture_output=True,
                env=environ,
                cwd=self.directory,
                timeout=2 * PATIENCE,
                check=False,
                umask=umask,
                preexec_fn=preexec_fn,
            )
        result = Result(done.stdout.decode(), done.stderr.decode(), done.returncode)
        assert "Traceback" not in result.stderr, result.stderr
        assert result.code == 0 or not check, result
        return result

    def json(self, *args: str, env: Mapping[str, str] | None = None, umask: int = -1) -> Any:  # noqa: ANN401 - JSON
        """The JSON that a command writes."""
        return json.loads(self.run("--output", "json", *args, env=env, umask=umask).stdout)

    def error(self, *args: str) -> dict[str, Any]:
        """The error that a command must end with, as JSON."""
        result = self.run("--output", "json", *args, check=False)
        assert result.code != 0
        error: dict[str, Any] = json.loads(result.stderr)["error"]
        return error

    def enqueue(self, command: str | Sequence[str], **fields: object) -> str:
        """Enqueue one job; its id."""
        return self.run("enqueue", json.dumps({"command": command, **fields})).stdout.strip()

    def enqueue_all(self, documents: Sequence[Mapping[str, object]]) -> list[str]:
        """Enqueue a batch; the ids."""
        return self.run("enqueue", "-", stdin=json_lines(documents)).stdout.split()

    def job(self, job_id: str) -> dict[str, Any]:
        """Everything about one job."""
        job: dict[str, Any] = self.json("info", job_id)
        return job

    def jobs(self) -> dict[str, dict[str, Any]]:
        """All jobs by id."""
        return {job["id"]: job for job in self.json("list", "--limit", "0")}

    def wait_for(self, job_id: str, *states: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """The job, once it is in one of these states; without any, once it has ended."""

        def job_in_state() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] in (states or ENDED) else None

        return self._once(job_in_state, lambda log: log.count(f"job {job_id} "), timeout)

    def wait_for_all(self, timeout: float = PATIENCE) -> dict[str, dict[str, Any]]:
        """All jobs by id, once each has ended."""

        def ended() -> dict[str, dict[str, Any]] | None:
            jobs = self.jobs()
            return jobs if all(job["state"] in ENDED for job in jobs.values()) else None

        return self._once(ended, lambda log: log.count("job "), timeout)

    @property
    def log(self) -> Log:
        """The logs of all workers."""
        return Log(lambda: [*self.logs.glob("*"), *self.directory.glob("*.log")])

    def _once(self, look: Callable[[], T | None], mentions: Callable[[str], int], timeout: float) -> T:
        """Look until there is something, and return it. A look costs a process: it is taken when the log has news."""
        give_up_at = time.monotonic() + timeout
        with contextlib.suppress(AssertionError):
            wait_until(lambda: mentions(self.log.so_far()) >= 2, 0.5)  # one start, one end
        while True:
            seen = mentions(self.log.so_far())
            if (found := look()) is not None:
                return found
            assert time.monotonic() < give_up_at, f"not within {timeout} s; the log:\n{self.log}"
            with contextlib.suppress(AssertionError):
                wait_until(lambda: mentions(self.log.so_far()) != seen, 2)  # noqa: B023 - called before the next turn

    def start_workers(
        self,
        count: int = 1,
        *,
        concurrency: int = 1,
        queues: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        umask: int = -1,
    ) -> Workers:
        """Start workers in the background."""
        started = self.json("worker", "start", *_arguments(count, concurrency, queues), env=env, umask=umask)
        return Workers(started["supervisor_pid"], [each["pid"] for each in started["workers"]], Path(started["log"]))

    def start_in_foreground(
        self,
        count: int = 1,
        *,
        concurrency: int = 1,
        pass_fds: Sequence[int] = (),
        before: Sequence[str] = (),
        cwd: Path | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Start workers in the foreground of a session of their own; returns when they are ready.

        `before` is a command line that runs another one.
        """
        path = self.directory / f"foreground-{len(self._foreground)}.log"
        with path.open("wb") as output:
            process = subprocess.Popen(
                [*before, QUEUECTL, "worker", "start", "--foreground", *_arguments(count, concurrency, ())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environ,
                cwd=cwd or self.directory,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        self._foreground.append(process)
        log = Log.at(path)
        log.wait_for(" started: queues ", count, or_until=lambda: process.poll() is not None)
        assert process.poll() is None, log
        return process

    def processes(self) -> dict[int, str]:
        """Everything that runs for this user, its jobs' commands included: pid and command line."""
        return {pid: command for pid, _, command in processes_with(f"HOME={self.home}")}

    def close(self) -> None:
        """Stop all workers, by force; fails when a process of theirs or of a job outlives them."""
        for pid in self.own_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        give_up_at = time.monotonic() + PATIENCE
        while (own := self.own_processes()) and time.monotonic() < give_up_at:
            for pid in own:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            time.sleep(0.1)
        for process in self._foreground:
            process.wait(PATIENCE)
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"still running after all workers were stopped: {left}"

    def own_processes(self) -> list[int]:
        """Supervisors and workers: they know where the log is, commands do not."""
        return [pid for pid, _, _ in processes_with(f"QUEUECTL_LOG_DIR={self.logs}")]


def json_lines(documents: Sequence[Mapping[str, object]]) -> str:
    return "".join(json.dumps(document) + "\n" for document in documents)


def is_running(pid: int) -> bool:
    """True when that pid is a process, and not one that is dead already and waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def workers_of(supervisor: int) -> list[int]:
    """The worker processes that a supervisor has now."""
    with contextlib.suppress(FileNotFoundError):
        return [int(pid) for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()]
    return []


def kill(*pids: int) -> None:
    """`kill -9`, all in one burst."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _arguments(count: int, concurrency: int, queues: Sequence[str]) -> list[str]:
    return [f"--count={count}", f"--concurrency={concurrency}", *(f"--queue={name}" for name in queues)]


def processes_with(variable: str) -> Iterator[tuple[int, list[bytes], str]]:
    """The processes that have that in their environment (`NAME=text`): pid, environment, command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                environ = (entry / "environ").read_bytes().split(b"\0")
                if variable.encode() in environ:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    yield int(entry.name), environ, command
