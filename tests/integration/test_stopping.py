"""Stopping workers: gracefully, by force, with a limit; from the terminal, by signals, by command."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from tests.integration.driver import PATIENCE, Cli, is_running, wait_until
from tests.integration.ledger import Ledger

Stop = Callable[["Popen[bytes]"], None]


def sigterm(process: "Popen[bytes]") -> None:
    process.terminate()


def ctrl_c(process: "Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize("stop", [sigterm, ctrl_c])
def test_the_first_stop_lets_the_jobs_in_hand_finish_and_takes_no_more(
    cli: Cli, ledger: Ledger, tmp_path: Path, stop: Stop
) -> None:
    go = tmp_path / "go"
    command = ledger.command(f"until [ -e {go} ]; do sleep 0.05; done")
    running = cli.enqueue_all([{"command": command, "priority": 9}] * 3)
    waiting = cli.enqueue(command)
    foreground = cli.start_in_foreground(2, concurrency=2 if stop is ctrl_c else 1)
    in_hand = 4 if stop is ctrl_c else 2
    wait_until(lambda: ledger.started(in_hand))
    stop(foreground)
    wait_until(lambda: cli.log().count("stopping, finishing") == 2)
    go.touch()
    assert foreground.wait(PATIENCE) == 0
    jobs = cli.jobs()
    assert [jobs[job_id]["state"] for job_id in [*running, waiting]] == (
        ["completed"] * in_hand + ["pending"] * (4 - in_hand)
    )
    assert len(ledger.entries("end")) == in_hand
    assert {job["attempts"] for job in jobs.values()} <= {0, 1}
    assert cli.json("status")["workers"] == []


@pytest.mark.parametrize("stop", [sigterm, ctrl_c])
def test_the_second_stop_gives_the_jobs_back_and_another_worker_runs_them(cli: Cli, ledger: Ledger, stop: Stop) -> None:
    job_id = cli.enqueue(ledger.endless())
    foreground = cli.start_in_foreground()
    wait_until(ledger.started)
    stop(foreground)
    wait_until(lambda: "stopping, finishing 1 jobs" in cli.log())
    assert foreground.poll() is None
    stop(foreground)
    assert foreground.wait(PATIENCE) == 0
    job = cli.job(job_id)
    assert (job["state"], job["failures"], job["losses"]) == ("pending", 0, 0)
    assert [attempt["outcome"] for attempt in job["history"]] == ["released"]
    cli.start_workers()
    assert cli.wait_for(job_id)["state"] == "completed"
    ledger.assert_no_overlap()


def test_worker_stop_waits_for_the_jobs_in_hand(cli: Cli, ledger: Ledger, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job_id = cli.enqueue(ledger.command(f"until [ -e {go} ]; do sleep 0.05; done"))
    workers = cli.start_workers(2)
    wait_until(ledger.started)
    result = cli.run("worker", "stop", "--timeout", "0.5", check=False)
    assert result.code == 1
    assert "still stopping" in result.stderr
    assert [worker["state"] for worker in cli.json("worker", "status")] == ["stopping"]
    go.touch()
    cli.run("worker", "stop")
    assert not any(is_running(pid) for pid in [workers.supervisor, *workers.pids])
    assert cli.job(job_id)["state"] == "completed"
    assert cli.run("worker", "stop").stderr == "no workers are running on this machine\n"


def test_worker_stop_by_force_gives_the_jobs_back_and_another_worker_runs_them(cli: Cli, ledger: Ledger) -> None:
    ids = cli.enqueue_all([{"command": ledger.endless()}] * 2)
    workers = cli.start_workers(2)
    wait_until(lambda: ledger.started(2))
    cli.run("worker", "stop", "--force", "--timeout", "20")
    assert not any(is_running(pid) for pid in [workers.supervisor, *workers.pids])
    assert cli.processes() == {}
    assert {job["state"] for job in cli.jobs().values()} == {"pending"}
    cli.start_workers(2)
    cli.wait_for_all()
    for job_id in ids:
        assert [attempt["outcome"] for attempt in cli.job(job_id)["history"]] == ["released", "succeeded"]
    ledger.assert_no_overlap()


def test_a_forced_stop_kills_what_ignores_sigterm_after_the_grace(cli: Cli, ledger: Ledger) -> None:
    cli.run("config", "set", "kill-grace", "0.3s")
    job_id = cli.enqueue(f"trap '' TERM INT HUP; {ledger.endless()}")
    cli.start_workers()
    wait_until(ledger.started)
    cli.run("worker", "stop", "--force", "--timeout", "20")
    assert cli.processes() == {}
    (attempt,) = cli.job(job_id)["history"]
    assert (attempt["outcome"], attempt["signal"]) == ("released", 9)


def test_worker_stop_without_a_supervisor_stops_the_worker_itself(cli: Cli) -> None:
    workers = cli.start_workers()
    os.kill(workers.supervisor, signal.SIGSTOP)
    os.kill(workers.supervisor, signal.SIGKILL)
    cli.run("worker", "stop")
    assert cli.processes() == {}
