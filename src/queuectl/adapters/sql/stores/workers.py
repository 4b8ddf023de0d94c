"""The workers' leases, and the stored policy, in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from queuectl.adapters.sql.engine.log import warn
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.adapters.sql.stores.reading import read_worker
from queuectl.domain.policy import unreadable_settings
from queuectl.domain.worker import WorkerRecord, WorkerState

REMEMBERED = timedelta(days=1)
"""How long a worker that has ended stays in the table."""


class SqlWorkerRegistry:
    """`WorkerRegistry` in SQL; a method is a transaction."""

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
            "ended_at": None,
        }
        before = worker.started_at - REMEMBERED

        def work(connection: Connection) -> bool:
            connection.run("forget_workers", {"before": before})
            connection.run("add_worker", row)
            return True

        def recall(connection: Connection) -> bool | None:
            return True if connection.row("worker", {"worker": worker.id}) else None

        self._database.write(work, recall=recall)

    def renew(self, worker_id: str, *, state: WorkerState, at: datetime, until: datetime) -> bool:
        """Extend the lease to `until`; False once the worker is given up."""
        values = {"of_worker": worker_id, "state": state, "renewed_at": at, "lease_expires_at": until}
        return self._database.write(lambda connection: connection.run("renew", values) == 1)

    def retire(self, worker_id: str, *, at: datetime) -> None:
        """Mark a worker that holds no job as stopped; no effect on one that is given up already."""
        values = {"of_worker": worker_id, "end_state": WorkerState.STOPPED, "ended_at": at}
        self._database.write(lambda connection: connection.run("end_worker", values))

    def live(self) -> Sequence[WorkerRecord]:
        """The workers that are running or stopping, in order of their start."""
        return self._database.read(lambda connection: [read_worker(row) for row in connection.rows("live_workers")])

    def suspects(self, *, at: datetime, machine: str, beyond: datetime) -> Sequence[WorkerRecord]:
        """Of the live workers, those whose lease has run out at `at` or ends `beyond`, and those on `machine`."""
        values = {"at": at, "machine": machine, "beyond": beyond}
        return self._database.read(lambda connection: [read_worker(row) for row in connection.rows("suspects", values)])

    def ended_on(self, machine: str) -> Sequence[WorkerRecord]:
        """The workers of that machine that are stopped or given up as lost, as long as they are remembered."""
        values = {"machine": machine}
        return self._database.read(
            lambda connection: [read_worker(row) for row in connection.rows("ended_workers", values)]
        )


class SqlConfigRepository:
    """`ConfigRepository` in SQL; a method is a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._told: set[str] = set()

    def stored(self) -> Mapping[str, str]:
        """All keys that were set, with their texts. Tells the log, once each, which of them count as not set."""
        stored = self._database.read(stored_settings)
        for problem in unreadable_settings(stored).values():
            if problem not in self._told:
                self._told.add(problem)
                warn(problem)
        return stored

    def store(self, key: str, value: str) -> None:
        """Set one key."""

        def work(connection: Connection) -> None:
            connection.run("clear_setting", {"of_key": key})
            connection.run("add_setting", {"key": key, "value": value})

        self._database.write(work)

    def clear(self, key: str) -> None:
        """Back to the default; no effect when it was not set."""
        self._database.write(lambda connection: connection.run("clear_setting", {"of_key": key}))


def stored_settings(connection: Connection) -> dict[str, str]:
    """All keys of the policy that were set, with their texts."""
    return {row.key: row.value for row in connection.rows("settings")}
