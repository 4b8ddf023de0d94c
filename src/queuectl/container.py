"""The composition root: which adapter serves which port.

A kind of database is a folder of `adapters/sql`, and one line of `SCHEMES`.
"""

import importlib
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeAlias

from queuectl.adapters.host import files, identity, ids, signals
from queuectl.adapters.sql.stores.dependencies import SqlBatches, SqlDependencies
from queuectl.adapters.sql.stores.jobs import SqlAttempts, SqlJobs
from queuectl.adapters.sql.stores.metrics import SqlMeasurements
from queuectl.adapters.sql.stores.workers import SqlConfigRepository, SqlWorkerRegistry
from queuectl.application.operate.queue import Queue
from queuectl.settings import SCHEMES, Settings, handed_on


@contextmanager
def _hidden(*modules: str) -> Iterator[None]:
    """While the body runs, these modules cannot be imported."""
    absent = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: the import system's word for it
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


# dependency_injector imports each web framework that is installed beside it, which takes up to a quarter of a second.
with _hidden("fastapi", "fastapi.params", "starlette", "starlette.requests", "werkzeug", "werkzeug.local"):
    from dependency_injector import containers, providers


_Singleton: TypeAlias = "providers.Singleton[Any]"
_Callable: TypeAlias = "providers.Callable[Any]"


