"""Which adapter serves which port: for workers, and for what looks after them."""

import random

from dependency_injector import providers

from queuectl.adapters import containment, directory_examination, event_log, log_stream, outcome_spool, system
from queuectl.adapters.local_processes import FileLocalProcesses
from queuectl.adapters.sql.claiming import prepare_claims
from queuectl.adapters.sql.sqlite_scratch import SqliteScratch
from queuectl.adapters.sql.sqlite_wake_ups import SqliteWakeUps
from queuectl.adapters.subprocess_runner import SubprocessRunner, make_room_for
from queuectl.application.heartbeat import Heartbeat
from queuectl.application.rescue import clear_leftovers, rescue_lost_workers
from queuectl.application.settling import settle_kept
from queuectl.application.worker import Worker
from queuectl.container import Container, late
from queuectl.settings import handed_on


class WorkerContainer(Container):
    """The same, and what runs jobs and looks after those who do."""

    wake_ups = providers.Selector(
        Container.backend_name,
        sqlite=providers.Singleton(SqliteWakeUps, Container.path),
        postgresql=providers.Singleton(late("postgres_wake_ups", "PostgresWakeUps"), Container.url),
    )

    elapsed = providers.Object(system.elapsed)
    host_name = providers.Callable(system.host_name)
    current_process = providers.Callable(system.current_process)
    new_worker_id = providers.Callable(system.new_worker_id)

    take_over_logging = providers.Callable(event_log.take_over_logging)
    unblock_stderr = providers.Callable(log_stream.unblock_stderr)
    log_line = providers.Object(event_log.log_line)
    events = providers.Object(event_log.log_event)
    handed_on = providers.Callable(
        handed_on,
        Container.settings,
        providers.Selector(
            Container.backend_name,
            sqlite=Container.url,
            postgresql=providers.Callable(late("postgres_handover", "without_secrets"), Container.url),
        ),
    )
    local_processes = providers.Singleton(FileLocalProcesses, Container.private_directory)
    runner = providers.Singleton(
        SubprocessRunner, system.elapsed, handed_on=handed_on, note=local_processes.provided.note
    )
    make_room_for = providers.Callable(make_room_for)
    kill_commands = providers.Object(containment.kill_commands_of)
    kill_orphans = providers.Object(containment.kill_orphans)
    examine_containment = providers.Callable(containment.examine)
    examine_directories = providers.Callable(
        directory_examination.examine,
        providers.Callable(lambda settings: settings.directory("log-dir"), Container.settings),
        Container.private_directory,
    )
    contain = providers.Callable(containment.become_subreaper)

    prepare_claims = providers.Callable(prepare_claims, Container.backend_name)
    spool = providers.Singleton(outcome_spool.FileOutcomeSpool, Container.private_directory)
    heartbeat = providers.Factory(
        Heartbeat, workers=Container.workers, clock=Container.clock, elapsed=elapsed, wake=runner.provided.wake
    )
    rescue = providers.Callable(
        rescue_lost_workers,
        jobs=Container.jobs,
        workers=Container.workers,
        local=local_processes,
        events=events,
        machine=Container.machine_id,
        is_alive=Container.is_alive,
        clear=kill_commands,
        settle_kept=providers.Callable(settle_kept, jobs=Container.jobs, spool=spool, events=events).provider,
        at=providers.Callable(lambda clock: clock(), Container.clock),
        elapsed=elapsed,
    )
    clear_leftovers = providers.Callable(
        clear_leftovers,
        workers=Container.workers,
        local=local_processes,
        machine=Container.machine_id,
        owners=providers.Callable(containment.owners),
        is_alive=Container.is_alive,
        clear=kill_commands,
    )
    worker = providers.Factory(
        Worker,
        jobs=Container.jobs,
        config=Container.config,
        runner=runner,
        rescue=rescue.provider,
        clock=Container.clock,
        elapsed=elapsed,
        new_lease_id=providers.Object(system.new_lease_id),
        chance=providers.Object(random.random),
        spool=spool,
        events=events,
    )

    scratch = providers.Selector(
        Container.backend_name,
        sqlite=providers.Callable(SqliteScratch, Container.path),
        postgresql=providers.Callable(late("postgres_scratch", "PostgresScratch"), Container.url),
    )
    sees_processes = providers.Object(system.HAS_PROC)
    marked = providers.Object(containment.marked)
