"""The main screens, whole: on a terminal of 80 columns, in a pipe, and the keys of their JSON.

Each stands in a file of `screens/`, so that a change of what users see is seen in review. To accept changes:
`QUEUECTL_ACCEPT_SCREENS=1 make test PYTEST_ARGS=tests/unit/cli/test_screens.py`, and look at `git diff`.
"""

import json
import os
import platform
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click
import pytest
from rich.cells import cell_len

from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.errors import DatabaseUnreachable
from queuectl.domain.ports.storage import Finding, Grade
from queuectl.domain.queues import Pause
from queuectl.entrypoints.cli import admin
from queuectl.entrypoints.cli.help import TOPICS
from queuectl.entrypoints.cli.program import program
from tests.builders import ANN, MINUTE, SECOND, a_failure, a_process, a_result, a_worker
from tests.unit.cli.conftest import Answer, AppInMemory, CommandLine

SCREENS = Path(__file__).with_name("screens")
WIDTH = 80
ACCEPT = "QUEUECTL_ACCEPT_SCREENS"


@dataclass(frozen=True, kw_only=True)
class Screen:
    """A command line, what there is before it, and what it reads. `wraps`: it has sentences, which a terminal wraps."""

    name: str
    line: Sequence[str]
    before: Callable[[CommandLine], None] = lambda _queuectl: None
    stdin: bytes = b""
    wraps: bool = False


def pages() -> Iterator[Screen]:
    yield Screen(name="bare", line=())
    for path in ((), *paths_of(program)):
        yield Screen(name="-".join(("help", *path)), line=("help", *path) if path else ("--help",))
    for topic in TOPICS:
        yield Screen(name=f"topic-{topic}", line=("help", topic))


