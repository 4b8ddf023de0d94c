"""The tables, and how the core's values are written in them.

Moments are integer microseconds since 1970 in UTC and spans integer microseconds, on every backend: exact, ordered
and subtracted alike. `SCHEMA_VERSION` is the newest migration's revision; a test holds both together.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    literal_column,
)

from queuectl.domain.job import Command, State
from queuectl.domain.outcome import Outcome
from queuectl.domain.ports import WorkerState

SCHEMA_VERSION = "0001"

W = TypeVar("W", bound=StrEnum)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """An aware datetime as integer microseconds since 1970 UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """To the database."""
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Span(TypeDecorator[timedelta]):
    """A timedelta as integer microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        """To the database."""
        return None if value is None else value // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> timedelta | None:
        """From the database."""
        return None if value is None else timedelta(microseconds=int(value))  # a sum is a Decimal on PostgreSQL


class CommandText(TypeDecorator[Command]):
    """A command as JSON: text, or a list of texts."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Command | None, dialect: Dialect) -> str:
        """To the database."""
        return json.dumps(value, ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Command:
        """From the database."""
        command = json.loads(value or "")
        return command if isinstance(command, str) else tuple(command)


class TextMap(TypeDecorator[Mapping[str, str]]):
    """Texts by name as a JSON object."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, str] | None, dialect: Dialect) -> str:
        """To the database."""
        return json.dumps(dict(value or {}), ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Mapping[str, str]:
        """From the database."""
        return dict(json.loads(value or "{}"))


class Texts(TypeDecorator[Sequence[str]]):
    """A list of texts as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> str:
        """To the database."""
        return json.dumps(value or [], ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Sequence[str]:
        """From the database."""
        return list(json.loads(value or "[]"))


class Word(TypeDecorator[W]):
    """One of the domain's words (a StrEnum) as text."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[W]) -> None:
        super().__init__()
        self.words = words

    def process_result_value(self, value: str | None, dialect: Dialect) -> W | None:
        """From the database."""
        return None if value is None else self.words(value)


# SQLite gives only an INTEGER primary key the rowid, and only a rowid table's key counts up by itself.
Counter = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Counter, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("command", CommandText, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("max_retries", Integer, nullable=False),
    Column("timeout", Span),
    Column("run_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("cwd", Text),
    Column("env", TextMap, nullable=False),
    Column("state", Word(State), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("worker", Text),
    Column("lease_id", Text),
    Column("exit_code", Integer),
    Column("last_error", Text),
    Column("cancel_requested_at", Moment),
    Column("cancel_requested_by", Text),
    sqlite_autoincrement=True,
)

# The condition of the two claim indexes, written as the claim writes it: SQLite uses a partial index only when the
# query repeats its condition word for word, and so not through bound parameters.
WAITING = literal_column("jobs.state IN ('pending', 'failed')", Boolean)
_INDEXED = literal_column("state IN ('pending', 'failed')", Boolean)

Index(
    "jobs_due", jobs.c.priority, jobs.c.run_at, jobs.c.seq, sqlite_where=_INDEXED, postgresql_where=_INDEXED
)  # fmt: skip
Index(
    "jobs_due_in_queue",
    jobs.c.queue,
    jobs.c.priority,
    jobs.c.run_at,
    jobs.c.seq,
    sqlite_where=_INDEXED,
    postgresql_where=_INDEXED,
)
Index("jobs_by_state", jobs.c.state, jobs.c.seq)
Index("jobs_held", jobs.c.worker, sqlite_where=jobs.c.worker.is_not(None), postgresql_where=jobs.c.worker.is_not(None))

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("queue", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("lease_id", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("waited", Span, nullable=False),
    Column("finished_at", Moment),
    Column("ran", Span),
    Column("outcome", Word(Outcome)),
    Column("exit_code", Integer),
    Column("signal", Integer),
    Column("error", Text),
    Column("late", Word(Outcome)),
    Column("output_truncated", Boolean, nullable=False),
    Column("output", LargeBinary),
    PrimaryKeyConstraint("job_id", "number"),
)

Index("attempts_ended", attempts.c.finished_at)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("machine", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_started", BigInteger, nullable=False),
    Column("supervisor_pid", Integer, nullable=False),
    Column("supervisor_started", BigInteger, nullable=False),
    Column("queues", Texts, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("state", Word(WorkerState), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("renewed_at", Moment, nullable=False),
    Column("lease_expires_at", Moment, nullable=False),
    Column("ended_at", Moment),
)

config = Table(
    "config",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
