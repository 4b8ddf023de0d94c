"""The database is removed, replaced or made anew under workers: they stop, and the next ones use what is there."""

import shutil
import threading
from pathlib import Path

import psycopg
import pytest

from queuectl.adapters.sql.schema import metadata
from tests.faults import reading
from tests.faults.probe import FaultProbe
from tests.integration.driver import Cli, wait_until

pytestmark = pytest.mark.fault("F42")


def remove(url: str) -> None:
    """Have no database any more where that one was."""
    if url.startswith("sqlite"):
        path = Path(reading.path_of(url))
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()
    else:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(f"DROP TABLE {', '.join(metadata.tables)}, alembic_version")


def test_workers_of_a_database_that_was_removed_stop_and_others_serve_the_new_one(cli: Cli, probe: FaultProbe) -> None:
    old = cli.enqueue_all([{"command": "echo $$ >> old; exec sleep 1000"}, {"command": "true"}])
    workers = cli.start_workers(2)
    cli.wait_for(old[0], "processing")
    wait_until(lambda: (cli.directory / "old").exists())
    remove(probe.url)
    workers.log.wait_for("lost its lease and stops its jobs: ", 2)
    wait_until(lambda: not any("sleep 1000" in command for command in cli.processes().values()))
    cli.run("init")
    new = probe.enqueue_some(5)
    probe.healed()
    probe.check(within=60)
    assert cli.jobs().keys() == set(new)
    assert len((cli.directory / "old").read_text().splitlines()) == 1
    workers.log.assert_without("Traceback")
    cli.run("worker", "stop")


@pytest.mark.sqlite_only
def test_a_backup_that_is_put_in_place_is_served_and_nothing_is_written_into_the_old_file(
    cli: Cli, probe: FaultProbe
) -> None:
    waiting = probe.enqueue(delay="1h")
    path = Path(reading.path_of(probe.url))
    backup = path.with_name("backup.db")
    cli.run("worker", "start")
    cli.run("worker", "stop")
    shutil.copy(path, backup)
    workers = cli.start_workers()
    cli.enqueue_all([{"id": "later", "command": "true"}])
    cli.wait_for("later")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    backup.rename(path)
    workers.log.wait_for("another file is where the database file")
    probe.enqueue()
    probe.healed()
    probe.check(within=60, waiting=[waiting])
    assert "later" not in cli.jobs()


@pytest.mark.sqlite_only
def test_a_command_that_waits_says_so(cli: Cli, probe: FaultProbe) -> None:
    [job_id] = cli.enqueue_all([{"command": "trap '' TERM; sleep 1000 & wait; wait; sleep 1000"}])
    cli.run("config", "set", "kill-grace", "1h")
    workers = cli.start_workers()
    cli.wait_for(job_id, "processing")
    threading.Timer(1.5, lambda: remove(probe.url)).start()
    result = cli.run("cancel", job_id, check=False)
    assert result.code == 6
    assert "was removed or replaced" in result.errors[0]
    workers.log.wait_for("lost its lease")
    cli.run("init")
    probe.enqueue()
    probe.healed()
    probe.check(within=60)
