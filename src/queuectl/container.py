"""Which adapter serves which port: for an operator's commands, which load nothing that only workers need."""

import importlib
from collections.abc import Callable
from pathlib import Path

from dependency_injector import containers, providers

from queuectl.adapters import system
from queuectl.adapters.sql.database import Database
from queuectl.adapters.sql.jobs import SqlJobRepository
from queuectl.adapters.sql.measurements import SqlMeasurements
from queuectl.adapters.sql.sqlite import path_of, sqlite_backend
from queuectl.adapters.sql.sqlite_announcements import SqliteAnnouncements
from queuectl.adapters.sql.sqlite_storage import SqliteStorage
from queuectl.adapters.sql.workers import SqlConfigRepository, SqlWorkerRegistry
from queuectl.application.queue import Queue
from queuectl.domain.ports import Archive, LocalProcesses
from queuectl.settings import Settings


def late(module: str, name: str) -> Callable[..., object]:
    """Calls that adapter, imported only then: psycopg alone would cost SQLite's users a tenth of a second."""

    def make(*args: object) -> object:
        return getattr(importlib.import_module(f"queuectl.adapters.sql.{module}"), name)(*args)

    return make


def _archive(database: Database) -> Archive:
    from queuectl.adapters.sql.archive import SqlArchive  # for `transfer` alone

    return SqlArchive(database)


def _private_directory(settings: Settings, database: str) -> Path:
    from queuectl.adapters.outcome_spool import directory_for

    return directory_for(settings.directory("spool-dir"), database)


def _local_processes(directory: Path) -> LocalProcesses:
    from queuectl.adapters.local_processes import FileLocalProcesses  # for those who start and stop workers

    return FileLocalProcesses(directory)


class Container(containers.DeclarativeContainer):
    """What an operator's commands use. `Container(settings=...)` builds it; each part is made at its first use."""

    settings = providers.Dependency(instance_of=Settings)
    backend_name = providers.Callable(lambda settings: settings.backend, settings)
    url = providers.Callable(lambda settings: settings.database_url, settings)
    path = providers.Callable(path_of, url)
    place = providers.Callable(late("postgres", "display_name"), url)

    backend = providers.Selector(
        backend_name,
        sqlite=providers.Singleton(sqlite_backend, path),
        postgresql=providers.Singleton(late("postgres", "postgres_backend"), url),
    )
    patience = providers.Callable(lambda settings: settings.busy_timeout, settings)
    database = providers.Singleton(Database, backend, patience=patience)
    storage = providers.Selector(
        backend_name,
        sqlite=providers.Singleton(SqliteStorage, path, database),
        postgresql=providers.Singleton(late("postgres_storage", "PostgresStorage"), place, database),
    )
    clock = providers.Selector(
        backend_name,
        sqlite=providers.Object(system.now),
        postgresql=providers.Singleton(late("postgres", "ServerClock"), database),
    )
    announce = providers.Selector(
        backend_name,
        sqlite=providers.Singleton(SqliteAnnouncements, path),
        postgresql=providers.Singleton(late("postgres_wake_ups", "PostgresAnnouncements"), database),
    )

    jobs = providers.Singleton(SqlJobRepository, database, announce)
    workers = providers.Singleton(SqlWorkerRegistry, database)
    config = providers.Singleton(SqlConfigRepository, database)
    measurements = providers.Singleton(SqlMeasurements, database)
    archive = providers.Singleton(_archive, database)

    machine_id = providers.Callable(system.machine_id)
    own_directory = providers.Object(system.own_directory)
    find_process = providers.Object(system.process)
    is_alive = providers.Object(system.is_alive)
    signal_process = providers.Object(system.signal_process)
    is_standing_still = providers.Object(system.is_standing_still)
    private_directory = providers.Callable(
        _private_directory,
        settings,
        providers.Selector(
            backend_name,
            sqlite=providers.Callable(lambda path: str(path.resolve()), path),
            postgresql=place,
        ),
    )
    local_processes = providers.Singleton(_local_processes, private_directory)

    queue = providers.Singleton(
        Queue,
        jobs=jobs,
        workers=workers,
        config=config,
        measurements=measurements,
        clock=clock,
        is_gone=providers.Object(system.is_gone),
        new_job_ids=providers.Singleton(system.JobIds),
        operator=providers.Callable(system.user_at_host),
    )
