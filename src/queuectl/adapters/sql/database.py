"""Transactions: begun as the backend wants, tried again when it says so, its errors told in the core's words."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from queuectl.domain.errors import DatabaseBusy, DatabaseUnavailable

T = TypeVar("T")

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
    """

    engine: Engine
    explain: Callable[[DBAPIError], DatabaseUnavailable]


class Database:
    """Runs a function as one transaction, for reading or for writing."""

    def __init__(self, backend: Backend, *, patience: timedelta) -> None:
        self._backend = backend
        self._patience = patience.total_seconds()
        self._reader = backend.engine
        self._writer = backend.engine.execution_options(**{WRITES: True})

    def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, from one consistent view of the database. Raises DatabaseUnavailable."""
        return self._transact(self._reader, work)

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns; committed and durable by then. `work` may be called again after a failed try.

        Raises DatabaseUnavailable, IntegrityError, and whatever `work` raises; nothing is changed then.
        """
        return self._transact(self._writer, work)

    def outside_transactions(self, work: Callable[[Connection], object]) -> None:
        """Run `work` on a connection in autocommit, for what no transaction can hold. Raises DatabaseUnavailable."""
        self._transact(self._backend.engine.execution_options(**{AUTOCOMMITS: True}), work)

    def close(self) -> None:
        """Close the pooled connections."""
        self._backend.engine.dispose()

    def _transact(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        deadline, wait = time.monotonic() + self._patience, FIRST_WAIT
        while True:
            try:
                with engine.begin() as connection:
                    return work(connection)
            except IntegrityError:
                raise
            except DBAPIError as error:
                trouble = self._backend.explain(error)
                if not isinstance(trouble, DatabaseBusy) or time.monotonic() + wait > deadline:
                    raise trouble from error
            time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - spreads contenders, hides nothing
            wait = min(wait * 2, LONGEST_WAIT)
