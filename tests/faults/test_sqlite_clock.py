"""The machine's clock is set forward by more than a lease while workers are at work on an SQLite file."""

from pathlib import Path

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import Cli, is_running, wait_until
from tests.integration.hosts import WRONG_CLOCK
from tests.integration.ledger import Ledger

pytestmark = [pytest.mark.sqlite_only, pytest.mark.fault("F84")]


def test_workers_that_live_keep_their_jobs_when_the_clock_is_set_beyond_their_leases(
    cli: Cli, ledger: Ledger, probe: FaultProbe, tmp_path: Path
) -> None:
    cli.run("config", "set", "lease", "10s")
    (tmp_path / "sitecustomize.py").write_text(WRONG_CLOCK.format(seconds=3600))
    workers = cli.start_workers(2, concurrency=3)
    ids = probe.enqueue_some(6, "sleep 3", max_retries=0)
    wait_until(lambda: ledger.started(6))
    # No process can be given a clock of its own while it runs: one that starts has the new one from the beginning.
    cli.start_workers(env={"PYTHONPATH": str(tmp_path)})
    history = probe.check(faultless=True)
    assert {history.jobs[job_id].state for job_id in ids} == {"completed"}
    assert all(is_running(pid) for pid in workers.pids)
