"""The adapters that every suite of this directory runs against."""

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from queuectl.adapters.sql.postgresql import claim as claiming
from queuectl.adapters.sql.stores import claims
from queuectl.domain.ports.config import ConfigRepository
from queuectl.domain.ports.dependencies import Batches, Dependencies
from queuectl.domain.ports.jobs import Attempts, Jobs
from queuectl.domain.ports.metrics import Measurements
from queuectl.domain.ports.queues import Queues
from queuectl.domain.ports.surroundings import AroundJobs
from queuectl.domain.ports.work import Work
from queuectl.domain.ports.workers import WorkerRegistry
from tests.builders import a_worker
from tests.memory import (
    InMemoryAttempts,
    InMemoryBatches,
    InMemoryConfig,
    InMemoryDependencies,
    InMemoryJobs,
    InMemoryMeasurements,
    InMemoryQueues,
    InMemorySurroundings,
    InMemoryWork,
    InMemoryWorkers,
    Memory,
)
from tests.postgres.plugin import emptied


@dataclass(frozen=True, kw_only=True)
class QueueStore:
    """One empty queue; `url` is None when no other process can reach it."""

    jobs: Jobs
    attempts: Attempts
    dependencies: Dependencies
    batches: Batches
    work: Work
    workers: WorkerRegistry
    config: ConfigRepository
    queues: Queues
    measurements: Measurements
    surroundings: AroundJobs
    close: Callable[[], None]
    url: str | None = None


@pytest.fixture(autouse=True)
def claims_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of a key or a queue with limits starts when it is found free; here that is the moment of the claim."""
    monkeypatch.setattr(claims, "elapsed", timedelta)


@pytest.fixture(autouse=True)
def walks_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, the order of claims is exact; `test_claiming.py` tests the other way."""
    monkeypatch.setattr(claiming, "LONG_WALK", math.inf)


Opener = Callable[[Path], QueueStore]
"""Opens a new and empty queue; the directory is its own."""


def in_memory(_directory: Path) -> QueueStore:
    memory = Memory()
    return QueueStore(
        jobs=InMemoryJobs(memory),
        attempts=InMemoryAttempts(memory),
        dependencies=InMemoryDependencies(memory),
        batches=InMemoryBatches(memory),
        work=InMemoryWork(memory),
        workers=InMemoryWorkers(memory),
        config=InMemoryConfig(memory),
        queues=InMemoryQueues(memory),
        measurements=InMemoryMeasurements(memory),
        surroundings=InMemorySurroundings(memory),
        close=lambda: None,
    )


def at_url(url: str, log_dir: Path) -> QueueStore:
    """The queue that is already at `url`."""
    from queuectl.container import Container
    from queuectl.settings import Settings

    container = Container(settings=Settings(database_url=url, log_dir=log_dir))
    container.storage().open(create=True)
    return QueueStore(
        jobs=container.jobs(),
        attempts=container.attempts(),
        dependencies=container.job_dependencies(),
        batches=container.batches(),
        work=container.work(),
        workers=container.workers(),
        config=container.config(),
        queues=container.queues(),
        measurements=container.measurements(),
        surroundings=container.surroundings(),
        close=container.storage().close,
        url=url,
    )


def in_sqlite(template: Path, directory: Path) -> QueueStore:
    shutil.copy(template, directory / "queue.db")
    return at_url(f"sqlite:///{directory / 'queue.db'}", directory)


@pytest.fixture(scope="session")
def empty_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("empty")
    at_url(f"sqlite:///{directory / 'queue.db'}", directory).close()
    return directory / "queue.db"


def in_postgres(url: str, directory: Path) -> QueueStore:
    return at_url(emptied(url), directory)


@pytest.fixture(scope="session", params=["memory", "sqlite", "postgresql"])
def new_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], QueueStore]:
    """Opens one new and empty queue after the other."""
    match request.param:
        case "memory":
            opener: Opener = in_memory
        case "sqlite":
            opener = partial(in_sqlite, request.getfixturevalue("empty_sqlite_file"))
        case "postgresql":
            opener = partial(in_postgres, request.getfixturevalue("session_postgres_url"))
    return lambda: opener(tmp_path_factory.mktemp("queue"))


@pytest.fixture
def store(new_store: Callable[[], QueueStore]) -> Iterator[QueueStore]:
    """An empty queue with one running worker, `w-1`, whose lease ends at one o'clock."""
    store = new_store()
    store.workers.register(a_worker("w-1"))
    yield store
    store.close()


@pytest.fixture
def jobs(store: QueueStore) -> Jobs:
    return store.jobs


@pytest.fixture
def attempts(store: QueueStore) -> Attempts:
    return store.attempts


@pytest.fixture
def work(store: QueueStore) -> Work:
    return store.work


@pytest.fixture
def workers(store: QueueStore) -> WorkerRegistry:
    return store.workers


@pytest.fixture
def config(store: QueueStore) -> ConfigRepository:
    return store.config


@pytest.fixture
def queues(store: QueueStore) -> Queues:
    return store.queues


@pytest.fixture
def measurements(store: QueueStore) -> Measurements:
    return store.measurements
