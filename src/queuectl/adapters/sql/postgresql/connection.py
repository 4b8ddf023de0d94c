"""PostgreSQL: how its connections are made, its transactions begun, its errors meant, and which clock rules."""

import logging
import math
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TypeVar, cast

import psycopg
from psycopg.abc import PQGen
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from queuectl.adapters.host.clock import elapsed
from queuectl.adapters.sql.engine.transactions import Columns, Connection, Database, Dialect, Driver
from queuectl.adapters.sql.postgresql.url import check_ports, check_url
from queuectl.domain.errors import (
    DatabaseBusy,
    DatabaseFull,
    DatabaseReplaced,
    DatabaseUnavailable,
    DatabaseUnreachable,
    ValueRefused,
)
from queuectl.domain.worker import JOB_MARK

T = TypeVar("T")

CONNECT_TIMEOUT = 5
"""Seconds."""

PROBES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
"""The probes of TCP by which each side notices that the other one has vanished: seconds, seconds and a number."""

SILENCE = 10_000
"""Milliseconds for which each side waits for the other's system to acknowledge what was sent."""

CONNECTION: Mapping[str, str | int] = {
    "application_name": "queuectl",
    # A server that has vanished without a word is noticed in seconds, not in the system's hours (tcp(7)).
    **PROBES,
    "tcp_user_timeout": SILENCE,
    # In the packet that begins a session, so that PGCLIENTENCODING, a role or a database cannot say otherwise.
    "client_encoding": "UTF8",
}

TIMEOUTS = {"statement_timeout": "30s", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "10s"}
"""No call waits for ever; no transaction of a frozen or cut-off process holds its locks for long: its jobs cannot be
rescued before, nor, when the network is back after a moment, its lease be renewed."""

HOLD = """SET LOCAL idle_in_transaction_session_timeout = 0;
LOCK TABLE jobs, attempts, workers, config, queues IN SHARE MODE"""
"""A writer waits until the transaction ends, however long the server says nothing."""

COUNT_ON = """SELECT setval(pg_get_serial_sequence('jobs', 'seq'), max(seq)) FROM jobs;
SELECT setval(pg_get_serial_sequence('lanes', 'id'), max(id)) FROM lanes"""

MEANING = {
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "transform_null_equals": "off",
}
"""Settings by which a statement, or an answer, would mean something else than was meant. Roles, databases, the URL and
variables such as PGTZ and PGOPTIONS may set them, and ours prevail."""

LASTING = {
    # A claim over several lanes is planned once; to plan it each time took ten times as long as the claim. Whoever
    # looks at jobs asks for one state or another, which need plans of their own.
    "plan_cache_mode": "force_generic_plan",
    "idle_session_timeout": "0",
    # The server, too, notices in seconds that we have vanished. idle_in_transaction_session_timeout does not count
    # while it waits for the rest of a message, and a host that loses its power meanwhile sends no rest.
    **{f"tcp_{name}": str(value) for name, value in PROBES.items()},
    "tcp_user_timeout": str(SILENCE),
}
"""Settings of the session itself; a pooler's sessions are its own."""

WITHOUT_LIMIT = {"transaction_timeout": (170000, "0")}
"""Settings that not every server knows: since which version, and ours."""

MAX_RESPONSE_TIME = timedelta(seconds=35)
"""The time that an answer may take: longer than the server lets any statement run, so that the server speaks first."""

MAX_COPY = 500_000
"""Characters of text in the rows that are copied by one statement; with all else in them it is up to thrice as long.
What a server waits for counts as the statement's time, and a slow line must bring it well within it."""

LOOK_AGAIN = 0.1
"""Seconds between two looks at how long the server has been silent."""

AGAIN = ("25P03", "40001", "40P01", "55P03", "57014", "57P0", "08", "53")
"""SQLSTATEs, or their beginnings, of what may succeed when the whole transaction is tried again: serialisation,
deadlock, locks and timeouts, a server that shuts down or starts, lost connections, exhausted resources."""

