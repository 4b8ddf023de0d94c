"""The server's clock rules: a host whose own is an hour wrong works like any other."""

import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from tests.faults.probe import FaultProbe
from tests.integration.conftest import HeldUp
from tests.integration.driver import Cli, wait_until
from tests.integration.hosts import WRONG_CLOCK
from tests.integration.ledger import Ledger

pytestmark = [pytest.mark.postgres, pytest.mark.fault("F31")]
TOLERANCE = 2.0


@pytest.fixture(params=[1, -1], ids=["ahead", "behind"])
def wrong_clock(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Variables that put queuectl's clock an hour wrong; the time since boot stays what it is."""
    place = tmp_path / "wrong-clock"
    place.mkdir()
    (place / "sitecustomize.py").write_text(WRONG_CLOCK.format(seconds=3600 * request.param))
    return {"PYTHONPATH": str(place)}


@pytest.fixture
def cli(postgres_url: str, tmp_path: Path) -> Iterator[Cli]:
    user = Cli(tmp_path, postgres_url)
    yield user
    user.close()


def test_nothing_is_early_or_late_on_a_host_whose_clock_is_wrong(
    cli: Cli, postgres_url: str, ledger: Ledger, probe: FaultProbe, wrong_clock: dict[str, str], held_up: HeldUp
) -> None:
    cli.run("config", "set", "lease", "6s")
    right = cli.start_workers(concurrency=2)
    wrong = cli.start_workers(concurrency=2, env=wrong_clock, queues=["default"])
    long = probe.enqueue_some(3, "sleep 7")  # so that both hosts run one, for longer than its lease
    wait_until(lambda: ledger.started(3))

    asked = time.time()
    probe.try_enqueue(probe.document("delayed", delay="3s"), ids=["delayed"], env=wrong_clock)
    answered = time.time()
    failing = probe.enqueue("false", max_retries=1)  # again after two seconds
    probe.check(faultless=True)
    jobs = cli.jobs()
    server_now = _server_clock(postgres_url)

    for job_id in [*long, "delayed"]:
        assert (jobs[job_id]["state"], jobs[job_id]["attempts"], jobs[job_id]["losses"]) == ("completed", 1, 0)
    for log in (right.log, wrong.log):
        log.wait_for(re.compile(rf"job ({'|'.join(long)}) attempt 1 started"))
    (delayed,) = ledger.entries("start", job="delayed")
    created, ended = (_seconds(jobs["delayed"][moment]) for moment in ("created_at", "finished_at"))
    earliest = -0.1 - held_up()  # the server's time is known as exactly as it answers quickly
    assert asked + earliest < created < answered - earliest
    assert earliest < delayed.at - (created + 3) < TOLERANCE + held_up()
    first, second = ledger.entries("start", job=failing)
    assert earliest < second.at - (first.at + 2) < TOLERANCE + held_up()
    for job in jobs.values():
        for moment in ("created_at", "started_at", "finished_at"):
            assert asked - 60 < _seconds(job[moment]) < server_now - earliest
    assert abs(ended - ledger.entries("end", job="delayed")[0].at) < TOLERANCE + held_up()
    for log in (right.log, wrong.log):
        log.assert_without("lost", "taken back")
    assert all(0 <= worker["heartbeat_age"] < 6 for worker in cli.json("status", env=wrong_clock)["workers"])
    assert re.search(r"clock is 3[56]\d\d\.\d s off", cli.run("doctor", check=False, env=wrong_clock).stdout)


def test_running_jobs_survive_a_step_of_the_servers_clock(
    cli: Cli, postgres_url: str, ledger: Ledger, probe: FaultProbe
) -> None:
    name = postgres_url.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(postgres_url, autocommit=True) as session:
        session.execute("CREATE TABLE step (by interval)")
        session.execute("INSERT INTO step VALUES ('0')")
        session.execute(
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS"
            " 'SELECT pg_catalog.clock_timestamp() + by FROM public.step'"
        )
        session.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")  # type: ignore[call-overload]
        cli.run("config", "set", "lease", "3s")
        workers = cli.start_workers(3)
        jobs = probe.enqueue_some(2, "sleep 30")
        wait_until(lambda: ledger.started(2))
        time.sleep(3)
        session.execute("UPDATE step SET by = '1 hour'")
    for job_id in jobs:
        cli.wait_for(job_id, timeout=90)
    probe.check(faultless=True)
    assert {job["losses"] for job in cli.jobs().values()} == {0}
    workers.log.assert_without("lost", "taken back")


def _server_clock(url: str) -> float:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
    assert row is not None
    return float(row[0])


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
