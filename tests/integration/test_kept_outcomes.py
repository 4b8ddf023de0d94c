"""A job that ends while the database cannot be written, and whose worker then dies: run once, with its outcome."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.driver import PATIENCE, Cli, Workers, is_running, kill, wait_until
from tests.integration.ledger import Ledger

pytestmark = pytest.mark.sqlite_only


@contextmanager
def locked(cli: Cli) -> Iterator[None]:
    """While the body runs nobody can write."""
    path = cli.environ["QUEUECTL_DATABASE_URL"].removeprefix("sqlite:///")
    connection = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def kept(cli: Cli) -> list[Path]:
    return sorted((cli.home / ".local/state/queuectl/spool").glob("*/*.outcome"))


def end_all(workers: Workers) -> None:
    wait_until(lambda: not any(is_running(pid) for pid in [workers.supervisor, *workers.pids]))


@pytest.mark.parametrize("end", ["killed", "forced"])
def test_the_next_worker_settles_what_an_ended_one_has_kept(cli: Cli, ledger: Ledger, tmp_path: Path, end: str) -> None:
    go = tmp_path / "go"
    body = f"until [ -e {go} ]; do sleep 0.05; done; printf 'a\\0b'; exit 3"
    job_id = cli.enqueue(ledger.command(body), max_retries=0)
    workers = cli.start_workers()
    wait_until(ledger.started)
    with locked(cli):
        go.touch()
        (file,) = wait_until(lambda: kept(cli))
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        cli.log.wait_for(f"job {job_id} attempt 1 ended (failed); kept on disk")
        if end == "killed":
            kill(workers.supervisor, *workers.pids)
        else:
            os.kill(workers.supervisor, signal.SIGQUIT)
        end_all(workers)
    assert len(kept(cli)) == 1
    cli.start_workers()
    job = cli.wait_for(job_id)
    assert (job["state"], job["exit_code"], job["attempts"], job["losses"]) == ("dead", 3, 1, 0)
    assert job["output"] == "a\0b"
    assert len(ledger.entries("start")) == 1
    wait_until(lambda: not kept(cli))


def test_a_worker_that_is_replaced_after_it_was_killed_settles_what_the_killed_one_kept(
    cli: Cli, ledger: Ledger
) -> None:
    job_id = cli.enqueue(ledger.command("sleep 1; echo precious"))
    workers = cli.start_workers()
    wait_until(ledger.started)
    with locked(cli):
        wait_until(lambda: kept(cli))
        kill(*workers.pids)
    job = cli.wait_for(job_id)
    assert (job["state"], job["output"], job["losses"]) == ("completed", "precious\n", 0)
    assert len(ledger.entries("start")) == 1
    wait_until(lambda: not kept(cli))


def test_a_worker_that_lives_settles_its_own_and_keeps_nothing_then(cli: Cli, ledger: Ledger) -> None:
    ids = cli.enqueue_all([{"command": ledger.command("sleep 1")}] * 3)
    cli.start_workers(concurrency=3)
    wait_until(lambda: ledger.started(3))
    with locked(cli):
        wait_until(lambda: len(kept(cli)) == 3)
    jobs = cli.wait_for_all()
    assert [(jobs[job_id]["state"], jobs[job_id]["attempts"]) for job_id in ids] == [("completed", 1)] * 3
    wait_until(lambda: not kept(cli))


def test_an_outcome_whose_job_was_run_by_others_meanwhile_is_kept_as_a_late_result(cli: Cli, ledger: Ledger) -> None:
    job_id = cli.enqueue(ledger.command("sleep 1; echo first"))
    workers = cli.start_workers()
    wait_until(ledger.started)
    with locked(cli):
        (file,) = wait_until(lambda: kept(cli))
        kill(workers.supervisor, *workers.pids)
        end_all(workers)
        content = file.read_bytes()
        file.unlink()  # as on another host, which cannot see it
    others = cli.start_workers()
    assert cli.wait_for(job_id)["attempts"] == 2
    cli.run("worker", "stop")
    end_all(others)
    file.write_bytes(content)
    cli.start_workers()
    wait_until(lambda: not kept(cli))
    job = cli.job(job_id)
    lost, succeeded = job["history"]
    assert (job["state"], job["attempts"]) == ("completed", 2)
    assert (lost["outcome"], lost["late"], lost["output"]) == ("lost", "succeeded", "first\n")
    assert (succeeded["outcome"], succeeded["late"]) == ("succeeded", None)
    cli.log.wait_for("kept as a late result")


def test_a_file_that_is_no_outcome_stops_no_worker(cli: Cli, ledger: Ledger) -> None:
    job_id = cli.enqueue(ledger.command("sleep 1"))
    cli.start_workers()
    wait_until(ledger.started)
    with locked(cli):
        (file,) = wait_until(lambda: kept(cli))
    cli.wait_for(job_id)
    bad = file.with_name("rubbish.outcome")
    bad.write_bytes(b"\0" * 1000)
    cli.start_workers()
    wait_until(lambda: bad.with_suffix(".set-aside").exists())
    assert cli.wait_for(cli.enqueue("true"))["state"] == "completed"
    cli.log.assert_exactly("is set aside")
