"""The fixtures, and the one server of a test run: started when the first test asks for it, shared by xdist's workers.

The process that the user started owns the server; workers ask for it over a socket. So it outlives every worker,
whichever of them is the first, the last, or crashes, and ends with the test run.
"""

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from queuectl.adapters.sql.schema import metadata
from tests.postgres import servers
from tests.postgres.servers import Server
from tests.postgres.sources import FROM, Given, NoPostgres, choose, choose_private
from tests.requirements import lack

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

SHARED: pytest.StashKey["Shared"] = pytest.StashKey()
DOOR: pytest.StashKey["Door"] = pytest.StashKey()


class Shared(Protocol):
    """The server that all tests of a run share."""

    def url(self) -> str:
        """Return the URL of its maintenance database, for a user who may create databases; start it if need be."""

    def template(self) -> str:
        """Return the name of the database that new ones with queuectl's tables are copied from; make it if need be."""


def initialise(url: str) -> None:
    """Give an empty database queuectl's tables, as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "queuectl", "init"],
        env={**os.environ, "QUEUECTL_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        raise RuntimeError(f"queuectl init failed with exit code {done.returncode}: {done.stderr.strip()}")


class Owned:
    """The shared server, in the process that starts and ends it."""

    def __init__(self, initialise: Callable[[str], None] = initialise) -> None:
        self._initialise = initialise
        self._lock = threading.RLock()
        self._url: str | None = None
        self._server: Server | None = None
        self._template: str | None = None

    def url(self) -> str:
        with self._lock:
            if self._url is None:
                source = choose()
                if isinstance(source, Given):
                    self._url = source.url
                else:
                    self._server = source.start()
                    self._url = self._server.url
            return self._url

    def template(self) -> str:
        with self._lock:
            if self._template is None:
                # Several test runs may share a server that is given to them.
                name = f"queuectl_template_{uuid.uuid4().hex[:12]}"
                url = servers.create_database(self.url(), name=name)
                try:
                    self._initialise(url)
                except BaseException:
                    servers.drop_database(self.url(), url)
                    raise
                # A session in it, such as one that looks around, would make copying it fail.
                servers.execute(self.url(), f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
                self._template = name
            return self._template

    def close(self) -> None:
        with self._lock:
            if self._server:
                self._server.close()
            elif self._url and self._template:
                servers.execute(self._url, f"DROP DATABASE {self._template} WITH (FORCE)")
            self._server = self._url = self._template = None


class Door:
    """Lets the workers of xdist ask the shared server's owner."""

    def __init__(self, shared: Shared) -> None:
        self._answers = {"url": shared.url, "template": shared.template, "close": lambda: "closed"}
        self.key = os.urandom(32)
        self._listener = Listener(family="AF_UNIX", authkey=self.key)
        self.address = str(self._listener.address)
        self._thread = threading.Thread(target=self._serve, name="postgres door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        ask(self.address, self.key, "close")
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        question = ""
        while question != "close":
            with self._listener.accept() as connection:
                question = connection.recv()
                try:
                    connection.send((self._answers[question](), None))
                except NoPostgres as error:
                    connection.send((None, error))
                except Exception as error:  # noqa: BLE001 - whatever it is, the test that asked is to fail with it
                    connection.send((None, RuntimeError(f"{type(error).__name__}: {error}")))


def ask(address: str, key: bytes, question: str) -> str:
    """Put a question to the door."""
    with Client(address, family="AF_UNIX", authkey=key) as connection:
        connection.send(question)
        answer, error = connection.recv()
    if error:
        raise error
    return str(answer)


class Lent:
    """The shared server, in a worker of xdist."""

    def __init__(self, address: str, key: bytes) -> None:
        self._address, self._key = address, key

    def url(self) -> str:
        return ask(self._address, self._key, "url")

    def template(self) -> str:
        return ask(self._address, self._key, "template")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgres: needs a PostgreSQL server; tests that take one by a fixture have it")
    if door := getattr(config, "workerinput", {}).get("postgres_door"):
        config.stash[SHARED] = Lent(*door)
    else:
        config.stash[SHARED] = Owned()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: "WorkerController") -> None:
    config = node.config
    if DOOR not in config.stash:
        config.stash[DOOR] = Door(config.stash[SHARED])
    door = config.stash[DOOR]
    node.workerinput["postgres_door"] = (door.address, door.key)


