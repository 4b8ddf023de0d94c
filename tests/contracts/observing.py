"""The limits as somebody else sees them: in snapshots of a queue's database, and in the history of its attempts."""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from queuectl.domain.limits import Rate

Rows = Sequence[tuple[Any, ...]]

LOOK = """
SELECT queue, lane, key, state = 'processing', waits_for, slot, count(*) FROM jobs
WHERE state IN ('pending', 'failed', 'processing') AND (key IS NOT NULL OR slot IS NOT NULL) GROUP BY 1, 2, 3, 4, 5, 6
"""

RUNS = """
SELECT jobs.queue, jobs.key, attempts.started_at, attempts.finished_at
FROM attempts JOIN jobs ON jobs.id = attempts.job_id WHERE attempts.finished_at IS NOT NULL
"""


class Database:
    """Reads a database as it is, by a connection of its own, past all that is tested."""

    def __init__(self, url: str) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self._c: Any = (
            sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30, check_same_thread=False)
            if self.is_sqlite
            else psycopg.connect(url, autocommit=True)
        )

    def rows(self, query: str) -> Rows:
        rows: Rows = self._c.execute(query).fetchall()
        return rows

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._c.execute("BEGIN" if self.is_sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self._c.execute("COMMIT")

    def deadlocks(self) -> int:
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return 0 if self.is_sqlite else int(self.rows(query)[0][0])

    def close(self) -> None:
        self._c.close()


class Observer(threading.Thread):
    """Looks every few milliseconds, until it is stopped; `keys` and `queues` are the limits, the highest of each."""

    def __init__(self, url: str, *, keys: Mapping[str, int], queues: Mapping[str, int]) -> None:
        super().__init__()
        self.looks = 0
        self.breaches: list[str] = []
        self.parked = 0
        """The most jobs that were seen parked."""
        self._url = url
        self._keys = keys
        self._queues = queues
        self._stopped = threading.Event()

    def run(self) -> None:
        database = Database(self._url)
        while not self._stopped.wait(0.003):
            with database.snapshot():
                rows = database.rows(LOOK)
            self.breaches += breaches(rows, keys=self._keys, queues=self._queues)
            self.parked = max(self.parked, sum(row[6] for row in rows if row[4] == "key"))
            self.looks += 1
        database.close()

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def breaches(rows: Rows, *, keys: Mapping[str, int], queues: Mapping[str, int]) -> Iterator[str]:
    """What is wrong in one committed state: more run than may, or a key has too few that may be claimed (X)."""
    in_slots, running, exposed, parked = Counter[str](), Counter[str](), Counter[tuple[str, int]](), set[Any]()
    for queue, lane, key, runs, waits_for, slot, count in rows:
        in_slots[queue] += count if runs and slot is not None else 0
        running[key] += count if runs else 0
        exposed[key, lane] += count if not runs and waits_for is None else 0
        parked |= {(key, lane)} if waits_for == "key" else set()
    for queue in queues:
        if in_slots[queue] > queues[queue]:
            yield f"L1: {in_slots[queue]} jobs run in queue {queue}, whose limit is {queues[queue]}"
    for key in keys:
        if running[key] > keys[key]:
            yield f"L2: {running[key]} jobs run with key {key}, whose limit is {keys[key]}"
    for key, lane in parked:
        if running[key] + exposed[key, lane] < keys[key]:
            there = f"{running[key]} run, {exposed[key, lane]} may be claimed"
            yield f"X: of key {key} in lane {lane} {there}, and others are parked"


def faults_of_history(
    rows: Rows, *, keys: Mapping[str, int], queues: Mapping[str, int], rates: Mapping[str, Rate]
) -> Iterator[str]:
    """What was wrong at any moment, by the times at which the attempts began and ended (rows of `RUNS`)."""
    for name, limit in keys.items():
        most = most_at_once((begun, ended) for _, key, begun, ended in rows if key == name)
        if most > limit:
            yield f"L2: {most} jobs ran at a time with key {name}, whose limit is {limit}"
    for name, limit in queues.items():
        most = most_at_once((begun, ended) for queue, _, begun, ended in rows if queue == name)
        if most > limit:
            yield f"L1: {most} jobs ran at a time in queue {name}, whose limit is {limit}"
    for name, rate in rates.items():
        starts = sorted(begun for queue, _, begun, _ in rows if queue == name)
        spans = [later - first for first, later in zip(starts, starts[rate.starts :], strict=False)]
        if spans and min(spans) < rate.period.total_seconds() * 1e6:
            yield f"L3: {rate.starts + 1} jobs of queue {name} began within {min(spans)} microseconds, by rate {rate}"


def most_at_once(spans: Iterable[tuple[int, int]]) -> int:
    """The most of these spans that have a moment in common; one may begin when another ends."""
    now = most = 0
    for _, step in sorted(step for begun, ended in spans for step in ((begun, 1), (max(begun, ended), -1))):
        now += step
        most = max(most, now)
    return most


def settled_in_time(database: Database, deadlocks: int) -> int:
    """The deadlocks since then: the server counts them when a connection is over, or after a second."""
    time.sleep(0 if database.is_sqlite else 1.1)
    return database.deadlocks() - deadlocks
