"""PostgreSQL: one server, for workers on any number of hosts."""

from datetime import timedelta

from queuectl.adapters.sql.backend import Backend
from queuectl.adapters.sql.engine.transactions import Database
from queuectl.adapters.sql.postgresql.claim import PostgresClaiming
from queuectl.adapters.sql.postgresql.connection import ServerClock, display_name, postgres_dialect
from queuectl.adapters.sql.postgresql.handover import without_secrets
from queuectl.adapters.sql.postgresql.notify import PostgresListen, PostgresNotify
from queuectl.adapters.sql.postgresql.scratch import PostgresScratch
from queuectl.adapters.sql.postgresql.storage import PostgresStorage


def backend(url: str, *, patience: timedelta) -> Backend:
    """The database of that URL; its clock is the server's. Raises DatabaseUnreachable for a URL that is none."""
    name = display_name(url)
    database = Database(postgres_dialect(url), patience=patience)
    return Backend(
        location=name,
        shareable_url=lambda: without_secrets(url),
        database=database,
        storage=PostgresStorage(name, database),
        clock=ServerClock(database),
        notify=PostgresNotify(database),
        listen=PostgresListen(url),
        scratch=lambda: PostgresScratch(url),
        claiming=PostgresClaiming(),
    )
