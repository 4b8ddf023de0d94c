"""The statements as the drivers take them: text, and how their values are written and read.

SQLAlchemy makes them from `statements.py`, most of them ahead of time: importing it takes longer than a command may.
What is not in `compiled.py` (a worker of three queues has a statement that few others need) is made when asked for.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter, is_
from types import SimpleNamespace
from typing import NamedTuple, TypeAlias

from queuectl.adapters.sql.engine.compiled import STATEMENTS
from queuectl.adapters.sql.engine.values import KINDS, UNREADABLE, Codec

PARAMETER = re.compile(r"(?<!:):(?P<colon>[a-z]\w*)|%\((?P<percent>\w+)\)s")
"""A parameter as SQLAlchemy writes it: `:name` for SQLite, `%(name)s` for PostgreSQL; a cast, `::BIGINT`, is none."""

MOST_CLAIMED = 24
"""Jobs that the statement `claim` can take. With many more, PostgreSQL finds no plan for any values cheap enough, and
plans each claim anew: with 32 as soon as a full queue's statistics were steady."""

PRIORITIES = range(10, 0, -1)
"""In the order in which a claim probes them."""

Shape: TypeAlias = tuple[int | str | bool, ...]
Values: TypeAlias = Mapping[str, object]
Columns: TypeAlias = Sequence[Sequence[object]]


class Row(SimpleNamespace):
    """One row: a column's value is the attribute of its name.

    `unreadable` says which values are none that we have written: something else stands for them.
    """

    unreadable = ""


class Prepared:
    """One statement of one database."""

    def __init__(self, text: str, takes: Mapping[str, str | None], gives: Mapping[str, str | None]) -> None:
        """`takes` and `gives`: the parameters and the columns, each with the kind of its values if it has one."""
        # The drivers are quicker by place than by name: a batch of inserts takes three fifths of the time.
        self.text = PARAMETER.sub(lambda found: "?" if found["colon"] else "%s", text)
        self._places = [found["colon"] or found["percent"] for found in PARAMETER.finditer(text)]
        self._encoders = [(name, KINDS[kind].encode) for name, kind in takes.items() if kind]
        self._columns = list(gives)
        self._decoders = [(place, KINDS[kind].decode) for place, kind in enumerate(gives.values()) if kind]
        self._instead = {place: KINDS[kind].instead for place, kind in enumerate(gives.values()) if kind}

    def bound(self, values: Values) -> list[object]:
        """The parameters, ready for the driver. Raises KeyError for one without a value."""
        encoded = dict(values)
        for name, encode in self._encoders:
            if (value := values[name]) is not None:
                encoded[name] = encode(value)
        return [encoded[name] for name in self._places]

    def columns(self, tuples: Sequence[NamedTuple]) -> Columns:
        """The parameters of many, ready for the driver: a column for each, of the tuples' fields of their names."""
        fields: dict[str, Sequence[object]] = dict(zip(tuples[0]._fields, zip(*tuples, strict=True), strict=True))
        for name, encode in self._encoders:
            fields[name] = _encoded(fields[name], encode)
        return [fields[name] for name in self._places]

    def row(self, raw: Sequence[object]) -> Row:
        """A row, from what the driver gave."""
        values = list(raw)
        try:
            for place, decode in self._decoders:
                if (value := values[place]) is not None:
                    values[place] = decode(value)
        except UNREADABLE:
            return self._unreadable(raw)
        return Row(**dict(zip(self._columns, values, strict=True)))

    def _unreadable(self, raw: Sequence[object]) -> Row:
        values, wrong = list(raw), []
        for place, decode in self._decoders:
            if (value := raw[place]) is not None:
                try:
                    values[place] = decode(value)
                except UNREADABLE:
                    values[place] = self._instead[place](value)
                    wrong.append(f"{self._columns[place]} is {shortened(ascii(value))}")
        row = Row(**dict(zip(self._columns, values, strict=True)))
        row.unreadable = "; ".join(wrong)
        return row


def shortened(text: str) -> str:
    """At most 80 characters of it."""
    return text if len(text) <= 80 else f"{text[:79]}…"


def _encoded(column: Sequence[object], encode: Codec) -> Sequence[object]:
    first = column[0]
    if all(map(is_, column, repeat(first))):  # equal is not enough: mappings may differ in their order
        return (None if first is None else encode(first),) * len(column)
    return tuple([None if value is None else encode(value) for value in column])


RowWriter: TypeAlias = Callable[[object], list[object]]


def row_writer(columns: Mapping[str, str | None], path: Mapping[str, str] | None = None) -> RowWriter:
    """Makes rows of objects: values of these kinds, in order; `path` leads to a value where the name does not.

    There must be two columns or more.
    """
    values_of = attrgetter(*((path or {}).get(name, name) for name in columns))
    encoders = [(place, KINDS[kind].encode) for place, kind in enumerate(columns.values()) if kind]

    def row(each: object) -> list[object]:
        values = list(values_of(each))
        for place, encode in encoders:
            if (value := values[place]) is not None:
                values[place] = encode(value)
        return values

    return row


_prepared: dict[tuple[str, str, Shape], Prepared] = {}


def prepared(database: str, name: str, shape: Shape = ()) -> Prepared:
    """The statement of that name and shape, for "sqlite" or "postgresql". Raises KeyError when there is none."""
    key = (database, name, shape)
    if (found := _prepared.get(key)) is None:
        if (compiled := STATEMENTS.get(key)) is None:
            from queuectl.adapters.sql.engine.generate import compiled_statement

            compiled = compiled_statement(*key)
        found = _prepared[key] = Prepared(*compiled)
    return found
