"""Workers that are dead or silent while nobody is there to take their jobs back: every screen says so."""

import json
import os
import signal
import sqlite3

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import Cli, Workers, is_running, kill, wait_until
from tests.integration.ledger import Ledger

pytestmark = pytest.mark.fault("F91")


def shown(cli: Cli, job_id: str) -> dict[str, bool]:
    """Which screens say that the worker is lost, in words and in JSON."""
    doctor = [each for each in cli.json("doctor")["findings"] if each["subject"] == "workers"]
    [worker], [in_status] = cli.json("worker", "status"), cli.json("status")["workers"]
    [listed] = [job for job in cli.json("list") if job["id"] == job_id]
    return {
        "worker status in JSON": worker["lost"] and worker["lost_since"] is not None,
        "status in JSON": in_status["lost"],
        "list in JSON": listed["worker_lost"],
        "info in JSON": cli.job(job_id)["worker_lost"],
        "doctor": doctor[0]["grade"] == "warn" and f"worker {worker['id']} " in doctor[0]["message"],
        **{command: is_told(cli, command) for command in ("worker status", "status", "list", f"info {job_id}")},
    }


def is_told(cli: Cli, command: str) -> bool:
    said = cli.run("--output", "table", *command.split())
    waits = "1 job waits for a worker to take it back: `queuectl worker start` does" in said.stderr
    return waits and "lost" in said.stdout


def a_dead_worker(cli: Cli, probe: FaultProbe, ledger: Ledger) -> tuple[Workers, str]:
    """Its supervisor and its command are dead as well; its lease runs on."""
    cli.run("config", "set", "lease", "1h")
    job_id = probe.enqueue_endless()
    workers = cli.start_workers()
    wait_until(lambda: ledger.started(1))
    kill(workers.supervisor, *workers.pids)
    wait_until(lambda: not any(map(is_running, workers.pids)))
    return workers, job_id


def test_a_dead_worker_of_this_machine_is_lost_on_every_screen_at_once(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    _, job_id = a_dead_worker(cli, probe, ledger)
    assert [name for name, told in shown(cli, job_id).items() if not told] == []
    [columns] = [line.split("\t") for line in cli.run("worker", "status").stdout.splitlines()]
    assert columns[3] == "lost"
    cli.start_workers()
    cli.wait_for(job_id, "completed")
    assert [worker["lost"] for worker in cli.json("worker", "status")] == [False]
    assert not cli.job(job_id)["worker_lost"]
    probe.check()


def test_a_dead_worker_serves_no_queue(cli: Cli, ledger: Ledger, probe: FaultProbe) -> None:
    _, _ = a_dead_worker(cli, probe, ledger)
    said = cli.run("enqueue", "--id", "next", "-c", "true").stderr
    assert "no live worker serves queue default" in said
    messages = [each["message"] for each in cli.json("doctor")["findings"] if each["subject"] == "workers"]
    assert "1 job of queue default is due, and no worker serves it" in messages
    cli.start_workers()
    cli.wait_for("next", "completed")
    probe.check()


@pytest.mark.sqlite_only
def test_a_worker_whose_lease_is_over_is_lost_wherever_it_is(cli: Cli, ledger: Ledger, probe: FaultProbe) -> None:
    cli.run("config", "set", "lease", "2s")
    job_id = probe.enqueue_endless()
    workers = cli.start_workers()
    wait_until(lambda: ledger.started(1))
    for pid in (workers.supervisor, *workers.pids):
        os.kill(pid, signal.SIGSTOP)
    file = cli.environ["QUEUECTL_DATABASE_URL"].removeprefix("sqlite:///")
    with sqlite3.connect(file) as connection:  # as if it ran elsewhere
        connection.execute("UPDATE workers SET machine = 'elsewhere'")
    connection.close()
    wait_until(lambda: cli.json("worker", "status")[0]["lost"])
    assert [name for name, told in shown(cli, job_id).items() if not told] == []
    for pid in (*workers.pids, workers.supervisor):
        os.kill(pid, signal.SIGCONT)
    probe.check()
    assert json.loads(cli.run("--output", "json", "doctor").stdout)["ok"]
