"""The peers: each installs itself into a place of its own, and runs N commands with W workers.

Commands are run by `/bin/sh -c`, with stdin empty and output captured. Every run checks that all of them really ran.
"""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.queue import LOOK_AGAIN

HERE = Path(__file__).parent
VIRTUALENVS = HERE / ".peers"
PROGRAMS = HERE / "programs"

LOADED = "all enqueued, then the workers started, until the last outcome is stored"
WHOLE = "the whole command"


class Missing(Exception):
    """This peer cannot be had here; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a peer is to do, in an empty directory of its own. A run that takes longer than `longest` is cut off."""

    command: str
    count: int
    workers: int
    place: Path
    longest: float
    new_database: Callable[[], str]


class Peer(Protocol):
    """`settings` says what makes it durable, `measured` from when to when its time counts."""

    name: str
    settings: str
    measured: str

    def prepare(self) -> str:
        """Install it if need be; its version. Raises Missing."""

    def run(self, task: Task) -> float:
        """Commands per second. Raises RuntimeError when some did not run."""


class Xargs:
    name = "xargs -P"
    settings = "nothing is stored but the output, a file for each command"
    measured = WHOLE

    def prepare(self) -> str:
        return first_line(program("xargs", "findutils"), "--version")

    def run(self, task: Task) -> float:
        outputs = task.place / "outputs"
        outputs.mkdir()
        numbers = "\n".join(map(str, range(task.count)))
        # One shell for each command, as everywhere: it opens the file itself.
        script = f'exec >"$0" 2>&1; {task.command}'
        arguments = ["xargs", f"-P{task.workers}", "-n1", "/bin/sh", "-c", script]
        begun = time.monotonic()
        subprocess.run(arguments, input=numbers, text=True, cwd=outputs, check=True)
        took = time.monotonic() - begun
        return rate(self.name, task, len(list(outputs.iterdir())), took)


class Parallel:
    name = "GNU parallel"
    settings = "--results and --joblog: the output and a log line for each command, nothing synced"
    measured = WHOLE

    def prepare(self) -> str:
        return first_line(program("parallel", "parallel"), "--version")

    def run(self, task: Task) -> float:
        commands = f"{task.command}\n" * task.count
        arguments = ["parallel", "--will-cite", f"-j{task.workers}", "--results", "outputs/{#}", "--joblog", "log"]
        environ = clean_environ(HOME=task.place, PARALLEL_SHELL="/bin/sh")
        begun = time.monotonic()
        subprocess.run(
            arguments, input=commands, stdout=subprocess.DEVNULL, text=True, cwd=task.place, check=True, env=environ
        )
        took = time.monotonic() - begun
        ended = [line.split("\t")[6] for line in (task.place / "log").read_text().splitlines()[1:]]
        return rate(self.name, task, ended.count("0"), took)


class TaskSpooler:
    name = "task-spooler"
    settings = "nothing is synced: the queue is in its server's memory, the output in a file for each command"
    measured = "the whole loop that enqueues one command after the other, until the last has ended"

    def prepare(self) -> str:
        return first_line(program("tsp", "task-spooler"), "-V")

    def run(self, task: Task) -> float:
        environ = clean_environ(
            TS_SOCKET=task.place / "socket", TMPDIR=task.place, TS_MAXFINISHED=task.count + 1, TS_SLOTS=task.workers
        )
        script = f"i=0; while [ $i -lt {task.count} ]; do tsp /bin/sh -c '{task.command}'; i=$((i+1)); done"
        try:
            begun = time.monotonic()
            run_quietly(["/bin/sh", "-c", script], environ, task.place)
            self._wait_for_all(environ)
            took = time.monotonic() - begun
            listed = subprocess.run(["tsp"], env=environ, capture_output=True, text=True, check=True).stdout
        finally:
            subprocess.run(["tsp", "-K"], env=environ, check=False)
        ended = [fields[3] for fields in map(str.split, listed.splitlines()[1:]) if fields[1] == "finished"]
        return rate(self.name, task, ended.count("0"), took)

    def _wait_for_all(self, environ: Mapping[str, str]) -> None:
        while True:
            listed = subprocess.run(["tsp"], env=environ, capture_output=True, text=True, check=True).stdout
            states = [fields[1] for fields in map(str.split, listed.splitlines()[1:])]
            if all(state == "finished" for state in states):
                return
            subprocess.run(["tsp", "-w"], env=environ, check=True, stdout=subprocess.DEVNULL)


class HyperQueue:
    name = "HyperQueue"
    settings = "its Python wheel's LocalCluster, which keeps no journal; output in two files for each command"
    measured = "worker ready, then all enqueued, until the last command starts"

    def prepare(self) -> str:
        return virtualenv("hyperqueue", "hyperqueue")

    def run(self, task: Task) -> float:
        arguments = [str(PROGRAMS / "hyperqueue_jobs.py"), task.command, str(task.count), str(task.workers)]
        said = python_of("hyperqueue", arguments, clean_environ(BENCHMARK_PLACE=task.place), task.place)
        return task.count / float(said.split()[-1])