REFUSED = ("22", "23", "54", "P0")
"""The beginnings of SQLSTATEs that are about what was to be written, and not about the server: data that a type or a
constraint excludes, limits of size, a trigger of somebody's own."""

NOT_NOW = (
    "too many clients",
    "too many connections",
    "connection slots",
    "no more connections allowed",
    "starting up",
    "shutting down",
    "not yet accepting connections",
    "in recovery mode",
    "server closed the connection",
)
"""The words of a server, or a pooler, to those whom it may let in a moment later."""

GUESSES = ("Is the server running", "This probably means the server terminated", "before or while processing")
"""The beginnings of lines in which libpq wonders why."""

MAX_ROUND_TRIP = timedelta(seconds=1)
"""A difference that took longer to measure is used only where there is no other."""

SHORT_ROUND_TRIP, MAX_ROUND_TRIPS = timedelta(milliseconds=20), 3
"""The server's time is asked for until an answer came this quickly, or so many times."""

MAX_OFFSET_AGE = timedelta(seconds=10)
"""The time for which a measured difference to the server's clock is used."""


# psycopg logs a warning when a batch ends in an error, which is told to the user by that error already.
logging.getLogger("psycopg").setLevel(logging.ERROR)


@dataclass(slots=True)
class ResponseTimeout:
    """The time that a server may leave a call unanswered until its connection is taken for broken."""

    longest: timedelta = MAX_RESPONSE_TIME

    def shorten(self, longest: timedelta) -> None:
        """Wait no longer than that from now on."""
        self.longest = min(longest, MAX_RESPONSE_TIME)


class _ArrayDumper(Dumper):
    """Makes the text of an array: in a third of the time that psycopg's own takes, which asks each element."""

    def dump(self, obj: Sequence[str | int | bytes | None]) -> bytes:
        """`{"a","b",NULL}`: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO"""
        return f"{{{','.join(map(_element, obj))}}}".encode()


def _element(value: str | int | bytes | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)


