"""`worker stop` and SIGTERM while the server is away, hangs, or has no connection to give."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.faults.probe import FaultProbe
from tests.faults.test_stopping_without_database import BOUND
from tests.integration.driver import PATIENCE, Cli, is_running, wait_until
from tests.integration.ledger import Ledger
from tests.postgres.proxy import Proxy

pytestmark = [pytest.mark.postgres, pytest.mark.fault("F82")]


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    with Proxy(postgres_url) as proxy:
        yield proxy


@pytest.fixture
def cli(proxy: Proxy, tmp_path: Path) -> Iterator[Cli]:
    """A user whose way to the server leads through the proxy."""
    user = Cli(tmp_path, proxy.url)
    user.run("config", "set", "lease", "6s")
    user.environ["QUEUECTL_BUSY_TIMEOUT"] = "3s"
    yield user
    user.close()


@pytest.mark.parametrize("trouble", ["swallow", "refuse"])
@pytest.mark.parametrize("force", [False, True], ids=["graceful", "forced"])
def test_workers_are_stopped_while_the_server_is_away_or_hung(
    cli: Cli, proxy: Proxy, ledger: Ledger, probe: FaultProbe, postgres_url: str, trouble: str, force: bool
) -> None:
    job_id = probe.enqueue_endless() if force else probe.enqueue("sleep 1")
    workers = cli.start_workers(2)
    wait_until(ledger.started)
    getattr(proxy, trouble)()
    asked_at = time.monotonic()
    result = cli.run("worker", "stop", *(["--force"] if force else []), "--timeout", str(PATIENCE))
    assert time.monotonic() - asked_at < BOUND
    assert "without it" in result.stderr
    assert not any(is_running(pid) for pid in [workers.supervisor, *workers.pids])
    assert cli.processes() == {}
    proxy.heal()
    cli.start_workers()
    probe.healed()
    history = probe.check()
    assert history.jobs[job_id].state == "completed"


def test_a_worker_whose_outcome_is_safe_on_disk_ends_within_seconds_though_the_server_hangs(
    cli: Cli, proxy: Proxy, ledger: Ledger, probe: FaultProbe, postgres_url: str
) -> None:
    cli.run("config", "set", "lease", "60s")
    job_id = probe.enqueue("sleep 1")
    workers = cli.start_workers()
    wait_until(ledger.started)
    proxy.swallow()
    cli.log.wait_for(f"job {job_id} attempt 1 ended (succeeded); kept on disk", timeout=PATIENCE)
    os.kill(workers.supervisor, signal.SIGTERM)
    wait_until(lambda: not is_running(workers.supervisor), BOUND)
    proxy.heal()
    cli.start_workers()
    probe.healed()
    assert probe.check().jobs[job_id].attempts == 1


def test_workers_are_stopped_that_hold_every_connection_of_the_server(
    cli: Cli, probe: FaultProbe, postgres_server: str, postgres_url: str
) -> None:
    name = conninfo_to_dict(postgres_url)["dbname"]
    workers = cli.start_workers(2)
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        result = cli.run("worker", "stop", "--force", "--timeout", str(PATIENCE))
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert "without it" in result.stderr
    assert not any(is_running(pid) for pid in [workers.supervisor, *workers.pids])
    probe.check()
