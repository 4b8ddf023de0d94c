"""A whole queue as rows, for copying it to another database."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection, Database, Duplicate
from queuectl.domain.errors import Conflict
from queuectl.domain.ports.storage import Digest, Page, Row

PAGE = 50
"""Jobs read at a time for a digest: each may have megabytes of output."""

R = TypeVar("R", queries.JobRow, queries.AttemptRow, queries.WorkerRow, queries.SettingRow)


class SqlArchive:
    """`Archive` in SQL; a method is a transaction, but for `digests`, which reads page by page."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def held(self) -> AbstractContextManager[None]:
        """Nobody else writes to this queue while the body runs. Raises DatabaseUnavailable."""
        return self._database.held()

    def size(self) -> int:
        """The number of jobs."""
        return self._database.read(queries.extent).total

    def last(self) -> int:
        """The number of the last job; 0 when there is none."""
        return self._database.read(queries.extent).last or 0

    def page(self, after: int, *, up_to: int, limit: int) -> Page:
        """The next jobs after that number and up to the other, at most `limit`."""

        def work(c: Connection) -> Page:
            jobs = queries.page_of_jobs(c, after=after, up_to=up_to, limit=limit)
            attempts = queries.page_of_attempts(c, after=after, up_to=up_to, limit=limit)
            return Page(jobs=_readable(jobs), attempts=_readable(attempts), last=jobs[-1].seq if jobs else after)

        return self._database.read(work)

    def store(self, page: Page) -> None:
        """Add the rows of a page of another queue, with their numbers. Raises Conflict when one of them is taken."""

        def work(c: Connection) -> None:
            queries.copy_job(c, [_as(queries.JobRow, row) for row in page.jobs])
            queries.copy_attempt(c, [_as(queries.AttemptRow, row) for row in page.attempts])
            if c.dialect.count_on:
                c.execute(c.dialect.count_on)

        try:
            self._database.write(work, confirm_commit=lambda c, _: queries.id_at(c, seq=page.last) is not None)
        except Duplicate as error:
            raise Conflict("the target holds jobs of its own with the same ids or numbers") from error

    def settings_and_workers(self) -> Mapping[str, Sequence[Row]]:
        """The settings that were set, and the workers not yet given up, by table."""
        return self._database.read(
            lambda c: {
                "config": _readable(queries.settings(c)),
                "workers": _readable([it.worker for it in queries.live_workers(c)]),
            }
        )

    def store_settings_and_workers(self, rows: Mapping[str, Sequence[Row]]) -> None:
        """Have those settings and no others; put those workers in place of the ones with the same ids."""
        workers = [_as(queries.WorkerRow, row) for row in rows["workers"]]

        def work(c: Connection) -> None:
            queries.clear_settings(c)
            queries.add_setting(c, [_as(queries.SettingRow, row) for row in rows["config"]])
            queries.delete_workers(c, ids=[worker.id for worker in workers])
            queries.add_worker(c, workers)

        self._database.write(work)

    def digests(self, *, up_to: int, seen: Callable[[int], None]) -> Mapping[str, Digest]:
        """The digests of the jobs up to that number, of their attempts, and of the settings."""
        of_jobs, of_attempts, of_config, last = _Checksum(), _Checksum(), _Checksum(), 0
        while (page := self.page(last, up_to=up_to, limit=PAGE)).jobs:
            of_jobs.add(page.jobs)
            of_attempts.add(page.attempts)
            last = page.last
            seen(len(page.jobs))
        of_config.add(
            sorted(self.settings_and_workers()["config"], key=lambda row: (str(row["queue"]), str(row["key"])))
        )
        return {"jobs": of_jobs.digest(), "attempts": of_attempts.digest(), "config": of_config.digest()}


class _Checksum:
    """A digest in the making. Values are told apart by type and order, and are the same from either database."""

    def __init__(self) -> None:
        self._rows = 0
        self._hash = hashlib.sha256()

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._rows += 1
            for name in sorted(row):
                self._hash.update(f"{name}={row[name]!r};".encode())

    def digest(self) -> Digest:
        return Digest(rows=self._rows, checksum=self._hash.hexdigest())


def _readable(rows: Sequence[R]) -> Sequence[Row]:
    """The rows' values by the names of their columns. Raises Conflict for one that cannot be read."""
    for row in rows:
        if row.unreadable:
            raise Conflict(
                f"the row of {_named(row)} cannot be read, and so not be copied: {row.unreadable}",
                hint="`queuectl doctor` and `queuectl dlq list` show such rows, `queuectl dlq remove` removes a job's",
            )
    return [dict(zip(row._fields[:-1], row[:-1], strict=True)) for row in rows]


def _as(row_type: type[R], row: Row) -> R:
    """The row of these values."""
    return row_type._make([*(row[name] for name in row_type.__annotations__ if name in row), ""])


def _named(row: queries.JobRow | queries.AttemptRow | queries.WorkerRow | queries.SettingRow) -> str:
    match row:
        case queries.AttemptRow():
            return row.job_id
        case queries.SettingRow():
            return row.key
    return row.id
