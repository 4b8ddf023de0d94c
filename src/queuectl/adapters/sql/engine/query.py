"""The parts of the generated functions: a statement's texts, and the readers of its rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from operator import is_
from typing import Generic, NamedTuple, TypeVar

from queuectl.adapters.sql.engine.values import KINDS, UNREADABLE, shortened

R = TypeVar("R", covariant=True)

Raw = Sequence[object]
"""A row as the driver gives it."""


class Query(NamedTuple):
    """A statement, as the drivers take it: its text by the language of the database."""

    name: str
    texts: Mapping[str, str]


class Piece(NamedTuple):
    """A part of a composed statement, with its parameters."""

    query: Query
    values: Sequence[object]


class Rows(Generic[R]):
    """Reads rows of one kind."""

    def __init__(self, make: Callable[[Raw], R], columns: Mapping[str, str]) -> None:
        """`make` takes the values of these columns, by their kinds, and a text that says which are unreadable."""
        self.width = len(columns)
        self._make = make
        self._columns = [(name, KINDS[kind]) for name, kind in columns.items()]
        self._read = [(index, KINDS[kind].read) for index, kind in enumerate(columns.values())]

    def read(self, raw: Raw) -> R:
        """The row; what cannot be read of it is substituted and told."""
        values = list(raw)
        try:
            for index, read in self._read:
                if (value := values[index]) is not None:
                    values[index] = read(value)
        except UNREADABLE:
            return self._substituted(raw)
        return self._make((*values, ""))

    def _substituted(self, raw: Raw) -> R:
        values, wrong = list(raw), []
        for index, (name, kind) in enumerate(self._columns):
            if (value := raw[index]) is not None:
                try:
                    values[index] = kind.read(value)
                except UNREADABLE:
                    values[index] = kind.substitute(value)
                    wrong.append(f"{name} is {shortened(ascii(value))}")
        return self._make((*values, "; ".join(wrong)))


class Joined(Generic[R]):
    """Reads rows that begin with one of another kind."""

    def __init__(self, make: Callable[[Iterable[object]], R], first: Rows[object], columns: Mapping[str, str]) -> None:
        self._make = make
        self._first = first
        self._read = [KINDS[kind].read for kind in columns.values()]

    def read(self, raw: Raw) -> R:
        """The row. What was counted or made by the statement itself can be read."""
        more = raw[self._first.width :]
        values = [None if value is None else read(value) for read, value in zip(self._read, more, strict=True)]
        return self._make((self._first.read(raw[: self._first.width]), *values))


def compose(
    head: Piece, conditions: Iterable[Sequence[Piece]], order: Piece, at_most: Piece
) -> tuple[Query, Sequence[object]]:
    """A search: of each of these groups of conditions one must hold; an empty group holds. And its parameters."""
    groups = [group for group in conditions if group]
    used = [head, *(each for group in groups for each in group), order, at_most]

    def text(language: str) -> str:
        alternatives = [" OR ".join(each.query.texts[language] for each in group) for group in groups]
        where = " WHERE " + " AND ".join(f"({each})" for each in alternatives) if alternatives else ""
        first, ordered, most = (each.query.texts[language] for each in (head, order, at_most))
        return f"{first}{where} ORDER BY {ordered} LIMIT {most}"

    name = " ".join(each.query.name for each in used[:-1])
    values = [value for each in used for value in each.values]
    return Query(name, {language: text(language) for language in head.query.texts}), values


def written(write: Callable[..., object], column: Sequence[object]) -> Sequence[object]:
    """A column of a batch as a driver takes it: a value that all rows share is written once."""
    first = column[0]
    if all(map(is_, column, repeat(first))):  # equal is not enough: mappings may differ in their order
        return (None if first is None else write(first),) * len(column)
    return tuple([None if value is None else write(value) for value in column])
