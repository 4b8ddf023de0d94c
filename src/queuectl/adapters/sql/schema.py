"""The tables. The migrations bring an older database to the same; a test holds both together.

Not imported at run time, but for an upgrade: see `prepared.py`.
"""

from typing import TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
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
    false,
    literal_column,
)
from sqlalchemy.types import TypeEngine

T = TypeVar("T")


class Stored(TypeDecorator[T]):
    """A column type whose values are written as `values.KINDS` says for its kind."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: str, column_type: TypeEngine[T]) -> None:
        super().__init__()
        self.kind = kind
        self.column_type = column_type

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[T]:
        """The type of the column."""
        return self.column_type


Moment = Stored("moment", BigInteger())
Span = Stored("span", BigInteger())
Flag = Stored("flag", Boolean())
Path = Stored("path", Text())
Texts = Stored("texts", Text())
OfState = Stored("state", Text())
OfOutcome = Stored("outcome", Text())
OfWorker = Stored("worker state", Text())

# SQLite gives only an INTEGER primary key the rowid, and only a rowid table's key counts up by itself.
Counter = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Counter, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("command", Stored("command", Text()), nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("max_retries", Integer, nullable=False),
    Column("timeout", Span),
    Column("run_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("cwd", Path),
    Column("env", Stored("text map", Text()), nullable=False),
    Column("state", OfState, nullable=False),
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
    Column("suspect", Flag, nullable=False, server_default=false()),
    sqlite_autoincrement=True,
)

# The conditions of the claim indexes, written as the claim writes it: SQLite uses a partial index only when the
# query repeats its condition word for word, and so not through bound parameters.
WAITING: ColumnElement[bool] = literal_column(
    "jobs.state IN ('pending', 'failed')"
)  # as a Boolean, it would be compared with 1
_INDEXED: ColumnElement[bool] = literal_column("state IN ('pending', 'failed')")

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
SUSPECT: ColumnElement[bool] = literal_column("jobs.suspect")
_SUSPECT: ColumnElement[bool] = literal_column("suspect")

Index(
    "jobs_suspect",
    jobs.c.priority.desc(),
    jobs.c.run_at,
    jobs.c.seq,
    sqlite_where=_SUSPECT,
    postgresql_where=_SUSPECT,
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
    Column("outcome", OfOutcome),
    Column("exit_code", Integer),
    Column("signal", Integer),
    Column("error", Text),
    Column("late", OfOutcome),
    Column("output_truncated", Flag, nullable=False),
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
    Column("state", OfWorker, nullable=False),
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
