"""The statements as the drivers get them."""

import ast
from pathlib import Path

import pytest

from queuectl.adapters.sql.engine import generate as compiling
from queuectl.adapters.sql.engine.compiled import STATEMENTS
from queuectl.adapters.sql.engine.prepared import prepared
from queuectl.adapters.sql.engine.transactions import GROUP
from queuectl.adapters.sql.statements import SOURCES

ADAPTERS = Path(compiling.__file__).parents[1]
RUNS = {"row", "rows", "only_row", "run", "run_for_each", "load"}


def names_in_use() -> set[str]:
    """The texts that are handed to a connection as a statement's name."""
    named: set[str] = set()
    for path in ADAPTERS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in RUNS:
                texts = (each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant))
                named |= {text for text in texts if isinstance(text, str)}
    return named


def test_what_was_compiled_ahead_of_time_is_up_to_date() -> None:
    assert compiling.COMPILED.read_text() == compiling.module(), "run `make sql`"


def test_every_statement_in_use_exists_and_every_one_that_exists_is_used() -> None:
    assert names_in_use() == set(SOURCES)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_shape_that_was_not_compiled_ahead_of_time_is_compiled_when_asked_for(database: str) -> None:
    assert (database, "claim", (3, False, True)) not in STATEMENTS
    values = {
        "now": None,
        "by_worker": "w",
        "by_lease": "l",
        "limit": 1,
        "suspects": None,
        "queue_0": "a",
        "queue_1": "b",
        "queue_2": "c",
    }
    assert set(prepared(database, "claim", (3, False, True)).bound(values)) == set(values.values())


def test_an_older_sqlite_takes_the_values_of_a_group() -> None:
    parameters = STATEMENTS["sqlite", "add_job", ()][1]
    assert GROUP * len(parameters) <= 999  # SQLITE_MAX_VARIABLE_NUMBER until 3.32, https://sqlite.org/limits.html


def test_a_statement_without_a_value_for_a_parameter_is_an_error() -> None:
    with pytest.raises(KeyError):
        prepared("sqlite", "job").bound({})


def test_the_claim_writes_its_condition_as_its_index_does() -> None:
    """SQLite uses a partial index only for a query that repeats its condition word for word."""
    claim = prepared("sqlite", "claim", (0, False, True)).text
    (index,) = (each for each in compiling.schema_script("sqlite") if "INDEX jobs_due " in each)
    assert f"WHERE jobs.{index.partition('WHERE ')[2]} AND jobs.priority = 10" in claim
