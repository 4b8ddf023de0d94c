"""One queue on PostgreSQL, three hosts: one loses its power, one its network, one has a clock that is an hour ahead."""

import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import class_row

from queuectl.drill.judge import Call, Entry, History
from tests.faults.probe import fail_unless_all_hold
from tests.faults.reading import damage, read_rows
from tests.integration.driver import PATIENCE, QUEUECTL, Cli, wait_until
from tests.integration.hosts import Host, Network
from tests.requirements import require

pytestmark = [
    pytest.mark.fault("F28"),
    pytest.mark.fault("F31"),
    pytest.mark.timeout(300),
]

JOBS = 3000
LEASE = timedelta(seconds=4)
CUT = 3 * LEASE
HOUR = timedelta(hours=1)
AGES = 90.0
"""Seconds that all jobs may take, on a machine with other work."""

# In the shell's own words, so that a job costs one process. Nobody's kill can halve so short a write.
NOTE = """note() {{
  read -r up _ </proc/uptime; read -r host </proc/sys/kernel/hostname
  echo "$QUEUECTL_JOB_ID $QUEUECTL_ATTEMPT $host $1 $up" >>{ledger}
}}
"""
# The first two that a host runs go on until the network is whole again, and cannot be stopped by asking. Two of its
# workers may be kept by them from becoming empty, as is needed for what another host has lost; the others are not.
WORK = """set -C; note start
if {{ true >{long}/$host.1 || true >{long}/$host.2; }} 2>/dev/null; then
  trap '' TERM
  until [ -e {long}/over ]; do sleep 0.1; note alive; done
fi
note end"""


@dataclass(frozen=True, slots=True)
class Line:
    """An act of a run of a job: on which host, and when (seconds since boot)."""

    job: str
    attempt: int
    host: str
    what: str
    since_boot: float


class SharedLedger:
    """A file that all hosts append whole lines to, so that their order is the order in which things happened."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "ledger"
        self._path.touch()
        self._long = directory / "long"
        self._long.mkdir()

    def jobs(self, count: int, **fields: object) -> list[dict[str, object]]:
        """That many jobs which note what they do."""
        command = (NOTE + WORK).format(ledger=shlex.quote(str(self._path)), long=shlex.quote(str(self._long)))
        return [{"command": command, **fields}] * count

    def end_long_jobs(self) -> None:
        (self._long / "over").touch()

    def lines(self, what: str | None = None) -> list[Line]:
        fields = (line.split() for line in self._path.read_text().split("\n")[:-1])
        lines = (Line(job, int(attempt), host, done, float(at)) for job, attempt, host, done, at in fields)
        return [line for line in lines if what in (None, line.what)]

    def hosts(self, what: str, *, after: float = 0) -> set[str]:
        return {line.host for line in self.lines(what) if line.since_boot > after}

    def jobs_of(self, what: str, *, host: str | None = None) -> set[str]:
        return {line.job for line in self.lines(what) if host in (None, line.host)}

    def at_work(self, host: str) -> set[str]:
        """The jobs that a host has started and not ended."""
        return self.jobs_of("start", host=host) - self.jobs_of("end", host=host)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of the database's, and the lease that its worker had last."""

    job_id: str
    number: int
    host: str
    started_at: datetime
    finished_at: datetime
    outcome: str
    error: str | None
    lease_expires_at: datetime

    @property
    def is_rescued(self) -> bool:
        return "did not renew its lease" in (self.error or "")


@pytest.fixture
def cli(postgres_url: str, tmp_path: Path) -> Iterator[Cli]:
    cli = Cli(tmp_path, postgres_url)
    yield cli
    cli.close()


@pytest.fixture
def network(cli: Cli, postgres_url: str, tmp_path: Path) -> Iterator[Network]:
    require("hosts")
    network = Network(postgres_url, tmp_path)
    yield network
    network.close()


@pytest.fixture
def start_host(network: Network, cli: Cli) -> Callable[..., Host]:
    """Gives a function that starts a host with workers."""

    def start(name: str, clock_error: timedelta = timedelta()) -> Host:
        command = [QUEUECTL, "worker", "start", "--foreground", "--count=4", "--concurrency=2"]
        # Hosts have disks of their own, and so have the outcomes that are kept there.
        spool = str(cli.home / f"spool-{name}")
        environ = cli.environ | {"QUEUECTL_DATABASE_URL": network.url, "QUEUECTL_SPOOL_DIR": spool}
        return network.host(name, command, environ, clock_error=clock_error)

    return start


