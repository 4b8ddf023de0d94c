"""The workers' leases, and the stored policy, in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, delete, insert, select

from queuectl.adapters.sql import statements as sql
from queuectl.adapters.sql.database import Database
from queuectl.adapters.sql.schema import config, workers
from queuectl.domain.ports import Process, WorkerRecord, WorkerState

REMEMBERED = timedelta(days=1)
"""How long a worker that has ended stays in the table."""


class SqlWorkerRegistry:
    """`WorkerRegistry` on SQLAlchemy Core; a method is a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, worker: WorkerRecord) -> None:
        """Add a new worker with its first lease; forgets workers that ended more than a day before."""
        row = {
            "id": worker.id,
            "host": worker.host,
            "machine": worker.process.machine,
            "pid": worker.process.pid,
            "pid_started": worker.process.started,
            "supervisor_pid": worker.supervisor.pid,
            "supervisor_started": worker.supervisor.started,
            "queues": list(worker.queues),
            "concurrency": worker.concurrency,
            "state": worker.state,
            "started_at": worker.started_at,
            "renewed_at": worker.renewed_at,
            "lease_expires_at": worker.lease_expires_at,
        }
        forgotten = delete(workers).where(workers.c.ended_at < worker.started_at - REMEMBERED)
        with_it = insert(workers).values(row)

        def work(connection: Connection) -> bool:
            connection.execute(forgotten)
            connection.execute(with_it)
            return True

        def recall(connection: Connection) -> bool | None:
            return True if connection.execute(select(workers.c.id).where(workers.c.id == worker.id)).first() else None

        self._database.write(work, recall=recall)

    def renew(self, worker_id: str, *, state: WorkerState, at: datetime, until: datetime) -> bool:
        """Extend the lease to `until`; False once the worker is given up."""
        values = {"of_worker": worker_id, "new_state": state, "at": at, "until": until}
        return self._database.write(lambda connection: connection.execute(sql.RENEW, values).rowcount == 1)

    def retire(self, worker_id: str, *, at: datetime) -> None:
        """Mark a worker that holds no job as stopped; no effect on one that is given up already."""
        values = {"of_worker": worker_id, "end_state": WorkerState.STOPPED, "at": at}
        self._database.write(lambda connection: connection.execute(sql.END_WORKER, values))

    def live(self) -> Sequence[WorkerRecord]:
        """The workers that are running or stopping, in order of their start."""
        return self._database.read(lambda connection: [_record(row) for row in connection.execute(sql.LIVE_WORKERS)])

    def suspects(self, *, at: datetime, machine: str) -> Sequence[WorkerRecord]:
        """Of the live workers, those whose lease has run out at `at`, and all that run on `machine`."""
        values = {"at": at, "machine": machine}
        return self._database.read(
            lambda connection: [_record(row) for row in connection.execute(sql.SUSPECTS, values)]
        )


class SqlConfigRepository:
    """`ConfigRepository` on SQLAlchemy Core; a method is a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stored(self) -> Mapping[str, str]:
        """All keys that were set, with their texts."""
        return self._database.read(stored_settings)

    def store(self, key: str, value: str) -> None:
        """Set one key."""
        cleared, stored = delete(config).where(config.c.key == key), insert(config).values(key=key, value=value)
        self._database.write(lambda connection: (connection.execute(cleared), connection.execute(stored)))

    def clear(self, key: str) -> None:
        """Back to the default; no effect when it was not set."""
        cleared = delete(config).where(config.c.key == key)
        self._database.write(lambda connection: connection.execute(cleared))


def stored_settings(connection: Connection) -> dict[str, str]:
    """All keys of the policy that were set, with their texts."""
    return {row.key: row.value for row in connection.execute(select(config))}


def _record(row: Row[*tuple[object, ...]]) -> WorkerRecord:
    return WorkerRecord(
        id=row.id,
        host=row.host,
        process=Process(machine=row.machine, pid=row.pid, started=row.pid_started),
        supervisor=Process(machine=row.machine, pid=row.supervisor_pid, started=row.supervisor_started),
        queues=tuple(row.queues),
        concurrency=row.concurrency,
        state=row.state,
        started_at=row.started_at,
        renewed_at=row.renewed_at,
        lease_expires_at=row.lease_expires_at,
        jobs=row.jobs,
    )
