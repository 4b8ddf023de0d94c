"""The tables. The migrations bring an older database to the same; a test holds both together.

Imported to generate the queries and for an upgrade, not at run time.
"""

from typing import Any, TypeVar

import sqlalchemy as sa

T = TypeVar("T")


class Stored(sa.TypeDecorator[T]):
    """A column type whose values are written and read as `values.KINDS` says for its kind.

    Of a parameter or a result that is no column, `or_none` says that it may be None.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: str, column_type: sa.types.TypeEngine[T], *, or_none: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self.column_type = column_type
        self.or_none = or_none

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[T]:
        """The type of the column."""
        return self.column_type


def optional(stored: Stored[T]) -> Stored[T]:
    """The same, or None."""
    return Stored(stored.kind, stored.column_type, or_none=True)


Name = Stored("name", sa.Text())
Words = Stored("text", sa.Text())
Number = Stored("number", sa.Integer())
BigNumber = Stored("number", sa.BigInteger())
Count = Stored("count", sa.Integer())
Moment = Stored("moment", sa.BigInteger())
Span = Stored("span", sa.BigInteger())
Flag = Stored("flag", sa.Boolean())
OfState = Stored("state", sa.Text())
OfOutcome = Stored("outcome", sa.Text())
OfWorker = Stored("worker state", sa.Text())
Texts = Stored("texts", sa.Text())


def list_of(stored: Stored[T]) -> Stored[str]:
    """A list of such values, as a parameter."""
    return Stored(f"list of {stored.kind}s", sa.Text().with_variant(sa.ARRAY(stored.column_type), "postgresql"))


# SQLite gives only an INTEGER primary key the rowid, and only a rowid table's key counts up by itself.
Counter = sa.BigInteger().with_variant(sa.Integer, "sqlite")

metadata = sa.MetaData()

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("seq", Counter, primary_key=True, autoincrement=True),
    sa.Column("id", Name, nullable=False, unique=True),
    sa.Column("command", Stored("command", sa.Text()), nullable=False),
    sa.Column("queue", Words, nullable=False),
    sa.Column("priority", Number, nullable=False),
    sa.Column("max_retries", Count, nullable=False),
    sa.Column("timeout", Stored("limit", sa.BigInteger())),
    sa.Column("run_at", Moment, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("cwd", Stored("path", sa.Text())),
    sa.Column("env", Stored("environment", sa.Text()), nullable=False),
    sa.Column("state", OfState, nullable=False),
    sa.Column("attempts", Count, nullable=False),
    sa.Column("failures", Count, nullable=False),
    sa.Column("losses", Count, nullable=False),
    sa.Column("started_at", Moment),
    sa.Column("finished_at", Moment),
    sa.Column("worker", Words),
    sa.Column("lease_id", Words),
    sa.Column("exit_code", Number),
    sa.Column("last_error", Words),
    sa.Column("cancel_requested_at", Moment),
    sa.Column("cancel_requested_by", Words),
    sa.Column("suspect", Flag, nullable=False, server_default=sa.false()),
    sa.Column("stdin", Words),
    sa.Column("tags", Texts, nullable=False, server_default="[]"),
    sa.Column("needs", Texts, nullable=False, server_default="[]"),
    sa.Column("lane", Number, nullable=False, server_default="0"),
    sa.Column("slot", Number),
    sa.Column("key", Words),
    sa.Column("key_limit", Number),
    sa.Column("waits_for", Stored("waits for", sa.Text())),
    sa.Column("unique_key", Words),
    sa.Column("unique_until", Words),
    sa.Column("unique_held", Words),
    sa.Column("unique_expires_at", Moment),
    sa.Column("batch", Words),
    sa.Column("blockers", Count, nullable=False, server_default="0"),
    sa.Column("has_dependents", Flag, nullable=False, server_default=sa.false()),
    sqlite_autoincrement=True,
)

_WAITING = "state IN ('pending', 'failed')"
WAITING: sa.ColumnElement[bool] = sa.literal_column(f"jobs.{_WAITING}")  # as a Boolean, it would be compared with 1
_RUNS = "state = 'processing'"


def _partial_index(name: str, condition: str, *columns: sa.ColumnElement[Any], unique: bool = False) -> None:
    """An index of some rows. The claim's have their conditions as the claim writes them.

    SQLite uses such an index only when the query repeats its condition word for word, and so not through parameters.
    """
    where: sa.ColumnElement[bool] = sa.literal_column(condition)
    sa.Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


_partial_index("jobs_due", f"{_WAITING} AND waits_for IS NULL", jobs.c.lane, jobs.c.priority, jobs.c.run_at, jobs.c.seq)
_partial_index("jobs_suspect", "suspect", jobs.c.priority.desc(), jobs.c.run_at, jobs.c.seq)
_partial_index("jobs_held", "worker IS NOT NULL", jobs.c.worker)
sa.Index("jobs_by_state", jobs.c.state, jobs.c.seq)

# The limits: no committed state has two jobs in one slot, or two of a key that one job at a time may have.
_partial_index("jobs_in_slots", f"{_RUNS} AND slot IS NOT NULL", jobs.c.queue, jobs.c.slot, unique=True)
_partial_index("jobs_one_of_a_key", f"{_RUNS} AND key_limit = 1", jobs.c.key, unique=True)
_partial_index("jobs_of_a_key", f"{_RUNS} AND key_limit > 1", jobs.c.key)
_partial_index(
    "jobs_of_a_waiting_key",
    f"key IS NOT NULL AND {_WAITING}",
    *(jobs.c.waits_for, jobs.c.key, jobs.c.lane, jobs.c.priority.desc(), jobs.c.run_at, jobs.c.seq),
)

_partial_index("jobs_unique", "unique_held IS NOT NULL", jobs.c.unique_held, unique=True)
_partial_index("jobs_of_batch", "batch IS NOT NULL", jobs.c.batch, jobs.c.state)
_partial_index("jobs_unresolved", "has_dependents AND state IN ('completed', 'dead', 'cancelled')", jobs.c.seq)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("job_id", Name, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("number", Number, nullable=False),
    sa.Column("queue", Words, nullable=False),
    sa.Column("worker", Words, nullable=False),
    sa.Column("host", Words, nullable=False),
    sa.Column("lease_id", Words, nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("waited", Span, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("ran", Span),
    sa.Column("outcome", OfOutcome),
    sa.Column("exit_code", Number),
    sa.Column("signal", Number),
    sa.Column("error", Words),
    sa.Column("late", OfOutcome),
    sa.Column("output_truncated", Flag, nullable=False),
    sa.Column("output", Stored("content", sa.LargeBinary())),
    sa.PrimaryKeyConstraint("job_id", "number"),
)

sa.Index("attempts_ended", attempts.c.finished_at)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", Words, primary_key=True),
    sa.Column("host", Words, nullable=False),
    sa.Column("machine", Words, nullable=False),
    sa.Column("pid", Number, nullable=False),
    sa.Column("pid_started", BigNumber, nullable=False),
    sa.Column("supervisor_pid", Number, nullable=False),
    sa.Column("supervisor_started", BigNumber, nullable=False),
    sa.Column("queues", Stored("texts", sa.Text()), nullable=False),
    sa.Column("concurrency", Number, nullable=False),
    sa.Column("state", OfWorker, nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("renewed_at", Moment, nullable=False),
    sa.Column("lease_expires_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Column("labels", Texts, nullable=False, server_default="[]"),
)

config = sa.Table(
    "config",
    metadata,
    sa.Column("queue", Words, primary_key=True, server_default=""),
    sa.Column("key", Words, primary_key=True),
    sa.Column("value", Words, nullable=False),
)

queues = sa.Table(
    "queues",
    metadata,
    sa.Column("name", Words, primary_key=True),
    sa.Column("concurrency", Number),
    sa.Column("rate_count", Number),
    sa.Column("rate_period", Stored("limit", sa.BigInteger())),
    sa.Column("reserved", Flag, nullable=False, server_default=sa.false()),
    sa.Column("paused_at", Moment),
    sa.Column("paused_until", Moment),
    sa.Column("paused_by", Words),
    sa.Column("pause_reason", Words),
)

lanes = sa.Table(
    "lanes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("queue", Words, nullable=False),
    sa.Column("needs", Texts, nullable=False),
    sa.UniqueConstraint("queue", "needs"),
)

slots = sa.Table(
    "slots",
    metadata,
    sa.Column("queue", Words, primary_key=True),
    sa.Column("kind", Stored("slot kind", sa.Text()), primary_key=True),
    sa.Column("slot", Number, primary_key=True),
    sa.Column("free_at", Moment, nullable=False),
)

_partial_index("slots_free", "kind = 'start'", slots.c.queue, slots.c.free_at)

dependencies = sa.Table(
    "dependencies",
    metadata,
    sa.Column("child", BigNumber, sa.ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True),
    sa.Column("parent", Words, primary_key=True),
    sa.Column("met_by", Stored("end", sa.Text()), nullable=False),
    sa.Column("is_met", Flag, nullable=False, server_default=sa.false()),
)

sa.Index("dependencies_of", dependencies.c.parent)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("name", Words, primary_key=True),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
)

tags = sa.Table(
    "tags",
    metadata,
    sa.Column("tag", Words, primary_key=True),
    sa.Column("seq", BigNumber, sa.ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True),
)

sa.Index("tags_of", tags.c.seq)