class TimedConnection(psycopg.Connection[tuple[object, ...]]):
    """A connection whose calls end, with an error and closed, when the server is silent for too long.

    libpq would wait for ever on a connection that is up but goes nowhere, and the server's own timeouts do not arrive.
    """

    response_timeout = ResponseTimeout()
    local_settings = ""

    def wait(self, gen: PQGen[T], interval: float = LOOK_AGAIN, timeout: float | None = None) -> T:
        """Consume psycopg's generator, which is told after each interval that there is nothing to read yet."""
        waiting = self._timed(gen)
        # Not every release of psycopg knows of a timeout; those never hand one in.
        return super().wait(waiting, interval) if timeout is None else super().wait(waiting, interval, timeout)

    def _timed(self, gen: PQGen[T]) -> PQGen[T]:
        heard = elapsed()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard = elapsed()
                elif elapsed() - heard > self.response_timeout.longest:
                    self.close()
                    seconds = self.response_timeout.longest.total_seconds()
                    raise psycopg.OperationalError(f"the connection is lost: no answer for {seconds:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result


def postgres_dialect(url: str) -> Dialect:
    """The backend for that URL, any that libpq takes (service and password files included). Opens nothing yet.

    Raises DatabaseUnreachable for a URL that libpq cannot parse.
    """
    name, response_timeout = display_name(url), ResponseTimeout()
    return Dialect(
        language="postgresql",
        connect=lambda: cast("Driver", connect(url, response_timeout)),
        # A writer locks what it decides on, so it needs no more than the default level; a reader sees one moment.
        begin_reading="BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL plan_cache_mode = auto",
        begin_writing="BEGIN ISOLATION LEVEL READ COMMITTED",
        after_begin=lambda driver: cast("TimedConnection", driver).local_settings,
        error=(psycopg.Error, OSError, MemoryError),
        explain=lambda error, broke: explained(error, name, broke=broke),
        is_duplicate=lambda error: isinstance(error, psycopg.IntegrityError),
        is_lost=lambda driver: cast("TimedConnection", driver).closed,
        is_unanswered=_is_unanswered,
        hold=HOLD,
        load=lambda cursor, insert, groups: _copied(cast("psycopg.Cursor[object]", cursor), insert, groups),
        expect_answers_within=response_timeout.shorten,
        forget_plans="DISCARD PLANS",
        count_on=COUNT_ON,
    )


def _is_unanswered(error: Exception) -> bool:
    """True if the error came from this machine or from libpq, and not from the server: its errors have a code."""
    if isinstance(error, psycopg.OperationalError):
        return not error.sqlstate
    return isinstance(error, OSError | MemoryError)


def display_name(url: str) -> str:
    """The URL without its password. Raises DatabaseUnreachable, naming what is wrong, when it cannot be parsed."""
    check_url(url)
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        # libpq's own words may quote a part of the URL, and with it a piece of a password.
        raise DatabaseUnreachable(
            "the database URL cannot be parsed", hint="write postgresql://user@host:5432/database; escape as in URLs"
        ) from None
    check_ports(str(parts.get("port") or ""))
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    service = f"?service={parts['service']}" if parts.get("service") else ""
    return f"postgresql://{user}{parts.get('host') or ''}{port}/{parts.get('dbname') or ''}{service}"


def connect(url: str, response_timeout: ResponseTimeout) -> TimedConnection:
    """A connection in autocommit: transactions are begun by statement. Raises psycopg.Error."""
    timeout = min(CONNECT_TIMEOUT, math.ceil(response_timeout.longest.total_seconds()))
    connection = TimedConnection.connect(make_conninfo(url, **CONNECTION, connect_timeout=timeout), autocommit=True)
    connection.response_timeout = response_timeout
    connection.adapters.register_dumper(list, _ArrayDumper)
    settings = TIMEOUTS | MEANING
    settings |= {name: ours for name, (since, ours) in WITHOUT_LIMIT.items() if connection.info.server_version >= since}
    if is_pooled(connection):
        # The next transaction may run in another session, which knows nothing of what was prepared or set in this one.
        connection.prepare_threshold = None
        connection.local_settings = "".join(f"; SET LOCAL {name} = '{value}'" for name, value in settings.items())
    else:
        settings |= LASTING
        connection.execute(";".join(f"SET {name} = '{value}'" for name, value in settings.items()))
    return connection


def is_pooled(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    """True if a pooler such as PgBouncer stands between: then the session's pid is not what the handshake said."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return row is None or row[0] != connection.info.backend_pid


def explained(error: BaseException | None, place: str, *, broke: bool) -> DatabaseUnavailable:
    """A driver's error in our words; DatabaseBusy when the same transaction may succeed if it is tried again.

    `broke`: the connection had been made, and is gone.
    """
    state = getattr(error, "sqlstate", None) or ""
    said = _one_line(error)
    if not state and broke:
        return DatabaseBusy(f"the connection to {place} broke: {said}", hint="try again; the server's log says more")
    if not state and isinstance(error, psycopg.OperationalError):
        return _not_connected(said, place)
    if isinstance(error, OSError | MemoryError):
        return DatabaseBusy(f"this machine cannot connect to {place}: {said or 'out of memory'}", hint="try again")
    if isinstance(error, psycopg.DataError) or state.startswith(REFUSED):
        return ValueRefused(f"{place} does not take a value: {said}")
    return _answered(state, said, place)


def _answered(state: str, said: str, place: str) -> DatabaseUnavailable:
    """The error that the server means by that SQLSTATE."""
    match state:
        case "25006":
            return DatabaseBusy(f"{place} is read-only (a standby?)", hint="connect to the primary server")
        case "42501":
            return DatabaseUnreachable(f"{place} refuses: {said}", hint="grant the role rights on the queue's tables")
        case "42P01":
            return DatabaseReplaced(f"{place} lacks the queue's tables: {said}", hint="run `queuectl init`")
        case "42703":
            return DatabaseUnreachable(f"{place} lacks the queue's tables: {said}", hint="run `queuectl init`")
    if state == "53100":
        return DatabaseFull(f"{place} has no disk space left", hint="free some space on the server")
    if state == "0A000":  # a plan that an upgrade of the schema has made void; a standby
        return DatabaseBusy(f"{place} cannot do that now: {said}", hint="try again")
    if state.startswith(AGAIN):
        return DatabaseBusy(f"{place} does not serve now: {said}", hint="try again; the server's log says more")
    return DatabaseUnreachable(f"{place} cannot be used: {said}")


def _copied(cursor: "psycopg.Cursor[object]", insert: str, groups: Iterable[Columns]) -> None:
    """Do by COPY what the INSERT would do with each row: a server takes it in less than half of the time.

    It stores the first rows while the next ones are made. A single row is inserted.
    """
    copy_in = f"{insert.partition(' VALUES ')[0].replace('INSERT INTO', 'COPY', 1)} FROM STDIN"
    rows: Iterator[Sequence[object]] = (row for columns in groups for row in zip(*columns, strict=True))
    row, second = next(rows, None), next(rows, None)
    if row is not None and second is None:  # a round trip less
        cursor.execute(insert, row)
        return
    rows = chain([second] if second else [], rows)
    while row is not None:
        size = 0
        with cursor.copy(copy_in) as copy:
            while row is not None and size < MAX_COPY:
                copy.write_row(row)
                size += sum([len(value) for value in row if value.__class__ is str])
                row = next(rows, None)


class ServerClock:
    """`Clock` that tells the server's time, by this machine's time since boot and its difference to the server's.

    The host's own clock may be wrong by hours, or step. The difference is measured at the first use and then every ten
    seconds, and is wrong by half the time of that question at most; so a slow one is asked again, and the quickest
    counts. While the server does not answer, the last difference goes on; only one thread at a time waits for the
    server.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._measuring = threading.Lock()
        self._measured: timedelta | None = None
        self._server_at_boot = datetime.min

    def __call__(self) -> datetime:
        """The moment by the server's clock. Raises DatabaseUnavailable when it has never answered."""
        if self._measured is None:
            with self._measuring:
                self._measure()
        elif elapsed() - self._measured > MAX_OFFSET_AGE and self._measuring.acquire(blocking=False):
            try:
                self._measure()
            except DatabaseUnavailable:
                self._measured = elapsed()
            finally:
                self._measuring.release()
        return self._server_at_boot + elapsed()

    def _measure(self) -> None:
        def ask(connection: Connection) -> tuple[timedelta, datetime]:
            asked = elapsed()
            moment = server_time(connection)
            took = elapsed() - asked
            return took, moment - asked - took / 2

        def work(connection: Connection) -> tuple[timedelta, datetime]:
            answers = [ask(connection)]
            while min(answers)[0] > SHORT_ROUND_TRIP and len(answers) < MAX_ROUND_TRIPS:
                answers.append(ask(connection))
            return min(answers)

        took, server_at_boot = self._database.read(work)
        # A process that was frozen between question and answer knows less than before.
        if self._measured is None or took <= MAX_ROUND_TRIP:
            self._server_at_boot = server_at_boot
        self._measured = elapsed()


def server_time(connection: Connection) -> datetime:
    """The moment by the server's clock, in UTC."""
    return cast("datetime", connection.scalar("SELECT clock_timestamp()")).astimezone(UTC)


def _not_connected(said: str, place: str) -> DatabaseUnavailable:
    """libpq's words about a connection that was not made: they have the server's words for it, but not its code."""
    if any(words in said for words in NOT_NOW):
        return DatabaseBusy(f"{place} does not serve now: {said}", hint="try again; the server's log says more")
    hint = "check the URL, the server, and the password (PGPASSWORD, ~/.pgpass)"
    if "password" in said and JOB_MARK in os.environ:
        hint = "a job's command is not given the password: put it in ~/.pgpass, or as PGPASSWORD in the job's env"
    return DatabaseUnreachable(f"cannot connect to {place}: {said}", hint=hint)


def _one_line(error: BaseException | None) -> str:
    """The driver's words on one line, without its own preamble."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    lines = [line.strip() for line in (primary or str(error)).splitlines()]
    said = "; ".join(line for line in lines if line and not line.startswith(GUESSES))
    return said.removeprefix("connection failed: ")