class HyperShell:
    """As it comes, or with what makes it faster and keeps it durable."""

    measured = LOADED

    def __init__(self, *, tuned: bool) -> None:
        self.name = "HyperShell, tuned" if tuned else "HyperShell"
        self.settings = f"SQLite with synchronous=FULL, --capture; {'WAL, bundles of ten' if tuned else 'the defaults'}"
        self._tuned = tuned

    def prepare(self) -> str:
        return virtualenv("hypershell", "hypershell")

    def run(self, task: Task) -> float:
        database, config = task.place / "tasks.db", task.place / "config.toml"
        journal = "WAL" if self._tuned else "DELETE"
        config.write_text(
            f"[database]\nfile = '{database}'\n[database.pragmas]\nsynchronous = 'FULL'\njournal_mode = '{journal}'\n"
        )
        environ = clean_environ(
            HOME=task.place,
            HYPERSHELL_SITE=task.place / "site",
            HYPERSHELL_CONFIG_FILE=config,
            HYPERSHELL_LOGGING_LEVEL="ERROR",
            HYPERSHELL_SERVER_PORT=free_port(),
        )
        (task.place / "tasks").write_text(f"{task.command}\n" * task.count)
        hs = str(VIRTUALENVS / "hypershell/bin/hs")
        run_quietly([hs, "submit", "--initdb", "-b", "100", "-f", "tasks"], environ, task.place)
        cluster = [hs, "cluster", "--restart", "-N", str(task.workers), "--capture"]
        if self._tuned:
            cluster += ["-b", "10", "-w", "1"]
        watching = sqlite3.connect(database, isolation_level=None, timeout=30)

        def done() -> int:
            row = watching.execute("SELECT count(*) FROM task WHERE exit_status = 0 AND outpath IS NOT NULL").fetchone()
            return int(row[0])

        with processes() as start:
            begun = time.monotonic()
            process = start(cluster, environ, task.place)
            while (count := done()) < task.count and time.monotonic() < begun + task.longest:
                if process.poll() is not None and done() < task.count:
                    raise RuntimeError(f"{self.name} ended after {done()} of {task.count} commands")
                time.sleep(LOOK_AGAIN)
            took = time.monotonic() - begun
        watching.close()
        return rate(self.name, task, count, took)


