"""Workers that stand still for longer than their lease, and wake up believing that they still have it."""

import os
import signal
from pathlib import Path

import pytest

from tests.faults.witness import Witness
from tests.integration.driver import Cli, Workers, wait_until
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


@pytest.mark.fault("F13")
def test_the_jobs_of_a_frozen_worker_are_stopped_before_they_run_again(
    cli: Cli, ledger: Ledger, witness: Witness
) -> None:
    job_id = witness.enqueue_endless()
    frozen = cli.start_workers()
    wait_until(lambda: ledger.entries("alive"))
    signalled(signal.SIGSTOP, frozen)
    other = cli.start_workers()
    wait_until(lambda: ledger.started(2))
    signalled(signal.SIGCONT, frozen)
    frozen.log.wait_for(LATE)
    witness.healed()
    witness.check()
    assert witness.outcomes(job_id) == ["lost", "succeeded"]
    assert cli.job(job_id)["history"][0]["late"] is not None
    other.log.assert_without("lost its lease")


@pytest.mark.fault("F13")
def test_a_worker_that_was_frozen_alone_stops_its_jobs_when_it_wakes(
    cli: Cli, ledger: Ledger, witness: Witness
) -> None:
    job_id = witness.enqueue_endless()
    frozen = cli.start_workers()
    wait_until(lambda: ledger.entries("alive"))
    signalled(signal.SIGSTOP, frozen)
    frozen_at = ledger.entries()[-1].since_boot
    wait_until(lambda: ledger.entries("alive")[-1].since_boot > frozen_at + 3 * LEASE)
    assert witness.rows().jobs[job_id].state == "processing"  # nobody was there to take it back
    signalled(signal.SIGCONT, frozen)
    witness.healed()
    witness.check()
    assert witness.outcomes(job_id) == ["lost", "succeeded"]
    frozen.log.assert_exactly("lost its lease")


@pytest.mark.fault("F25")
def test_a_command_that_ended_while_its_worker_was_frozen_changes_nothing_afterwards(
    cli: Cli, ledger: Ledger, witness: Witness, tmp_path: Path
) -> None:
    until_told = f'while [ ! -e {tmp_path}/go-$QUEUECTL_ATTEMPT ]; do sleep 0.05; done; echo "run $QUEUECTL_ATTEMPT"'
    first, second = tmp_path / "go-1", tmp_path / "go-2"
    job_id = witness.enqueue(until_told)
    zombie = cli.start_workers()
    wait_until(ledger.started)
    signalled(signal.SIGSTOP, zombie)
    first.touch()
    wait_until(lambda: ledger.entries("end"))
    cli.start_workers()
    wait_until(lambda: ledger.started(2))
    signalled(signal.SIGCONT, zombie)
    zombie.log.wait_for(LATE, or_until=lambda: witness.rows().jobs[job_id].state != "processing")
    second.touch()
    witness.healed()
    witness.check()
    lost, succeeded = cli.job(job_id)["history"]
    assert (lost["outcome"], lost["late"], lost["output"]) == ("lost", "succeeded", "run 1\n")
    assert (succeeded["outcome"], succeeded["late"], succeeded["output"]) == ("succeeded", None, "run 2\n")


@pytest.mark.fault("F26")
@pytest.mark.parametrize("leases", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_a_job_that_is_longer_than_the_lease_runs_once(cli: Cli, ledger: Ledger, witness: Witness, leases: int) -> None:
    lease = 2 * LEASE  # a disk that is busy with other tests may take longer for a sync than the shortest lease allows
    cli.run("config", "set", "lease", f"{lease}s")
    witness.enqueue(f"sleep {leases * lease:g}")
    cli.start_workers(2)
    history = witness.check(within=leases * lease + 30, faultless=True)
    assert len(history.attempts) == 1
