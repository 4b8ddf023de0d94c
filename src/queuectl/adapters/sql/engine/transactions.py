"""Transactions: begun as the database wants, tried again when it says so, its errors told in the core's words."""

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from queuectl.adapters.sql.engine.query import Joined, Query, Rows
from queuectl.domain.errors import CommitUnknown, DatabaseBusy, DatabaseReplaced, DatabaseUnavailable
from queuectl.domain.retry import Backoff

T = TypeVar("T")
R = TypeVar("R")

Columns: TypeAlias = Sequence[Sequence[object]]
"""The values of some rows: a sequence for each column."""

NO_LOCK = contextlib.nullcontext()

RETRIES = Backoff(initial=timedelta(milliseconds=2.5), ceiling=timedelta(milliseconds=250), jitter=1)
"""The waits between two tries of a transaction; chance spreads contenders."""

PLANS_LAST = 5.0
"""Seconds that a connection keeps its plans. Making them anew takes the server a few milliseconds."""


class Cursor(Protocol):
    """The part of a driver's cursor that we use: PEP 249."""

    @property
    def rowcount(self) -> int:
        """The number of rows that the last statement changed."""

    def execute(self, text: str, values: Sequence[object] = ..., /) -> object:
        """Run a statement."""

    def executemany(self, text: str, values: Iterable[Sequence[object]], /) -> object:
        """Run a statement once with each of these values."""

    def fetchall(self) -> Sequence[Sequence[object]]:
        """All rows that the last statement gave."""


class Driver(Protocol):
    """The part of a driver's connection that we use. It begins no transaction by itself."""

    def cursor(self) -> Cursor:
        """A cursor for one statement after the other."""

    def commit(self) -> object:
        """Make the open transaction durable."""

    def rollback(self) -> object:
        """Undo the open transaction."""

    def close(self) -> None:
        """Close it; a transaction that is open is rolled back."""


class Dialect(NamedTuple):
    """The seam between the two databases: their connections, how transactions begin, and what errors mean.

    `explain` turns a driver's error into ours; DatabaseBusy means that the same transaction may succeed later. Its flag
    says that a connection had been made and `is_lost` now. `is_duplicate` tells the error of a row that is there
    already. `load` runs an INSERT with each row of many groups. A transaction that writes is begun and ended within a
    `write_lock`. `expect_answers_within` says from when on a connection without an answer is taken for broken.
    `forget_plans` is the statement that makes a connection plan its statements anew, where it keeps plans: one that was
    good for thirty jobs would walk over a million. `after_begin` is what a connection's transactions must begin with,
    where it does not keep its settings from one to the next. `count_on` has the numbers of jobs and lanes go on after
    those that were given, where a database does not see to that. `hold` follows `begin_writing` where nobody else is
    to write. `identity` says which database is at its place now, where that can be told from outside, and `replaced` is
    the error when that is not the one that was opened.
    """

    language: str
    connect: Callable[[], Driver]
    begin_reading: str
    begin_writing: str
    error: tuple[type[Exception], ...]
    explain: Callable[[Exception, bool], DatabaseUnavailable]
    is_duplicate: Callable[[Exception], bool]
    load: Callable[[Cursor, str, Iterable[Columns]], object]
    hold: str = ""
    identity: Callable[[], object] = lambda: None
    is_lost: Callable[[Driver], bool] = lambda _: False
    is_unanswered: Callable[[Exception], bool] = lambda _: False
    write_lock: Callable[[], contextlib.AbstractContextManager[object]] = lambda: NO_LOCK
    expect_answers_within: Callable[[timedelta], None] = lambda _: None
    forget_plans: str = ""
    after_begin: Callable[[Driver], str] = lambda _: ""
    replaced: Callable[[], DatabaseReplaced] = lambda: DatabaseReplaced("another database is in its place")
    count_on: str = "SELECT 1"


class Duplicate(Exception):
    """A row has a key that another has."""


