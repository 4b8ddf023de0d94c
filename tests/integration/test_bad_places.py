"""Databases that cannot be used, disks that are full, outputs that go nowhere: a clear message and the right code."""

import os
import shlex
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.driver import QUEUECTL, Cli, Result, json_lines, wait_until

pytestmark = pytest.mark.sqlite_only


def file_of(cli: Cli) -> Path:
    return Path(cli.environ["QUEUECTL_DATABASE_URL"].removeprefix("sqlite:///"))


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def refused(cli: Cli, *args: str, url: str | None = None) -> Result:
    """A call that must end with the exit code of an unusable database, in one line and perhaps a hint."""
    result = cli.run(*args, check=False, env={"QUEUECTL_DATABASE_URL": url} if url else None)
    assert (result.code, result.stdout) == (6, "")
    assert len(result.errors) == 1
    return result


def test_a_directory_that_cannot_be_written_is_told(newcomer: Cli) -> None:
    result = refused(newcomer, "enqueue", "--", "true", url="sqlite:////proc/queuectl/queue.db")
    assert "/proc/queuectl/queue.db cannot be created" in result.errors[0]
    (newcomer.directory / "file").touch()
    for command in ("list", "init"):
        result = refused(newcomer, command, url=f"sqlite:///{newcomer.directory}/file/queue.db")
        assert result.errors[0].endswith("/file/queue.db cannot be reached: not a directory")


@pytest.mark.parametrize("command", ["init", "list", "enqueue -- true", "worker start"])
def test_what_is_no_file_is_told_by_what_it_is(newcomer: Cli, command: str) -> None:
    def error(place: Path) -> str:
        return refused(newcomer, *command.split(), url=f"sqlite:///{place}").errors[0]

    link, pipe = newcomer.directory / "link", newcomer.directory / "pipe"
    link.symlink_to("/nowhere/queue.db")
    os.mkfifo(pipe)
    assert error(newcomer.directory) == f"{newcomer.directory} is a directory, not a database file"
    assert error(link) == f"{link} is a link to /nowhere/queue.db, which does not exist"
    assert error(pipe) == f"{pipe} is not a regular file, so it cannot be a database"
    assert sorted(each.name for each in newcomer.directory.iterdir()) == ["link", "pipe"]


@pytest.mark.parametrize("command", ["init", "list", "enqueue -- true", "worker start"])
def test_another_programs_database_is_refused_and_left_as_it_is(newcomer: Cli, command: str) -> None:
    path = newcomer.directory / "photos.db"
    with opened(path) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    before = path.read_bytes()
    result = refused(newcomer, *command.split(), url=f"sqlite:///{path}")
    assert result.errors == [f"the database file {path} belongs to another program"]
    assert path.read_bytes() == before
    assert [each.name for each in newcomer.directory.iterdir()] == ["photos.db"]


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(newcomer: Cli) -> None:
    path = newcomer.directory / "letter.txt"
    path.write_text("Dear queue,\n" * 1000)
    before = path.read_bytes()
    for command in ("init", "enqueue"):
        result = refused(newcomer, command, *(["--", "true"] if command == "enqueue" else []), url=f"sqlite:///{path}")
        assert result.errors == [f"the database file {path} is not a SQLite database"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("version", "said", "advised"), [("9999", "newer", "upgrade queuectl"), ("0000", "needs", "queuectl init")]
)
def test_a_schema_of_another_version_is_told_with_what_to_do(cli: Cli, version: str, said: str, advised: str) -> None:
    with opened(file_of(cli)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [version])
    for command in ("list", "worker start"):
        result = refused(cli, *command.split())
        assert version in result.errors[0]
        assert said in result.errors[0]
        assert advised in result.stderr


def test_a_newer_schema_is_not_touched_by_init(cli: Cli) -> None:
    with opened(file_of(cli)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "newer" in refused(cli, "init").errors[0]


def test_a_locked_file_can_be_read_and_is_waited_for_but_not_for_ever(cli: Cli) -> None:
    with opened(file_of(cli)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        impatient = subprocess.Popen(
            [QUEUECTL, "enqueue", "--", "true"],
            env=cli.environ | {"QUEUECTL_BUSY_TIMEOUT": "1s"},
            cwd=cli.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert cli.jobs() == {}
        stdout, stderr = impatient.communicate(timeout=60)
        connection.execute("ROLLBACK")
    assert (impatient.returncode, stdout) == (6, "")
    assert "is locked by another process for too long" in stderr
    assert "Traceback" not in stderr
    assert cli.jobs() == {}


def test_a_lock_that_is_given_up_in_time_is_waited_for(cli: Cli) -> None:
    with opened(file_of(cli)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        patient = subprocess.Popen(
            [QUEUECTL, "enqueue", "--", "true"], env=cli.environ, cwd=cli.directory, stdout=subprocess.PIPE, text=True
        )
        wait_until(lambda: file_of(cli).name + "-shm" in " ".join(_open_files(patient.pid)))
        assert patient.poll() is None
        connection.execute("COMMIT")
    stdout, _ = patient.communicate(timeout=60)
    assert patient.returncode == 0
    assert list(cli.jobs()) == stdout.split()


def _open_files(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except OSError:  # closed by now
            continue
    return found


@pytest.mark.parametrize(
    ("redirection", "code", "message"),
    [
        ("| head -n 1", 0, ""),
        (">&-", 1, "stdout is closed"),
        (">/dev/full", 1, "No space left on device"),
    ],
)
def test_an_output_that_takes_nothing_is_told_and_a_closed_pipe_is_not(
    cli: Cli, redirection: str, code: int, message: str
) -> None:
    cli.run("enqueue", "-", stdin=json_lines([{"command": f": {'x' * 1000}"}] * 200))
    script = f"{shlex.quote(QUEUECTL)} list --limit 0 --output plain {redirection}"
    result = cli.run(program=["sh", "-c", script], check=False)
    assert result.code == code
    if message:
        assert message in result.stderr
        assert len(result.errors) == 1
    else:
        assert (len(result.stdout.splitlines()), result.stderr) == (1, "")


def test_workers_that_cannot_log_are_not_started(cli: Cli) -> None:
    (cli.directory / "file").touch()
    result = cli.run("worker", "start", check=False, env={"QUEUECTL_LOG_DIR": f"{cli.directory}/file/logs"})
    assert result.code == 1
    assert "cannot be created" in result.errors[0]
    assert cli.processes() == {}


def test_doctor_tells_what_is_wrong_and_fails(newcomer: Cli) -> None:
    (newcomer.directory / "letter.txt").write_text("Dear queue,\n" * 100)
    result = newcomer.run("--output", "json", "doctor", "--database-url", "sqlite:///letter.txt", check=False)
    assert result.code == 1
    assert "is not a SQLite database" in result.stdout
