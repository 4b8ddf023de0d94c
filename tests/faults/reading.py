"""The database read without queuectl: its rows, its own integrity check, and queries for what no queue may hold."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg

from queuectl.drill.judge import AttemptRecord, JobRecord

Query: TypeAlias = Callable[[str], Sequence[Sequence[Any]]]
"""Runs one statement; gives all its rows."""

# In the order of the records' fields.
JOBS = "SELECT id, state, attempts, failures, losses, max_retries FROM jobs"
ATTEMPTS = "SELECT job_id, number, outcome, worker FROM attempts ORDER BY job_id, number"

IMPOSSIBLE: Mapping[str, str] = {
    "a lease without processing, or processing without a lease": (
        "SELECT id FROM jobs WHERE (state = 'processing') <> (lease_id IS NOT NULL)"
        " OR (lease_id IS NULL) <> (worker IS NULL)"
    ),
    "an end without a terminal state, or a terminal state without an end": (
        "SELECT id FROM jobs WHERE (state IN ('completed', 'dead', 'cancelled')) <> (finished_at IS NOT NULL)"
    ),
    "an open attempt that its job does not run": (
        "SELECT a.job_id, a.number FROM attempts a JOIN jobs j ON j.id = a.job_id"
        " WHERE (a.outcome IS NULL) <> (j.state = 'processing' AND j.attempts = a.number)"
    ),
    "attempts that are not numbered from 1": (
        "SELECT j.id FROM jobs j LEFT JOIN attempts a ON a.job_id = j.id GROUP BY j.id, j.attempts"
        " HAVING count(a.number) <> j.attempts OR coalesce(max(a.number), 0) <> j.attempts"
    ),
    "an attempt with an outcome and no end, or with an end and no outcome": (
        "SELECT job_id, number FROM attempts WHERE (outcome IS NULL) <> (finished_at IS NULL)"
    ),
    "a lease that is not its attempt's": (
        "SELECT j.id FROM jobs j LEFT JOIN attempts a ON a.job_id = j.id AND a.number = j.attempts"
        " WHERE j.state = 'processing' AND (a.lease_id IS NULL OR a.lease_id <> j.lease_id)"
    ),
    "a job held by a worker that has ended": (
        "SELECT j.id FROM jobs j JOIN workers w ON w.id = j.worker WHERE w.state NOT IN ('running', 'stopping')"
    ),
}
"""Things that no queue may hold, and the queries that find them."""


@dataclass(frozen=True, slots=True)
class Rows:
    """All jobs and attempts, from one consistent view."""

    jobs: Mapping[str, JobRecord]
    attempts: Sequence[AttemptRecord]


def read_rows(url: str) -> Rows:
    """All there is now."""
    with _opened(url) as query:
        attempts = [AttemptRecord(*row) for row in query(ATTEMPTS)]
        return Rows(_jobs(query), attempts)


def look(url: str) -> dict[str, JobRecord]:
    """Every job as it is now."""
    with _opened(url) as query:
        return _jobs(query)


def damage(url: str) -> list[str]:
    """Everything that is wrong with the database."""
    found = []
    with _opened(url) as query:
        if url.startswith("sqlite"):
            found += [str(line) for (line,) in query("PRAGMA integrity_check") if line != "ok"]
            found += [f"foreign key: {tuple(row)}" for row in query("PRAGMA foreign_key_check")]
        for what, statement in IMPOSSIBLE.items():
            found += [f"{what}: {', '.join(map(str, row))}" for row in query(statement)[:5]]
    return found


def path_of(url: str) -> str:
    """The file of an SQLite URL."""
    return url.removeprefix("sqlite:///")


def _jobs(query: Query) -> dict[str, JobRecord]:
    return {row[0]: JobRecord(*row) for row in query(JOBS)}


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Query]:
    if url.startswith("sqlite"):
        connection = sqlite3.connect(f"file:{path_of(url)}?mode=ro", uri=True, isolation_level=None, timeout=20)
        try:
            connection.execute("BEGIN")
            yield lambda statement: connection.execute(statement).fetchall()
        finally:
            connection.close()
    else:
        with psycopg.connect(url, connect_timeout=10, application_name="a test") as session:
            session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield lambda statement: session.execute(statement).fetchall()  # type: ignore[arg-type]
