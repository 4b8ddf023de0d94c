"""From SQLAlchemy's statements and tables to text: `make sql` writes `compiled.py`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from sqlalchemy import Dialect, Select, create_mock_engine
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from queuectl.adapters.sql.schema import Stored, metadata
from queuectl.adapters.sql.statements import SOURCES, Shape, Statement

Compiled: TypeAlias = tuple[str, dict[str, str | None], dict[str, str | None]]

DIALECTS: dict[str, Dialect] = {
    "sqlite": create_mock_engine("sqlite+pysqlite://", print, paramstyle="named").dialect,
    "postgresql": create_mock_engine("postgresql+psycopg://", print).dialect,
}

PARAMETER = {"sqlite": r":{}\b", "postgresql": r"%\({}\)s(::\w+)?"}

SPELLINGS = {
    "sqlite": {r"json_array_elements(_text)?\(": "json_each(", r"json_object_agg\(": "json_group_object("},
    "postgresql": {
        # Of an array PostgreSQL expects ten elements, of a function a hundred rows: for so many of a few thousand jobs
        # it would read them all, each time. And JSON is parsed for each value that is taken from it, JSONB once.
        r"json_(array_elements\w*\(\S+)::JSON\) AS (\w+)": r"unnest(ARRAY(SELECT jsonb_\1::JSONB))) AS \2(value)",
    },
}
"""What is the same in both, but for its spelling."""

COMPILED = Path(__file__).with_name("compiled.py")

HEADER = '''"""The schema and the statements as text: made by `make sql`; change schema.py and statements.py."""

SCHEMA: dict[str, tuple[str, ...]] = {
'''


def compiled_statement(database: str, name: str, shape: Shape = ()) -> Compiled:
    """A statement's text; its parameters and its columns, each with the kind of its values, if any.

    Raises KeyError when there is no such statement.
    """
    source = SOURCES[name]
    statement = source.build(*shape)
    compiled = statement.compile(
        dialect=DIALECTS[database], column_keys=None if source.writes is None else list(source.writes)
    )
    text, takes = str(compiled), {}
    for key, parameter in compiled.binds.items():
        if parameter.required:
            takes[key] = _kind(parameter.type)
        else:  # a constant; as text, the planner sees which partial index it allows
            text = re.sub(PARAMETER[database].format(key), _literal(parameter.effective_value), text)
    for ours, theirs in SPELLINGS[database].items():
        text = re.sub(ours, theirs, text)
    return re.sub(r" +\n", "\n", text), takes, {name: _kind(column) for name, column in _columns(statement)}


def schema_script(database: str) -> tuple[str, ...]:
    """The statements that make the newest schema in an empty database."""
    tables = metadata.sorted_tables
    indexes = sorted((index for table in tables for index in table.indexes), key=lambda index: str(index.name))
    made = [CreateTable(table).compile(dialect=DIALECTS[database]) for table in tables]
    made += [CreateIndex(index).compile(dialect=DIALECTS[database]) for index in indexes]
    return tuple(re.sub(r" +\n", "\n", str(each)).strip().replace("\t", "    ") for each in made)


def module() -> str:
    """The text of `compiled.py`."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    yield HEADER
    for database in DIALECTS:
        yield f"    {database!r}: (\n"
        for each in schema_script(database):
            yield f'        """{each}""",\n'
        yield "    ),\n"
    yield "}\n\nROWS: dict[str, dict[str, str | None]] = {\n"
    for name, source in SOURCES.items():
        if source.rows:
            yield f"    {name!r}: { {column.name: _kind(column.type) for column in source.rows}!r},\n"
    yield "}\n\nSTATEMENTS: dict[\n    tuple[str, str, tuple[int | str | bool, ...]],\n"
    yield "    tuple[str, dict[str, str | None], dict[str, str | None]],\n] = {\n"
    for database in DIALECTS:
        for name, source in SOURCES.items():
            for shape in source.shapes:
                text, takes, gives = compiled_statement(database, name, shape)
                yield f'    {(database, name, shape)!r}: (\n        """{text}""",\n'
                yield f"        {takes!r},\n        {gives!r},\n    ),\n"
    yield "}\n"


def _columns(statement: Statement) -> list[tuple[str, TypeEngine[object]]]:
    if isinstance(statement, Select) or statement._returning:
        return [(str(column.key), column.type) for column in statement.exported_columns]
    return []


def _kind(column_type: TypeEngine[object]) -> str | None:
    return column_type.kind if isinstance(column_type, Stored) else None


def _literal(constant: object) -> str:
    match constant:
        case None:
            return "NULL"
        case int():
            return str(constant)
        case str() if re.fullmatch(r"\w+", constant):
            return f"'{constant}'"
    raise ValueError(f"{constant!r} cannot be a constant of a statement")


if __name__ == "__main__":
    COMPILED.write_text(module())
