"""PostgreSQL is killed, stopped and away for a while, under load: workers hold on, and nothing is lost or doubled."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import Cli, is_running, wait_until
from tests.integration.ledger import Ledger
from tests.postgres.servers import Server, create_database
from tests.postgres.sources import choose_private

pytestmark = [pytest.mark.postgres, pytest.mark.fault("F46")]

SHORT = [("kill", 1.0), ("stop", 3.0), ("kill", 0.0)]
LONG = [("kill", 1.0), ("stop", 5.0), ("kill", 15.0), ("kill", 0.0), ("stop", 2.0)]
"""How the server ends, and how long it stays away then."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = choose_private().start()
    yield server
    server.close()


@pytest.fixture
def cli(server: Server, tmp_path: Path) -> Iterator[Cli]:
    cli = Cli(tmp_path, create_database(server.url))
    cli.run("init")
    yield cli
    cli.close()


@pytest.mark.parametrize(
    ("outages", "jobs", "long"),
    [
        pytest.param(SHORT, 40, 8, id="short"),
        pytest.param(LONG, 100, 30, id="long", marks=pytest.mark.slow),
    ],
)
def test_workers_hold_on_through_kills_and_restarts_of_the_server(
    cli: Cli,
    server: Server,
    ledger: Ledger,
    probe: FaultProbe,
    outages: list[tuple[str, float]],
    jobs: int,
    long: int,
) -> None:
    if long > 20:  # seconds: two thirds of the lease, after which a worker must let its jobs go
        cli.run("config", "set", "lease", "2m")
    long_job = probe.enqueue(f"sleep {long}", priority=9)
    probe.enqueue_some(jobs, "sleep 0.3")
    workers = cli.start_workers(2)
    wait_until(lambda: ledger.started(4))
    for how, seconds in outages:
        so_far = len(ledger.entries("end"))
        {"kill": server.kill, "stop": server.stop}[how]()
        time.sleep(seconds)
        server.start()
        wait_until(lambda so_far=so_far: len(ledger.entries("end")) > so_far + 2)  # work goes on
    probe.healed()
    history = probe.check(within=60 + jobs * 0.3)

    assert {job.state for job in history.jobs.values()} == {"completed"}
    assert history.jobs[long_job].attempts == 1
    # A claim whose answer was lost is released and made again; no command has begun by then.
    assert {row.outcome for row in history.attempts} <= {"succeeded", "released"}
    assert len(ledger.entries("start")) == len(ledger.entries("end")) == jobs + 1

    assert all(is_running(pid) for pid in workers.pids)
    cli.log.assert_as_many("can use the database again", as_of="cannot use the database")
    cli.log.assert_at_most("cannot use the database", len(outages) * 2)
    cli.log.assert_at_most_lines(2 + 2 * len(outages) * 2, besides=[" job "])


@pytest.mark.slow
def test_a_command_line_that_meets_an_outage_is_honest(cli: Cli, server: Server, probe: FaultProbe) -> None:
    cli.start_workers()
    for number in range(6):
        ids = [f"{number}-{each}" for each in range(3)]
        if number % 2:
            server.kill()
        lines = "".join(probe.document(job_id) + "\n" for job_id in ids)
        refused = probe.try_enqueue("-", ids=ids, stdin=lines, env={"QUEUECTL_BUSY_TIMEOUT": "1s"})
        assert refused.code == (6 if number % 2 else 0)
        if number % 2:
            time.sleep(random.uniform(0, 2))
            server.start()
    probe.healed()
    probe.check()
