"""Power cuts and kills at the worst moments: what was acknowledged is on the disk, and the file is whole."""

import contextlib
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults import reading
from tests.faults.probe import FaultProbe
from tests.faults.tracing import Trace, kill_group, killing, started
from tests.integration.driver import PATIENCE, QUEUECTL, Cli, is_running, wait_until
from tests.integration.ledger import Ledger
from tests.integration.log import Log

pytestmark = pytest.mark.sqlite_only  # PostgreSQL's own files are its own: see `queuectl doctor`

FOREGROUND = [QUEUECTL, "worker", "start", "--foreground"]
MOST_SYNCS = 40
"""More than a job's life has."""


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(tmp_path / "trace")


@pytest.mark.fault("F05")
@pytest.mark.parametrize(
    "numbers", [(1, 3), pytest.param(range(1, MOST_SYNCS), marks=pytest.mark.slow)], ids=["two", "each"]
)
def test_an_enqueue_that_is_killed_at_a_sync_is_stored_whole_or_not_at_all(
    cli: Cli, probe: FaultProbe, numbers: range | tuple[int, ...]
) -> None:
    killed = 0
    for number in numbers:
        job_id = f"job-{number}"
        result = cli.run("enqueue", probe.document(job_id), program=[*killing(number), QUEUECTL], check=False)
        probe.note_call([job_id], result)
        if result.code == 0:  # there was no such sync
            break
        killed += 1
        again = probe.try_enqueue(probe.document(job_id), ids=[job_id])
        assert again.code in (0, 4)
    assert killed >= 2
    cli.start_workers()
    probe.healed()
    probe.check()


@pytest.mark.fault("F05")
@pytest.mark.parametrize(
    "numbers",
    [(2, 4), pytest.param(range(1, MOST_SYNCS), marks=pytest.mark.slow)],
    ids=["two", "each"],
)
def test_a_worker_that_is_killed_at_a_sync_of_a_jobs_life_loses_and_doubles_nothing(
    cli: Cli, ledger: Ledger, probe: FaultProbe, tmp_path: Path, numbers: range | tuple[int, ...]
) -> None:
    killed = 0
    for number in numbers:
        job_id = probe.enqueue()
        log = cli.directory / f"killed-{number}.log"
        supervised = started([*killing(number), *FOREGROUND], log=log, env=cli.environ, cwd=cli.directory)
        try:
            was_killed = Log.at(log).wait_for("(killed by SIGKILL)", or_until=lambda: _has_ended(probe, job_id))  # noqa: B023 - called before the next turn
            killed += was_killed
            for pid in cli.own_processes():  # the workers have sessions of their own
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            kill_group(supervised)
        wait_until(lambda: not any(is_running(pid) for pid in cli.own_processes()))
        workers = cli.start_workers()
        wait_until(lambda: _has_ended(probe, job_id))  # noqa: B023 - called before the next turn
        cli.run("worker", "stop")
        assert not is_running(workers.supervisor)
        if not was_killed:
            break
    assert killed == 2 if len(numbers) == 2 else killed >= 4
    probe.healed()
    probe.check()


def _has_ended(probe: FaultProbe, job_id: str) -> bool:
    return probe.rows().jobs[job_id].state == "completed"


@pytest.mark.fault("F06")
def test_an_acknowledged_job_is_synced_before_its_id_is_printed(cli: Cli, probe: FaultProbe, trace: Trace) -> None:
    path = reading.path_of(probe.url)
    syncs = []
    for number in range(3):
        job_id = f"acknowledged-{number}"
        with _kept_log(path):
            before = _commits(path)
            result = cli.run("enqueue", probe.document(job_id), program=[*trace.command, QUEUECTL])
            made = _commits(path) - before
        probe.note_call([job_id], result)
        syncs.append((made, trace.syncs(path + "-wal")))
        said = trace.unsynced_at(job_id + r"\\n", path)
        assert len(said) == 1
        _witness_unsynced(probe, said)
    cli.start_workers()
    _witness_syncs(probe, syncs)


