"""A command that says how its neighbour has ended: it knows everything that its own environment says."""

import sys
from pathlib import Path

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import Cli, wait_until
from tests.integration.ledger import Ledger

FORGE = """
import os, sys
from datetime import UTC, datetime
from queuectl.domain.worker import Lease
from queuectl.domain.attempt import AttemptEnd, Outcome, RunResult
from queuectl.settings import load_settings
from queuectl.container import Container

lease = Lease(id=os.environ["QUEUECTL_LEASE_ID"], worker=os.environ["QUEUECTL_WORKER_ID"])
result = RunResult(outcome=Outcome.FAILED, exit_code=7, error="forged")
end = AttemptEnd(job_id=sys.argv[1], number=1, lease=lease, at=datetime.now(UTC), result=result)
assert Container(settings=load_settings()).spool().spool(end)
"""


@pytest.mark.fault("F76")
def test_a_command_cannot_record_an_outcome_of_its_neighbour(
    cli: Cli, ledger: Ledger, probe: FaultProbe, tmp_path: Path
) -> None:
    cli.run("config", "set", "lease", "2s")
    go = tmp_path / "go"
    neighbour = probe.enqueue(f"until [ -e {go} ]; do sleep 0.05; done", max_retries=0)
    database = {"QUEUECTL_DATABASE_URL": cli.environ["QUEUECTL_DATABASE_URL"]}
    forger = probe.enqueue_silent([sys.executable, "-c", FORGE, neighbour], env=database, max_retries=0)
    cli.start_workers(concurrency=2)
    assert cli.wait_for(forger)["state"] == "completed", cli.job(forger)["output"]
    spool = cli.home / ".local/state/queuectl/spool"
    wait_until(lambda: not list(spool.glob("*/*.outcome")))
    assert cli.job(neighbour)["state"] == "processing"
    go.touch()
    history = probe.check(faultless=True)
    assert history.jobs[neighbour].state == "completed"
