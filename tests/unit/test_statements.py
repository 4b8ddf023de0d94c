"""The generated functions and the SQL for people are what the statements and tables say."""

import re

import pytest

from queuectl.adapters.sql.engine import generate, queries
from queuectl.adapters.sql.engine.query import Query
from queuectl.adapters.sql.statements import SOURCES
from queuectl.adapters.sql.stores.jobs import GROUP

SOURCE = generate.FOLDER


@pytest.mark.parametrize("path", generate.outputs(), ids=lambda path: path.name)
def test_what_was_compiled_ahead_of_time_is_up_to_date(path: object) -> None:
    assert path.read_text() == generate.outputs()[path], "run `make sql`"  # type: ignore[attr-defined, index]


def test_every_statement_in_use_exists_and_every_one_that_exists_is_used() -> None:
    """mypy holds the first half."""
    texts = [path.read_text() for path in SOURCE.rglob("*.py") if path.name != "queries.py"]
    used = {name.lower() for text in texts for name in re.findall(r"\bqueries\.(\w+)", text)}
    assert {source.name for source in SOURCES} - used == set()


def test_an_older_sqlite_takes_the_values_of_a_group() -> None:
    assert GROUP * len(queries.AddJobs._fields) <= 999  # SQLITE_MAX_VARIABLE_NUMBER until 3.32, sqlite.org/limits.html


def test_psycopg_remembers_how_each_statement_is_taken_apart() -> None:
    """It does not for longer ones: each call would take it apart anew, a hundred microseconds for a claim."""
    made = [it for it in vars(queries).values() if isinstance(it, Query) and "postgresql" in it.texts]
    assert [it.name for it in made if len(it.texts["postgresql"].encode()) > 4096] == []
    assert max(len(it.texts["postgresql"]) for it in made) > 3000


def test_the_claim_writes_its_condition_as_its_index_does() -> None:
    """SQLite uses a partial index only for a query that repeats its condition word for word."""
    index = next(each for each in generate.schema_script("sqlite") if "INDEX jobs_due " in each)
    for query in (queries._DUE_JOBS, queries._FIRST_RUN_AT):
        assert f"WHERE {index.partition('WHERE ')[2]}" in query.texts["sqlite"]