def paths_of(group: click.Group, above: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        yield (*above, name)
        if isinstance(command, click.Group):
            yield from paths_of(command, (*above, name))


def a_queue_with_some_of_everything(queuectl: CommandLine) -> None:
    """Jobs in every state but `failed`; seven minutes have passed since the first."""
    queuectl.workers.register(a_worker())
    queuectl("enqueue", "--id", "hello", "-c", "echo Hello, world | rev")
    queuectl("enqueue", "--id", "flaky", "--", "sh", "-c", "test $QUEUECTL_ATTEMPT -ge 2 && echo works the second time")
    queuectl("enqueue", "--id", "typo", '{"command": "pyhton --version", "max_retries": 0, "priority": 9}')
    missing = "exit code 127 (command not found): /bin/sh: 1: pyhton: not found"
    run_for(queuectl, 21.4, a_failure(127, error=missing, output=b"/bin/sh: 1: pyhton: not found\n"))
    run_for(queuectl, 8.25, a_result(output=b"dlrow ,olleH\n"))
    run_for(queuectl, 21.4, a_failure())
    queuectl.clock.advance(2 * SECOND)
    run_for(queuectl, 13.1, a_result(output=b"works the second time\n"))
    queuectl.clock.advance(5 * MINUTE)
    queuectl("enqueue", "--id", "import", "--queue", "mail", "--env", "TOKEN=secret", "-c", "./import --from /srv/mail")
    queuectl.start_next()
    queuectl("enqueue", "--id", "tonight", "--delay", "8h", "--", "tar", "czf", "home.tgz", "My Files")
    queuectl("enqueue", "--id", "no-more", "-c", "true")
    queuectl("cancel", "no-more")
    queuectl.clock.advance(2 * MINUTE)


def run_for(queuectl: CommandLine, milliseconds: float, result: RunResult) -> None:
    run = queuectl.start_next()
    queuectl.clock.advance(timedelta(milliseconds=milliseconds))
    queuectl.end(run, result)


def two_workers_of_which_one_is_lost(queuectl: CommandLine) -> None:
    a_queue_with_some_of_everything(queuectl)
    queuectl.workers.register(
        a_worker(
            "w-2",
            host="web-2.example",
            process=a_process(machine="machine-2", pid=4242),
            queues=("mail", "reports"),
            concurrency=8,
            started_at=queuectl.clock(),
        )
    )
    queuectl.gone.append(a_process())


def a_job_that_timed_out_and_was_lost(queuectl: CommandLine) -> None:
    """Its last attempt wrote bytes that would move the cursor."""
    fields = {"id": "nightly-backup", "command": ["tar", "czf", "/backup/home.tgz", "/home"], "timeout": "30m"}
    queuectl("enqueue", json.dumps({**fields, "env": {"TOKEN": "secret"}}))
    run_for(queuectl, 1_800_000, a_result(Outcome.TIMEOUT, signal=15, error="timed out after 30m (killed by SIGTERM)"))
    queuectl.clock.advance(2 * SECOND)
    run_for(queuectl, 250, a_failure(2, output=b"\x1b[2Jtar: caf\xe9: no such file\r\n"))


def a_broken_installation(queuectl: CommandLine) -> None:
    queuectl.storage.findings = [
        Finding(subject="database", grade=Grade.OK, message="/home/ann/.local/share/queuectl/queue.db, 0.1 MiB"),
        Finding(
            subject="writes",
            grade=Grade.FAIL,
            message="nothing can be written: another process has the database locked; now it is pid 17 (python3)",
            hint="see what that process does, and have it end its transaction",
        ),
    ]


def limited_and_paused_queues(queuectl: CommandLine) -> None:
    """One that is full, one whose rate is used up, one that is paused, one that is reserved, and a plain one."""
    a_queue_with_some_of_everything(queuectl)
    for queue, jobs in {"api": 3, "gpu": 3, "nightly": 2, "big": 1}.items():
        for _ in range(jobs):
            queuectl("enqueue", "--queue", queue, "--priority", "9", "-c", "make")
    queuectl("queue", "set", "gpu", "concurrency=2", "max-retries=5")
    queuectl("queue", "set", "api", "rate=2/1m")
    queuectl("queue", "set", "big", "reserved=true")
    queuectl("queue", "pause", "nightly", "--for", "30m", "--reason", "the tapes are full")
    for _ in range(4):
        queuectl.start_next()
    queuectl.clock.advance(20 * SECOND)


def no_queue_yet(queuectl: CommandLine) -> None:
    path, hint = "/home/ann/.local/share/queuectl/queue.db", "`queuectl init` or `queuectl enqueue` creates it"
    queuectl.storage.trouble = DatabaseUnreachable(f"there is no queue at {path}", hint=hint)
    queuectl.storage.findings = [
        Finding(subject="database", grade=Grade.WARN, message=f"there is no queue at {path} yet", hint=hint)
    ]


def a_full_queue(queuectl: CommandLine) -> None:
    """Of two builds in a queue that runs one at a time, one has run for 38 minutes."""
    queuectl.queue.queues.change("gpu", lambda before: before._replace(concurrency=1))
    queuectl.workers.register(a_worker(labels=("gpu",)))
    for job_id in ("old", "train", "tune", "test"):
        queuectl("enqueue", "--id", job_id, "--queue", "gpu", "-c", f"./{job_id}")
    run_for(queuectl, 1_800_000, a_result())
    queuectl.start_next()
    queuectl.clock.advance(20 * MINUTE)
    queuectl("enqueue", "--id", "needy", "--needs", "fpga", "-c", "./flash")
    pause = Pause(queuectl.clock(), ANN, queuectl.clock() + 30 * MINUTE, "API maintenance")
    queuectl.queue.queues.change("api", lambda before: before.paused(pause))
    queuectl("enqueue", "--id", "call", "--queue", "api", "--delay", "1h", "-c", "./call")


def own_settings(queuectl: CommandLine) -> None:
    queuectl("config", "set", "max-retries", "5")
    queuectl("config", "set", "default-timeout", "90m")


BATCH = b'{"command": "make a", "id": "a"}\n{"command": "make b", "id": "b", "queue": "mail"}\n'

SCREENFULS = [
    Screen(name="enqueue", line=("enqueue", "--id", "hello", "-c", "echo Hello, world | rev"), wraps=True),
    Screen(name="enqueue-delayed", line=("enqueue", "--id", "hello", "--delay", "90m", "--", "true"), wraps=True),
    Screen(name="enqueue-default-timeout", line=("enqueue", "-c", "make"), before=own_settings, wraps=True),
    Screen(name="enqueue-batch", line=("enqueue", "-"), stdin=BATCH, wraps=True),
    Screen(name="enqueue-mistakes", line=("enqueue", '{"command": "", "priorty": 3, "timeout": true}')),
    Screen(name="list", line=("list",), before=a_queue_with_some_of_everything),
    Screen(name="list-nothing", line=("list",)),
    Screen(name="list-no-match", line=("list", "--state", "failed"), before=a_queue_with_some_of_everything),
    Screen(name="list-more", line=("list", "--limit", "2"), before=a_queue_with_some_of_everything),
    Screen(name="status", line=("status",), before=a_queue_with_some_of_everything),
    Screen(name="status-lost", line=("status",), before=two_workers_of_which_one_is_lost),
    Screen(name="status-paused", line=("status",), before=limited_and_paused_queues),
    Screen(name="queue-list", line=("queue", "list"), before=limited_and_paused_queues),
    Screen(name="queue-list-nothing", line=("queue", "list")),
    Screen(name="queue-show", line=("queue", "show", "api"), before=limited_and_paused_queues),
    Screen(name="queue-show-paused", line=("queue", "show", "nightly"), before=limited_and_paused_queues),
    Screen(name="queue-show-unknown", line=("queue", "show", "gpuu"), before=limited_and_paused_queues),
    Screen(
        name="queue-set",
        line=("queue", "set", "gpu", "concurrency=4", "rate=5/1m"),
        before=limited_and_paused_queues,
        wraps=True,
    ),
    Screen(name="queue-pause", line=("queue", "pause", "gpu"), before=limited_and_paused_queues, wraps=True),
    Screen(name="queue-resume", line=("queue", "resume", "nightly"), before=limited_and_paused_queues, wraps=True),
    Screen(name="worker-status", line=("worker", "status"), before=a_queue_with_some_of_everything),
    Screen(name="worker-status-none", line=("worker", "status")),
    Screen(name="worker-status-lost", line=("worker", "status"), before=two_workers_of_which_one_is_lost),
    Screen(name="info", line=("info", "flaky"), before=a_queue_with_some_of_everything),
    Screen(name="info-running", line=("info", "import"), before=a_queue_with_some_of_everything),
    Screen(name="info-trouble", line=("info", "nightly-backup"), before=a_job_that_timed_out_and_was_lost),
    Screen(name="info-unknown", line=("info", "nope")),
    Screen(name="why", line=("why", "test"), before=a_full_queue, wraps=True),
    Screen(name="why-paused", line=("why", "call"), before=a_full_queue, wraps=True),
    Screen(name="why-no-label", line=("why", "needy"), before=a_full_queue, wraps=True),
    Screen(name="why-running", line=("why", "train"), before=a_full_queue, wraps=True),
    Screen(name="why-ended", line=("why", "typo"), before=a_queue_with_some_of_everything, wraps=True),
    Screen(name="why-unknown", line=("why", "nope")),
    Screen(name="info-waiting", line=("info", "test"), before=a_full_queue),
    Screen(name="list-wide", line=("list", "--wide"), before=a_full_queue),
    Screen(name="cancel", line=("cancel", "tonight", "hello", "nope"), before=a_queue_with_some_of_everything),
    Screen(name="retry", line=("retry", "hello", "tonight"), before=a_queue_with_some_of_everything),
    Screen(name="dlq-list", line=("dlq", "list"), before=a_queue_with_some_of_everything),
    Screen(name="dlq-list-nothing", line=("dlq", "list")),
    Screen(name="dlq-retry-all", line=("dlq", "retry", "--all"), before=a_queue_with_some_of_everything),
    Screen(name="config-show", line=("config", "show"), before=own_settings),
    Screen(name="config-show-no-queue", line=("config", "show"), before=no_queue_yet),
    Screen(name="config-get", line=("config", "get"), before=own_settings),
    Screen(name="config-set", line=("config", "set", "max-retries", "5")),
    Screen(name="doctor", line=("doctor",), before=a_queue_with_some_of_everything),
    Screen(name="doctor-broken", line=("doctor",), before=a_broken_installation),
    Screen(name="doctor-no-queue", line=("doctor",), before=no_queue_yet),
    Screen(name="metrics", line=("metrics",), before=a_queue_with_some_of_everything),
    Screen(name="metrics-detailed", line=("metrics", "--detailed"), before=a_queue_with_some_of_everything),
    Screen(name="metrics-nothing", line=("metrics",)),
]

PAGES = list(pages())


class Machine:
    """What `doctor` finds on Ann's."""

    def examine_containment(self) -> Finding:
        return Finding(subject="containment", grade=Grade.OK, message="whole process trees")

    def examine_directories(self) -> Sequence[Finding]:
        path = "/home/ann/.local/state/queuectl/log"
        return [Finding(subject="log directory", grade=Grade.OK, message=f"{path} can be written")]


@pytest.fixture
def fresh(
    queuectl: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], CommandLine]]:
    """Makes a queue, on a machine that is the same everywhere: Ann's, in the middle of Europe."""
    for name in [name for name in os.environ if name.startswith(("QUEUECTL_", "XDG_"))]:
        if name != ACCEPT:
            monkeypatch.delenv(name)
    for name, value in {"HOME": "/home/ann", "COLUMNS": str(WIDTH), "TZ": "CET-1CEST", "PWD": "/"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir("/")
    monkeypatch.setattr(admin, "__version__", "1.2.3")
    monkeypatch.setattr(platform, "python_version", lambda: "3.14.0")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "release", lambda: "6.18.0")
    monkeypatch.setattr(AppInMemory, "container", Machine(), raising=False)
    time.tzset()
    yield lambda: CommandLine(capsys, monkeypatch)
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("screen", SCREENFULS, ids=lambda screen: screen.name)
def test_a_screen_is_as_it_was_accepted(fresh: Callable[[], CommandLine], screen: Screen) -> None:
    sections = []
    for title, output in (("terminal", "table"), ("pipe", "plain"), ("keys of the JSON", "json")):
        queuectl = fresh()
        screen.before(queuectl)
        answer = queuectl("--output", output, *screen.line, stdin=screen.stdin)
        if output == "json":
            answer = Answer(answer.code, keys_of(answer.out), keys_of(answer.err))
        sections.append(transcript(screen, answer, title))
        if output == "table" and not screen.wraps:
            assert_fits(answer)
    check(screen, "\n".join(sections))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_as_it_was_accepted(fresh: Callable[[], CommandLine], page: Screen) -> None:
    answer = fresh()(*page.line)
    assert_fits(answer)
    assert "..." not in re.sub(r"\[ARGS\]\.\.\.", "", answer.out), "click has cut a sentence"
    check(page, transcript(page, answer, "terminal and pipe"))


