"""Another user of the same machine: reads nothing, writes nothing, and cannot prepare the ground."""

import os
import pwd
import socket
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import Cli, Result, wait_until
from tests.integration.ledger import Ledger
from tests.requirements import require

pytestmark = [pytest.mark.sqlite_only, pytest.mark.fault("F72")]


def modes(paths: Iterable[Path]) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}


def refused(cli: Cli, path: Path) -> Result:
    """An enqueue into that file that must end with the exit code of an unusable database."""
    result = cli.run("enqueue", "--", "true", check=False, env={"QUEUECTL_DATABASE_URL": f"sqlite:///{path}"})
    assert (result.code, result.stdout, len(result.errors)) == (6, "", 1)
    return result


@pytest.fixture
def another_user() -> int:
    """The id of another user, whom only root can become."""
    require("users")
    return pwd.getpwnam("nobody").pw_uid


def test_everything_is_private_while_it_is_in_use(newcomer: Cli, ledger: Ledger) -> None:
    directory = newcomer.directory / "new" / "queue"
    newcomer.environ["QUEUECTL_DATABASE_URL"] = f"sqlite:///{directory}/queue.db"
    newcomer.run("enqueue", "--", "echo", "secret", umask=0)
    workers = newcomer.start_workers(umask=0)
    newcomer.wait_for_all()
    names = ["queue.db", "queue.db-wal", "queue.db-shm", "queue.db-lock"]
    wait_until(lambda: len(list(directory.iterdir())) == len(names))
    assert modes(directory.iterdir()) == dict.fromkeys(names, 0o600)
    assert modes([workers.log_file]) == {workers.log_file.name: 0o600}
    assert modes([directory, directory.parent, newcomer.logs]) == {"queue": 0o700, "new": 0o700, "logs": 0o700}


def test_another_user_reads_and_writes_nothing(
    newcomer: Cli, ledger: Ledger, another_user: int, tmp_path: Path
) -> None:
    """Even where the directories above let everyone through, as a shared temporary directory does."""
    place = Path("/tmp") / f"queuectl-shared-{os.getpid()}"
    place.mkdir()
    place.chmod(0o1777)
    try:
        newcomer.environ["QUEUECTL_DATABASE_URL"] = f"sqlite:///{place}/queue.db"
        newcomer.environ["QUEUECTL_LOG_DIR"] = str(newcomer.logs)
        probe = FaultProbe(newcomer, ledger, newcomer.environ["QUEUECTL_DATABASE_URL"])
        newcomer.run("init", umask=0)
        probe.enqueue("echo secret")
        workers = newcomer.start_workers(umask=0)
        wait_until(lambda: ledger.entries("end"))
        files = [*place.iterdir(), workers.log_file]
        assert {"queue.db", "queue.db-wal", "queue.db-shm"} <= {file.name for file in files}
        for file in files:
            for how in ("<", ">>"):
                tried = subprocess.run(["sh", "-c", f": {how} '{file}'"], user=another_user, capture_output=True)
                assert (tried.returncode != 0, b"Permission denied" in tried.stderr) == (True, True), file
        probe.check(faultless=True)
        newcomer.run("worker", "stop")
    finally:
        for file in place.iterdir():
            file.unlink()
        place.rmdir()


def test_a_file_or_directory_of_another_user_is_refused(newcomer: Cli, another_user: int) -> None:
    directory = newcomer.directory / "theirs"
    directory.mkdir()
    os.chown(directory, another_user, another_user)
    assert "belongs to another user" in refused(newcomer, directory / "queue.db").errors[0]
    assert not list(directory.iterdir())
    prepared = newcomer.directory / "queue.db"
    prepared.touch()
    os.chown(prepared, another_user, another_user)
    assert "belongs to another user" in refused(newcomer, prepared).errors[0]
    assert prepared.stat().st_size == 0


def test_a_directory_that_everyone_can_write_is_refused(newcomer: Cli) -> None:
    public = newcomer.directory / "public"
    public.mkdir()
    public.chmod(0o777)
    assert "can be written by everyone" in refused(newcomer, public / "queue.db").errors[0]
    assert not list(public.iterdir())


@pytest.mark.parametrize("whose", ["another user's", "everyone's"])
def test_a_log_directory_of_others_is_refused(newcomer: Cli, another_user: int, whose: str) -> None:
    newcomer.logs.mkdir()
    if whose == "everyone's":
        newcomer.logs.chmod(0o1777)
    else:
        os.chown(newcomer.logs, another_user, another_user)
    result = newcomer.run("worker", "start", check=False)
    assert (result.code, newcomer.own_processes(), list(newcomer.logs.iterdir())) == (1, [], [])
    assert "no directory of our own, or others may write to it" in result.errors[0]


def test_a_planted_symlink_is_not_followed(newcomer: Cli) -> None:
    victim = newcomer.directory / "victim"
    (newcomer.directory / "queue.db").symlink_to(victim)
    refused(newcomer, newcomer.directory / "queue.db")
    assert not victim.exists()


def test_a_planted_socket_is_refused(newcomer: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    path = newcomer.directory / "socket"
    monkeypatch.chdir(newcomer.directory)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)  # whole, it may be longer than an address can be
        refused(newcomer, path)
