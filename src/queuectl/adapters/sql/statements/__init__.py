"""The statements, by topic, in SQLAlchemy's language: `make sql` makes typed functions and readable SQL of them.

Imported to generate those, not at run time. The locking clauses are PostgreSQL's; SQLite's compiler leaves them out, as
its writers exclude each other anyway. What is not one text on both databases stands in a `.sql` file of each.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import TextClause
from sqlalchemy.types import Text, TypeEngine

from queuectl.adapters.sql.schema import Stored, Words, list_of, optional

SQLITE, POSTGRESQL = "sqlite", "postgresql"

Build: TypeAlias = Callable[[], sa.ClauseElement | Mapping[str, sa.ClauseElement] | list[sa.ColumnElement[Any]]]
"""Makes the statement, or a list of pieces: one for both databases, or those of some by their languages."""

B = TypeVar("B", bound=Build)

AnySelect: TypeAlias = sa.Select[*tuple[object, ...]]


class Form(Enum):
    """The values that the generated function takes and gives."""

    MANY = "many"
    """All rows."""
    ONE = "one"
    """The first row, or None."""
    ONLY = "only"
    """The row of a statement that always gives one."""
    RUN = "run"
    """The number of rows that it changed."""
    EACH = "each"
    """Nothing; it is run with each of many values."""
    LOAD = "load"
    """Nothing; it is an INSERT of many rows, given by columns."""
    PIECE = "piece"
    """A part of statements that are composed."""


@dataclass(frozen=True, slots=True)
class Source:
    """A statement, from which a function is generated that has its name and its docstring."""

    build: Build
    form: Form

    @property
    def name(self) -> str:
        """The function's name."""
        return self.build.__name__


SOURCES: list[Source] = []


def _register(form: Form) -> Callable[[B], B]:
    def register(build: B) -> B:
        SOURCES.append(Source(build, form))
        return build

    return register


many, one, only, run, each, load, piece = map(_register, Form)


class among(sa.ColumnElement[bool]):  # noqa: N801 - it reads as the function that it stands for
    """That a column is one of the texts, or numbers, of the list `:name`: one parameter, however many there are."""

    inherit_cache = False

    def __init__(self, column: sa.ColumnElement[Any], name: str, stored: Stored[Any] = Words) -> None:
        self.column = column
        self.listed = sa.bindparam(name, type_=list_of(stored))


@compiles(among, SQLITE)
def _among_in_sqlite(element: among, compiler: SQLCompiler, **kwargs: Any) -> str:  # noqa: ANN401 - its signature
    column, listed = (compiler.process(part, **kwargs) for part in (element.column, element.listed))
    return f"{column} IN (SELECT value FROM json_each({listed}))"  # noqa: S608 - SQL made of SQL


@compiles(among, POSTGRESQL)
def _among_in_postgresql(element: among, compiler: SQLCompiler, **kwargs: Any) -> str:  # noqa: ANN401 - its signature
    column, listed = (compiler.process(part, **kwargs) for part in (element.column, element.listed))
    return f"{column} = ANY ({listed})"


def constant(word: str) -> sa.ColumnElement[Any]:
    """A word as a literal: the planner sees which partial index it allows, and how many rows have it."""
    return sa.literal(str(word), Text())


def is_one_of(column: sa.ColumnElement[Any], words: Iterable[str]) -> sa.ColumnElement[bool]:
    """That the column is one of a few constants."""
    return column.in_([constant(word) for word in words])


def given(column: sa.Column[Any]) -> sa.BindParameter[Any]:
    """The parameter of a column's name and type."""
    return sa.bindparam(column.name, type_=optional(column.type) if column.nullable else column.type)  # type: ignore[arg-type]  # all columns have a Stored type


def inserted(table: sa.Table, columns: Iterable[sa.Column[Any]] | None = None) -> sa.Insert:
    """Rows of a table, or of some of its columns."""
    return sa.insert(table).inline().values({it.name: given(it) for it in columns or table.columns})


def inserted_unless_there(table: sa.Table, columns: Iterable[sa.Column[Any]]) -> Mapping[str, sa.ClauseElement]:
    """A row of these columns of a table; nothing where one of its keys is there."""
    values = {it.name: given(it) for it in columns}
    return {
        SQLITE: sqlite.insert(table).inline().values(values).on_conflict_do_nothing(),
        POSTGRESQL: postgresql.insert(table).inline().values(values).on_conflict_do_nothing(),
    }


def written(path: Path, name: str, parameters: Mapping[str, TypeEngine[Any]], columns: str = "") -> TextClause:
    """A statement of a file that is written by hand; `{columns}` in it stands for these, `{part}` for a part."""
    sql = blocks(path, "-- name: ")[name]
    parts = {**blocks(path, "-- part: "), "columns": columns}
    while found := re.search(r"\{(\w+)\}", sql):
        sql = sql.replace(found[0], parts[found[1]])
    clause = sa.text(sql)
    used = clause._bindparams
    return clause.bindparams(*(sa.bindparam(key, type_=parameters[key]) for key in used))


def blocks(path: Path, mark: str) -> Mapping[str, str]:
    """The pieces of a file by the names that stand above them after `mark`, without their comments."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in path.read_text().splitlines():
        if line.startswith(("-- name: ", "-- part: ")):
            current = []
            if line.startswith(mark):
                found[line.removeprefix(mark)] = current
        elif code := line.partition("--")[0].rstrip(" ;"):
            current.append(code)
    return {name: "\n".join(lines) for name, lines in found.items()}
