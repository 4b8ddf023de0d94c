"""Flow: queues with limits and pauses, lanes, keys, unique jobs, dependencies, batches, labels, tags, input."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _texts(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="[]")


def upgrade() -> None:
    """Add what they are stored in. One index by lane takes the place of two of waiting jobs."""
    _jobs()
    _config()
    op.add_column("workers", _texts("labels"))
    _queues()
    _others()


def _jobs() -> None:
    for column in (
        sa.Column("stdin", sa.Text),
        _texts("tags"),
        _texts("needs"),
        sa.Column("lane", sa.Integer, nullable=False, server_default="0"),
        sa.Column("slot", sa.Integer),
        sa.Column("key", sa.Text),
        sa.Column("key_limit", sa.Integer),
        sa.Column("waits_for", sa.Text),
        sa.Column("unique_key", sa.Text),
        sa.Column("unique_until", sa.Text),
        sa.Column("unique_held", sa.Text),
        sa.Column("unique_expires_at", sa.BigInteger),
        sa.Column("batch", sa.Text),
        sa.Column("blockers", sa.Integer, nullable=False, server_default="0"),
        sa.Column("has_dependents", sa.Boolean, nullable=False, server_default=sa.false()),
    ):
        op.add_column("jobs", column)
    op.drop_index("jobs_due")
    op.drop_index("jobs_due_in_queue")
    waiting = "state IN ('pending', 'failed') AND waits_for IS NULL"
    ended = "has_dependents AND state IN ('completed', 'dead', 'cancelled')"
    _index("jobs_due", waiting, "lane", "priority", "run_at", "seq")
    _index("jobs_in_slots", "state = 'processing' AND slot IS NOT NULL", "queue", "slot", unique=True)
    _index("jobs_one_of_a_key", "state = 'processing' AND key_limit = 1", "key", unique=True)
    _index("jobs_of_a_key", "state = 'processing' AND key_limit > 1", "key")
    _index(
        "jobs_of_a_waiting_key",
        "key IS NOT NULL AND state IN ('pending', 'failed')",
        *("waits_for", "key", "lane", sa.text("priority DESC"), "run_at", "seq"),
    )
    _index("jobs_unique", "unique_held IS NOT NULL", "unique_held", unique=True)
    _index("jobs_of_batch", "batch IS NOT NULL", "batch", "state")
    _index("jobs_unresolved", ended, "seq")


def _config() -> None:
    """A setting may be of one queue: its key is that and the queue's name, which is empty for all queues."""
    queue = sa.Column("queue", sa.Text, server_default="", primary_key=True)
    if op.get_context().dialect.name == "postgresql":
        op.add_column("config", sa.Column("queue", sa.Text, server_default="", nullable=False))
        op.drop_constraint("config_pkey", "config")
        op.create_primary_key("config_pkey", "config", ["queue", "key"])
        return
    op.rename_table("config", "config_of_all")  # SQLite changes no primary key
    key, value = sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
    op.create_table("config", queue, key, value)
    op.execute("INSERT INTO config (key, value) SELECT key, value FROM config_of_all")
    op.drop_table("config_of_all")


def _queues() -> None:
    op.create_table(
        "queues",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("concurrency", sa.Integer),
        sa.Column("rate_count", sa.Integer),
        sa.Column("rate_period", sa.BigInteger),
        sa.Column("reserved", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("paused_at", sa.BigInteger),
        sa.Column("paused_until", sa.BigInteger),
        sa.Column("paused_by", sa.Text),
        sa.Column("pause_reason", sa.Text),
    )
    op.create_table(
        "lanes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("needs", sa.Text, nullable=False),
        sa.UniqueConstraint("queue", "needs"),
    )
    op.create_table(
        "slots",
        sa.Column("queue", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("slot", sa.Integer, primary_key=True),
        sa.Column("free_at", sa.BigInteger, nullable=False),
    )
    _index("slots_free", "kind = 'start'", "queue", "free_at", table="slots")


def _others() -> None:
    op.create_table(
        "dependencies",
        sa.Column("child", sa.BigInteger, sa.ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True),
        sa.Column("parent", sa.Text, primary_key=True),
        sa.Column("met_by", sa.Text, nullable=False),
        sa.Column("is_met", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_index("dependencies_of", "dependencies", ["parent"])
    op.create_table(
        "batches",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
    )
    op.create_table(
        "tags",
        sa.Column("tag", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, sa.ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True),
    )
    op.create_index("tags_of", "tags", ["seq"])


def _index(name: str, condition: str, *columns: str | sa.TextClause, unique: bool = False, table: str = "jobs") -> None:
    where = sa.text(condition)
    op.create_index(name, table, list(columns), unique=unique, sqlite_where=where, postgresql_where=where)
