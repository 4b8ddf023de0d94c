"""The queue's place in a PostgreSQL database: upgraded, checked, examined."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar, cast

from queuectl.adapters.sql.engine.migration import check_version, create_schema, migrate, schema_version
from queuectl.adapters.sql.engine.queries import SCHEMA_VERSION
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.adapters.sql.postgresql.connection import TimedConnection, is_pooled, server_time
from queuectl.adapters.sql.stores.workers import unreadable_rows
from queuectl.domain.errors import DatabaseUnavailable, DatabaseUnreachable, QueueError
from queuectl.domain.ports.storage import Finding, Grade

T = TypeVar("T")

OLDEST_SERVER = 14

COLUMNS = {
    "jobs": "id",
    "attempts": "job_id",
    "workers": "id",
    "config": "key",
    "queues": "name",
    "lanes": "id",
    "slots": "slot",
    "dependencies": "parent",
    "batches": "name",
    "tags": "tag",
}
"""The tables, and a column of each."""

LOCK = f"SELECT pg_advisory_xact_lock({0x71756575})"
"""Excludes others who change the schema: "queu"."""

MAX_WAIT, MAX_ANSWER_TIME = timedelta(seconds=3), timedelta(seconds=5)
"""The time for which `doctor` tries again, and the time that it leaves the server to answer."""

LOCK_WAIT = timedelta(seconds=2)

LIMITS = (
    f"SET LOCAL lock_timeout = {LOCK_WAIT // timedelta(milliseconds=1)}",
    f"SET LOCAL statement_timeout = {MAX_ANSWER_TIME // timedelta(milliseconds=1) - 1000}",
)

TRIAL = (
    # What a worker does to each table; and a job with a number and an id that no other can have.
    *(f"UPDATE {table} SET {column} = {column} WHERE false" for table, column in COLUMNS.items()),  # noqa: S608 - constants
    *(f"DELETE FROM {table} WHERE false" for table in COLUMNS),  # noqa: S608 - constants
    *(f"INSERT INTO {table} SELECT * FROM {table} WHERE false" for table in COLUMNS),  # noqa: S608 - constants
    """INSERT INTO jobs (seq, id, command, queue, priority, max_retries, run_at, created_at, updated_at, env, state,
        attempts, failures, losses)
        VALUES (-pg_backend_pid(), 'a trial of doctor ' || pg_backend_pid(), '""', '', 1, 0, 0, 0, 0, '{}', 'completed',
        0, 0, 0)""",
)

MAY_COUNT = {
    "jobs_seq_seq": "SELECT has_sequence_privilege(pg_get_serial_sequence('jobs', 'seq'), 'USAGE, UPDATE')",
    "lanes_id_seq": "SELECT has_sequence_privilege(pg_get_serial_sequence('lanes', 'id'), 'USAGE, UPDATE')",
}
"""The rights to number new jobs and lanes; one of the two is enough."""

HOLDERS = f"""
    SELECT string_agg(DISTINCT format('PID %s (%s)', pid, concat_ws(', ', usename, application_name, state)), ', ')
        FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE granted AND pid <> pg_backend_pid()
        AND relation IN ({", ".join(f"to_regclass('{table}')" for table in COLUMNS)})
        AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""  # noqa: S608 - constants
"""The sessions that have a table of the queue locked against writing."""

WRONG_CLOCK = 1.0
"""Seconds of difference to the server's clock from which a host's clock is worth a word."""


class PostgresStorage:
    """`Storage` in the first schema of the role's search path. `name` is the URL without its password."""

    def __init__(self, name: str, database: Database) -> None:
        self.name = name
        self._database = database

    def initialise(self) -> str | None:
        """Create the schema or bring it up to date; what was done, or None."""
        before = self._database.read(_checked_server)
        if before is not None and before >= SCHEMA_VERSION:
            check_version(before, self.name)
            return None
        if before is None:
            self._database.write(lambda connection: create_schema(connection, first=LOCK))
            return f"created the queue in {self.name}"
        migrate(self._database.dialect, lock=LOCK)
        return f"upgraded {self.name} from schema {before} to {SCHEMA_VERSION}"

    def open(self, *, create: bool = False) -> None:
        """Make sure that it can be used. A database is never created here: that is its administrator's."""
        del create
        check_version(self._database.read(_checked_server), self.name)

    def examine(self) -> Sequence[Finding]:
        """Check the server from inside; what is wrong is a finding."""
        impatient = self._database.impatient(MAX_WAIT)
        impatient.expect_answers_within(MAX_ANSWER_TIME)
        try:
            return list(_findings(self.name, impatient))
        finally:
            impatient.close()

    def close(self) -> None:
        """Close every connection."""
        self._database.close()


