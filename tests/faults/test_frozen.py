"""Workers that stand still: for longer than their lease, or when they are to stop."""

import os
import signal
from pathlib import Path

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import PATIENCE, Cli, Workers, is_running, kill, wait_until
from tests.integration.ledger import Ledger

LEASE = 2.0
LATE = "after the job had been taken away: kept as a late result"


@pytest.fixture
def cli(cli: Cli) -> Cli:
    cli.run("config", "set", "lease", f"{LEASE}s")
    return cli


def signalled(number: signal.Signals, workers: Workers) -> None:
    """Send that to the workers; their supervisors and commands are spared."""
    for pid in workers.pids:
        os.kill(pid, number)


def frozen_with_supervisor(cli: Cli, ledger: Ledger, probe: FaultProbe) -> tuple[str, Workers]:
    """A job whose worker stands still with its supervisor, and these."""
    job_id = probe.enqueue_endless()
    frozen = cli.start_workers()
    wait_until(lambda: ledger.entries("alive"))
    os.kill(frozen.supervisor, signal.SIGSTOP)
    signalled(signal.SIGSTOP, frozen)
    return job_id, frozen


@pytest.mark.fault("F13")
def test_a_frozen_worker_that_outlives_its_lease_is_killed_before_its_job_runs_again(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    job_id = probe.enqueue_endless()
    frozen = cli.start_workers()
    wait_until(lambda: ledger.entries("alive"))
    signalled(signal.SIGSTOP, frozen)
    probe.healed()
    probe.check()
    assert probe.outcomes(job_id) == ["lost", "succeeded"]
    assert not is_running(frozen.pids[0])
    frozen.log.wait_for(f"worker process {frozen.pids[0]} outlived its lease, frozen or held up: killed")


@pytest.mark.fault("F13")
def test_a_worker_that_is_frozen_with_its_supervisor_is_killed_by_whoever_takes_its_jobs_back(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    job_id, frozen = frozen_with_supervisor(cli, ledger, probe)
    cli.start_workers()
    wait_until(lambda: ledger.started(2))
    assert not is_running(frozen.pids[0])
    probe.healed()
    probe.check()
    assert probe.outcomes(job_id) == ["lost", "succeeded"]


@pytest.mark.fault("F13")
def test_workers_that_were_frozen_with_their_supervisor_lose_their_jobs_when_they_wake(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    job_id, frozen = frozen_with_supervisor(cli, ledger, probe)
    frozen_at = ledger.entries()[-1].since_boot
    wait_until(lambda: ledger.entries("alive")[-1].since_boot > frozen_at + 3 * LEASE)
    assert probe.rows().jobs[job_id].state == "processing"  # nobody was there to take it back
    signalled(signal.SIGCONT, frozen)
    os.kill(frozen.supervisor, signal.SIGCONT)
    probe.healed()
    probe.check()
    assert probe.outcomes(job_id) == ["lost", "succeeded"]


@pytest.mark.fault("F25")
def test_a_command_that_ended_while_its_worker_was_frozen_changes_nothing_afterwards(
    cli: Cli, ledger: Ledger, probe: FaultProbe, tmp_path: Path
) -> None:
    until_told = f'while [ ! -e {tmp_path}/go-$QUEUECTL_ATTEMPT ]; do sleep 0.05; done; echo "run $QUEUECTL_ATTEMPT"'
    first, second = tmp_path / "go-1", tmp_path / "go-2"
    job_id = probe.enqueue(until_told)
    zombie = cli.start_workers()
    wait_until(ledger.started)
    os.kill(zombie.supervisor, signal.SIGSTOP)
    signalled(signal.SIGSTOP, zombie)
    first.touch()
    wait_until(lambda: ledger.entries("end"))
    cli.start_workers(env={"QUEUECTL_SPOOL_DIR": str(tmp_path / "spool")})  # which knows nothing of the frozen ones
    wait_until(lambda: ledger.started(2))
    signalled(signal.SIGCONT, zombie)
    zombie.log.wait_for(LATE, or_until=lambda: probe.rows().jobs[job_id].state != "processing")
    os.kill(zombie.supervisor, signal.SIGCONT)
    second.touch()
    probe.healed()
    probe.check()
    lost, succeeded = cli.job(job_id)["history"]
    assert (lost["outcome"], lost["late"], lost["output"]) == ("lost", "succeeded", "run 1\n")
    assert (succeeded["outcome"], succeeded["late"], succeeded["output"]) == ("succeeded", None, "run 2\n")


@pytest.mark.fault("F13")
def test_the_end_of_a_command_whose_worker_is_frozen_and_killed_is_nobodys_and_the_job_runs_again(
    cli: Cli, ledger: Ledger, probe: FaultProbe, tmp_path: Path
) -> None:
    until_told = f'while [ ! -e {tmp_path}/go-$QUEUECTL_ATTEMPT ]; do sleep 0.05; done; echo "run $QUEUECTL_ATTEMPT"'
    first, second = tmp_path / "go-1", tmp_path / "go-2"
    job_id = probe.enqueue(until_told)
    zombie = cli.start_workers()
    wait_until(ledger.started)
    signalled(signal.SIGSTOP, zombie)
    first.touch()
    wait_until(lambda: ledger.entries("end"))
    wait_until(lambda: ledger.started(2))
    second.touch()
    probe.healed()
    probe.check()
    lost, succeeded = cli.job(job_id)["history"]
    assert (lost["outcome"], lost["late"]) == ("lost", None)
    assert (succeeded["outcome"], succeeded["late"], succeeded["output"]) == ("succeeded", None, "run 2\n")


@pytest.mark.fault("F83")
@pytest.mark.parametrize("whom", ["worker", "supervisor", "both", "worker of a dead supervisor"])
def test_a_forced_stop_ends_what_is_frozen_and_the_next_worker_runs_its_job(
    cli: Cli, probe: FaultProbe, whom: str
) -> None:
    cli.run("config", "set", "lease", "1h")  # it is not its end that is waited for
    cli.run("config", "set", "kill-grace", "0.5s")
    job_id, tree = probe.enqueue_tree()
    workers = cli.start_workers()
    wait_until(lambda: tree.is_complete)
    if whom == "worker of a dead supervisor":
        kill(workers.supervisor)
    elif whom != "worker":
        os.kill(workers.supervisor, signal.SIGSTOP)
    if whom != "supervisor":
        signalled(signal.SIGSTOP, workers)
    stopped = cli.run("worker", "stop", "--force", "--timeout", str(PATIENCE))
    assert "stopped 1 worker" in stopped.stderr
    assert cli.processes() == {}
    assert tree.alive == []
    assert cli.job(job_id)["state"] == "pending"
    cli.run("cancel", job_id)
    probe.note_asked(job_id)
    probe.check()


@pytest.mark.fault("F83")
def test_a_command_that_freezes_its_worker_is_stopped_by_force_all_the_same(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    cli.run("config", "set", "lease", "1h")
    cli.run("config", "set", "kill-grace", "0.5s")
    [job_id] = probe.enqueue_all([{"command": f"kill -STOP $PPID; {ledger.endless()}"}])
    cli.start_workers()
    wait_until(lambda: ledger.entries("alive"))
    cli.run("worker", "stop", "--force", "--timeout", str(PATIENCE))
    assert cli.processes() == {}
    assert cli.job(job_id)["state"] == "pending"
    cli.run("cancel", job_id)
    probe.note_asked(job_id)
    probe.check()


@pytest.mark.fault("F83")
def test_a_graceful_stop_says_that_a_worker_is_frozen_and_ends_when_its_lease_does(cli: Cli, probe: FaultProbe) -> None:
    workers = cli.start_workers()
    signalled(signal.SIGSTOP, workers)
    stopped = cli.run("worker", "stop", "--timeout", str(PATIENCE))
    assert f"(pid {workers.pids[0]}) was frozen by a signal" in stopped.stderr
    assert cli.processes() == {}
    probe.check(faultless=True)


@pytest.mark.fault("F26")
@pytest.mark.parametrize("leases", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_a_job_that_is_longer_than_the_lease_runs_once(
    cli: Cli, ledger: Ledger, probe: FaultProbe, leases: int
) -> None:
    lease = 2 * LEASE  # a disk that is busy with other tests may take longer for a sync than the shortest lease allows
    cli.run("config", "set", "lease", f"{lease}s")
    probe.enqueue(f"sleep {leases * lease:g}")
    cli.start_workers(2)
    history = probe.check(within=leases * lease + 30, faultless=True)
    assert len(history.attempts) == 1