class _Late:
    """A class or function by its name, imported when it is first called: most commands call few of them."""

    all: list["_Late"] = []  # noqa: RUF012 - one list for all, by intent

    def __init__(self, module: str, name: str) -> None:
        self.module = f"queuectl.{module}"
        self._name = name
        self.all.append(self)

    def load(self) -> Callable[..., Any]:
        """Load what it names."""
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), self._name)
        return found

    def __call__(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401  # whatever it makes
        return self.load()(*args, **kwargs)


def _one(module: str, name: str, *args: object, **kwargs: object) -> "_Singleton":
    """One object of that class."""
    return providers.Singleton(_Late(module, name), *args, **kwargs)


def _call(module: str, name: str, *args: object, **kwargs: object) -> "_Callable":
    """Provide what that function returns."""
    return providers.Callable(_Late(module, name), *args, **kwargs)


def _function(module: str, name: str) -> "_Callable":
    """That function itself."""
    return providers.Callable(_Late(module, name).load)


def _backends(url: "providers.Provider[str]", patience: "providers.Provider[timedelta]") -> "dict[str, _Singleton]":
    """Each kind of database by its name, which is its folder's."""
    kinds = set(SCHEMES.values())
    return {kind: _one(f"adapters.sql.{kind}", "backend", url, patience=patience) for kind in kinds}


class Container(containers.DeclarativeContainer):
    """`Container(settings=...)` builds it; each part is made, and its module imported, at its first use."""

    settings = providers.Dependency(instance_of=Settings)
    url = settings.provided.database_url
    patience = settings.provided.busy_timeout

    backend = providers.Selector(settings.provided.backend, **_backends(url, patience))
    database = backend.provided.database
    storage = backend.provided.storage
    clock = backend.provided.clock
    notify = backend.provided.notify
    listen = backend.provided.listen
    scratch = backend.provided.scratch.call()

    claiming = backend.provided.claiming

    jobs = providers.Singleton(SqlJobs, database, notify, claiming)
    attempts = providers.Singleton(SqlAttempts, database)
    work = _one(
        "adapters.sql.stores.work",
        "SqlWork",
        database,
        notify,
        claiming=claiming,
    )
    workers = providers.Singleton(SqlWorkerRegistry, database)
    config = providers.Singleton(SqlConfigRepository, database)
    queues = _one("adapters.sql.stores.queues", "SqlQueues", database, notify, claiming)
    measurements = providers.Singleton(SqlMeasurements, database)
    job_dependencies = providers.Singleton(SqlDependencies, database, notify)
    batches = providers.Singleton(SqlBatches, database)
    surroundings = _one("adapters.sql.stores.surroundings", "SqlSurroundings", database)
    archive = _one("adapters.sql.stores.archive", "SqlArchive", database)

    # The machine.
    elapsed = _function("adapters.host.clock", "elapsed")
    machine_id = providers.Callable(identity.machine_id)
    host_name = providers.Callable(identity.host_name)
    machine_labels = providers.Callable(identity.machine_labels)
    current_process = providers.Callable(identity.current_process)
    new_worker_id = providers.Callable(ids.new_worker_id)
    own_directory = providers.Object(files.own_directory)
    find_process = providers.Object(identity.process)
    is_alive = providers.Object(identity.is_alive)
    signal_process = providers.Object(signals.signal_process)
    is_standing_still = providers.Object(identity.is_standing_still)
    sees_processes = providers.Object(identity.HAS_PROC)
    private_directory = _call(
        "adapters.spool",
        "directory_for",
        settings.provided.directory.call("spool-dir"),
        backend.provided.location,
    )
    local_processes = _one("adapters.host.registry", "FileLocalProcesses", private_directory)
    local_workers = _call(
        "application.fleet",
        "LocalWorkers",
        local_processes,
        stands_still=is_standing_still,
        monotonic=providers.Object(time.monotonic),
        sleep=providers.Object(time.sleep),
    )
    spool = _one("adapters.spool", "FileOutcomeSpool", private_directory)
    examine_directories = _call(
        "adapters.host.checks",
        "examine",
        settings.provided.directory.call("log-dir"),
        private_directory,
    )

    # The log.
    take_over_logging = _call("adapters.observers.log", "take_over_logging")
    unblock_stderr = _call("adapters.observers.log_stream", "unblock_stderr")
    log_line = _function("adapters.observers.log", "log_line")
    events = _function("adapters.observers.log", "log_event")

    # The commands of the jobs.
    runner = _one(
        "adapters.processes.runner",
        "SubprocessRunner",
        elapsed,
        handed_on=providers.Callable(handed_on, settings, backend.provided.shareable_url.call()),
        note=local_processes.provided.note,
    )
    make_room_for = _call("adapters.processes.runner", "make_room_for")
    kill_commands = _function("adapters.processes.marks", "kill_commands_of")
    kill_orphans = _function("adapters.processes.tree", "kill_orphans")
    marked = _function("adapters.processes.marks", "marked")
    examine_containment = _call("adapters.processes.tree", "examine")
    contain = _call("adapters.processes.tree", "become_subreaper")

    # What operators ask, and what workers do.
    queue = providers.Singleton(
        Queue,
        jobs=jobs,
        attempts=attempts,
        dependencies=job_dependencies,
        batches=batches,
        workers=workers,
        config=config,
        queues=queues,
        measurements=measurements,
        surroundings=surroundings,
        clock=clock,
        is_gone=providers.Object(identity.is_gone),
        new_job_ids=providers.Singleton(ids.JobIds),
        operator=providers.Callable(identity.user_at_host),
    )
    heartbeat = providers.Factory(
        _Late("application.work.lease", "Heartbeat"),
        workers=workers,
        clock=clock,
        wake=runner.provided.wake,
    )
    machine = _call(
        "application.duties.machine",
        "ThisMachine",
        id=machine_id,
        local=local_processes,
        is_alive=is_alive,
        clear=kill_commands,
        elapsed=elapsed,
    )
    look_after = _call("application.ends", "look_after", dependencies=job_dependencies, clock=clock)
    settle_spooled = _call(
        "application.work.settle",
        "settle_spooled",
        work=work,
        config=config,
        spool=spool,
        events=events,
        look_after=look_after.provider,
    )
    leftovers = _one("application.duties.dependencies", "Leftovers", job_dependencies, clock)
    rescue = _call(
        "application.duties.rescue",
        "Rescue",
        work=work,
        workers=workers,
        machine=machine,
        config=config,
        settle_spooled=settle_spooled.provider,
        events=events,
        clock=clock,
        watch=_one("application.duties.lease_watch", "LeaseWatch", elapsed),
        look_after=look_after.provider,
    )
    key_sweep = _call("application.duties.keys", "KeySweep", work=work, events=events)
    clear_leftovers = _call(
        "application.duties.machine",
        "clear_leftovers",
        workers=workers,
        machine=machine,
        owners=_call("adapters.processes.marks", "owners"),
    )
    worker = providers.Factory(
        _Late("application.work.worker", "Worker"),
        ports=providers.Factory(
            _Late("application.work.duty", "WorkerPorts"),
            work=work,
            config=config,
            runner=runner,
            spool=spool,
            events=events,
            new_lease_id=providers.Object(ids.new_lease_id),
            clock=clock,
            elapsed=elapsed,
            chance=providers.Object(random.random),
            look_after=look_after.provider,
        ),
        fleet=providers.List(rescue, key_sweep, leftovers),
    )


def load_for_workers(settings: Settings) -> None:
    """Import all that workers need, before they are forked.

    Else a worker that is replaced after an upgrade would be of two versions; and each would load it for itself.
    """
    unused = {f"queuectl.adapters.sql.{kind}" for kind in SCHEMES.values()} - {
        f"queuectl.adapters.sql.{settings.backend}"
    }
    for late in _Late.all:
        if late.module not in unused:
            late.load()
