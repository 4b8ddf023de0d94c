"""The workers' leases, and the stored policy, in SQL."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.log import warn
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.adapters.sql.stores.rows import filled, read_worker
from queuectl.domain.errors import DatabaseUnavailable
from queuectl.domain.policy import StoredSettings, unreadable_settings
from queuectl.domain.ports.storage import Finding, Grade
from queuectl.domain.worker import WorkerRecord, WorkerState

REMEMBERED = timedelta(days=1)
"""The time for which a worker that has ended stays in the table."""


class SqlWorkerRegistry:
    """`WorkerRegistry` in SQL; a method is a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, worker: WorkerRecord) -> None:
        """Add a new worker with its first lease; forgets workers that ended more than a day before."""
        row = filled(
            queries.WorkerRow,
            worker,
            machine=worker.process.machine,
            pid=worker.process.pid,
            pid_started=worker.process.started,
            supervisor_pid=worker.supervisor.pid,
            supervisor_started=worker.supervisor.started,
            ended_at=None,
            unreadable="",
        )

        def work(c: Connection) -> None:
            queries.delete_ended_workers(c, before=worker.started_at - REMEMBERED)
            queries.add_worker(c, [row])

        self._database.write(work, confirm_commit=lambda c, _: queries.worker_id(c, worker=worker.id) is not None)

    def renew(self, worker_id: str, *, state: WorkerState, at: datetime, until: datetime) -> bool:
        """Extend the lease to `until`; False once the worker is given up."""

        def work(c: Connection) -> bool:
            return queries.renew(c, worker=worker_id, state=state, renewed_at=at, lease_expires_at=until) == 1

        return self._database.write(work)

    def retire(self, worker_id: str, *, at: datetime) -> None:
        """Mark a worker that holds no job as stopped; no effect on one that is given up already."""
        stopped = WorkerState.STOPPED
        self._database.write(lambda c: queries.end_worker(c, worker=worker_id, state=stopped, ended_at=at))

    def live(self) -> Sequence[WorkerRecord]:
        """The workers that are running or stopping, in order of their start."""
        return self._found(queries.live_workers)

    def expired_or_local(self, *, at: datetime, machine: str, beyond: datetime) -> Sequence[WorkerRecord]:
        """Of the live workers, those whose lease has run out at `at` or ends `beyond`, and those on `machine`."""
        return self._found(lambda c: queries.expired_or_local_workers(c, at=at, beyond=beyond, machine=machine))

    def stopped_on(self, machine: str) -> Sequence[WorkerRecord]:
        """The workers of that machine that are stopped or given up as lost, as long as they are remembered."""
        return self._found(lambda c: queries.stopped_workers_on(c, machine=machine))

    def _found(self, ask: Callable[[Connection], Sequence[queries.LiveWorkersRow]]) -> Sequence[WorkerRecord]:
        return [read_worker(row) for row in self._database.read(ask)]


class SqlConfigRepository:
    """`ConfigRepository` in SQL; a method is a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._warned: set[str] = set()

    def stored(self, queue: str = "") -> Mapping[str, str]:
        """All keys that were set of a queue, or of all, with their texts."""
        return self.by_queue().get(queue, {})

    def by_queue(self) -> StoredSettings:
        """The same of all queues. Tells the log, once each, which of them count as not set."""
        stored = self._database.read(stored_settings)
        for problem in (it for texts in stored.values() for it in unreadable_settings(texts).values()):
            if problem not in self._warned:
                self._warned.add(problem)
                warn(problem)
        return stored

    def store(self, key: str, value: str, queue: str = "") -> None:
        """Set one key."""

        def work(c: Connection) -> None:
            queries.clear_setting(c, queue=queue, key=key)
            queries.add_setting(c, [queries.SettingRow(queue=queue, key=key, value=value)])

        self._database.write(work)

    def clear(self, key: str, queue: str = "") -> None:
        """Back to the default; no effect when it was not set."""
        self._database.write(lambda c: queries.clear_setting(c, queue=queue, key=key))


def stored_settings(c: Connection) -> StoredSettings:
    """All keys of the policy that were set, with their texts, by queue."""
    found: dict[str, dict[str, str]] = {}
    for row in queries.settings(c):
        found.setdefault(row.queue, {})[row.key] = row.value
    return found


def unreadable_rows(database: Database) -> Iterator[Finding]:
    """A finding for each row of a worker or a setting that cannot be read, and so holds up nobody.

    None where the database does not serve, which others find.
    """

    def work(c: Connection) -> list[Finding]:
        found = []
        for queue, texts in stored_settings(c).items():
            of_queue, command = (f"queue {queue}: ", f"set --queue {queue}") if queue else ("", "set")
            for key, problem in unreadable_settings(texts).items():
                hint = f"queuectl config {command} {key} VALUE"
                found.append(Finding(subject="settings", grade=Grade.WARN, message=of_queue + problem, hint=hint))
        for worker, _ in queries.live_workers(c):
            if worker.unreadable:
                message = f"the row of worker {worker.id} cannot be read, only its lease counts: {worker.unreadable}"
                found.append(Finding(subject="workers", grade=Grade.WARN, message=message))
        return found

    try:
        yield from database.read(work)
    except DatabaseUnavailable:
        return
