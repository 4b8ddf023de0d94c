"""Stopping workers: gracefully, by force, with a limit; from the terminal, by signals, by command."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import Popen

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import PATIENCE, QUEUECTL, Cli, is_running, wait_until
from tests.integration.ledger import Ledger

Stop = Callable[["Popen[bytes]"], None]


def sigterm(process: "Popen[bytes]") -> None:
    process.terminate()


def ctrl_c(process: "Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.fault("F08")
@pytest.mark.parametrize("stop", [sigterm, ctrl_c])
def test_the_first_stop_lets_the_jobs_in_hand_finish_and_takes_no_more(
    cli: Cli, ledger: Ledger, probe: FaultProbe, tmp_path: Path, stop: Stop
) -> None:
    go = tmp_path / "go"
    until_told = f"until [ -e {go} ]; do sleep 0.05; done"
    running = probe.enqueue_some(3, until_told, priority=9)
    waiting = probe.enqueue(until_told)
    foreground = cli.start_in_foreground(2, concurrency=2 if stop is ctrl_c else 1)
    in_hand = 4 if stop is ctrl_c else 2
    wait_until(lambda: ledger.started(in_hand))
    stop(foreground)
    cli.log.wait_for("stopping, finishing", 2)
    go.touch()
    assert foreground.wait(PATIENCE) == 0
    jobs = cli.jobs()
    assert [jobs[job_id]["state"] for job_id in [*running, waiting]] == (
        ["completed"] * in_hand + ["pending"] * (4 - in_hand)
    )
    assert len(ledger.entries("end")) == in_hand
    assert cli.json("status")["workers"] == []
    probe.check(faultless=True, waiting=[*running, waiting][in_hand:])


@pytest.mark.fault("F08")
def test_a_job_that_outlasts_the_lease_is_finished_before_a_graceful_stop(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    cli.run("config", "set", "lease", "2s")
    probe.enqueue_some(2, "sleep 0.5")
    probe.enqueue("sleep 5")
    foreground = cli.start_in_foreground(concurrency=3)
    other = cli.start_workers(queues=["another"])  # which would take back what has no lease
    wait_until(lambda: ledger.started(3))
    sigterm(foreground)
    assert foreground.wait(PATIENCE) == 0
    assert len(ledger.entries("end")) == 3
    assert is_running(other.supervisor)
    probe.check(faultless=True)


@pytest.mark.fault("F09")
@pytest.mark.parametrize("stop", [sigterm, ctrl_c])
def test_the_second_stop_gives_the_jobs_back_and_another_worker_runs_them(
    cli: Cli, ledger: Ledger, probe: FaultProbe, stop: Stop
) -> None:
    job_id = probe.enqueue_endless()
    foreground = cli.start_in_foreground()
    wait_until(ledger.started)
    stop(foreground)
    cli.log.wait_for("stopping, finishing 1 job")
    assert foreground.poll() is None
    stop(foreground)
    assert foreground.wait(PATIENCE) == 0
    job = cli.job(job_id)
    assert (job["state"], job["failures"], job["losses"]) == ("pending", 0, 0)
    assert [attempt["outcome"] for attempt in job["history"]] == ["released"]
    cli.start_workers()
    assert cli.wait_for(job_id)["state"] == "completed"
    probe.check()


@pytest.mark.fault("F08")
def test_worker_stop_waits_for_the_jobs_in_hand(cli: Cli, ledger: Ledger, probe: FaultProbe, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job_id = probe.enqueue(f"until [ -e {go} ]; do sleep 0.05; done")
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
    probe.check(faultless=True)


@pytest.mark.fault("F08")
def test_worker_stop_waits_for_a_supervisor_whose_workers_have_signed_off(cli: Cli) -> None:
    workers = cli.start_workers()
    os.kill(workers.supervisor, signal.SIGSTOP)
    os.kill(workers.pids[0], signal.SIGTERM)
    wait_until(lambda: cli.json("worker", "status") == [])
    result = cli.run("worker", "stop", "--timeout", "0.1", check=False)
    assert result.code == 1
    assert "stopping the processes of ended workers" in result.stderr
    os.kill(workers.supervisor, signal.SIGCONT)
    cli.run("worker", "stop")
    assert not any(is_running(pid) for pid in [workers.supervisor, *workers.pids])


@pytest.mark.fault("F09")
def test_worker_stop_by_force_gives_the_jobs_back_and_another_worker_runs_them(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    ids = [probe.enqueue_endless() for _ in range(2)]
    workers = cli.start_workers(2)
    wait_until(lambda: ledger.started(2))
    cli.run("worker", "stop", "--force", "--timeout", "20")
    assert not any(is_running(pid) for pid in [workers.supervisor, *workers.pids])
    assert cli.processes() == {}
    assert {job["state"] for job in cli.jobs().values()} == {"pending"}
    cli.start_workers(2)
    probe.check()
    assert [probe.outcomes(job_id) for job_id in ids] == [["released", "succeeded"]] * 2


@pytest.mark.fault("F09")
def test_a_forced_stop_reaches_workers_that_a_script_has_started_in_its_background(cli: Cli, probe: FaultProbe) -> None:
    probe.enqueue_endless()
    background = ["sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh", QUEUECTL]  # as a shell does for `&`
    cli.run("worker", "start", program=background)
    wait_until(lambda: cli.json("status")["jobs"]["processing"])
    cli.run("worker", "stop", "--force", "--timeout", "20")
    assert cli.json("worker", "status") == []
    cli.start_workers()
    probe.healed()
    probe.check()


@pytest.mark.fault("F09")
def test_a_forced_stop_kills_what_ignores_sigterm_after_the_grace(cli: Cli, ledger: Ledger, probe: FaultProbe) -> None:
    cli.run("config", "set", "kill-grace", "0.3s")
    [job_id] = probe.enqueue_all([{"command": f"trap '' TERM INT HUP; {ledger.endless()}"}])
    cli.start_workers()
    wait_until(ledger.started)
    cli.run("worker", "stop", "--force", "--timeout", "20")
    assert cli.processes() == {}
    (attempt,) = cli.job(job_id)["history"]
    assert (attempt["outcome"], attempt["signal"]) == ("released", 9)
    cli.start_workers()
    probe.check()


NAME_AN_INNOCENT = """
import sys
from datetime import timedelta
from queuectl.domain.worker import WorkerRecord, WorkerState
from queuectl.settings import load_settings
from queuectl.container import Container

