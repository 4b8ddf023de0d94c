"""`doctor` finds out whether the queue can be written, by trying it, and leaves no trace of that."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from queuectl.container import Container
from queuectl.domain.ports.storage import Finding, Grade
from queuectl.settings import Settings
from tests.integration.driver import QUEUECTL, Cli

LONGEST = 8.0
"""Seconds that `doctor` may take, whatever it finds, on a busy machine."""

HOLD = """if True:
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    for statement in sys.argv[2:]:
        connection.execute(statement).fetchall()
    print("held", flush=True)
    sys.stdin.read()
"""


def file_of(cli: Cli) -> Path:
    return Path(cli.environ["QUEUECTL_DATABASE_URL"].removeprefix("sqlite:///"))


def findings(cli: Cli, **environ: str) -> dict[str, tuple[str, str]]:
    """Grade and message of each subject; the exit code is what they say."""
    begun = time.monotonic()
    result = cli.run("doctor", check=False, env=environ)
    assert time.monotonic() - begun < LONGEST
    found = {line.split("\t")[1]: (line.split("\t")[0], line.split("\t")[2]) for line in result.stdout.splitlines()}
    assert result.code == int(any(grade == "fail" for grade, _ in found.values()))
    return found


@contextmanager
def held(path: Path, *statements: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process that has run these statements on the file, and stays."""
    command = [sys.executable, "-c", HOLD, str(path), *statements]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_queue_that_can_be_written_is_left_as_it_was(cli: Cli) -> None:
    assert findings(cli)["writes"] == ("ok", "tried, and rolled back")
    job_id = cli.enqueue("true")
    assert findings(cli)["writes"] == ("ok", "tried, and rolled back")
    assert list(cli.jobs()) == [job_id]
    assert cli.json("config", "get", "max-retries")


@pytest.mark.sqlite_only
def test_nothing_is_written_into_the_file_or_its_log(cli: Cli) -> None:
    cli.enqueue("true")
    connection = sqlite3.connect(file_of(cli))  # so that the log stays
    connection.execute("SELECT * FROM jobs").fetchall()
    wal = file_of(cli).with_name("queue.db-wal")
    before = file_of(cli).read_bytes(), wal.read_bytes()
    findings(cli)
    assert (file_of(cli).read_bytes(), wal.read_bytes()) == before
    connection.close()


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "statements",
    [["BEGIN IMMEDIATE"], ["PRAGMA locking_mode = EXCLUSIVE", "BEGIN IMMEDIATE", "DELETE FROM config"]],
    ids=["a writer", "one that lets nobody read"],
)
def test_a_lock_is_told_with_the_process_that_holds_it(cli: Cli, statements: list[str]) -> None:
    with held(file_of(cli), *statements) as holder:
        grade, message = findings(cli)["writes"]
        assert grade == "fail"
        assert "another process has the database locked, for all of the 3 s waited" in message
        assert f"; now it is pid {holder.pid} (" in message
        assert "0.2 s waited" in findings(cli, QUEUECTL_BUSY_TIMEOUT="200ms")["writes"][1]


@pytest.mark.sqlite_only
def test_a_frozen_holder_is_said_to_be_frozen(cli: Cli) -> None:
    with held(file_of(cli), "BEGIN IMMEDIATE") as holder:
        holder.send_signal(signal.SIGSTOP)
        assert f"frozen: kill -CONT {holder.pid} wakes it" in findings(cli, QUEUECTL_BUSY_TIMEOUT="200ms")["writes"][1]


@pytest.mark.sqlite_only
def test_a_file_system_that_is_read_only_is_told(cli: Cli) -> None:
    place = file_of(cli).parent
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" doctor'
    result = cli.run(program=["unshare", "-m", "sh", "-c", script, "sh", str(place), QUEUECTL], check=False)
    if "unshare" in result.stderr or "mount" in result.stderr:
        pytest.skip(f"nothing can be mounted here: {result.stderr}")
    assert result.code == 1
    assert "fail\twrites\tnothing can be written: " in result.stdout
    assert "mounted read-only" in result.stdout


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can reach, as pytest's own cannot be."""
    directory = Path(tempfile.mkdtemp(prefix="queuectl-doctor-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def as_nobody(path: Path) -> list[Finding]:
    """What somebody who owns nothing finds; in a fork, which needs to read no program."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        storage = Container(settings=Settings(database_url=f"sqlite:///{path}", log_dir=Path("/tmp"))).storage()
        lines = [f"{each.subject}\t{each.grade}\t{each.message}" for each in storage.examine()]
        os.write(write, "\n".join(lines).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        rows = [line.split("\t") for line in answer.read().splitlines()]
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return [Finding(subject=subject, grade=Grade(grade), message=message) for subject, grade, message in rows]


@pytest.mark.sqlite_only
def test_a_file_or_a_directory_that_the_user_may_not_write_is_told(cli: Cli, open_directory: Path) -> None:
    path = open_directory / "queue.db"
    shutil.copy(file_of(cli), path)
    path.chmod(0o644)
    assert f"nothing can be written: you may not write {path} (mode 0644, of user 0)" in [
        each.message for each in as_nobody(path) if (each.subject, each.grade) == ("writes", Grade.FAIL)
    ]
    path.chmod(0o666)
    assert f"nothing can be written: {open_directory} cannot be written: permission denied" in [
        each.message for each in as_nobody(path) if (each.subject, each.grade) == ("writes", Grade.FAIL)
    ]


@pytest.mark.sqlite_only
def test_before_the_first_job_it_says_what_to_do_next(newcomer: Cli) -> None:
    path = newcomer.directory / "new" / "queue.db"
    found = findings(newcomer, QUEUECTL_DATABASE_URL=f"sqlite:///{path}")
    assert found["database"] == ("warn", f"there is no queue at {path} yet")
    assert "writes" not in found
    assert "fail" not in [grade for grade, _ in found.values()]
    assert not list(newcomer.directory.iterdir())
    found = findings(newcomer, QUEUECTL_DATABASE_URL="sqlite:////proc/queue.db")
    assert found["writes"][0] == "fail"
    assert "no queue can be made there: /proc cannot be written" in found["writes"][1]


@pytest.mark.sqlite_only
def test_directories_are_looked_at_and_not_made(cli: Cli) -> None:
    (cli.directory / "file").touch()
    found = findings(cli, QUEUECTL_LOG_DIR=f"{cli.directory}/file", QUEUECTL_SPOOL_DIR=f"{cli.directory}/spool")
    assert found["log directory"] == ("fail", f"{cli.directory}/file is not a directory")
    assert found["spool directory"][0] == "ok"
    assert [each.name for each in cli.directory.iterdir()] == ["file"]