def _findings(name: str, database: Database) -> Iterator[Finding]:
    try:
        check_version(database.read(_quickly(_checked_server)), name)
        yield Finding(subject="database", grade=Grade.OK, message=name)
        yield Finding(subject="schema", grade=Grade.OK, message=f"version {SCHEMA_VERSION}, the newest")
        yield from database.read(_quickly(lambda connection: list(_server_findings(connection))))
        yield from unreadable_rows(database)
    except QueueError as error:
        yield Finding(subject="database", grade=Grade.FAIL, message=error.message, hint=error.hint)
        return
    yield _write_finding(database)


def _quickly(work: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """The same within a transaction that waits for no lock for long."""

    def quickly(connection: Connection) -> T:
        for limit in LIMITS:
            connection.execute(limit)
        return work(connection)

    return quickly


def _write_finding(database: Database) -> Finding:
    """Try to store and run a job, as far as the last step."""

    def work(connection: Connection) -> None:
        for statement in TRIAL:
            connection.execute(statement)
        for sequence, may_count in MAY_COUNT.items():
            if not connection.scalar(may_count):
                raise DatabaseUnreachable(
                    f"the role may not use the sequence {sequence}", hint=f"GRANT USAGE ON SEQUENCE {sequence}"
                )

    try:
        database.try_to_write(_quickly(work))
    except DatabaseUnavailable as error:
        message, hint = _explained(database, error)
        return Finding(subject="writes", grade=Grade.FAIL, message=f"nothing can be written: {message}", hint=hint)
    return Finding(subject="writes", grade=Grade.OK, message="tried, and rolled back")


def _explained(database: Database, error: DatabaseUnavailable) -> tuple[str, str | None]:
    """The reason for a write that failed, and the next step."""
    try:
        match getattr(error.__cause__, "sqlstate", None):
            case "25006" if not database.read(lambda connection: connection.scalar("SELECT pg_is_in_recovery()")):
                hint = "ALTER DATABASE or ALTER ROLE … SET default_transaction_read_only = off"
                return "transactions are read-only (default_transaction_read_only is on)", hint
            case "25006":
                return "the server is a read-only standby", "point the URL at the primary server"
            case "55P03" if holders := database.read(lambda connection: connection.scalar(HOLDERS)):
                message = f"another session has a table locked, for all of the {LOCK_WAIT.total_seconds():g} s waited"
                hint = "end its transaction; SELECT pg_terminate_backend(PID) ends the session"
                return f"{message}; now it is {holders}", hint
    except DatabaseUnavailable:
        pass
    return error.message, error.hint


def _checked_server(connection: Connection) -> str | None:
    """The schema's version. Raises DatabaseUnreachable for a server that is too old, or cannot store any text."""
    version = int(_shown(connection, "server_version_num")) // 10_000
    if version < OLDEST_SERVER:
        raise DatabaseUnreachable(f"the server is PostgreSQL {version}; queuectl needs {OLDEST_SERVER} or newer")
    if (encoding := _shown(connection, "server_encoding")) != "UTF8":
        raise DatabaseUnreachable(
            f"the database's encoding is {encoding}, which cannot store every text",
            hint="create it with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        )
    return schema_version(connection)


def _server_findings(connection: Connection) -> Iterator[Finding]:
    version = _shown(connection, "server_version")
    yield Finding(subject="server", grade=Grade.OK, message=f"PostgreSQL {version}")
    if connection.scalar("SELECT pg_is_in_recovery()"):
        hint = "point the URL at the primary server"
        yield Finding(subject="server", grade=Grade.FAIL, message="it is a read-only standby", hint=hint)
    commits = _shown(connection, "synchronous_commit")
    if commits == "off" or _shown(connection, "fsync") == "off":
        message = "the server may lose acknowledged jobs in a crash (fsync or synchronous_commit is off)"
        hint = "ALTER ROLE … SET synchronous_commit = on; fsync = on in postgresql.conf"
        yield Finding(subject="durability", grade=Grade.WARN, message=message, hint=hint)
    else:
        message = f"commits are durable (synchronous_commit {commits})"
        yield Finding(subject="durability", grade=Grade.OK, message=message)
    if is_pooled(cast("TimedConnection", connection.driver)):
        message = "a pooler stands between: workers poll once a second instead of being woken"
        yield Finding(subject="wake-ups", grade=Grade.OK, message=message)
    yield _clock_finding(connection)


def _clock_finding(connection: Connection) -> Finding:
    off = abs((datetime.now(UTC) - server_time(connection)).total_seconds())
    message = f"this host's clock is {off:.1f} s off the server's, which rules"
    if off < WRONG_CLOCK:
        return Finding(subject="clock", grade=Grade.OK, message=message)
    hint = "harmless to the queue; but times shown as local are the host's"
    return Finding(subject="clock", grade=Grade.WARN, message=message, hint=hint)


def _shown(connection: Connection, setting: str) -> str:
    return str(connection.scalar(f"SHOW {setting}"))
