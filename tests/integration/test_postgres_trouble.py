"""PostgreSQL is down, full, read-only or refuses: commands say so in one line, workers hold on, no password is told."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from queuectl.adapters.sql.postgresql.storage import COLUMNS
from tests.integration.driver import QUEUECTL, Cli, Result, is_running, kill, wait_until
from tests.integration.ledger import Ledger
from tests.postgres.servers import Server, create_database, database_name, execute, set_read_only
from tests.postgres.sources import choose_private

pytestmark = pytest.mark.postgres

CLERK = "clerk"
PASSWORD = "open sesame@%"
SECRETS = ("sesame", quote(PASSWORD))
ONE_TRY = {"QUEUECTL_BUSY_TIMEOUT": "200ms"}
JOB = '{"id": "a", "command": "true"}'


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = choose_private().start(max_connections="12")
    try:
        execute(server.url, f"CREATE ROLE {CLERK} LOGIN PASSWORD '{PASSWORD}'")
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database in which the clerk has made a queue."""
    url = create_database(server.url)
    execute(url, f"GRANT CREATE ON SCHEMA public TO {CLERK}")
    Cli(tmp_path_factory.mktemp("template"), as_clerk(url)).run("init")
    return database_name(url)


@pytest.fixture
def url(server: Server, template: str) -> str:
    """A queue of the clerk's."""
    return as_clerk(create_database(server.url, template))


@pytest.fixture
def cli(url: str, tmp_path: Path) -> Iterator[Cli]:
    """The clerk."""
    user = Cli(tmp_path, url)
    yield user
    user.close()
    user.log.assert_without(*SECRETS)


def as_clerk(url: str, password: str = PASSWORD) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{CLERK}:{quote(password, safe='')}@{parts.hostname}:{parts.port}").geturl()


def assert_secret(text: str) -> None:
    for secret in SECRETS:
        assert secret not in text


def refused(cli: Cli, *args: str, url: str | None = None) -> str:
    """The one line that says why a command failed for the database's fault."""
    result = cli.run(*args, check=False, env=ONE_TRY | ({"QUEUECTL_DATABASE_URL": url} if url else {}))
    assert_refused(result)
    return result.errors[0]


def assert_refused(result: Result) -> None:
    assert result.code == 6, result
    assert result.stdout == ""
    error, *rest = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert all(line.startswith("hint: ") for line in rest), result.stderr
    assert len(rest) <= 1
    assert_secret(result.stderr)


def test_a_wrong_password(cli: Cli, url: str) -> None:
    wrong = as_clerk(url, password="open sesame!")
    for command in (["enqueue", JOB], ["worker", "start"]):
        assert "password authentication failed" in refused(cli, *command, url=wrong)
    as_json = cli.run("--output", "json", "status", check=False, env={"QUEUECTL_DATABASE_URL": wrong})
    assert "password authentication failed" in json.loads(as_json.stderr)["error"]["message"]
    assert_secret(as_json.stderr)
    doctor = cli.run("doctor", check=False, env={"QUEUECTL_DATABASE_URL": wrong})
    assert "password authentication failed" in doctor.stdout
    assert_secret(doctor.stdout + doctor.stderr)
    assert cli.jobs() == {}


def test_a_missing_database(cli: Cli, url: str) -> None:
    missing = urlsplit(url)._replace(path="/nowhere").geturl()
    for command in (["enqueue", JOB], ["init"]):
        assert 'database "nowhere" does not exist' in refused(cli, *command, url=missing)


def test_too_many_connections(cli: Cli, url: str) -> None:
    with ExitStack() as held:
        with contextlib.suppress(psycopg.OperationalError):
            for _ in range(20):
                held.enter_context(psycopg.connect(url))
        assert "connection slots" in refused(cli, "enqueue", JOB)

        # Not for ever: it is worth a wait.
        waiting = subprocess.Popen([QUEUECTL, "enqueue", JOB], env=cli.environ, stdout=subprocess.PIPE, text=True)
        time.sleep(1)
    assert waiting.communicate(timeout=30)[0] == "a\n"
    assert cli.jobs().keys() == {"a"}


def test_a_read_only_server_is_read_and_says_so(cli: Cli, server: Server) -> None:
    cli.run("enqueue", JOB)
    set_read_only(server.url, True)
    try:
        for command in (["enqueue", '{"command": "true"}'], ["cancel", "a"]):
            assert "is read-only" in refused(cli, *command)
        assert cli.json("status", env=ONE_TRY)["jobs"]["pending"] == 1
    finally:
        set_read_only(server.url, False)
    assert cli.job("a")["state"] == "pending"