class Connection:
    """A connection in a transaction: runs the statements of `queries.py`."""

    def __init__(self, dialect: Dialect) -> None:
        """Raises the driver's errors."""
        self.dialect = dialect
        self.driver = dialect.connect()
        self._cursor = self.driver.cursor()
        self.was_lost = False
        self.is_committing = False
        self._planned_at = time.monotonic()

    def forget_old_plans(self) -> None:
        """Outside of a transaction: plans that were made a while ago may be for a much smaller queue."""
        if self.dialect.forget_plans and time.monotonic() - self._planned_at > PLANS_LAST:
            self.execute(self.dialect.forget_plans)
            self._planned_at = time.monotonic()

    def fetch(self, query: Query, values: Sequence[object], rows: Rows[R] | Joined[R]) -> list[R]:
        """All rows of a statement."""
        self._cursor.execute(query.texts[self.dialect.language], values)
        return [rows.read(raw) for raw in self._cursor.fetchall()]

    def fetch_one(self, query: Query, values: Sequence[object], rows: Rows[R] | Joined[R]) -> R | None:
        """The first row of a statement, or None."""
        found = self.fetch(query, values, rows)
        return found[0] if found else None

    def fetch_only(self, query: Query, values: Sequence[object], rows: Rows[R] | Joined[R]) -> R:
        """The row of a statement that always gives one."""
        (row,) = self.fetch(query, values, rows)
        return row

    def run(self, query: Query, values: Sequence[object]) -> int:
        """Run a statement that gives nothing back; how many rows it changed."""
        self._cursor.execute(query.texts[self.dialect.language], values)
        return self._cursor.rowcount

    def run_each(self, query: Query, values: Sequence[Sequence[object]]) -> None:
        """Run it once with each of these values."""
        if len(values) == 1:  # saves PostgreSQL a round trip
            self.run(query, values[0])
        elif values:
            self._cursor.executemany(query.texts[self.dialect.language], values)

    def load(self, query: Query, groups: Iterable[Columns]) -> None:
        """Run an INSERT with each row of these groups, whose values come by columns."""
        self.dialect.load(self._cursor, query.texts[self.dialect.language], groups)

    def execute(self, text: str) -> None:
        """Run a statement in the database's own language."""
        self._cursor.execute(text)

    def scalar(self, text: str) -> object:
        """The first value that such a statement gives; None when it gives no row."""
        self._cursor.execute(text)
        return next((row[0] for row in self._cursor.fetchall()), None)

    def close(self) -> None:
        """Roll back what is not committed. Remembers whether the connection was lost before."""
        self.was_lost = self.dialect.is_lost(self.driver)
        with contextlib.suppress(*self.dialect.error):
            self.driver.close()


Work: TypeAlias = Callable[[Connection], T]
Confirm: TypeAlias = Callable[[Connection, T], bool]


