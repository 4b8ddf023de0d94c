"""Each test has a queue and a user of its own, on every backend."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.driver import Cli
from tests.integration.ledger import Ledger

BACKENDS = ["sqlite", "postgresql"]

NewDatabase = Callable[[Path], str]
"""Makes an empty queue, in that directory where the backend keeps files; returns its URL."""


HeldUp = Callable[[], float]
"""The longest time, in seconds, that a test's machine has needed so far for what takes milliseconds when it is idle."""


def pytest_configure(config: pytest.Config) -> None:
    # A test run in the background of a shell, or under nohup, ignores these, and so would all that it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.addinivalue_line("markers", "sqlite_only: about SQLite's file, or told the same way on every backend")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        is_sqlite_only = metafunc.definition.get_closest_marker("sqlite_only") is not None
        metafunc.parametrize("backend", ["sqlite"] if is_sqlite_only else BACKENDS, scope="session")


@pytest.fixture(scope="session")
def new_database(backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    match backend:
        case "sqlite":
            return _copies_of(_new_sqlite_file(tmp_path_factory.mktemp("template")))
        case "postgresql":
            return request.getfixturevalue("new_postgres_url")
    raise AssertionError(backend)


@pytest.fixture
def database_url(new_database: NewDatabase, tmp_path: Path) -> str:
    """A queue without jobs."""
    return new_database(tmp_path)


@pytest.fixture
def cli(database_url: str, tmp_path: Path) -> Iterator[Cli]:
    """The command line on a queue without jobs."""
    yield from _user(tmp_path, database_url)


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Cli]:
    """A user who has never called queuectl and says nothing of where the queue is."""
    yield from _user(tmp_path, None)


@pytest.fixture(scope="session")
def working(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A queue at work, with four slots: shared by tests that each look at their own jobs only."""
    directory = tmp_path_factory.mktemp("working")
    for cli in _user(directory, new_database(directory)):
        for key, value in {"backoff-max": "0s", "output-limit": "2000", "kill-grace": "1s"}.items():
            cli.run("config", "set", key, value)
        cli.start_workers(concurrency=4, env={"PGPASSWORD": "secret", "FROM_THE_WORKER": "yes"})
        yield cli


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def held_up(tmp_path: Path) -> Iterator[HeldUp]:
    """How late this machine makes anything now: a start and a write to disk, without queuectl, tried all the time."""
    longest, stopped = 0.0, threading.Event()

    def measure() -> None:
        nonlocal longest
        while not stopped.wait(0.1):
            begun = time.monotonic()
            with (tmp_path / "held-up").open("w") as file:
                file.write("x")
                os.fsync(file.fileno())
            subprocess.run(["sh", "-c", "date >/dev/null"], check=True)
            longest = max(longest, time.monotonic() - begun)

    measuring = threading.Thread(target=measure)
    measuring.start()
    yield lambda: longest
    stopped.set()
    measuring.join()


def _user(directory: Path, database_url: str | None) -> Iterator[Cli]:
    cli = Cli(directory, database_url)
    try:
        yield cli
    finally:
        cli.close()


def _new_sqlite_file(directory: Path) -> Path:
    Cli(directory, f"sqlite:///{directory / 'queue.db'}").run("init")
    return directory / "queue.db"


def _copies_of(template: Path) -> NewDatabase:
    def copy(directory: Path) -> str:
        return f"sqlite:///{shutil.copy(template, directory / 'queue.db')}"

    return copy
