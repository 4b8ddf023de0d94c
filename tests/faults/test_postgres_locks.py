"""What a host that vanished left locked: the server ends its transactions only after a while."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import Cli, kill, wait_until
from tests.integration.ledger import Ledger


@pytest.fixture
def cli(postgres_url: str, tmp_path: Path) -> Iterator[Cli]:
    cli = Cli(tmp_path, postgres_url)
    yield cli
    cli.close()


@pytest.mark.fault("F28")
@pytest.mark.parametrize("table", ["workers", "jobs"])
def test_the_open_transaction_of_a_host_that_is_gone_holds_up_nothing_but_its_own_jobs(
    cli: Cli, postgres_url: str, ledger: Ledger, probe: FaultProbe, table: str
) -> None:
    held = probe.enqueue_endless()
    workers = cli.start_workers()
    wait_until(lambda: ledger.entries("alive"))
    kill(workers.supervisor, *workers.pids)
    with psycopg.connect(postgres_url) as left_open:
        left_open.execute(f"SELECT 1 FROM {table} FOR UPDATE")
        cli.start_workers()
        others = cli.enqueue_all([{"command": "true"}] * 3)
        for job_id in others:
            assert cli.wait_for(job_id, timeout=5)["attempts"] == 1
        assert cli.job(held)["state"] == "processing"
    assert cli.wait_for(held)["losses"] == 1
    probe.check()
