"""A new database has the schema to which the migrations bring an old one."""

import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from queuectl.adapters.sql.engine.migration import SCHEMA_VERSION, migrate
from queuectl.adapters.sql.postgresql.connection import postgres_dialect
from queuectl.adapters.sql.sqlite.connection import create_file, sqlite_dialect
from tests.contracts.conftest import at_url
from tests.postgres.plugin import emptied

CATALOGUE = """
    SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
        WHERE table_schema = current_schema()
    UNION ALL SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = current_schema()
    UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '' FROM pg_constraint
        WHERE connamespace = current_schema()::regnamespace
    UNION ALL SELECT 'version', version_num, '', '', '' FROM alembic_version
    ORDER BY 1, 2, 3
"""


def sqlite_schema(path: Path) -> Sequence[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        made = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
        version = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    connection.close()
    return [(name, sorted(re.findall(r"[\w']+", sql))) for name, sql in made] + version


def postgres_schema(url: str) -> Sequence[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(CATALOGUE).fetchall()


def test_on_sqlite(tmp_path: Path) -> None:
    new, migrated = tmp_path / "new.db", tmp_path / "migrated.db"
    at_url(f"sqlite:///{new}", tmp_path).close()
    create_file(migrated)
    migrate(sqlite_dialect(migrated))
    assert sqlite_schema(new)[-1] == (SCHEMA_VERSION,)
    assert sqlite_schema(migrated) == sqlite_schema(new)


@pytest.mark.parametrize("times", [1, 2])
def test_on_postgresql(empty_postgres_url: str, session_postgres_url: str, times: int) -> None:
    new = postgres_schema(emptied(session_postgres_url))
    for _ in range(times):
        migrate(postgres_dialect(empty_postgres_url), lock="SELECT pg_advisory_xact_lock(1)")
    assert postgres_schema(empty_postgres_url) == new