@pytest.mark.fault("F06")
def test_an_outcome_is_synced_before_it_is_logged(
    cli: Cli, ledger: Ledger, probe: FaultProbe, trace: Trace, tmp_path: Path
) -> None:
    cli.run("config", "set", "lease", "1h")  # no renewal is under way when something is said,
    ids = probe.enqueue_some(5, "sleep 0.5")  # nor the next commit: the log's thread writes a moment later
    path = reading.path_of(probe.url)
    log = cli.directory / "traced.log"
    with _kept_log(path):
        before = _commits(path)
        traced = started([*trace.command, *FOREGROUND], log=log, env=cli.environ, cwd=cli.directory)
        try:
            Log.at(log).wait_for(" succeeded after ", len(ids))
        finally:
            for pid in cli.own_processes():
                if pid != traced.pid:
                    os.kill(pid, signal.SIGTERM)
            traced.wait(PATIENCE)
        made = _commits(path) - before
    said = trace.unsynced_at(r"job \w+ attempt 1 (started|succeeded)", path)
    assert len(said) == 2 * len(ids)
    _witness_unsynced(probe, said)
    _witness_syncs(probe, [(made, trace.syncs(path + "-wal"))])


def _witness_unsynced(probe: FaultProbe, said: list[tuple[str, set[str]]]) -> None:
    """Nothing was said while what it rests on was not on the disk."""
    probe.damaged += [f"{', '.join(files)} not synced when {text!r} was written" for text, files in said if files]


def _witness_syncs(probe: FaultProbe, syncs: list[tuple[int, int]]) -> None:
    """Every commit was synced: with fewer syncs than commits, a power cut would lose one."""
    probe.damaged += [f"{made} commits, and {synced} syncs of the log" for made, synced in syncs if synced < made]
    assert all(made for made, _ in syncs)
    probe.check()


@pytest.mark.fault("F06")
@pytest.mark.parametrize("copies", [5, pytest.param(12, marks=pytest.mark.slow)])
def test_a_copy_of_the_files_taken_at_any_moment_opens_clean(
    cli: Cli, ledger: Ledger, probe: FaultProbe, tmp_path: Path, copies: int
) -> None:
    path = reading.path_of(probe.url)
    probe.enqueue_some(10 * copies)
    cli.start_workers(2)
    for number in range(copies):
        time.sleep(0.2)
        ended = {job.id for job in probe.rows().jobs.values() if job.state == "completed"}
        copy = tmp_path / f"copy-{number}"
        copy.mkdir()
        _copied_at_once(cli, path, copy)
        url = f"sqlite:///{copy}/queue.db"
        assert reading.damage(url) == []
        found = reading.read_rows(url).jobs
        assert found.keys() == probe.rows().jobs.keys()
        assert {job_id for job_id in ended if found[job_id].state != "completed"} == set()
        assert cli.json("status", env={"QUEUECTL_DATABASE_URL": url})["jobs"]["completed"] >= len(ended)
        shutil.rmtree(copy)
    probe.healed()
    probe.check(faultless=True)


def _copied_at_once(cli: Cli, path: str, directory: Path) -> None:
    """Copy the files as they are at one moment: whoever could write stands still meanwhile."""
    pids = cli.own_processes()
    _signal(pids, signal.SIGSTOP)
    try:
        # In a process of its own: closing a file that SQLite has open in this one would give its locks up.
        there = [name for name in (path, path + "-wal") if Path(name).exists()]
        subprocess.run(["cp", *there, str(directory)], check=True)
    finally:
        _signal(reversed(pids), signal.SIGCONT)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # a command, which until its execve(2) looks like its worker
            os.kill(pid, number)


class _kept_log:  # noqa: N801 - reads as a function
    """As long as a reader is there, the log is neither removed nor begun anew."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def __enter__(self) -> None:
        self._connection.execute("SELECT count(*) FROM jobs").fetchone()

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _commits(path: str) -> int:
    """The frames of the log that end a transaction: https://sqlite.org/fileformat2.html#the_write_ahead_log."""
    try:
        log = Path(path + "-wal").read_bytes()
    except FileNotFoundError:
        return 0
    if not log:
        return 0
    (page_size,) = struct.unpack_from(">I", log, 8)
    sizes = [struct.unpack_from(">I", log, start + 4)[0] for start in range(32, len(log), 24 + page_size)]
    return sum(size != 0 for size in sizes)
