"""`worker stop` while the file of the queue is locked, gone or replaced."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.faults import reading
from tests.faults.probe import FaultProbe
from tests.integration.driver import PATIENCE, QUEUECTL, Cli, Workers, is_running, wait_until
from tests.integration.ledger import Ledger

pytestmark = [pytest.mark.sqlite_only, pytest.mark.fault("F82")]

BOUND = 25.0
"""Seconds after which nobody would believe any more that `worker stop --force` works."""


@contextmanager
def locked(cli: Cli) -> Iterator[None]:
    path = reading.path_of(cli.environ["QUEUECTL_DATABASE_URL"])
    connection = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("ROLLBACK")
    connection.close()


@contextmanager
def gone(cli: Cli) -> Iterator[None]:
    files = [Path(reading.path_of(cli.environ["QUEUECTL_DATABASE_URL"]) + end) for end in ("", "-wal", "-shm")]
    moved = [(file, file.with_name("away-" + file.name)) for file in files if file.exists()]
    for file, away in moved:
        file.rename(away)
    yield
    for file, away in moved:
        away.rename(file)


@contextmanager
def replaced(cli: Cli) -> Iterator[None]:
    with gone(cli):
        path = Path(reading.path_of(cli.environ["QUEUECTL_DATABASE_URL"]))
        path.write_bytes(b"no database at all" * 1000)
        yield
        path.unlink()


def signalled(number: signal.Signals, workers: Workers) -> None:
    for pid in workers.pids:
        os.kill(pid, number)


def begun(cli: Cli, *args: str) -> tuple["subprocess.Popen[str]", str]:
    """`worker stop`, once it has counted the workers; and what it has said up to then."""
    command = [QUEUECTL, "worker", "stop", *args, "--timeout", str(PATIENCE)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=cli.environ, cwd=cli.directory)
    assert process.stderr is not None
    said = []
    while "stopping 2 workers" not in "".join(said):
        said.append(process.stderr.readline())
        assert said[-1], said
    return process, "".join(said)


@pytest.mark.parametrize("trouble", [locked, gone, replaced])
@pytest.mark.parametrize("force", [False, True], ids=["graceful", "forced"])
def test_workers_are_stopped_whatever_has_become_of_the_file(
    cli: Cli, ledger: Ledger, probe: FaultProbe, trouble: Callable[[Cli], AbstractContextManager[None]], force: bool
) -> None:
    job_id = probe.enqueue_endless() if force else probe.enqueue("sleep 1")
    workers = cli.start_workers(2)
    wait_until(ledger.started)
    # Until they have been counted: a worker that sees first what has become of its file ends by itself.
    signalled(signal.SIGSTOP, workers)
    with trouble(cli):
        asked_at = time.monotonic()
        stop, said = begun(cli, *(["--force"] if force else []))
        signalled(signal.SIGCONT, workers)
        said += stop.communicate(timeout=2 * PATIENCE)[1]
        assert time.monotonic() - asked_at < BOUND
        assert (stop.returncode, "stopped 2 workers" in said) == (0, True)
        assert ("without it" in said) is (trouble is not locked)  # which keeps nobody from reading
        assert not any(is_running(pid) for pid in [workers.supervisor, *workers.pids])
        assert cli.processes() == {}
    cli.start_workers()
    probe.healed()
    history = probe.check()
    # Workers whose file is gone stop their commands at once: nothing could be recorded.
    assert history.jobs[job_id].attempts == (2 if force or trouble is not locked else 1)


def test_workers_that_cannot_be_registered_run_all_the_same_and_say_once_what_will_not_work(
    cli: Cli, probe: FaultProbe, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    cli.environ["QUEUECTL_SPOOL_DIR"] = str(tmp_path / "file" / "spool")
    workers = cli.start_workers(2)
    probe.enqueue()
    probe.check(faultless=True)
    workers.log.assert_exactly("this machine's workers cannot be registered in")
    stopped = cli.run("worker", "stop", check=False)
    assert stopped.code == 1
    assert "2 workers of this machine cannot be reached" in stopped.stderr
    os.kill(workers.supervisor, signal.SIGTERM)
    wait_until(lambda: not cli.processes())