def pytest_unconfigure(config: pytest.Config) -> None:
    if door := config.stash.get(DOOR, None):
        door.close()
    if isinstance(shared := config.stash.get(SHARED, None), Owned):
        shared.close()


@pytest.hookimpl(tryfirst=True)  # before `-m postgres` is looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    fixtures = {"postgres_server", "session_postgres_url", "postgres_url", "empty_postgres_url", "private_postgres"}
    for item in items:
        if fixtures & set(getattr(item, "fixturenames", ())):
            item.add_marker("postgres")


def pytest_report_header(config: pytest.Config) -> str | None:
    if _only_unit_tests(config):
        return None  # they need no server: not even a look for one
    try:
        return f"PostgreSQL: {choose()}"
    except NoPostgres as error:
        return f"PostgreSQL: {error}"


def _only_unit_tests(config: pytest.Config) -> bool:
    unit = config.rootpath / "tests/unit"
    chosen = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    return all(path.is_relative_to(unit) for path in chosen)


@contextmanager
def _left_out_without_postgres() -> Iterator[None]:
    try:
        yield
    except NoPostgres as error:
        if FROM in os.environ:  # that very source is asked for
            raise
        lack("postgres", "; ".join(error.reasons))


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> str:
    """Give the URL of the shared server's maintenance database, for a user who may create databases."""
    with _left_out_without_postgres():
        return pytestconfig.stash[SHARED].url()


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """Give the URL of a database of the test's own, with nothing in it."""
    url = servers.create_database(postgres_server)
    yield url
    servers.drop_database(postgres_server, url)


@pytest.fixture
def postgres_url(postgres_server: str, pytestconfig: pytest.Config) -> Iterator[str]:
    """Give the URL of a database of the test's own, with queuectl's tables."""
    url = servers.create_database(postgres_server, pytestconfig.stash[SHARED].template())
    yield url
    servers.drop_database(postgres_server, url)


@pytest.fixture(scope="session")
def session_postgres_url(postgres_server: str, pytestconfig: pytest.Config) -> Iterator[str]:
    """Give the URL of a database of this worker's own, with queuectl's tables, for many tests: see `emptied`."""
    url = servers.create_database(postgres_server, pytestconfig.stash[SHARED].template())
    yield url
    servers.drop_database(postgres_server, url)


@pytest.fixture(scope="session")
def new_postgres_url(postgres_server: str, pytestconfig: pytest.Config) -> Iterator[Callable[[Path], str]]:
    """Give a function that makes one database after the other, with queuectl's tables; they go with the session."""
    made: list[str] = []

    def new(_directory: Path) -> str:
        made.append(servers.create_database(postgres_server, pytestconfig.stash[SHARED].template()))
        return made[-1]

    yield new
    for url in made:
        servers.drop_database(postgres_server, url)


TABLES = tuple(metadata.tables)


def emptied(url: str) -> str:
    """The URL, its queue made as good as new: much faster than a new database."""
    servers.execute(url, f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY")
    return url


@pytest.fixture
def private_postgres() -> Iterator[Callable[..., Server]]:
    """Give a function that starts a server of the test's own: `private_postgres(max_connections="5")`."""
    started: list[Server] = []

    def start(**settings: str) -> Server:
        with _left_out_without_postgres():
            source = choose_private()
        started.append(source.start(**settings))
        return started[-1]

    yield start
    for server in started:
        server.close()