def test_nothing_is_lost_and_nothing_overlaps_when_of_three_hosts_one_is_killed_and_one_is_cut_off(
    cli: Cli, start_host: Callable[..., Host], postgres_url: str, tmp_path: Path
) -> None:
    ledger = SharedLedger(tmp_path)
    cli.run("config", "set", "lease", f"{LEASE.total_seconds():g}s")
    ids = cli.enqueue_all(ledger.jobs(JOBS))
    begun_at = server_time(postgres_url)
    killed, cut, ahead = start_host("killed"), start_host("cut"), start_host("ahead", clock_error=HOUR)

    wait_until(lambda: ledger.hosts("alive") == {"killed", "cut", "ahead"}, every=0.1)
    wait_until(lambda: len(ledger.lines("end")) > JOBS / 3, AGES, every=0.1)
    cut.cut_off()
    killed.power_off()
    cut_at = since_boot()
    interrupted = ledger.at_work("killed") | ledger.at_work("cut")
    wait_until(lambda: interrupted <= ledger.jobs_of("end", host="ahead"), AGES, every=0.1)
    wait_until(lambda: since_boot() > cut_at + CUT.total_seconds(), every=0.1)

    cut.plug_in()
    healed_at = since_boot()
    ledger.end_long_jobs()
    while "cut" not in ledger.hosts("end", after=healed_at):
        assert since_boot() < healed_at + PATIENCE, cut.log
        ids += cli.enqueue_all(ledger.jobs(20, priority=10))
    # While there are workers: what one of them had lost in the end would wait for the next one to start.
    wait_until(lambda: cli.json("status")["jobs"]["completed"] == len(ids), AGES, every=0.2)
    assert ledger.jobs_of("end") == set(ids)
    assert [cut.stop(), ahead.stop()] == [0, 0]

    jobs = cli.jobs()
    assert jobs.keys() == set(ids)
    assert {job["state"] for job in jobs.values()} == {"completed"}
    attempts = attempts_at(postgres_url)
    rows = read_rows(postgres_url)
    fail_unless_all_hold(
        History(
            calls=[Call(ids=ids, printed=ids, code=0)],
            ledger=[Entry(line.job, line.attempt, line.what, line.since_boot) for line in ledger.lines()],
            jobs=rows.jobs,
            attempts=rows.attempts,
            damage=damage(postgres_url),
        )
    )
    assert_explained(ledger, attempts)

    # What the cut-off host ran was dead before its worker's lease ended, and nobody took it before that.
    boot = server_time(postgres_url) - timedelta(seconds=since_boot())
    during_cut = [line for line in ledger.lines() if line.host == "cut" and cut_at < line.since_boot < healed_at]
    assert {line.what for line in during_cut} >= {"alive"}
    last = {(line.job, line.attempt): boot + timedelta(seconds=line.since_boot) for line in during_cut}
    assert all(moment < attempts[run].lease_expires_at for run, moment in last.items() if attempts[run].is_rescued)

    # The clock that was ahead brought nothing forward.
    ahead.log.wait_for(re.compile(rf"\A{begun_at + HOUR:%Y-%m-%dT%H}"))
    moments = [moment for each in attempts.values() for moment in (each.started_at, each.finished_at)]
    assert begun_at <= min(moments) <= max(moments) <= server_time(postgres_url)
    assert all(each.finished_at >= each.lease_expires_at for each in attempts.values() if each.is_rescued)


def assert_explained(ledger: SharedLedger, attempts: Mapping[tuple[str, int], Attempt]) -> None:
    """Runs are where their attempts say, and only the faults of the two hosts made another one necessary."""
    assert [line for line in ledger.lines("start") if attempts[line.job, line.attempt].host != line.host] == []
    runs = {(line.job, line.attempt) for line in ledger.lines("end")}
    for (job, number), attempt in attempts.items():
        if (job, number + 1) in attempts:
            assert attempt.outcome in ("lost", "released")
            assert attempt.host in ("killed", "cut")
        else:
            assert attempt.outcome == "succeeded"
            assert (job, number) in runs
    assert {each.host for each in attempts.values() if each.is_rescued} == {"killed", "cut"}


def attempts_at(url: str) -> dict[tuple[str, int], Attempt]:
    moments = ("a.started_at", "finished_at", "lease_expires_at")  # stored as microseconds
    as_times = [f"to_timestamp({each} / 1e6) AS {each.removeprefix('a.')}" for each in moments]
    columns = ", ".join(["job_id, number, a.host, outcome, error", *as_times])
    with psycopg.connect(url, row_factory=class_row(Attempt)) as connection:
        rows = connection.execute(f"SELECT {columns} FROM attempts a JOIN workers w ON w.id = a.worker").fetchall()
    return {(row.job_id, row.number): row for row in rows}


def server_time(url: str) -> datetime:
    with psycopg.connect(url) as connection:
        [moment] = connection.execute("SELECT clock_timestamp()").fetchone() or ()
    return moment.astimezone(UTC)


def since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
