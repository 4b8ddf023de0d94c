"""Suspects: jobs that have lost their worker and run apart from others."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the mark, which no job has, and the index of those that will have it."""
    op.add_column("jobs", sa.Column("suspect", sa.Boolean, nullable=False, server_default=sa.false()))
    marked = sa.text("suspect")
    columns = [sa.text("priority DESC"), sa.text("run_at"), sa.text("seq")]
    op.create_index("jobs_suspect", "jobs", columns, sqlite_where=marked, postgresql_where=marked)
