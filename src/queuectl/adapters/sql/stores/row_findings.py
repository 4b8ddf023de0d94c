"""Rows that hold up nobody, and of which somebody should know: of workers and of settings."""

from collections.abc import Iterator

from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.adapters.sql.stores.reading import unreadable_worker
from queuectl.adapters.sql.stores.workers import stored_settings
from queuectl.domain.errors import DatabaseUnavailable
from queuectl.domain.policy import unreadable_settings
from queuectl.domain.ports.storage import Finding, Grade


def row_findings(database: Database) -> Iterator[Finding]:
    """A finding for each row that cannot be read; none where the database does not serve, which others find."""

    def work(connection: Connection) -> list[Finding]:
        found = [
            Finding(subject="settings", grade=Grade.WARN, message=problem, hint=f"queuectl config set {key} VALUE")
            for key, problem in unreadable_settings(stored_settings(connection)).items()
        ]
        for row in connection.rows("live_workers"):
            if reason := unreadable_worker(row):
                message = f"the row of worker {row.id} cannot be read, only its lease counts: {reason}"
                found.append(Finding(subject="workers", grade=Grade.WARN, message=message))
        return found

    try:
        yield from database.read(work)
    except DatabaseUnavailable:
        return
