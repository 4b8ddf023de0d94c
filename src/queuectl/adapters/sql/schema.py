"""The tables. The migrations bring an older database to the same; a test holds both together.

Imported to generate the queries and for an upgrade, not at run time.
"""

from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
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
    """A column type whose values are written and read as `values.KINDS` says for its kind.

    Of a parameter or a result that is no column, `or_none` says that it may be None.
    """

    impl = Text
    cache_ok = True

    def __init__(self, kind: str, column_type: TypeEngine[T], *, or_none: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self.column_type = column_type
        self.or_none = or_none

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[T]:
        """The type of the column."""
        return self.column_type


def optional(stored: Stored[T]) -> Stored[T]:
    """The same, or None."""
    return Stored(stored.kind, stored.column_type, or_none=True)


Name = Stored("name", Text())
Words = Stored("text", Text())
Number = Stored("number", Integer())
BigNumber = Stored("number", BigInteger())
Count = Stored("count", Integer())
Moment = Stored("moment", BigInteger())
Span = Stored("span", BigInteger())
Limit = Stored("limit", BigInteger())
Flag = Stored("flag", Boolean())
Path = Stored("path", Text())
Texts = Stored("texts", Text())
Output = Stored("bytes", LargeBinary())
OfState = Stored("state", Text())
OfOutcome = Stored("outcome", Text())
OfWorker = Stored("worker state", Text())


def list_of(stored: Stored[T]) -> Stored[str]:
    """A list of such values, as a parameter."""
    return Stored(f"list of {stored.kind}s", Text().with_variant(ARRAY(stored.column_type), "postgresql"))


# SQLite gives only an INTEGER primary key the rowid, and only a rowid table's key counts up by itself.
Counter = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Counter, primary_key=True, autoincrement=True),
    Column("id", Name, nullable=False, unique=True),
    Column("command", Stored("command", Text()), nullable=False),
    Column("queue", Words, nullable=False),
    Column("priority", Number, nullable=False),
    Column("max_retries", Count, nullable=False),
    Column("timeout", Limit),
    Column("run_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("cwd", Path),
    Column("env", Stored("environment", Text()), nullable=False),
    Column("state", OfState, nullable=False),
    Column("attempts", Count, nullable=False),
    Column("failures", Count, nullable=False),
    Column("losses", Count, nullable=False),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("worker", Words),
    Column("lease_id", Words),
    Column("exit_code", Number),
    Column("last_error", Words),
    Column("cancel_requested_at", Moment),
    Column("cancel_requested_by", Words),
    Column("suspect", Flag, nullable=False, server_default=false()),
    sqlite_autoincrement=True,
)

_WAITING = "state IN ('pending', 'failed')"
WAITING: ColumnElement[bool] = literal_column(f"jobs.{_WAITING}")  # as a Boolean, it would be compared with 1


def _partial_index(name: str, condition: str, *columns: ColumnElement[Any]) -> None:
    """An index of some rows. The claim's have their conditions as the claim writes them.

    SQLite uses such an index only when the query repeats its condition word for word, and so not through parameters.
    """
    where: ColumnElement[bool] = literal_column(condition)
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


_partial_index("jobs_due", _WAITING, jobs.c.priority, jobs.c.run_at, jobs.c.seq)
_partial_index("jobs_due_in_queue", _WAITING, jobs.c.queue, jobs.c.priority, jobs.c.run_at, jobs.c.seq)
_partial_index("jobs_suspect", "suspect", jobs.c.priority.desc(), jobs.c.run_at, jobs.c.seq)
_partial_index("jobs_held", "worker IS NOT NULL", jobs.c.worker)
Index("jobs_by_state", jobs.c.state, jobs.c.seq)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", Name, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("number", Number, nullable=False),
    Column("queue", Words, nullable=False),
    Column("worker", Words, nullable=False),
    Column("host", Words, nullable=False),
    Column("lease_id", Words, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("waited", Span, nullable=False),
    Column("finished_at", Moment),
    Column("ran", Span),
    Column("outcome", OfOutcome),
    Column("exit_code", Number),
    Column("signal", Number),
    Column("error", Words),
    Column("late", OfOutcome),
    Column("output_truncated", Flag, nullable=False),
    Column("output", Output),
    PrimaryKeyConstraint("job_id", "number"),
)

Index("attempts_ended", attempts.c.finished_at)

workers = Table(
    "workers",
    metadata,
    Column("id", Words, primary_key=True),
    Column("host", Words, nullable=False),
    Column("machine", Words, nullable=False),
    Column("pid", Number, nullable=False),
    Column("pid_started", BigNumber, nullable=False),
    Column("supervisor_pid", Number, nullable=False),
    Column("supervisor_started", BigNumber, nullable=False),
    Column("queues", Texts, nullable=False),
    Column("concurrency", Number, nullable=False),
    Column("state", OfWorker, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("renewed_at", Moment, nullable=False),
    Column("lease_expires_at", Moment, nullable=False),
    Column("ended_at", Moment),
)

config = Table(
    "config",
    metadata,
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
)
