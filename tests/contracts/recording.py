"""What a database is told: every call of a driver's connection, in order."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import psycopg

from queuectl.adapters.sql.engine.transactions import Cursor, Dialect, Driver

COMMIT, ROLLBACK = "COMMIT", "ROLLBACK"


@dataclass(frozen=True, slots=True)
class Call:
    """One call, and so a round trip; `values` are those of each run of the statement."""

    text: str
    values: Sequence[Sequence[object]] = ((),)


@dataclass(frozen=True, slots=True)
class Recording:
    """What all connections of a database were told, but for what they are told by the clock."""

    calls: list[Call] = field(default_factory=list)

    def of(self, dialect: Dialect) -> Dialect:
        """The same, but that what its connections are told from now on is in the recording too."""

        def connect() -> "_Recorded":
            return _Recorded(dialect.connect(), self.calls, but={dialect.forget_plans})

        def own(driver: Driver) -> Driver:
            return driver.driver if isinstance(driver, _Recorded) else driver

        return dialect._replace(
            connect=connect,
            is_lost=lambda driver: dialect.is_lost(own(driver)),
            after_begin=lambda driver: dialect.after_begin(own(driver)),
        )


class _Recorded:
    """A driver's connection."""

    def __init__(self, driver: Driver, calls: list[Call], but: Collection[str]) -> None:
        self.driver = driver
        self._calls = calls
        self._but = but

    def cursor(self) -> "_RecordedCursor":
        return _RecordedCursor(self.driver.cursor(), self._calls, self._but)

    def commit(self) -> None:
        self._calls.append(Call(COMMIT))
        self.driver.commit()

    def rollback(self) -> None:
        self._calls.append(Call(ROLLBACK))
        self.driver.rollback()

    def close(self) -> None:
        self.driver.close()


@dataclass(frozen=True, slots=True)
class _RecordedCopy:
    """What COPY takes."""

    copy: psycopg.Copy
    rows: list[Sequence[object]]

    def write_row(self, row: Sequence[object]) -> None:
        self.rows.append(row)
        self.copy.write_row(row)


class _RecordedCursor:
    """Its cursor, for one statement."""

    def __init__(self, cursor: Cursor, calls: list[Call], but: Collection[str]) -> None:
        self._cursor = cursor
        self._calls = calls
        self._but = but

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def execute(self, text: str, *values: Sequence[object]) -> None:
        if text not in self._but:
            self._calls.append(Call(text, values or ((),)))
        self._cursor.execute(text, *values)

    def executemany(self, text: str, values: Iterable[Sequence[object]]) -> None:
        rows = list(values)
        self._calls.append(Call(text, rows))
        self._cursor.executemany(text, rows)

    def __enter__(self) -> "_RecordedCursor":
        return self

    def __exit__(self, *_: object) -> None:
        """As psycopg's: it is closed when it is collected."""

    @contextmanager
    def copy(self, text: str) -> Iterator["_RecordedCopy"]:
        rows: list[Sequence[object]] = []
        self._calls.append(Call(text, rows))
        with cast("psycopg.Cursor[object]", self._cursor).copy(text) as copy:
            yield _RecordedCopy(copy, rows)

    def fetchall(self) -> Sequence[Sequence[object]]:
        return self._cursor.fetchall()
