"""What others have set for a session of PostgreSQL must not change what queuectl means by what it says there."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from tests.faults.probe import FaultProbe
from tests.faults.test_pgbouncer import pooled_url  # noqa: F401 - a fixture
from tests.integration.driver import Cli
from tests.integration.ledger import Ledger
from tests.postgres.servers import execute

pytestmark = [pytest.mark.postgres, pytest.mark.fault("F51")]

HOSTILE: Mapping[str, str] = {
    "client_encoding": "LATIN1",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
    "transform_null_equals": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "lock_timeout": "1ms",
    "idle_session_timeout": "200ms",
    "row_security": "off",
}

VARIABLES = {"PGCLIENTENCODING": "LATIN1", "PGTZ": "Asia/Kathmandu", "PGDATESTYLE": "SQL, DMY"}


def options(separator: str = " ") -> str:
    return separator.join(f"-c {name}={value.replace(' ', '')}" for name, value in HOSTILE.items())


@pytest.fixture(params=["role", "database", "url", "variables", "pooled"])
def cli(request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path) -> Iterator[Cli]:
    """A user for whom all of that is set in one way."""
    parts, url, variables = urlsplit(postgres_url), postgres_url, {}
    name = parts.path.lstrip("/")
    match request.param:
        case "role":
            execute(postgres_url, *(f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET {s}" for s in settings()))
        case "database":
            execute(postgres_url, *(f"ALTER DATABASE {name} SET {each}" for each in settings()))
        case "url":
            url = parts._replace(query=f"options={quote(options())}&client_encoding=LATIN1").geturl()
        case "variables":
            variables = VARIABLES | {"PGOPTIONS": options()}
        case "pooled":
            execute(postgres_url, *(f"ALTER DATABASE {name} SET {each}" for each in settings()))
            url, variables = request.getfixturevalue("pooled_url"), VARIABLES
    user = Cli(tmp_path, url)
    user.environ.update(variables)
    yield user
    user.close()


def settings() -> list[str]:
    return [f"{name} = '{value}'" if name != "DateStyle" else f"DateStyle = {value}" for name, value in HOSTILE.items()]


def test_what_is_set_for_a_session_changes_nothing(cli: Cli, ledger: Ledger, probe: FaultProbe) -> None:
    assert cli.run("doctor", check=False).stderr == ""
    odd = r"€ 日本 \ \\ ' \x41 %s"
    [failing] = probe.enqueue_all(
        [{"id": "euro", "command": ledger.command(r"printf '€ missing \\n\377' >&2; exit 3"), "max_retries": 0}]
    )
    batch = probe.enqueue_all([{"command": ledger.command(f': "{odd}"')}] * 60)
    before = time.time()
    cli.start_workers(2, concurrency=4)
    later = probe.enqueue("true", delay="1s")
    time.sleep(0.5)  # longer than an idle session may last
    probe.check(faultless=True)
    jobs = cli.jobs()
    euro = cli.job(failing)
    assert (euro["attempts"], euro["losses"], euro["exit_code"]) == (1, 0, 3)
    assert "€ missing" in euro["last_error"]
    assert "€ missing" in euro["output"]
    assert {jobs[job_id]["state"] for job_id in [*batch, later]} == {"completed"}
    assert odd in jobs[batch[0]]["command"]
    assert before + 0.9 < ledger.entries("start", job=later)[0].at < time.time() + 1
    cli.run("metrics", "--detailed")
    cli.run("worker", "stop")
    cli.log.assert_without("Traceback", "crashed", "ERROR", "lost")


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_refused_in_one_line(
    postgres_url: str, tmp_path: Path, encoding: str
) -> None:
    name = f"queuectl_{encoding.lower()}_{os.getpid()}"
    with psycopg.connect(postgres_url) as server:
        # What may have been set otherwise for the whole server, and takes no encoding but some; older ones have one.
        provider = "LOCALE_PROVIDER libc" if server.info.server_version >= 150000 else ""
    execute(postgres_url, f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' {provider} TEMPLATE template0")
    user = Cli(tmp_path, urlsplit(postgres_url)._replace(path=f"/{name}").geturl())
    try:
        for command in (["init"], ["status"], ["enqueue", "--", "true"], ["worker", "start", "--foreground"]):
            refused = user.run(*command, check=False)
            assert refused.code == 6
            assert refused.errors == [f"the database's encoding is {encoding}, which cannot store every text"]
    finally:
        user.close()
        execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")
