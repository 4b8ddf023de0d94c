"""Which schema a database has, and how it gets the newest. Alembic is imported only when there is something to do."""

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, Table, Text, inspect, select

from queuectl.adapters.sql.schema import SCHEMA_VERSION
from queuectl.domain.errors import SchemaMismatch

_version = Table("alembic_version", MetaData(), Column("version_num", Text))


def schema_version(connection: Connection) -> str | None:
    """The revision that the database has; None without any of ours."""
    if not inspect(connection).has_table(_version.name):
        return None
    return connection.execute(select(_version.c.version_num)).scalar()


def has_tables(connection: Connection) -> bool:
    """Whether the database holds any table at all, ours or another program's."""
    return bool(inspect(connection).get_table_names())


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


def migrate(connection: Connection) -> None:
    """Bring the schema up to date, inside the connection's transaction. Raises SchemaMismatch for an unknown one."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaMismatch(f"the database has a schema that no queuectl has made: {error}") from error
