"""The queue's place in a PostgreSQL database: upgraded, checked, examined."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import cast

from queuectl.adapters.sql.database import Connection, Database
from queuectl.adapters.sql.migration import SCHEMA_VERSION, check_version, create, migrate, schema_version
from queuectl.adapters.sql.postgres import ImpatientConnection, is_pooled, server_time
from queuectl.adapters.sql.row_findings import row_findings
from queuectl.domain.errors import DatabaseUnreachable, QueueError
from queuectl.domain.findings import Finding, Grade

OLDEST_SERVER = 14
LOCK = f"SELECT pg_advisory_xact_lock({0x71756575})"
"""Excludes others who change the schema: "queu"."""

WRONG_CLOCK = 1.0
"""Seconds of difference to the server's clock from which a host's clock is worth a word."""


class PostgresStorage:
    """`Storage` in the first schema of the role's search path. `name` is the URL without its password."""

    def __init__(self, name: str, database: Database) -> None:
        self._name = name
        self._database = database

    @property
    def name(self) -> str:
        """Where it is, as a URL without its password."""
        return self._name

    def initialise(self) -> str | None:
        """Create the schema or bring it up to date; what was done, or None."""
        before = self._database.read(_checked_server)
        if before is not None and before >= SCHEMA_VERSION:
            check_version(before, self._name)
            return None
        if before is None:
            self._database.write(_create)
            return f"created the queue in {self._name}"
        migrate(self._database.backend, lock=LOCK)
        return f"upgraded {self._name} from schema {before} to {SCHEMA_VERSION}"

    def open(self, *, create: bool = True) -> None:
        """Make sure that it can be used. A database is never created here: that is its administrator's."""
        del create
        check_version(self._database.read(_checked_server), self._name)

    def examine(self) -> Sequence[Finding]:
        """Check the server from inside; what is wrong is a finding."""
        return list(self._findings())

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def _findings(self) -> Iterator[Finding]:
        try:
            self.open()
            yield Finding(subject="database", grade=Grade.OK, message=self._name)
            yield Finding(subject="schema", grade=Grade.OK, message=f"version {SCHEMA_VERSION}, the newest")
            yield from self._database.read(_server_findings)
            yield from row_findings(self._database)
        except QueueError as error:
            yield Finding(subject="database", grade=Grade.FAIL, message=error.message, hint=error.hint)


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


def _create(connection: Connection) -> None:
    connection.tell(LOCK)
    create(connection)


def _server_findings(connection: Connection) -> list[Finding]:
    version = _shown(connection, "server_version")
    findings = [Finding(subject="server", grade=Grade.OK, message=f"PostgreSQL {version}")]
    if connection.ask("SELECT pg_is_in_recovery()"):
        hint = "point the URL at the primary server"
        findings.append(Finding(subject="server", grade=Grade.FAIL, message="it is a read-only standby", hint=hint))
    commits = _shown(connection, "synchronous_commit")
    if commits == "off" or _shown(connection, "fsync") == "off":
        findings.append(
            Finding(
                subject="durability",
                grade=Grade.WARN,
                message="the server may lose acknowledged jobs in a crash (fsync or synchronous_commit is off)",
                hint="ALTER ROLE … SET synchronous_commit = on; fsync = on in postgresql.conf",
            )
        )
    else:
        message = f"commits are durable (synchronous_commit {commits})"
        findings.append(Finding(subject="durability", grade=Grade.OK, message=message))
    if is_pooled(cast("ImpatientConnection", connection.driver)):
        message = "a pooler stands between: workers poll once a second instead of being woken"
        findings.append(Finding(subject="wake-ups", grade=Grade.OK, message=message))
    findings.append(_clock_finding(connection))
    return findings


def _clock_finding(connection: Connection) -> Finding:
    off = abs((datetime.now(UTC) - server_time(connection)).total_seconds())
    message = f"this host's clock is {off:.1f} s off the server's, which rules"
    if off < WRONG_CLOCK:
        return Finding(subject="clock", grade=Grade.OK, message=message)
    hint = "harmless to the queue; but times shown as local are the host's"
    return Finding(subject="clock", grade=Grade.WARN, message=message, hint=hint)


def _shown(connection: Connection, setting: str) -> str:
    return str(connection.ask(f"SHOW {setting}"))
