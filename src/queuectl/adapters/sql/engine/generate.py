"""`make sql`: from the statements and tables to typed functions for the program, and to SQL for people to read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from textwrap import fill
from typing import Any

from sqlalchemy import BindParameter, ClauseElement, Column, Dialect, Integer, Select, Table, create_mock_engine
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import TextualSelect
from sqlalchemy.types import TypeEngine

from queuectl.adapters.sql.engine.values import KINDS
from queuectl.adapters.sql.schema import Stored, metadata
from queuectl.adapters.sql.statements import (  # noqa: F401 - they fill SOURCES
    POSTGRESQL,
    SOURCES,
    SQLITE,
    Form,
    Source,
    archive,
    dependencies,
    jobs,
    limits,
    metrics,
    queues,
    surroundings,
    unique,
    work,
    workers,
)

FOLDER = Path(__file__).parents[1]

DRIVERS = {SQLITE: ("sqlite+pysqlite://", "qmark"), POSTGRESQL: ("postgresql+psycopg://", "format")}
"""By language: SQLAlchemy's name for the driver, and how it takes parameters: by place, which is the quicker way."""

HEADER = '''"""Made by `make sql` from schema.py and statements/: change those.

A function for each statement. It raises what the driver raises; a parameter of another type than its own is an error
of mypy's.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import NamedTuple

from queuectl.adapters.sql.engine.query import Joined, Piece, Query, Rows, written
from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.adapters.sql.engine.values import writer
from queuectl.domain.attempt import Outcome
from queuectl.domain.job import Command, On, State, WaitsFor
from queuectl.domain.limits import SlotKind
from queuectl.domain.policy import StoredSettings
from queuectl.domain.worker import WorkerState

'''


def outputs() -> Mapping[Path, str]:
    """The files that are made, and what they hold."""
    readable = {FOLDER / language / "queries.sql": "".join(_readable(language)) for language in DRIVERS}
    return {FOLDER / "engine" / "queries.py": "".join(_module()), **readable}


@dataclass(frozen=True)
class _Value:
    """A parameter or a column."""

    name: str
    kind: str
    or_none: bool

    @property
    def annotation(self) -> str:
        return KINDS[self.kind].type + (" | None" if self.or_none else "")

    def written(self, expression: str) -> str:
        """The code that gives the driver its value."""
        if KINDS[self.kind].write is None:
            return expression
        code = f"{self._writer}({expression})"
        return f"None if {expression} is None else {code}" if self.or_none else code

    def written_column(self, expression: str) -> str:
        """The code that gives the driver a column of its values."""
        return expression if KINDS[self.kind].write is None else f"written({self._writer}, {expression})"

    @property
    def _writer(self) -> str:
        return f"_{self.kind.replace(' ', '_')}"