class Database:
    """Runs a function as one transaction, for reading or for writing. Safe for threads; each has a connection."""

    def __init__(self, dialect: Dialect, *, patience: timedelta) -> None:
        self.dialect = dialect
        self.patience = patience
        self._idle: list[Connection] = []
        self._identity: object = None

    def read(self, work: Work[T]) -> T:
        """Return what `work` returns, from one consistent view of the database. Raises DatabaseUnavailable."""
        return self._transact(self.dialect.begin_reading, work)

    def write(self, work: Work[T], *, confirm_commit: Confirm[T] | None = None) -> T:
        """Return what `work` returns; committed and durable by then. `work` may be called again after a failed try.

        When the connection breaks while the commit is under way, nobody knows whether it was made. Then
        `confirm_commit` is asked, in the next transaction, whether what `work` returned is stored. Without it, doing
        `work` twice must come to the same as doing it once.

        Raises DatabaseUnavailable, Duplicate, and whatever `work` raises; nothing is changed then. Raises
        CommitUnknown when the database does not come back in time to ask it.
        """
        return self._transact(self.dialect.begin_writing, work, confirm_commit)

    def try_to_write(self, work: Work[object], *, first: Sequence[str] = ()) -> None:
        """Run `work` as a transaction for writing and roll it back: nothing is left of it, and nothing tried again.

        `first` are statements for the connection, before it begins. Raises DatabaseUnavailable.
        """
        with contextlib.closing(self._made()) as connection, self._explained(connection):
            for statement in (*first, self.dialect.begin_writing):
                connection.execute(statement)
            work(connection)
            connection.driver.rollback()

    def impatient(self, longest: timedelta) -> "Database":
        """The same database, for somebody who does not wait for longer than that."""
        return Database(self.dialect, patience=min(self.patience, longest))

    def outside_transactions(self, work: Work[object], *, patience: timedelta | None = None) -> None:
        """Run `work` on a connection in autocommit, for what no transaction can hold. Raises DatabaseUnavailable."""
        self._transact(None, work, patience=patience)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else writes while the body runs; reading goes on.

        By a transaction that stays open, on a connection of its own. Raises DatabaseUnavailable, at the end too: for a
        hold that has been broken meanwhile.
        """
        with contextlib.closing(self._made()) as connection:
            with self._explained(connection):
                connection.execute(self.dialect.begin_writing + self.dialect.after_begin(connection.driver))
                if self.dialect.hold:
                    connection.execute(self.dialect.hold)
            yield
            with self._explained(connection):
                connection.execute("SELECT 1")

    def _made(self) -> Connection:
        with self._explained():
            return Connection(self.dialect)

    @contextlib.contextmanager
    def _explained(self, connection: Connection | None = None) -> Iterator[None]:
        """The driver's errors in our words."""
        try:
            yield
        except self.dialect.error as error:
            is_lost = connection is not None and self.dialect.is_lost(connection.driver)
            raise self.dialect.explain(error, is_lost) from error

    def expect_answers_within(self, longest: timedelta) -> None:
        """Take a connection for broken, from now on, when the database leaves a call unanswered for longer."""
        self.dialect.expect_answers_within(longest)

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def _transact(
        self,
        begin: str | None,
        work: Work[T],
        confirm_commit: Confirm[T] | None = None,
        patience: timedelta | None = None,
    ) -> T:
        patience = self.patience if patience is None else patience
        deadline, waits = time.monotonic() + patience.total_seconds(), RETRIES.waits(random.random)
        in_doubt, was_taken, done = False, False, list[T]()
        while True:
            connection = None
            try:
                self._check_identity()
                connection = self._idle_connection() or Connection(self.dialect)
                with self.dialect.write_lock() if begin == self.dialect.begin_writing else NO_LOCK:
                    result = self._tried(connection, begin, work, confirm_commit if in_doubt else None, done)
            except BaseException as error:
                wait = next(waits).total_seconds()
                if connection is not None:  # whatever went wrong, the next transaction has nothing of it
                    connection.close()
                if not isinstance(error, self.dialect.error):
                    raise
                is_lost = connection is not None and (connection.was_lost or self.dialect.is_unanswered(error))
                if is_lost:
                    self.close()  # the idle ones are likely to be lost with it
                in_doubt = in_doubt or (is_lost and connection is not None and connection.is_committing)
                if self.dialect.is_duplicate(error):
                    # The first try may hold what this one ran into, and be committed only now: ask once more.
                    if not in_doubt or confirm_commit is None or was_taken:
                        raise Duplicate from error
                    was_taken = True
                else:
                    trouble = self.dialect.explain(error, is_lost)
                    if not (in_doubt or isinstance(trouble, DatabaseBusy)) or time.monotonic() + wait > deadline:
                        raise (CommitUnknown(trouble.message) if in_doubt else trouble) from error
            else:
                self._idle.append(connection)
                return result
            time.sleep(wait)

    def _tried(
        self, connection: Connection, begin: str | None, work: Work[T], confirm_commit: Confirm[T] | None, done: list[T]
    ) -> T:
        """`done` gets what `work` returned, before the commit; its last is that of the commit in doubt."""
        if begin is None:
            return work(connection)
        connection.forget_old_plans()
        connection.execute(begin + self.dialect.after_begin(connection.driver))
        if confirm_commit is not None and confirm_commit(connection, done[-1]):
            connection.driver.rollback()
            return done[-1]
        done.append(work(connection))
        connection.is_committing = begin == self.dialect.begin_writing
        connection.driver.commit()
        connection.is_committing = False
        return done[-1]

    def _check_identity(self) -> None:
        """Raises DatabaseReplaced, and then always: the old connections would go on with a file that has no name."""
        identity = self.dialect.identity()
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            self.close()
            raise self.dialect.replaced()

    def _idle_connection(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None