def test_a_worker_on_a_server_that_becomes_read_only_keeps_its_job(cli: Cli, server: Server, ledger: Ledger) -> None:
    job_id = cli.enqueue(ledger.command("sleep 2"))
    cli.start_workers()
    wait_until(ledger.started)
    set_read_only(server.url, True)
    try:
        wait_until(lambda: ledger.entries("end"))
        cli.log.wait_for("is read-only")
    finally:
        set_read_only(server.url, False)
    job = cli.wait_for(job_id)
    assert (job["state"], job["attempts"]) == ("completed", 1)
    cli.log.assert_exactly("cannot use the database")
    cli.log.assert_exactly("can use the database again")


def test_a_role_that_may_not_create_tables(cli: Cli, server: Server) -> None:
    other = create_database(server.url)
    execute(other, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # as it is anyway from PostgreSQL 15 on
    assert "permission denied for schema public" in refused(cli, "init", url=as_clerk(other))
    assert "holds no queue yet" in refused(cli, "status", url=as_clerk(other))


def test_a_role_that_may_not_read_the_tables(cli: Cli, server: Server) -> None:
    others = create_database(server.url)
    cli.run("init", env={"QUEUECTL_DATABASE_URL": others})
    for command in (["status"], ["enqueue", JOB]):
        assert "permission denied for table" in refused(cli, *command, url=as_clerk(others))


def test_a_full_disk_is_named(cli: Cli, url: str) -> None:
    _before_each_insert(url, "RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file'")
    assert "no disk space left" in refused(cli, "enqueue", JOB)


def test_an_outcome_is_recorded_without_its_output_when_the_disk_is_full(cli: Cli, url: str) -> None:
    full = "IF NEW.output <> '' THEN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'full'; END IF"
    _before_each_insert(url, full, "UPDATE ON attempts")
    cli.start_workers()
    job = cli.wait_for(cli.enqueue("echo much"))
    assert job["state"] == "completed"
    assert job["history"][0]["output_truncated"] is True


def test_a_server_that_is_down_or_killed_in_mid_command(cli: Cli, url: str, server: Server) -> None:
    _before_each_insert(url, "PERFORM pg_sleep(25)")
    enqueue = [QUEUECTL, "enqueue", JOB]
    begun = subprocess.Popen(
        enqueue, env=cli.environ | ONE_TRY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    try:
        with psycopg.connect(server.url, autocommit=True) as connection:
            wait_until(lambda: connection.execute(sleeping).fetchone())
    finally:
        server.kill()
    try:
        stdout, stderr = begun.communicate(timeout=30)
        assert_refused(Result(stdout, stderr, begun.returncode))
        for command in (["status"], ["worker", "start"]):
            assert "cannot connect to postgresql://clerk@" in refused(cli, *command)
        doctor = cli.run("doctor", check=False)
        assert "cannot connect" in doctor.stdout
        assert_secret(doctor.stdout + doctor.stderr)
    finally:
        server.start()
    assert cli.jobs() == {}


@pytest.mark.parametrize("end", ["killed", "forced"])
def test_a_job_that_ends_while_the_server_is_down_is_not_run_again_when_its_worker_ends_too(
    cli: Cli, server: Server, ledger: Ledger, tmp_path: Path, end: str
) -> None:
    go = tmp_path / "go"
    job_id = cli.enqueue(ledger.command(f"until [ -e {go} ]; do sleep 0.05; done; echo precious"))
    workers = cli.start_workers()
    wait_until(ledger.started)
    server.kill()
    try:
        go.touch()
        wait_until(lambda: _kept(cli))
        if end == "killed":
            kill(workers.supervisor, *workers.pids)
        else:
            os.kill(workers.supervisor, signal.SIGQUIT)
        wait_until(lambda: not any(is_running(pid) for pid in [workers.supervisor, *workers.pids]))
    finally:
        server.start()
    cli.start_workers()
    job = cli.wait_for(job_id)
    assert (job["state"], job["attempts"], job["losses"], job["output"]) == ("completed", 1, 0, "precious\n")
    assert len(ledger.entries("start")) == 1
    wait_until(lambda: not _kept(cli))


def test_an_outcome_for_which_the_server_has_no_room_at_all_is_kept_whole(cli: Cli, url: str, ledger: Ledger) -> None:
    job_id = cli.enqueue(ledger.command("sleep 1; echo precious"))
    workers = cli.start_workers()
    wait_until(ledger.started)
    full = "IF NEW.state <> 'processing' THEN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'full'; END IF"
    _before_each_insert(url, full, "UPDATE ON jobs")
    wait_until(lambda: _kept(cli))
    kill(workers.supervisor, *workers.pids)
    execute(url, "DROP FUNCTION trouble CASCADE")
    cli.start_workers()
    job = cli.wait_for(job_id)
    assert (job["state"], job["attempts"], job["output"]) == ("completed", 1, "precious\n")
    assert len(ledger.entries("start")) == 1


def test_the_password_is_told_to_nobody(cli: Cli) -> None:
    job_id = cli.enqueue("tr '\\0' '\\n' </proc/self/environ; until [ -e go ]; do sleep 0.05; done")
    cli.start_workers()
    cli.log.wait_for(f"job {job_id} attempt 1 started")
    running = cli.processes()
    assert any("worker" in command for command in running.values())
    for command in running.values():
        assert_secret(command)
    for command in (["doctor"], ["--output=json", "doctor"], ["config", "show"], ["worker", "status"], ["init"]):
        result = cli.run(*command, check=False)
        assert_secret(result.stdout + result.stderr)
    (cli.directory / "go").touch()
    assert_secret(cli.wait_for(job_id)["history"][0]["output"])


def _kept(cli: Cli) -> list[Path]:
    return list((cli.home / ".local/state/queuectl/spool").glob("*/*.outcome"))


def _before_each_insert(url: str, body: str, what: str = "INSERT ON jobs") -> None:
    execute(
        url,
        f"CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$",
        f"CREATE TRIGGER trouble BEFORE {what} FOR EACH ROW EXECUTE FUNCTION trouble()",
    )


def writes(cli: Cli, url: str | None = None) -> tuple[str, str, str]:
    """What doctor finds of writing: grade, message, hint."""
    result = cli.run("doctor", check=False, env={"QUEUECTL_DATABASE_URL": url} if url else None)
    assert_secret(result.stdout + result.stderr)
    [(grade, _, message, hint)] = [line.split("\t") for line in result.stdout.splitlines() if "\twrites\t" in line]
    assert result.code == (0 if grade == "ok" else 1)
    return grade, message, hint


def test_doctor_tries_a_write_and_leaves_nothing_of_it(cli: Cli, url: str) -> None:
    before = _rows(url, "SELECT last_value, is_called FROM jobs_seq_seq")
    assert writes(cli)[:2] == ("ok", "tried, and rolled back")
    assert _rows(url, "SELECT last_value, is_called FROM jobs_seq_seq") == before
    assert cli.jobs() == {}


def test_doctor_tells_a_read_only_server(cli: Cli, server: Server) -> None:
    set_read_only(server.url, True)
    try:
        grade, message, hint = writes(cli)
    finally:
        set_read_only(server.url, False)
    assert (grade, "default_transaction_read_only is on" in message) == ("fail", True)
    assert "SET default_transaction_read_only = off" in hint


@pytest.mark.parametrize("table", ["jobs", "attempts", "workers", "config", "queues"])
def test_doctor_tells_a_table_that_is_locked_and_by_whom(cli: Cli, url: str, table: str) -> None:
    with psycopg.connect(url, application_name="psql") as holder:
        holder.execute(f"LOCK TABLE {table} IN SHARE MODE")
        begun = time.monotonic()
        grade, message, hint = writes(cli)
        assert time.monotonic() - begun < 8
        pid = holder.info.backend_pid
    assert grade == "fail"
    assert "another session has a table locked, for all of the 2 s waited" in message
    assert f"; now it is PID {pid} ({CLERK}, psql, idle in transaction)" in message
    assert "pg_terminate_backend" in hint


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ("INSERT ON jobs", "permission denied for table jobs"),
        ("UPDATE ON attempts", "permission denied for table attempts"),
        ("DELETE ON workers", "permission denied for table workers"),
        ("UPDATE ON slots", "permission denied for table slots"),
        ("USAGE ON SEQUENCE jobs_seq_seq", "may not use the sequence jobs_seq_seq"),
        ("USAGE ON SEQUENCE lanes_id_seq", "may not use the sequence lanes_id_seq"),
    ],
)
def test_doctor_tells_a_role_without_rights(cli: Cli, server: Server, url: str, right: str, said: str) -> None:
    as_reader = url.replace(f"//{CLERK}:", "//reader:")
    execute(server.url, f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
    others = f"SELECT, INSERT, UPDATE, DELETE ON {', '.join(COLUMNS)}, alembic_version"
    try:
        execute(url, f"GRANT {others} TO reader", "GRANT USAGE ON SEQUENCE jobs_seq_seq, lanes_id_seq TO reader")
        assert writes(cli, as_reader)[0] == "ok"
        execute(url, f"REVOKE {right} FROM reader")
        grade, message, hint = writes(cli, as_reader)
        assert (grade, said in message, "grant" in hint.lower()) == ("fail", True, True)
    finally:
        execute(
            urlsplit(server.url)._replace(path=urlsplit(url).path).geturl(),
            "DROP OWNED BY reader CASCADE",
            "DROP ROLE reader",
        )


def _rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()
