"""Many who write to one queue at once, readers that never end, checkpoints at every moment."""

import contextlib
import fcntl
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults import reading
from tests.faults.probe import DESCRIPTORS, MEBIBYTE, MEMORY, FaultProbe
from tests.integration.driver import Cli, json_lines, wait_until

CAPS = {MEMORY: 100, DESCRIPTORS: 64}
MOST_LOG = 64 + 4
"""MiB of the write-ahead log: its limit, and a little for what is written while it is cut."""


@pytest.mark.fault("F35")
@pytest.mark.parametrize(
    ("workers", "clients", "seconds"),
    [
        pytest.param(3, 4, 5, id="few"),
        pytest.param(16, 16, 40, id="many", marks=pytest.mark.slow),
    ],
)
def test_no_user_hears_of_a_lock_while_all_write_at_once(
    cli: Cli, probe: FaultProbe, workers: int, clients: int, seconds: float
) -> None:
    cli.start_workers(workers)
    over = threading.Event()

    def enqueue(client: int) -> None:
        for number in range(10_000):
            if over.is_set():
                return
            ids = [f"{client}-{number}-{each}" for each in range(2)]
            probe.try_enqueue("-", ids=ids, stdin="".join(probe.document(job_id) + "\n" for job_id in ids))

    def list_all() -> None:
        while not over.is_set():
            cli.run("list", "--limit", "0")

    with ThreadPoolExecutor(clients + 1) as pool:
        done = [pool.submit(enqueue, client) for client in range(clients)] + [pool.submit(list_all)]
        over.wait(seconds)
        over.set()
        for each in done:
            each.result()
    assert [call for call in probe.calls if call.code != 0] == []
    probe.healed()
    probe.check(within=60, faultless=True, caps=CAPS)
    cli.log.assert_without("cannot use the database")


@pytest.mark.fault("F41")
@pytest.mark.sqlite_only
def test_a_line_that_another_program_holds_up_is_left_by_all(cli: Cli, probe: FaultProbe) -> None:
    cli.run("config", "set", "lease", "2s")
    with _held(Path(reading.path_of(probe.url) + "-lock")):
        workers = cli.start_workers(2)
        ids = probe.enqueue_some(4, "sleep 3") + probe.enqueue_some(20)
        most = 0

        def all_ended() -> bool:
            nonlocal most
            most = max(most, *map(_threads, workers.pids))
            return _all_ended(probe, ids)

        wait_until(all_ended, 60, every=0.1)
        cli.log.wait_for("holds", 2)
    wait_until(lambda: max(map(_threads, workers.pids)) < most)
    assert most <= 9  # as docs/architecture.md draws them, and one that waits in the line
    cli.log.assert_exactly("-lock and does not let go: writing without waiting for it", 2)
    cli.log.assert_without("lost", "cannot use the database")
    probe.healed()
    probe.check(faultless=True, caps=CAPS)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """As a process holds it that is frozen during its turn, or a backup script that wants to be careful."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _threads(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


@pytest.mark.fault("F37")
@pytest.mark.sqlite_only
@pytest.mark.slow
def test_the_log_is_cut_again_after_a_reader_has_held_it_open(cli: Cli, probe: FaultProbe) -> None:
    cli.start_workers()
    log = Path(reading.path_of(probe.url) + "-wal")
    large = [{"command": f"true {'x' * 100_000}", "run_at": "2100-01-01T00:00:00Z"}] * 100
    reader = sqlite3.connect(reading.path_of(probe.url), isolation_level=None)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM jobs").fetchone()
        for _ in range(MOST_LOG // 10 + 2):  # ten megabytes each
            cli.run("enqueue", "-", stdin=json_lines(large))
            probe.enqueue()
        assert log.stat().st_size > MOST_LOG * MEBIBYTE
        reader.execute("COMMIT")
    finally:
        reader.close()
    probe.healed()
    wait_until(lambda: probe.enqueue() and log.stat().st_size <= MOST_LOG * MEBIBYTE, 60, every=1)
    probe.check(within=60, faultless=True)


CHECKPOINTER = """
import itertools, sys, time
try:
    import pysqlite3 as sqlite3
except ImportError:
    import sqlite3
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0.05)
for mode in itertools.cycle(["PASSIVE", "RESTART", "TRUNCATE", "FULL"]):
    connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    time.sleep(0.01)
"""


@pytest.mark.fault("F40")
@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("rounds", "of"),
    [
        pytest.param(2, 60, id="short"),
        pytest.param(6, 120, id="long", marks=pytest.mark.slow),
    ],
)
def test_checkpoints_at_every_moment_damage_nothing(cli: Cli, probe: FaultProbe, rounds: int, of: int) -> None:
    cli.start_workers(4)
    with _checkpointing(reading.path_of(probe.url), 4):
        for _ in range(rounds):
            ids = probe.enqueue_some(of)
            wait_until(lambda: _all_ended(probe, ids), 60, every=0.2)  # noqa: B023 - called before the next turn
            assert reading.damage(probe.url) == []
    probe.healed()
    probe.check(faultless=True)


def _all_ended(probe: FaultProbe, ids: list[str]) -> bool:
    jobs = probe.rows().jobs
    return all(jobs[job_id].state == "completed" for job_id in ids)


@contextlib.contextmanager
def _checkpointing(path: str, count: int) -> Iterator[None]:
    """Processes that do nothing but move the log's pages into the file."""
    processes = [subprocess.Popen([sys.executable, "-c", CHECKPOINTER, path]) for _ in range(count)]
    try:
        yield
        assert [process.poll() for process in processes] == [None] * count
    finally:
        for process in processes:
            process.kill()
            process.wait()
