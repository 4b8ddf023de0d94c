"""A queue that is moved, or made, while others want to use it."""

import contextlib
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.faults import reading
from tests.faults.probe import FaultProbe
from tests.integration.driver import QUEUECTL, Cli, wait_until
from tests.integration.ledger import Ledger

MAKING = 0x71756575
"""The advisory lock of those who make a queue."""


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if backend == "postgresql":
        return str(request.getfixturevalue("empty_postgres_url"))
    (tmp_path / "made.db").touch(mode=0o600)
    return f"sqlite:///{tmp_path / 'made.db'}"


@contextlib.contextmanager
def writers_excluded(url: str, statement: str) -> Iterator[Callable[[], int]]:
    """Nobody else writes there; gives how many wait for that, where the database knows. `statement`: on PostgreSQL."""
    if url.startswith("sqlite"):
        holder = sqlite3.connect(reading.path_of(url), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            yield lambda: 0
        finally:
            holder.close()
    else:
        with psycopg.connect(url) as session, psycopg.connect(url, autocommit=True) as other:
            session.execute(statement)  # type: ignore[call-overload]

            def waiting() -> int:
                row = other.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
                return int(row[0]) if row else 0

            yield waiting


def is_held(url: str) -> bool:
    """Whether others can write there."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(reading.path_of(url), isolation_level=None, timeout=0)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        finally:
            connection.close()
        return False
    with psycopg.connect(url) as session:
        try:
            session.execute("LOCK TABLE jobs IN ROW EXCLUSIVE MODE NOWAIT")
        except psycopg.errors.LockNotAvailable:
            return True
    return False


@pytest.mark.fault("F53")
def test_nobody_changes_the_source_of_a_transfer_until_it_has_been_verified(
    cli: Cli, probe: FaultProbe, ledger: Ledger, request: pytest.FixtureRequest, backend: str, tmp_path: Path
) -> None:
    target = f"sqlite:///{tmp_path / 'moved.db'}"
    if backend == "sqlite":
        target = str(request.getfixturevalue("empty_postgres_url"))
    cli.run("--database-url", target, "init")
    ids = probe.enqueue_some(100)
    source = cli.environ["QUEUECTL_DATABASE_URL"]
    with ThreadPoolExecutor() as pool:
        with writers_excluded(target, "LOCK TABLE jobs IN EXCLUSIVE MODE"):
            moving = pool.submit(cli.run, "transfer", "--from", source, "--to", target)
            wait_until(lambda: is_held(source))
            starting = pool.submit(cli.start_workers, 2)
            time.sleep(1)
            assert ledger.entries("start") == []
        moving.result()
        starting.result()
    moved = cli.json("--database-url", target, "list", "--limit", "0")
    assert {(job["id"], job["state"]) for job in moved} == {(job_id, "pending") for job_id in ids}
    probe.healed()
    probe.check(within=60, faultless=True)


@pytest.mark.fault("F54")
def test_of_many_who_make_a_queue_at_once_one_makes_it_and_nobody_fails(empty_url: str, tmp_path: Path) -> None:
    user = Cli(tmp_path, empty_url)
    with writers_excluded(empty_url, f"SELECT pg_advisory_xact_lock({MAKING})") as waiting:
        processes = [
            subprocess.Popen([QUEUECTL, *command], env=user.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for command in [["init"]] * 6 + [["enqueue", "--", "true"]] * 4
        ]
        with contextlib.suppress(AssertionError):
            wait_until(lambda: waiting() >= 6, 5)
    answers = [(*process.communicate(timeout=60), process.returncode) for process in processes]
    assert [err for _, err, code in answers[:6] if code] == []
    stored = [out.decode().strip() for out, _, code in answers[6:] if code == 0]
    for _, said, code in answers[6:]:
        assert code == 0 or b"holds no queue yet" in said
    assert user.jobs().keys() == set(stored)
    user.close()
