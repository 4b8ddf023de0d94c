"""Transactions: begun as the backend wants, tried again when it says so, its errors told in the core's words."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from queuectl.domain.errors import CommitUnknown, DatabaseBusy, DatabaseUnavailable

T = TypeVar("T")

Work: TypeAlias = Callable[[Connection], T]
Recall: TypeAlias = Callable[[Connection], T | None]

WRITES = "queuectl_writes"
"""The execution option that tells a backend's `begin` that the transaction will write."""

AUTOCOMMITS = "queuectl_autocommits"
"""The execution option that tells a backend's `begin` to begin nothing."""

FIRST_WAIT, LONGEST_WAIT = 0.005, 0.5
"""Seconds between two tries of a transaction; doubled each time, with jitter."""


@dataclass(frozen=True, slots=True)
class Backend:
    """The seam between the two databases: an engine whose transactions begin rightly, and the meaning of its errors.

    `explain` turns a driver's error into ours; DatabaseBusy means that the same transaction may succeed later.
    `expect_answers_within` says from when on a connection without an answer is taken for broken.
    """

    engine: Engine
    explain: Callable[[DBAPIError], DatabaseUnavailable]
    expect_answers_within: Callable[[timedelta], None] = lambda _: None


class Database:
    """Runs a function as one transaction, for reading or for writing."""

    def __init__(self, backend: Backend, *, patience: timedelta) -> None:
        self._backend = backend
        self._patience = patience
        self._reader = backend.engine
        self._writer = backend.engine.execution_options(**{WRITES: True})
        self._autocommitter = backend.engine.execution_options(**{AUTOCOMMITS: True})

    def read(self, work: Work[T]) -> T:
        """What `work` returns, from one consistent view of the database. Raises DatabaseUnavailable."""
        return self._transact(self._reader, work)

    def write(self, work: Work[T], *, recall: Recall[T] | None = None) -> T:
        """What `work` returns; committed and durable by then. `work` may be called again after a failed try.

        When the connection breaks while the commit is under way, nobody knows whether it was made. Then `recall` is
        asked, in the next transaction, for what `work` would have returned; None means that it was not made. Without
        `recall`, doing `work` twice must come to the same as doing it once.

        Raises DatabaseUnavailable, IntegrityError, and whatever `work` raises; nothing is changed then. Raises
        CommitUnknown when the database does not come back in time to ask it.
        """
        return self._transact(self._writer, work, recall)

    def outside_transactions(self, work: Work[object], *, patience: timedelta | None = None) -> None:
        """Run `work` on a connection in autocommit, for what no transaction can hold. Raises DatabaseUnavailable."""
        self._transact(self._autocommitter, work, patience=patience)

    def expect_answers_within(self, longest: timedelta) -> None:
        """Take a connection for broken, from now on, when the database leaves a call unanswered for longer."""
        self._backend.expect_answers_within(longest)

    def close(self) -> None:
        """Close the pooled connections."""
        self._backend.engine.dispose()

    def _transact(
        self, engine: Engine, work: Work[T], recall: Recall[T] | None = None, patience: timedelta | None = None
    ) -> T:
        patience = self._patience if patience is None else patience
        deadline, wait = time.monotonic() + patience.total_seconds(), FIRST_WAIT
        in_doubt = was_taken = False
        while True:
            try:
                with engine.connect() as connection:
                    transaction = connection.begin()
                    if in_doubt and recall is not None and (recalled := recall(connection)) is not None:
                        return recalled
                    result = work(connection)
                    try:
                        transaction.commit()
                    except DBAPIError as error:
                        in_doubt = in_doubt or (engine is self._writer and error.connection_invalidated)
                        raise
                    return result
            except IntegrityError:
                # The first try may hold what the second one ran into, and may be committed only now: ask once more.
                if not in_doubt or recall is None or was_taken:
                    raise
                was_taken = True
            except DBAPIError as error:
                trouble = self._backend.explain(error)
                if not (in_doubt or isinstance(trouble, DatabaseBusy)) or time.monotonic() + wait > deadline:
                    raise (CommitUnknown(trouble.message) if in_doubt else trouble) from error
            time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - spreads contenders, hides nothing
            wait = min(wait * 2, LONGEST_WAIT)