class _Statement:
    """One source, compiled."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name = source.name
        self.doc = (source.build.__doc__ or "").strip()
        built = source.build()
        languages = built if isinstance(built, Mapping) else dict.fromkeys(DRIVERS, built)
        self.elements: dict[str, Sequence[ClauseElement]] = {
            language: each if isinstance(each, list) else [each] for language, each in languages.items()
        }

    def compiled(self, language: str, paramstyle: str | None = None) -> list[SQLCompiler]:
        dialect = _dialect(language, paramstyle or DRIVERS[language][1])
        return [each.compile(dialect=dialect) for each in self.elements[language]]  # type: ignore[misc]  # a SQLCompiler

    def text(self, language: str, paramstyle: str | None = None) -> str:
        text = ", ".join(map(str, self.compiled(language, paramstyle)))
        return "\n".join(line.rstrip() for line in text.splitlines())

    @cached_property
    def parameters(self) -> Sequence[_Value]:
        """In the order of their places. Raises ValueError where that differs by language."""
        found = [self._parameters(language) for language in self.elements]
        if any(each != found[0] for each in found):
            raise ValueError(f"the parameters of {self.name} have other places in another language")
        return found[0]

    def _parameters(self, language: str) -> Sequence[_Value]:
        return [
            _value(name, compiled.binds[name].type)
            for compiled in self.compiled(language)
            for name in compiled.positiontup or ()
        ]

    @cached_property
    def signature(self) -> Sequence[_Value]:
        """Each parameter once."""
        return list(dict.fromkeys(self.parameters))

    @cached_property
    def _columns(self) -> Sequence[tuple[str, TypeEngine[Any], bool]]:
        [element] = next(iter(self.elements.values()))
        if not isinstance(element, Select | TextualSelect):
            return []
        return [(str(it.key), it.type, isinstance(it, Column) and bool(it.nullable)) for it in element.selected_columns]

    @cached_property
    def table(self) -> Table | None:
        """The table whose columns, all of them, a row begins with."""
        return _table_of([name for name, *_ in self._columns])

    @cached_property
    def more(self) -> Sequence[_Value]:
        """The columns of a row beyond those of its table."""
        rest = self._columns[len(self.table.columns) if self.table is not None else 0 :]
        return [_value(name, column_type, or_none) for name, column_type, or_none in rest]

    @property
    def is_scalar(self) -> bool:
        """True if a row is one value."""
        return self.table is None and len(self.more) == 1

    @property
    def shape(self) -> object:
        """A key that is alike for statements whose rows are of one type."""
        return self.table is not None and self.table.name, tuple(self.more)


class _Shapes:
    """The types of rows, and their readers: one of each for all statements that have it, named for the first."""

    def __init__(self) -> None:
        self._names: dict[object, tuple[str, str]] = {
            (it.name, ()): (_row_of(it), _rows_of(it)) for it in metadata.sorted_tables
        }

    def types(self, statement: _Statement) -> tuple[str, str, str]:
        """The type of a row, what reads one, and the code that makes both, if that is not there yet."""
        row, rows = f"{_camel(statement.name)}Row", f"_{statement.name.upper()}_ROWS"
        if statement.is_scalar:
            row = statement.more[0].annotation
            return row, rows, f"\n\n{rows} = Rows[{row}](itemgetter(0), {_kinds(statement.more)})\n"
        is_new = statement.shape not in self._names
        row, rows = self._names.setdefault(statement.shape, (row, rows))
        return row, rows, _row_class(row, rows, statement) if is_new else ""


class _Inlining(SQLCompiler):
    """Writes constants into the text: there the planner sees them."""

    def visit_bindparam(self, bindparam: BindParameter[Any], **kwargs: Any) -> str:  # type: ignore[override]  # noqa: ANN401 - its signature
        as_literal = {} if bindparam.required else {"literal_binds": True}
        text: str = super().visit_bindparam(bindparam, **kwargs | as_literal)  # type: ignore[no-untyped-call]
        return text


@lru_cache
def _dialect(language: str, paramstyle: str) -> Dialect:
    dialect = create_mock_engine(DRIVERS[language][0], print, paramstyle=paramstyle).dialect
    dialect.statement_compiler = type("Compiler", (_Inlining, dialect.statement_compiler), {})
    return dialect


def _value(name: str, stored: TypeEngine[Any], or_none: bool = False) -> _Value:
    if isinstance(stored, Integer):  # the column that counts by itself can have no other type
        return _Value(name, "number", or_none)
    if not isinstance(stored, Stored):
        raise TypeError(f"{name} has no kind: {stored!r}")
    return _Value(name, stored.kind, or_none or stored.or_none)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


_SINGULAR = {"config": "setting", "batches": "batch", "dependencies": "dependency"}


def _row_of(table: Table) -> str:
    return f"{_camel(_SINGULAR.get(table.name) or table.name.removesuffix('s'))}Row"


def _table_of(names: Sequence[str]) -> Table | None:
    """The table whose columns, all of them, these begin with."""
    return next(
        (it for it in metadata.sorted_tables if list(names[: len(it.columns)]) == list(it.columns.keys())), None
    )


def _rows_of(table: Table) -> str:
    return f"{table.name.upper()}_ROWS"


def _module() -> Iterator[str]:
    statements = [_Statement(source) for source in SOURCES]
    yield HEADER
    used = {it.kind for statement in statements for it in statement.parameters}
    for name, kind in KINDS.items():
        if name in used and kind.write is not None:
            yield f'_{name.replace(" ", "_")} = writer("{name}")\n'
    yield f"\nSCHEMA_VERSION = {_newest_revision()!r}\n\nSCHEMA: Mapping[str, Sequence[str]] = {{\n"
    for language in DRIVERS:
        texts = "".join(f'        """{each}""",\n' for each in schema_script(language))
        yield f"    {language!r}: (\n{texts}    ),\n"
    yield "}\n"
    for table in metadata.sorted_tables:
        values = [_value(it.name, it.type, bool(it.nullable)) for it in table.columns]
        yield _class(_row_of(table), f"A row of `{table.name}`; `unreadable` says which values are none.", values)
        yield _reader(_rows_of(table), "Rows", _row_of(table), "", values)
    shapes = _Shapes()
    for statement in statements:
        yield from _function(statement, shapes)


def _class(name: str, doc: str, values: Iterable[_Value], *, unreadable: bool = True, first: str = "") -> str:
    fields = "".join(f"    {it.name}: {it.annotation}\n" for it in values)
    last = '    unreadable: str = ""\n' if unreadable else ""
    return f'\n\nclass {name}(NamedTuple):\n    """{doc}"""\n\n{first}{fields}{last}'


def _reader(name: str, reader: str, row: str, first: str, values: Iterable[_Value]) -> str:
    return f"\n\n{name} = {reader}({row}._make, {first}{_kinds(values)})\n"


def _kinds(values: Iterable[_Value]) -> str:
    return repr({it.name: it.kind for it in values})


def _function(statement: _Statement, shapes: _Shapes) -> Iterator[str]:
    name, form = statement.name, statement.source.form
    query = f"_{name.upper()}"
    texts = "".join(f'        {each!r}: """{_dense(statement.text(each))}""",\n' for each in statement.elements)
    yield f"\n\n{query} = Query(\n    {name!r},\n    {{\n{texts}    }},\n)\n"
    takes = ", ".join(f"{it.name}: {it.annotation}" for it in statement.signature)
    values = _tuple(it.written(it.name) for it in statement.parameters)
    head = f"\n\ndef {name}(c: Connection{', *, ' + takes if takes else ''})"
    doc = f'    """{statement.doc}"""\n'
    match form:
        case Form.MANY | Form.ONE | Form.ONLY:
            row, rows, code = shapes.types(statement)
            method, gives = {
                Form.MANY: ("fetch", f"list[{row}]"),
                Form.ONE: ("fetch_one", f"{row.removesuffix(' | None')} | None"),
                Form.ONLY: ("fetch_only", row),
            }[form]
            yield f"{code}{head} -> {gives}:\n{doc}    return c.{method}({query}, {values}, {rows})\n"
        case Form.RUN:
            yield f"{head} -> int:\n{doc}    return c.run({query}, {values})\n"
        case Form.EACH | Form.LOAD:
            yield from _for_many(statement, query, doc)
        case Form.PIECE:
            yield f"\n\ndef {name}({takes and f'*, {takes}'}) -> Piece:\n{doc}    return Piece({query}, {values})\n"


def _dense(text: str) -> str:
    """The text without what is there for people: psycopg looks up again and again what is longer than 4096 bytes."""
    return "\n".join(line.strip() for line in text.splitlines())


def _tuple(code: Iterable[str]) -> str:
    return "(" + "".join(f"{each}, " for each in code).rstrip() + ")"


def _row_class(row: str, rows: str, statement: _Statement) -> str:
    doc = f"A row of `{statement.name}`."
    if (table := statement.table) is None:
        return _class(row, doc, statement.more) + _reader(rows, "Rows", row, "", statement.more)
    first = f"    {table.name.removesuffix('s')}: {_row_of(table)}\n"
    made = _class(row, doc, statement.more, unreadable=False, first=first)
    return made + _reader(rows, "Joined", row, f"{_rows_of(table)}, ", statement.more)


def _for_many(statement: _Statement, query: str, doc: str) -> Iterator[str]:
    name, row = statement.name, _camel(statement.name)
    if statement.source.form is Form.EACH:
        if (table := _table_of([it.name for it in statement.signature])) is not None:
            row = _row_of(table)
        else:
            yield _class(row, f"The parameters of one run of `{name}`.", statement.signature, unreadable=False)
        values = _tuple(it.written(f"it.{it.name}") for it in statement.parameters)
        yield f"\n\ndef {name}(c: Connection, rows: Iterable[{row}]) -> None:\n{doc}"
        yield f"    c.run_each({query}, [{values} for it in rows])\n"
    else:
        columns = "".join(f"    {it.name}: Sequence[{it.annotation}]\n" for it in statement.signature)
        yield f'\n\nclass {row}(NamedTuple):\n    """Rows of `{name}`, by columns."""\n\n{columns}'
        values = ", ".join(it.written_column(f"it.{it.name}") for it in statement.parameters)
        yield f"\n\ndef {name}(c: Connection, groups: Iterable[{row}]) -> None:\n{doc}"
        yield f"    c.load({query}, ([{values}] for it in groups))\n"


def schema_script(language: str) -> tuple[str, ...]:
    """The statements that make the newest schema in an empty database."""
    dialect = _dialect(language, "named")
    tables = metadata.sorted_tables
    indexes = sorted((index for table in tables for index in table.indexes), key=lambda index: str(index.name))
    made = [CreateTable(table).compile(dialect=dialect) for table in tables]
    made += [CreateIndex(index).compile(dialect=dialect) for index in indexes]
    texts = (str(each).strip().replace("\t", "    ") for each in made)
    return tuple("\n".join(line.rstrip() for line in text.splitlines()) for text in texts)


def _newest_revision() -> str:
    return max(path.name[1:5] for path in (FOLDER / "migrations" / "versions").glob("m*.py"))


def _readable(language: str) -> Iterator[str]:
    yield f"-- Made by `make sql`, to be read: every statement that queuectl has {language.title()} run.\n"
    for text in schema_script(language):
        yield f"\n{text};\n"
    for statement in map(_Statement, SOURCES):
        if language in statement.elements:
            doc = "".join(f"-- {line.strip()}".rstrip() + "\n" for line in statement.doc.splitlines())
            lines = statement.text(language, "named").splitlines()
            text = "\n".join(fill(line, 120, subsequent_indent="    ", break_on_hyphens=False) for line in lines)
            yield f"\n-- name: {statement.name} :{statement.source.form.value}\n{doc}{text};\n"


if __name__ == "__main__":
    for path, content in outputs().items():
        path.write_text(content)