def test_no_accepted_screen_is_left_over() -> None:
    assert sorted(path.stem for path in SCREENS.iterdir()) == sorted(each.name for each in [*SCREENFULS, *PAGES])


def assert_fits(answer: Answer) -> None:
    assert [line for line in answer.lines if cell_len(line.rstrip()) > WIDTH] == []


def transcript(screen: Screen, answer: Answer, title: str) -> str:
    """What the screen shows. What is on stderr begins with `! `; blanks at the end of a line show nowhere."""
    lines = [
        f"## {title}",
        f"$ {shlex.join(('queuectl', *screen.line))}",
        *answer.lines,
        *(f"! {line}" for line in answer.err.splitlines()),
    ]
    if answer.code:
        lines.append(f"[exit code {answer.code}]")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def keys_of(document: str) -> str:
    """The keys of the JSON, with the kinds of their values, once each; text that is no JSON as it is."""
    try:
        found = dict.fromkeys(kinds(json.loads(document)))
    except json.JSONDecodeError:
        return document
    return "".join(f"{path}\n" for path in found)


def kinds(value: object, path: str = "") -> Iterator[str]:
    match value:
        case dict() if value:
            for key, each in value.items():
                yield from kinds(each, f"{path}.{key}" if path else key)
        case list() if value:
            for each in value:
                yield from kinds(each, f"{path}[]")
        case _:
            yield f"{path} {json.dumps(value) if value in ([], {}) else NAMES[type(value)]}".strip()


NAMES = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "text"}


def check(screen: Screen, shown: str) -> None:
    path = SCREENS / f"{screen.name}.txt"
    if os.environ.get(ACCEPT):
        path.write_text(shown)
    assert path.exists(), "a new screen: QUEUECTL_ACCEPT_SCREENS=1 accepts it"
    assert shown == path.read_text(), "to accept it: QUEUECTL_ACCEPT_SCREENS=1, and look at git diff"