container = Container(settings=load_settings())
container.storage().open()
now, process = container.clock()(), container.find_process()(int(sys.argv[1]))
container.workers().register(WorkerRecord(
    id="innocent", host="here", process=process, supervisor=process, queues=(), concurrency=1,
    state=WorkerState.RUNNING, started_at=now, renewed_at=now, lease_expires_at=now + timedelta(seconds=3),
))
"""
"""Whoever may write to the database may say of any process that it is a worker."""


@pytest.mark.fault("F87")
@pytest.mark.parametrize("option", [[], ["--force"]], ids=["graceful", "forced"])
def test_no_process_is_signalled_because_the_database_names_it(
    cli: Cli, probe: FaultProbe, option: Sequence[str], tmp_path: Path
) -> None:
    signals = tmp_path / "signals"
    trap = f'for name in TERM INT HUP QUIT USR1 USR2; do trap "echo $name >>{signals}" $name; done'
    with Popen(
        ["bash", "-c", f"{trap}; : >{signals}; while :; do sleep 0.05; done"], start_new_session=True
    ) as innocent:
        try:
            wait_until(signals.exists)
            cli.run("-c", NAME_AN_INNOCENT, str(innocent.pid), program=[sys.executable])
            stopped = cli.run("worker", "stop", *option, "--timeout", "10", check=False)
            assert stopped.code == 1
            assert "1 worker of this machine cannot be reached" in stopped.stderr
            cli.start_workers()
            probe.enqueue()
            probe.check()
            wait_until(lambda: len(cli.json("worker", "status")) == 1)  # the lease of the innocent is over
            cli.run("worker", "stop", *option)
            assert innocent.poll() is None
            assert signals.read_text() == ""
        finally:
            innocent.kill()
