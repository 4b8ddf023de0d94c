"""Wake-ups on PostgreSQL by LISTEN and NOTIFY: only ever a hint, sent after the commit that it tells of.

A NOTIFY inside the enqueueing transaction would make all commits queue up behind one lock of the server's
(https://www.recall.ai/blog/postgres-listen-notify-does-not-scale); apart from it, and not too often, it is harmless.
"""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import psycopg

from queuectl.adapters.sql.engine.transactions import Database
from queuectl.adapters.sql.postgresql.connection import ResponseTimeout, connect, is_pooled
from queuectl.domain.errors import DatabaseUnavailable
from queuectl.domain.retry import Backoff

CHANNEL = "queuectl_jobs"

MIN_INTERVAL = 0.01
"""Seconds between two notifications of one process: those in between say nothing new."""

PROBE = 5.0
"""Seconds of response_timeout after which the listener asks the server for a sign of life."""

ANSWER = timedelta(seconds=PROBE + 1)
"""The time that the server may take for that. Longer than the response_timeout before, in which nothing is asked."""

RECONNECTS = Backoff(initial=timedelta(milliseconds=50), ceiling=timedelta(seconds=2.5), jitter=1)
"""The waits before the listener connects again; chance spreads the listeners of many hosts."""

_log = logging.getLogger("queuectl")


class PostgresNotify:
    """Tells listening workers, after a commit, that there may be work for them. Never raises."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last = 0.0

    def __call__(self) -> None:
        """Notify, but not more often than the server should be asked to: a caller in a hurry waits."""
        time.sleep(max(0.0, self._last + MIN_INTERVAL - time.monotonic()))
        with contextlib.suppress(DatabaseUnavailable):  # whom this hint does not reach will poll
            self._database.outside_transactions(
                lambda connection: connection.execute(f"NOTIFY {CHANNEL}"), patience=timedelta()
            )
        self._last = time.monotonic()


class PostgresListen:
    """`Listen` by one listening connection. Behind a pooler, where sessions cannot listen, it does nothing."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, wake: Callable[[], None]) -> None:
        """Call `wake` from a thread of its own when jobs were announced, and after each new connection."""
        threading.Thread(target=self._listen, args=(wake,), name="wake-ups", daemon=True).start()

    def _listen(self, wake: Callable[[], None]) -> None:
        waits = RECONNECTS.waits(random.random)
        while True:
            try:
                with connect(self._url, ResponseTimeout(ANSWER)) as connection:
                    if is_pooled(connection):
                        _log.info("a pooler stands before the database: polling for jobs instead of listening")
                        return
                    connection.execute(f"LISTEN {CHANNEL}")
                    waits = RECONNECTS.waits(random.random)
                    wake()  # for what was announced while nobody listened
                    while True:
                        self._receive(connection, wake)
            except psycopg.Error:
                time.sleep(next(waits).total_seconds())

    def _receive(self, connection: "psycopg.Connection[tuple[object, ...]]", wake: Callable[[], None]) -> None:
        """One notification, or a probe after a silence. Raises psycopg.Error when the connection is dead."""
        for _ in connection.notifies(timeout=PROBE, stop_after=1):
            wake()
            return
        connection.execute("SELECT 1")
