"""Which adapter serves which port: the only file that knows."""

import importlib
import random
from collections.abc import Callable

from dependency_injector import containers, providers

from queuectl.adapters import containment, event_log, outcome_spool, system
from queuectl.adapters.sql.archive import SqlArchive
from queuectl.adapters.sql.database import Database
from queuectl.adapters.sql.jobs import SqlJobRepository
from queuectl.adapters.sql.measurements import SqlMeasurements
from queuectl.adapters.sql.sqlite import path_of, sqlite_backend
from queuectl.adapters.sql.sqlite_scratch import SqliteScratch
from queuectl.adapters.sql.sqlite_storage import SqliteStorage
from queuectl.adapters.sql.sqlite_wake_ups import SqliteAnnouncements, SqliteWakeUps
from queuectl.adapters.sql.workers import SqlConfigRepository, SqlWorkerRegistry
from queuectl.adapters.subprocess_runner import SubprocessRunner
from queuectl.application.heartbeat import Heartbeat
from queuectl.application.queue import Queue
from queuectl.application.rescue import clear_leftovers, rescue_lost_workers
from queuectl.application.settling import settle_kept
from queuectl.application.worker import Worker
from queuectl.settings import Settings


def _late(module: str, name: str) -> Callable[..., object]:
    """Calls that adapter of PostgreSQL, imported only then: psycopg would cost SQLite's users a tenth of a second."""

    def make(*args: object) -> object:
        return getattr(importlib.import_module(f"queuectl.adapters.sql.{module}"), name)(*args)

    return make


class Container(containers.DeclarativeContainer):
    """Everything that entrypoints use. `Container(settings=...)` builds it; each part is made at its first use."""

    settings = providers.Dependency(instance_of=Settings)
    backend_name = providers.Callable(lambda settings: settings.backend, settings)
    url = providers.Callable(lambda settings: settings.database_url, settings)
    _path = providers.Callable(path_of, url)
    _place = providers.Callable(_late("postgres", "display_name"), url)

    backend = providers.Selector(
        backend_name,
        sqlite=providers.Singleton(sqlite_backend, _path),
        postgresql=providers.Singleton(_late("postgres", "postgres_backend"), url),
    )
    patience = providers.Callable(lambda settings: settings.busy_timeout, settings)
    database = providers.Singleton(Database, backend, patience=patience)
    storage = providers.Selector(
        backend_name,
        sqlite=providers.Singleton(SqliteStorage, _path, database),
        postgresql=providers.Singleton(_late("postgres_storage", "PostgresStorage"), _place, database),
    )
    scratch = providers.Selector(
        backend_name,
        sqlite=providers.Callable(SqliteScratch, _path),
        postgresql=providers.Callable(_late("postgres_scratch", "PostgresScratch"), url),
    )
    clock = providers.Selector(
        backend_name,
        sqlite=providers.Object(system.now),
        postgresql=providers.Singleton(_late("postgres", "ServerClock"), database),
    )
    wake_ups = providers.Selector(
        backend_name,
        sqlite=providers.Singleton(SqliteWakeUps, _path),
        postgresql=providers.Singleton(_late("postgres_wake_ups", "PostgresWakeUps"), url),
    )
    announce = providers.Selector(
        backend_name,
        sqlite=providers.Singleton(SqliteAnnouncements, _path),
        postgresql=providers.Singleton(_late("postgres_wake_ups", "PostgresAnnouncements"), database),
    )

    jobs = providers.Singleton(SqlJobRepository, database, announce)
    workers = providers.Singleton(SqlWorkerRegistry, database)
    config = providers.Singleton(SqlConfigRepository, database)
    measurements = providers.Singleton(SqlMeasurements, database)

    log_to_stderr = providers.Callable(event_log.log_to_stderr)
    log_line = providers.Object(event_log.log_line)
    events = providers.Object(event_log.log_event)
    runner = providers.Singleton(SubprocessRunner, system.elapsed)
    kill_orphans = providers.Object(containment.kill_orphans)
    marked = providers.Object(containment.marked)
    sees_processes = providers.Object(system.HAS_PROC)
    examine_containment = providers.Callable(containment.examine)
    contain = providers.Callable(containment.become_subreaper)
    host_name = providers.Callable(system.host_name)
    machine_id = providers.Callable(system.machine_id)
    current_process = providers.Callable(system.current_process)
    find_process = providers.Object(system.process)
    new_worker_id = providers.Callable(system.new_worker_id)

    elapsed = providers.Object(system.elapsed)
    spool = providers.Singleton(
        outcome_spool.FileOutcomeSpool,
        providers.Callable(
            outcome_spool.directory_for,
            providers.Callable(lambda settings: settings.spool_dir, settings),
            providers.Selector(
                backend_name, sqlite=providers.Callable(lambda path: str(path.resolve()), _path), postgresql=_place
            ),
        ),
    )
    heartbeat = providers.Factory(Heartbeat, workers=workers, clock=clock, elapsed=elapsed, wake=runner.provided.wake)
    rescue = providers.Callable(
        rescue_lost_workers,
        jobs=jobs,
        workers=workers,
        events=events,
        machine=machine_id,
        is_alive=providers.Object(system.is_alive),
        clear=providers.Object(containment.kill_commands_of),
        settle_kept=providers.Callable(settle_kept, jobs=jobs, spool=spool, events=events).provider,
        at=providers.Callable(lambda clock: clock(), clock),
    )
    clear_leftovers = providers.Callable(
        clear_leftovers,
        workers=workers,
        machine=machine_id,
        owners=providers.Callable(containment.owners),
        is_alive=providers.Object(system.is_alive),
        clear=providers.Object(containment.kill_commands_of),
    )
    worker = providers.Factory(
        Worker,
        jobs=jobs,
        config=config,
        runner=runner,
        rescue=rescue.provider,
        clock=clock,
        elapsed=elapsed,
        new_lease_id=providers.Object(system.new_lease_id),
        chance=providers.Object(random.random),
        spool=spool,
        events=events,
    )

    archive = providers.Singleton(SqlArchive, database)
    queue = providers.Singleton(
        Queue,
        jobs=jobs,
        workers=workers,
        config=config,
        measurements=measurements,
        clock=clock,
        new_job_id=providers.Singleton(system.JobIds),
        operator=providers.Callable(system.user_at_host),
    )