class FunctionQueue:
    """A peer that runs functions: ours starts the command. `workers` gives the command lines of its workers."""

    measured = LOADED

    def __init__(
        self,
        name: str,
        requirements: Sequence[str],
        settings: str,
        workers: Callable[[Path, Mapping[str, str], int], Sequence[Sequence[str]]],
        *,
        needs_redis: bool = False,
        needs_postgres: bool = False,
        install: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.settings = settings
        self._key = name.lower()
        self._requirements = requirements
        self._workers = workers
        self._needs_redis = needs_redis
        self._needs_postgres = needs_postgres
        self._install = install

    def prepare(self) -> str:
        server = f", {first_line(program('redis-server', 'redis-server'), '--version')}" if self._needs_redis else ""
        return virtualenv(self._key, *self._requirements) + server

    def run(self, task: Task) -> float:
        with ExitStack() as stack:
            environ = clean_environ(HOME=task.place, BENCHMARK_PLACE=task.place, PYTHONPATH=PROGRAMS)
            if self._needs_redis:
                environ["BENCHMARK_REDIS"] = stack.enter_context(redis_server(task.place))
            if self._needs_postgres:
                environ["BENCHMARK_POSTGRES"] = environ["PGDSN"] = task.new_database()
            bin_directory = VIRTUALENVS / self._key / "bin"
            if self._install:
                run_quietly([str(bin_directory / self._install[0]), *self._install[1:]], environ, task.place)
            ours = [str(bin_directory / "python"), str(PROGRAMS / "command.py"), f"{self._key}_jobs"]
            run_quietly([*ours, "enqueue", task.command, str(task.count)], environ, task.place)
            start = stack.enter_context(processes())
            waiting = start([*ours, "wait", str(task.count), str(task.longest)], environ, task.place, listen=True)
            expect_ready(waiting)
            begun = time.monotonic()
            for command in self._workers(bin_directory, environ, task.workers):
                start(command, environ, task.place)
            done = answer(waiting)
            took = time.monotonic() - begun
        return rate(self.name, task, done, took)


def huey() -> FunctionQueue:
    return FunctionQueue(
        "huey",
        ["huey"],
        "SQLite in WAL with synchronous=FULL (fsync=True), results stored, worker processes",
        lambda bin_directory, _, workers: [
            [str(bin_directory / "huey_consumer"), "huey_jobs.huey", "-w", str(workers), "-k", "process", "-n", "-q"]
        ],
    )


def rq() -> FunctionQueue:
    return FunctionQueue(
        "RQ",
        ["rq"],
        "Redis with appendonly yes and appendfsync always, results stored, a fork for each job (the default)",
        lambda bin_directory, environ, workers: [
            [str(bin_directory / "rq"), "worker-pool", "-n", str(workers), "-q", "-u", environ["BENCHMARK_REDIS"]]
        ],
        needs_redis=True,
    )


def procrastinate() -> FunctionQueue:
    return FunctionQueue(
        "Procrastinate",
        ["procrastinate", "psycopg[binary]"],
        "PostgreSQL with synchronous_commit and fsync as for queuectl; stores no output; worker processes",
        lambda bin_directory, _, workers: (
            [[str(bin_directory / "procrastinate"), "--app=procrastinate_jobs.app", "worker", "--concurrency=1"]]
            * workers
        ),
        needs_postgres=True,
    )


def pgqueuer() -> FunctionQueue:
    return FunctionQueue(
        "pgqueuer",
        ["pgqueuer", "asyncpg"],
        "PostgreSQL as for queuectl, tables of durability `durable`; stores no output; worker processes that take "
        "batches of ten (the default) and run one command at a time",
        lambda bin_directory, _, workers: (
            [[str(bin_directory / "python"), str(PROGRAMS / "command.py"), "pgqueuer_jobs", "work"]] * workers
        ),
        needs_postgres=True,
        install=("pgq", "install", "--durability", "durable"),
    )


ON_SQLITE: Sequence[Peer] = (
    Xargs(),
    TaskSpooler(),
    Parallel(),
    HyperQueue(),
    HyperShell(tuned=False),
    HyperShell(tuned=True),
    huey(),
    rq(),
)
ON_POSTGRES: Sequence[Peer] = (procrastinate(), pgqueuer())
ALL: Sequence[Peer] = (*ON_SQLITE, *ON_POSTGRES)


def clean_environ(**more: object) -> dict[str, str]:
    """The environment of a peer: ours must not change what it does, nor keep its modules from being compiled once."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
    return kept | {name: str(value) for name, value in more.items()}


def program(name: str, package: str) -> str:
    """Where the program is. Raises Missing with the name of Debian's package."""
    if (found := shutil.which(name)) is None:
        raise Missing(f"`{name}` is not on PATH: install Debian's package {package}")
    return found


def first_line(path: str, option: str) -> str:
    """What a program says of its version."""
    said = subprocess.run([path, option], capture_output=True, text=True, check=False)
    line = (said.stdout or said.stderr).splitlines()[0]
    return line.partition(" - ")[0].partition(" sha=")[0].strip()


def virtualenv(name: str, *requirements: str) -> str:
    """Make the peer's virtual environment, once; name and version of its first requirement. Raises Missing."""
    place, distribution = VIRTUALENVS / name, requirements[0]
    python = place / "bin/python"
    if not (place / ".ready").exists():
        print(f"installing {distribution} into {place}")
        make = [sys.executable, "-m", "venv", "--clear", str(place)]
        install = [str(python), "-m", "pip", "install", "--quiet", *requirements]
        for command in (make, install):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Missing(f"pip cannot install {distribution}: {done.stderr.strip().splitlines()[-1]}")
        (place / ".ready").touch()
    ask = f"from importlib.metadata import version; print(version({distribution!r}))"
    said = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True)
    return f"{distribution} {said.stdout.strip()}"


def python_of(name: str, arguments: Sequence[str], environ: Mapping[str, str], place: Path) -> str:
    return run_quietly([str(VIRTUALENVS / name / "bin/python"), *arguments], environ, place)


def run_quietly(command: Sequence[str], environ: Mapping[str, str], place: Path) -> str:
    """Run a command to its end; what it prints. Raises RuntimeError with its last words when it fails."""
    done = subprocess.run(command, env=environ, cwd=place, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise RuntimeError(f"{Path(command[0]).name} ended with exit code {done.returncode}: {' '.join(words)}")
    return done.stdout


@contextmanager
def processes() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """A function that starts processes, each in a session of its own, which all end with the block."""
    started: list[subprocess.Popen[str]] = []

    def start(
        command: Sequence[str], environ: Mapping[str, str], place: Path, *, listen: bool = False
    ) -> "subprocess.Popen[str]":
        with (place / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=environ,
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if listen else log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.terminate()
        for process in started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
            if process.stdout:
                process.stdout.close()


def expect_ready(process: "subprocess.Popen[str]") -> None:
    if process.stdout is None or process.stdout.readline().strip() != "ready":
        raise RuntimeError("the program that waits for the jobs did not start")


def answer(process: "subprocess.Popen[str]") -> int:
    """The number of jobs that had ended well."""
    return int((process.stdout.readline() if process.stdout else "") or 0)


@contextmanager
def redis_server(place: Path) -> Iterator[str]:
    """A Redis of the run's own; its URL."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(place)]
    command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    with processes() as start:
        start(command, clean_environ(), place)
        give_up_at = time.monotonic() + 10
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if time.monotonic() > give_up_at:
                raise RuntimeError("redis-server does not answer")
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def rate(name: str, task: Task, count: int, took: float) -> float:
    """Commands per second. Fewer than asked for only when the run was cut off."""
    if count > task.count or (count < task.count and took < task.longest):
        raise RuntimeError(f"{name}: {count} of {task.count} commands ran")
    if not count:
        raise RuntimeError(f"{name}: no command ended within {task.longest:.0f} s")
    return count / took
