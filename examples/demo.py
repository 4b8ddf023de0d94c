"""A tour of queuectl on real work: compress and checksum files of Python's own library, then verify every result.

It uses queuectl as you would, through the `queuectl` command, and shows each command that it runs. Database, logs and
results live in a temporary directory, which is removed at the end; `--keep` leaves it for you to look around.
"""

import argparse
import gzip
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

FILES = 250
WORKERS = 2
LATEST = timedelta(seconds=100)
"""How long the jobs may take, on a slow machine; a few seconds are usual."""

FLAKY = 'if [ "$QUEUECTL_ATTEMPT" -lt 3 ]; then echo "not today"; exit 1; fi; echo "at last"'
HOPELESS = "nonexistent_command_xyz"
ENDED = ("completed", "dead", "cancelled")

Document = dict[str, object]

screen = Console(highlight=False, soft_wrap=True)


class DemoFailed(Exception):
    """Something is not as it should be; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One file of the library: its name in job ids, where it is, and where its archive goes."""

    name: str
    source: Path
    archive: Path


class Queue:
    """The `queuectl` command, with a database and logs of its own in `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.program = shutil.which("queuectl", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if self.program is None:
            raise DemoFailed("there is no queuectl command: run `make setup` first")
        (place / "config.toml").touch()
        others = {name: value for name, value in os.environ.items() if not name.startswith("QUEUECTL_")}
        self.environment = others | {
            "QUEUECTL_DATABASE_URL": f"sqlite:///{place}/queue.db",
            "QUEUECTL_LOG_DIR": str(place / "logs"),
            "QUEUECTL_CONFIG": str(place / "config.toml"),
        }

    def show(self, *arguments: str) -> None:
        """Run the command before the user's eyes, as it looks in this terminal."""
        _announce(shlex.join(["queuectl", *arguments]))
        self._checked(arguments, self._run(arguments, capture=False))

    def ask(self, *arguments: str, stdin: Path | None = None) -> str:
        """What the command prints, for a program to read."""
        return self._checked(arguments, self._run(arguments, stdin=stdin)).stdout

    def records(self, *arguments: str) -> list[Document]:
        """What a command that lists things prints as JSON lines."""
        return [json.loads(line) for line in self.ask(*arguments, "--output", "jsonl").splitlines()]

    def quietly(self, *arguments: str) -> bool:
        """Whether the command worked; for cleaning up."""
        try:
            return self._run(arguments).returncode == 0
        except (OSError, subprocess.SubprocessError):
            return False

    def _run(
        self, arguments: Sequence[str], *, capture: bool = True, stdin: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        with (stdin or Path(os.devnull)).open() as source:
            return subprocess.run(
                [str(self.program), *arguments],
                cwd=self.place,
                env=self.environment,
                stdin=source,
                capture_output=capture,
                text=True,
                timeout=60,
                check=False,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops what it has started
            )

    def _checked(
        self, arguments: Sequence[str], done: subprocess.CompletedProcess[str]
    ) -> subprocess.CompletedProcess[str]:
        if done.returncode:
            said = f": {done.stderr.strip()}" if done.stderr else ""
            raise DemoFailed(f"{shlex.join(['queuectl', *arguments])} ended with exit code {done.returncode}{said}")
        return done


def main() -> int:
    """Run the demo; the exit code is 0 only when every result is right."""
    options = _options()
    signal.signal(signal.SIGTERM, _interrupt)
    place = Path(tempfile.mkdtemp(prefix="queuectl-demo-")).resolve()
    try:
        demonstrate(place, files=options.files)
    except KeyboardInterrupt:
        screen.print("\nThe demo was interrupted; its workers are stopped.")
        return 130
    except (DemoFailed, OSError, subprocess.SubprocessError) as error:
        _print_logs(place)
        screen.print(f"\n[bold red]The demo failed:[/] {escape(str(error))}")
        return 1
    finally:
        if options.keep:
            screen.print(f"\nEverything is still in {place}; to look around:")
            _announce(f"export QUEUECTL_DATABASE_URL=sqlite:///{place}/queue.db")
        else:
            shutil.rmtree(place, ignore_errors=True)
    screen.print(f"\n[bold green]All is well[/], and {place} is {'kept' if options.keep else 'removed'}.")
    return 0


def demonstrate(place: Path, *, files: int) -> None:
    """The tour itself. Raises DemoFailed as soon as something is wrong."""
    begun = time.monotonic()
    tasks = _library(files, place)
    queue = Queue(place)

    _section("A queue of our own")
    queue.show("init")
    queue.show("config", "set", "backoff-base", "1")

    _section(f"Two jobs for each of {len(tasks)} files of {sysconfig.get_path('stdlib')}, from a file of JSON lines")
    batch = place / "jobs.jsonl"
    documents = list(_documents(tasks))
    batch.write_text("".join(json.dumps(document) + "\n" for document in documents))
    for document in documents[:2]:
        screen.print(f"[dim]  {escape(json.dumps(document))}[/]")
    screen.print("[dim]  …[/]")
    _announce("queuectl enqueue - --output id < jobs.jsonl | wc -l")
    accepted = queue.ask("enqueue", "-", "--output", "id", stdin=batch).split()
    screen.print(str(len(accepted)))
    _expect(sorted(accepted) == sorted(str(document["id"]) for document in documents), "enqueue prints every job's id")

    _section("A job that succeeds at its third attempt, and one that never will")
    queue.show("enqueue", "--id", "flaky", "--priority", "9", "--", "sh", "-c", FLAKY)
    queue.show("enqueue", json.dumps({"id": "hopeless", "command": HOPELESS, "priority": 9, "max_retries": 2}))

    _section("Workers")
    with _workers(queue):
        _follow(queue, total=len(documents) + 2)

        _section("What happened")
        queue.show("status")
        queue.show("dlq", "list")
        queue.show("metrics")
        queue.show("info", "flaky")

    _section(f"Is it right? {time.monotonic() - begun:.0f} s after the start, every result is computed again")
    verify(queue, tasks, documents)


def verify(queue: Queue, tasks: Sequence[Task], documents: Sequence[Document]) -> None:
    """Compute every result again and compare. Raises DemoFailed for the first kind that is wrong."""
    count = len(documents) + 2
    jobs = {str(job["id"]): job for job in queue.records("list", "--limit", str(count + 1))}
    counts = {state: number for state, number in _counts(queue).items() if number}
    _check(
        f"{count} jobs in the queue: {count - 1} completed, 1 dead",
        len(jobs) == count,
        counts == {"completed": count - 1, "dead": 1},
    )
    digests = {task.name: hashlib.sha256(task.source.read_bytes()).hexdigest() for task in tasks}
    _check(
        f"{len(tasks)} archives decompress to their originals",
        *(_unpacked_digest(task.archive) == digests[task.name] for task in tasks),
    )
    _check(
        f"{len(tasks)} recorded checksums are those that Python computes",
        *(str(jobs[f"sha256:{task.name}"]["output"]).split()[:1] == [digests[task.name]] for task in tasks),
    )
    _check(
        f"{len(documents)} jobs ran once each", *(jobs[str(document["id"])]["attempts"] == 1 for document in documents)
    )
    _check_order(jobs, documents)

    info = json.loads(queue.ask("info", "flaky", "--output", "json"))
    outcomes = [attempt["outcome"] for attempt in info["history"]]
    _check(
        "the flaky job succeeded at its third attempt",
        jobs["flaky"]["state"] == "completed",
        jobs["flaky"]["attempts"] == 3,
        outcomes == ["failed", "failed", "succeeded"],
    )
    dead = queue.records("dlq", "list")
    _check(
        "the hopeless job is in the dead letter queue, with exit code 127 after three attempts",
        [job["id"] for job in dead] == ["hopeless"],
        jobs["hopeless"]["state"] == "dead",
        jobs["hopeless"]["exit_code"] == 127,
        jobs["hopeless"]["attempts"] == 3,
    )


def _check_order(jobs: Mapping[str, Document], documents: Sequence[Document]) -> None:
    started = {
        str(document["id"]): datetime.fromisoformat(str(jobs[str(document["id"])]["started_at"]))
        for document in documents
    }
    due = {name: datetime.fromisoformat(str(jobs[name]["run_at"])) for name in started}
    delayed = [str(document["id"]) for document in documents if "delay" in document]
    _check(f"{len(delayed)} delayed jobs did not start early", *(started[name] >= due[name] for name in delayed))

    urgent, idle = (
        [started[str(document["id"])] for document in documents if document.get("priority") == priority]
        for priority in (10, 1)
    )
    _check(f"{len(urgent)} urgent jobs started before {len(idle)} unimportant ones", max(urgent) <= min(idle))


def _library(count: int, place: Path) -> list[Task]:
    """`count` files of Python's library, evenly spread over it."""
    root = Path(sysconfig.get_path("stdlib"))
    found = sorted(path for path in root.rglob("*.py") if path.is_file() and "site-packages" not in path.parts)
    if len(found) < count:
        raise DemoFailed(f"{root} has only {len(found)} files of Python; try --files {len(found)}")
    (place / "archives").mkdir()
    tasks = []
    for number in range(count):
        source = found[number * len(found) // count]
        name = f"{number:03}:" + re.sub(r"[^A-Za-z0-9._-]", ".", str(source.relative_to(root)))[-80:]
        tasks.append(Task(name=name, source=source, archive=place / "archives" / f"{number:03}.gz"))
    return tasks


def _documents(tasks: Sequence[Task]) -> Iterator[Document]:
    """A job that compresses each file, in the shell, and one that computes its checksum, without."""
    checksum = ["sha256sum"] if shutil.which("sha256sum") else ["shasum", "-a", "256"]
    for number, task in enumerate(tasks):
        compress = f"gzip -9 -c {shlex.quote(str(task.source))} > {shlex.quote(str(task.archive))}"
        yield {"id": f"gzip:{task.name}", "command": compress} | _extras(number)
        yield {"id": f"sha256:{task.name}", "command": [*checksum, str(task.source)]}


def _extras(number: int) -> Document:
    match number % 10:
        case 3:
            return {"priority": 10}
        case 6:
            return {"priority": 1}
        case 9:
            return {"delay": f"{1 + number % 3}s"}
    return {}


@contextmanager
def _workers(queue: Queue) -> Iterator[None]:
    """Workers in the background; whatever happens, none is left behind."""
    try:
        with _uninterrupted():  # workers that are only half started could not be found and stopped
            queue.show("worker", "start", "--count", str(WORKERS))
        yield
        queue.show("worker", "stop")
    except BaseException:
        with _uninterrupted():
            if not queue.quietly("worker", "stop", "--force"):
                screen.print("[bold red]The workers could not be stopped[/]; `queuectl worker status` shows them.")
        raise


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put an interruption off until the block has ended."""
    came: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in signals}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def _follow(queue: Queue, *, total: int) -> None:
    """Show the progress until every job has ended."""
    _announce("queuectl status --output json    # again and again, for the line below")
    live = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[details]}"),
        console=screen,
        disable=not screen.is_terminal,
    )
    end = time.monotonic() + LATEST.total_seconds()
    with live:
        bar = live.add_task("jobs", total=total, details="")
        while True:
            counts = _counts(queue)
            ended = sum(counts.get(state, 0) for state in ENDED)
            details = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
            live.update(bar, completed=ended, details=details)
            if not screen.is_terminal:
                screen.print(f"{ended} of {total} ended: {details}")
            if ended >= total:
                return
            if time.monotonic() > end:
                raise DemoFailed(f"only {ended} of {total} jobs ended within {LATEST.total_seconds():.0f} s: {details}")
            time.sleep(0.5 if screen.is_terminal else 2)


def _counts(queue: Queue) -> dict[str, int]:
    counts: dict[str, int] = json.loads(queue.ask("status", "--output", "json"))["jobs"]
    return counts


def _unpacked_digest(archive: Path) -> str:
    try:
        return hashlib.sha256(gzip.decompress(archive.read_bytes())).hexdigest()
    except (OSError, EOFError) as error:
        return f"unreadable: {error}"


def _check(claim: str, *facts: bool) -> None:
    """Show that a claim holds."""
    _expect(all(facts), claim)
    screen.print(f"  [green]ok[/]  {claim}")


def _expect(fact: bool, claim: str) -> None:
    if not fact:
        raise DemoFailed(f"this is not so: {claim}")


def _section(title: str) -> None:
    screen.print(f"\n[bold]{escape(title)}[/]")


def _announce(command: str) -> None:
    screen.print(f"[cyan]$ {escape(command)}[/]")
    sys.stdout.flush()  # before a child writes to the same place


def _print_logs(place: Path) -> None:
    for log in sorted((place / "logs").glob("*")):
        screen.print(f"\n[bold]The end of {log.name}[/]")
        for line in log.read_text(errors="replace").splitlines()[-20:]:
            screen.print(f"  {escape(line)}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the temporary directory behind")
    parser.add_argument("--files", type=int, default=FILES, help="how many files to work on (default: %(default)s)")
    options = parser.parse_args()
    if options.files < 10:
        parser.error("--files must be at least 10, for jobs of every kind")
    return options


if __name__ == "__main__":
    sys.exit(main())
