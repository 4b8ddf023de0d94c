"""A connection to PostgreSQL that hangs: nothing comes back, and nothing says that it is broken."""

import contextlib
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from queuectl.adapters.sql.postgresql import connection as postgres
from queuectl.adapters.sql.postgresql.connection import ResponseTimeout, connect
from queuectl.application.operate.enqueue import enqueue_jobs
from queuectl.application.operate.inspect import status_of
from queuectl.container import Container
from queuectl.domain.job import JobRequest
from queuectl.settings import Settings
from tests.faults.probe import FaultProbe
from tests.integration.conftest import HeldUp
from tests.integration.driver import Cli, Workers, wait_until
from tests.integration.ledger import Ledger
from tests.postgres.proxy import Proxy

LEASE = 6.0


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    with Proxy(postgres_url) as proxy:
        yield proxy


@pytest.fixture
def cli(postgres_url: str, tmp_path: Path) -> Iterator[Cli]:
    """A user whose way to the server is direct."""
    user = Cli(tmp_path, postgres_url)
    yield user
    user.close()


@pytest.mark.fault("F28")
def test_the_server_notices_in_seconds_that_a_host_has_vanished_in_the_midst_of_a_message(postgres_url: str) -> None:
    """It waits for the rest of a message without a timeout of its own: all that ends this is the probes of TCP.

    A host that loses its power in front of a real server takes two machines. Here the session says what holds for it.
    """
    held = {}
    with contextlib.closing(connect(postgres_url, ResponseTimeout(timedelta(seconds=35)))) as connection:
        for name in ("idle", "interval", "count"):
            [held[name]] = connection.execute(f"SHOW tcp_keepalives_{name}").fetchone() or ("",)
        [silent] = connection.execute("SHOW tcp_user_timeout").fetchone() or ("",)
    assert int(held["idle"]) + int(held["interval"]) * int(held["count"]) <= 15
    assert int(silent) == 10_000  # ms


def behind(proxy: Proxy) -> dict[str, str]:
    """What makes a command's way to the server lead through the proxy."""
    return {"QUEUECTL_DATABASE_URL": proxy.url}


@pytest.mark.fault("F28")
def test_a_call_ends_when_the_server_says_nothing_for_too_long(proxy: Proxy) -> None:
    connection = connect(proxy.url, ResponseTimeout(timedelta(seconds=0.5)))
    connection.execute("SELECT 1")
    proxy.swallow()
    begun = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match=r"connection is lost: no answer for 0.5 s"):
        connection.execute("SELECT 1")
    assert 0.4 < time.monotonic() - begun < 5
    assert connection.closed


@pytest.mark.fault("F28")
def test_a_call_may_take_long_while_the_server_goes_on_answering(proxy: Proxy) -> None:
    connection = connect(proxy.url, ResponseTimeout(timedelta(seconds=2)))
    rows = connection.execute("SELECT pg_sleep(0.01), repeat('x', 10000) FROM generate_series(1, 300)").fetchall()
    assert len(rows) == 300
    connection.close()


@pytest.mark.fault("F28")
def test_a_large_batch_may_take_longer_than_a_statement_when_the_line_is_slow(
    proxy: Proxy, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "TIMEOUTS", {"statement_timeout": "1500ms"})
    container = Container(settings=Settings(database_url=proxy.url, log_dir=tmp_path, busy_timeout=timedelta()))
    container.storage().initialise()
    proxy.slow_down(1_000_000)
    begun = time.monotonic()
    enqueue_jobs(container.queue(), [JobRequest(command="x" * 1000)] * 4000, cwd="/")
    assert time.monotonic() - begun > 3, "the line was not slow"
    assert sum(status_of(container.queue()).jobs.values()) == 4000
    container.storage().close()


@pytest.mark.fault("F28")
def test_jobs_behind_a_hung_connection_are_stopped_in_time_for_another_worker(
    proxy: Proxy, cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    cli.run("config", "set", "lease", f"{LEASE}s")
    job_id = probe.enqueue_endless()
    workers = cli.start_workers(env=behind(proxy))
    wait_until(lambda: ledger.entries("alive"))

    proxy.swallow()
    swallowed_at = time.time()
    workers.log.wait_for("lost its lease", timeout=LEASE + 4)
    assert ledger.entries("alive")[-1].at < swallowed_at + LEASE
    other = cli.start_workers()
    job = cli.wait_for(job_id)
    assert job["state"] == "completed"

    proxy.heal()
    _replaced(workers)
    probe.enqueue()
    probe.check()
    lost, succeeded = cli.job(job_id)["history"]
    assert (lost["outcome"], succeeded["outcome"]) == ("lost", "succeeded")
    workers.log.assert_exactly("lost its lease")
    workers.log.assert_exactly("after the job had been taken away: kept as a late result")
    other.log.assert_without("lost its lease")


@pytest.mark.fault("F28")
def test_one_hung_connection_costs_neither_the_lease_nor_the_job(
    proxy: Proxy, cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    cli.run("config", "set", "lease", f"{LEASE}s")
    workers = cli.start_workers(env=behind(proxy))
    job_id = probe.enqueue("sleep 6")
    wait_until(ledger.started)
    proxy.swallow()
    proxy.heal()  # a firewall has forgotten the connections that there are, and lets new ones through
    job = cli.wait_for(job_id)
    assert (job["state"], job["attempts"]) == ("completed", 1)
    workers.log.assert_without("lost its lease")
    probe.check(faultless=True)


@pytest.mark.fault("F48")
def test_jobs_start_while_the_listener_hears_nothing_and_it_is_replaced(
    proxy: Proxy, cli: Cli, postgres_url: str, ledger: Ledger, probe: FaultProbe, held_up: HeldUp
) -> None:
    cli.start_workers(env=behind(proxy))
    wait_until(lambda: _listeners(postgres_url))
    (deaf,) = _listeners(postgres_url)
    proxy.swallow(b"LISTEN")
    proxy.heal()
    swallowed_at = time.monotonic()
    for _ in range(3):
        job = cli.wait_for(probe.enqueue())
        waited = ledger.entries("start", job=job["id"])[0].at - datetime.fromisoformat(job["created_at"]).timestamp()
        assert waited < 1 + 1 + held_up()  # the poll, and the enqueueing from its look at the clock to the commit
    wait_until(lambda: _listeners(postgres_url) - {deaf}, 20 - (time.monotonic() - swallowed_at))
    probe.enqueue()
    probe.check(faultless=True)
    cli.log.assert_without("database")


def _replaced(workers: Workers) -> None:
    """Wait until the supervisor has replaced the worker that lost its lease, by one that is ready."""
    workers.log.wait_for(re.compile(r"worker \w+ started"), 2)
    workers.log.assert_without(re.compile(r"ended unexpectedly (?!\(exit code 75\))"))


def _listeners(url: str) -> set[int]:
    """The server's processes of the sessions that listen and are alive, as far as the server knows."""
    with psycopg.connect(url, application_name="a test") as connection:
        sessions = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND (query LIKE 'LISTEN%' OR query = 'SELECT 1') AND application_name = 'queuectl'"
        )
        return {int(row[0]) for row in sessions}
