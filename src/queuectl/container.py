"""Which adapter serves which port: the only file that knows."""

from datetime import timedelta

from dependency_injector import containers, providers

from queuectl.adapters import system
from queuectl.adapters.sql.database import Database
from queuectl.adapters.sql.jobs import SqlJobRepository
from queuectl.adapters.sql.measurements import SqlMeasurements
from queuectl.adapters.sql.sqlite import path_of, sqlite_backend
from queuectl.adapters.sql.sqlite_storage import SqliteStorage
from queuectl.adapters.sql.workers import SqlConfigRepository, SqlWorkerRegistry
from queuectl.application.queue import Queue
from queuectl.settings import Settings

PATIENCE = timedelta(seconds=20)
"""How long a transaction is tried again while others hold the database."""


class Container(containers.DeclarativeContainer):
    """Everything that entrypoints use. `Container(settings=...)` builds it; each part is made at its first use."""

    settings = providers.Dependency(instance_of=Settings)
    backend_name = providers.Callable(lambda settings: settings.backend, settings)

    _sqlite_path = providers.Callable(lambda settings: path_of(settings.database_url), settings)
    backend = providers.Singleton(sqlite_backend, _sqlite_path)
    database = providers.Singleton(Database, backend, patience=PATIENCE)
    storage = providers.Selector(backend_name, sqlite=providers.Singleton(SqliteStorage, _sqlite_path, database))

    clock = providers.Selector(backend_name, sqlite=providers.Object(system.now))
    jobs = providers.Singleton(SqlJobRepository, database)
    workers = providers.Singleton(SqlWorkerRegistry, database)
    config = providers.Singleton(SqlConfigRepository, database)
    measurements = providers.Singleton(SqlMeasurements, database)

    queue = providers.Singleton(
        Queue,
        jobs=jobs,
        workers=workers,
        config=config,
        measurements=measurements,
        clock=clock,
        new_job_id=providers.Singleton(system.JobIds),
    )
