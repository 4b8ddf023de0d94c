"""The schema of a database, and the way to the newest: at once when it has none, else by Alembic's migrations."""

from pathlib import Path

from queuectl.adapters.sql.engine.queries import SCHEMA, SCHEMA_VERSION
from queuectl.adapters.sql.engine.transactions import Connection, Dialect
from queuectl.domain.errors import SchemaMismatch

_HAS_VERSION = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'",
    # Asked of a table: by opening one, a session hears what others have done since its transaction began. Else it goes
    # by what it remembers, which is that there was no such table before it waited for the lock.
    "postgresql": "SELECT to_regclass('alembic_version') FROM pg_class LIMIT 1",
}

_AS_ALEMBIC_DOES = (
    """CREATE TABLE alembic_version (
        version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
    )""",
    f"INSERT INTO alembic_version (version_num) VALUES ('{SCHEMA_VERSION}')",  # noqa: S608 - a constant
)


def schema_version(connection: Connection) -> str | None:
    """The revision that the database has; None without any of ours."""
    if connection.scalar(_HAS_VERSION[connection.dialect.language]) is None:
        return None
    version = connection.scalar("SELECT version_num FROM alembic_version")
    return None if version is None else str(version)


def check_version(version: str | None, database: str) -> None:
    """Raises SchemaMismatch unless the database has the schema that this program was written for."""
    if version == SCHEMA_VERSION:
        return
    if version is not None and version > SCHEMA_VERSION:
        raise SchemaMismatch(
            f"{database} has schema {version}, which is newer than this queuectl knows ({SCHEMA_VERSION})",
            hint="upgrade queuectl on this host",
        )
    if version is None:
        raise SchemaMismatch(f"{database} holds no queue yet", hint="run `queuectl init` to create it")
    raise SchemaMismatch(
        f"{database} has schema {version}, this queuectl needs {SCHEMA_VERSION}",
        hint="run `queuectl init` to bring it up to date",
    )


def create_schema(connection: Connection, *, first: str) -> None:
    """Make the newest schema in the running transaction, unless another has made one before it ran `first`."""
    connection.execute(first)
    if schema_version(connection) is None:
        for statement in (*SCHEMA[connection.dialect.language], *_AS_ALEMBIC_DOES):
            connection.execute(statement)


def migrate(dialect: Dialect, *, lock: str = "") -> None:
    """Bring an older schema up to date, in a transaction of its own that begins with `lock`.

    Raises SchemaMismatch for an unknown one, and the driver's errors. Whoever comes second finds the work done.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy import NullPool, create_engine

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations").replace("%", "%%"))
    driver = {"sqlite": "sqlite+pysqlite://", "postgresql": "postgresql+psycopg://"}[dialect.language]
    engine = create_engine(driver, creator=dialect.connect, poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(dialect.begin_writing)
        if lock:
            connection.exec_driver_sql(lock)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise SchemaMismatch(f"the database has a schema that no queuectl has made: {error}") from error
        connection.commit()
