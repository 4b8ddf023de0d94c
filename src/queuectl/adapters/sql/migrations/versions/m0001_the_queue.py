"""The queue: jobs, attempts, workers, config."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables and their indexes."""
    op.create_table(
        "jobs",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("max_retries", sa.Integer, nullable=False),
        sa.Column("timeout", sa.BigInteger),
        sa.Column("run_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("cwd", sa.Text),
        sa.Column("env", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("worker", sa.Text),
        sa.Column("lease_id", sa.Text),
        sa.Column("exit_code", sa.Integer),
        sa.Column("last_error", sa.Text),
        sa.Column("cancel_requested_at", sa.BigInteger),
        sa.Column("cancel_requested_by", sa.Text),
        sqlite_autoincrement=True,
    )
    waiting = sa.text("state IN ('pending', 'failed')")
    op.create_index("jobs_due", "jobs", ["priority", "run_at", "seq"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_index(
        "jobs_due_in_queue",
        "jobs",
        ["queue", "priority", "run_at", "seq"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_index("jobs_by_state", "jobs", ["state", "seq"])
    held = sa.text("worker IS NOT NULL")
    op.create_index("jobs_held", "jobs", ["worker"], sqlite_where=held, postgresql_where=held)

    op.create_table(
        "attempts",
        sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("lease_id", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("waited", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("ran", sa.BigInteger),
        sa.Column("outcome", sa.Text),
        sa.Column("exit_code", sa.Integer),
        sa.Column("signal", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("late", sa.Text),
        sa.Column("output_truncated", sa.Boolean, nullable=False),
        sa.Column("output", sa.LargeBinary),
        sa.PrimaryKeyConstraint("job_id", "number"),
    )
    op.create_index("attempts_ended", "attempts", ["finished_at"])

    op.create_table(
        "workers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("pid_started", sa.BigInteger, nullable=False),
        sa.Column("supervisor_pid", sa.Integer, nullable=False),
        sa.Column("supervisor_started", sa.BigInteger, nullable=False),
        sa.Column("queues", sa.Text, nullable=False),
        sa.Column("concurrency", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("renewed_at", sa.BigInteger, nullable=False),
        sa.Column("lease_expires_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
    )
    op.create_table(
        "config",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
