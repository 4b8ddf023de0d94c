"""PgBouncer in transaction mode between queuectl and the server: sessions are shared, and everything works."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import Cli, wait_until
from tests.integration.ledger import Ledger
from tests.postgres.servers import free_port
from tests.requirements import program, require

pytestmark = pytest.mark.fault("F49")
WORKERS, POOL, JOBS = 20, 5, 300


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    """The way to the database through a PgBouncer with a few server connections, each lent for one transaction."""
    require("pgbouncer")
    parts, port = urlsplit(postgres_url), free_port()
    home = Path("/tmp") / f"queuectl-pgbouncer-{port}"  # short, and open to the user that it runs as
    home.mkdir(mode=0o755)
    (home / "users").write_text(f'"{parts.username}" "{parts.password}"\n')
    (home / "config").write_text(
        f"""[databases]
* = host={parts.hostname} port={parts.port or 5432}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {home}/users
pool_mode = transaction
default_pool_size = {POOL}
max_client_conn = 200
server_lifetime = 5
"""
    )
    user = {"user": pwd.getpwnam("nobody").pw_uid} if os.geteuid() == 0 else {}
    with (home / "log").open("wb") as log:
        pooler = subprocess.Popen(
            [str(program("pgbouncer")), str(home / "config")], stdout=log, stderr=log, start_new_session=True, **user
        )
    url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()
    try:
        wait_until(lambda: pooler.poll() is not None or _answers(url))
        assert pooler.poll() is None, (home / "log").read_text()
        yield url
    finally:
        pooler.kill()
        pooler.wait()
        shutil.rmtree(home)


@pytest.fixture
def cli(pooled_url: str, tmp_path: Path) -> Iterator[Cli]:
    user = Cli(tmp_path, pooled_url)
    yield user
    user.close()


def test_many_workers_share_few_sessions(cli: Cli, postgres_url: str, ledger: Ledger, probe: FaultProbe) -> None:
    cli.run("init")
    cli.start_workers(WORKERS)
    ids = probe.enqueue_all([{"command": ledger.command(), "priority": 1 + number % 10} for number in range(JOBS)])
    failing = probe.enqueue("false", max_retries=1)
    cancelled = probe.enqueue(delay="1h")
    cli.run("cancel", cancelled)
    wait_until(lambda: _sessions(postgres_url) <= POOL)  # the server lists one that has just ended for a moment
    probe.check(within=60, faultless=True)
    jobs = cli.jobs()

    assert {jobs[job_id]["state"] for job_id in ids} == {"completed"}
    assert [jobs[job_id]["state"] for job_id in (failing, cancelled)] == ["dead", "cancelled"]
    assert len(ledger.entries("start")) == len(ledger.entries("end")) == JOBS + 2
    assert sum(job["attempts"] for job in jobs.values()) == JOBS + 2
    assert "a pooler stands between" in cli.run("doctor", check=False).stdout
    cli.run("dlq", "retry", failing)
    cli.run("metrics", "--detailed")
    cli.run("worker", "stop")

    cli.log.assert_exactly("a pooler stands before the database: polling for jobs instead of listening", WORKERS)
    cli.log.assert_without("prepared", "cannot use the database", "ERROR", "lost")


def test_jobs_start_within_the_poll(cli: Cli, ledger: Ledger, probe: FaultProbe) -> None:
    cli.start_workers()
    job = cli.wait_for(probe.enqueue())
    [attempt] = job["history"]
    waited = ledger.entries("start")[0].at - _seconds(job["created_at"])
    assert waited < 1.5
    assert attempt["outcome"] == "succeeded"
    probe.check(faultless=True)


def _sessions(url: str) -> int:
    with psycopg.connect(url, application_name="a test") as connection:
        count = (  # of the sessions, not of the server's own processes, which come and go
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        row = connection.execute(count).fetchone()
    assert row is not None
    return int(row[0])


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
