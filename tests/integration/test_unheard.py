"""What was done is done, whoever hears of it: full disks, closed pipes and closed descriptors behind an output."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.driver import QUEUECTL, Cli

pytestmark = pytest.mark.sqlite_only


@contextmanager
def closed_pipe() -> Iterator[int]:
    """A descriptor to write to, of which nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def call(
    cli: Cli, *args: str, stdout: int, stderr: int = subprocess.PIPE, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and stderr of a call that writes there."""
    done = subprocess.run(
        [QUEUECTL, *args],
        env=cli.environ | dict(env or {}),
        cwd=cli.directory,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        check=False,
        timeout=60,
    )
    said = (done.stderr or b"").decode()
    assert "Traceback" not in said, said
    return done.returncode, said


def into_full(cli: Cli, *args: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    with Path("/dev/full").open("wb") as full:
        return call(cli, *args, stdout=full.fileno(), env=env)


FULL = "warning: the output cannot be written (no space left on device), but this was done:\n"

DEEDS: Sequence[tuple[str, str]] = [
    ("enqueue --id new -c true", "enqueued job new "),
    ("cancel waits", "cancelled job waits\n"),
    ("retry over", "will run again: job over\n"),
    ("dlq retry dead", "will run again: job dead\n"),
    ("dlq retry --all", "1 dead job will run again\n"),
    ("dlq remove dead", "removed job dead\n"),
    ("dlq remove --all --yes", "removed 1 dead job\n"),
    ("config set max-retries 7", "max-retries is now 7\n"),
    ("config unset max-retries", "max-retries is now 3, the default\n"),
    ("init", "is up to date; there was nothing to do\n"),
]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A queue with a job that waits, one that is cancelled and one that is dead."""
    directory = tmp_path_factory.mktemp("template")
    cli = Cli(directory, f"sqlite:///{directory}/queue.db")
    cli.run(
        "enqueue", "-", stdin='{"id": "waits", "command": "true", "delay": "1h"}\n{"id": "over", "command": "true"}'
    )
    cli.run("cancel", "over")
    cli.enqueue("false", id="dead", max_retries=0)
    cli.start_workers()
    cli.wait_for("dead", "dead")
    cli.run("worker", "stop")
    cli.close()
    return directory / "queue.db"


@pytest.fixture
def cli(template: Path, tmp_path: Path) -> Iterator[Cli]:
    (tmp_path / "queue.db").write_bytes(template.read_bytes())
    cli = Cli(tmp_path, f"sqlite:///{tmp_path}/queue.db")
    yield cli
    cli.close()


@pytest.mark.parametrize(("line", "said"), DEEDS, ids=[line for line, _ in DEEDS])
@pytest.mark.parametrize("output", ["auto", "json", "table"])
def test_what_was_done_is_said_on_stderr_where_stdout_is_full(cli: Cli, line: str, said: str, output: str) -> None:
    code, told = into_full(cli, "--output", output, *line.split())
    assert code == 0
    assert FULL in told
    assert said in told


def test_a_deed_is_not_done_twice_by_a_script_that_looks_at_the_exit_code(cli: Cli) -> None:
    before = len(cli.jobs())
    script = f"{QUEUECTL} enqueue -c true >/dev/full || {QUEUECTL} enqueue -c true"
    subprocess.run(["sh", "-c", script], env=cli.environ, cwd=cli.directory, capture_output=True, check=True)
    assert len(cli.jobs()) == before + 1


def test_workers_start_and_stop_though_nobody_hears_of_it(cli: Cli) -> None:
    code, told = into_full(cli, "worker", "start")
    assert code == 0
    assert "started 1 worker: pid " in told
    code, told = into_full(cli, "worker", "stop")
    assert code == 0
    assert "stopped 1 worker" in told
    assert cli.json("worker", "status") == []


@pytest.mark.parametrize("line", ["list", "status", "info dead", "config show", "--help", "help enqueue", "doctor", ""])
def test_what_was_only_asked_for_is_a_failure_where_it_cannot_be_written(cli: Cli, line: str) -> None:
    assert into_full(cli, *line.split()) == (1, "error: cannot write the output: No space left on device\n")


@pytest.mark.parametrize(
    "line", ["list", "status", "info dead", "info dead --raw", "--help", "help list", "", "metrics"]
)
@pytest.mark.parametrize("output", ["plain", "json", "table"])
def test_a_reader_who_has_gone_is_no_failure(cli: Cli, line: str, output: str) -> None:
    with closed_pipe() as pipe:
        assert call(cli, *line.split(), stdout=pipe, env={"QUEUECTL_OUTPUT": output}) == (0, "")


@pytest.mark.parametrize("line", [line for line, _ in DEEDS])
def test_a_deed_of_which_nobody_reads_is_done(cli: Cli, line: str) -> None:
    with closed_pipe() as pipe:
        code, told = call(cli, *line.split(), stdout=pipe)
    assert code == 0
    assert "warning" not in told


@pytest.mark.parametrize("stderr", ["full", "closed pipe", "closed"])
def test_a_stderr_that_takes_nothing_changes_nothing(cli: Cli, stderr: str) -> None:
    def exit_codes(descriptor: int) -> list[int]:
        lines = ("enqueue -c true", "info nope", "lst", "enqueue {}", "dlq retry dead nope")
        return [call(cli, *line.split(), stdout=subprocess.DEVNULL, stderr=descriptor)[0] for line in lines]

    expected = [0, 3, 2, 5, 3]
    match stderr:
        case "full":
            with Path("/dev/full").open("wb") as full:
                assert exit_codes(full.fileno()) == expected
        case "closed pipe":
            with closed_pipe() as pipe:
                assert exit_codes(pipe) == expected
        case "closed":
            done = subprocess.run(["sh", "-c", f"{QUEUECTL} enqueue -c true 2>&-"], env=cli.environ, check=False)
            assert done.returncode == 0
