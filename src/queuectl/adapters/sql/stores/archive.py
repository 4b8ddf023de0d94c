"""A whole queue as rows, for copying it to another database."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection, Database, Duplicate
from queuectl.domain.errors import Conflict
from queuectl.domain.ports.storage import Digest, Page, Row

PAGE = 50
"""Jobs read at a time for a digest: each may have megabytes of output."""


class _OfJobs(NamedTuple):
    """A table whose rows belong to jobs."""

    row: type[Any]
    read: Callable[..., Sequence[Any]]
    add: Callable[[Connection, Sequence[Any]], None]


class _BesideJobs(NamedTuple):
    """A table whose rows belong to no job."""

    row: type[Any]
    read: Callable[[Connection], Sequence[Any]]
    clear: Callable[[Connection, Sequence[Any]], object]
    add: Callable[[Connection, Sequence[Any]], None]


OF_JOBS = {
    "jobs": _OfJobs(queries.JobRow, queries.page_of_jobs, queries.copy_job),
    "attempts": _OfJobs(queries.AttemptRow, queries.page_of_attempts, queries.copy_attempt),
    "dependencies": _OfJobs(queries.DependencyRow, queries.page_of_dependencies, queries.copy_dependency),
    "tags": _OfJobs(queries.TagRow, queries.page_of_tags, queries.copy_tag),
}


def _live_workers(c: Connection) -> Sequence[queries.WorkerRow]:
    return [it.worker for it in queries.live_workers(c)]


def _remove_workers(c: Connection, rows: Sequence[queries.WorkerRow]) -> None:
    queries.delete_workers(c, ids=[worker.id for worker in rows])


BESIDE_JOBS = {
    "config": _BesideJobs(
        queries.SettingRow, queries.settings, lambda c, _: queries.clear_settings(c), queries.add_setting
    ),
    "workers": _BesideJobs(queries.WorkerRow, _live_workers, _remove_workers, queries.add_worker),
    "queues": _BesideJobs(
        queries.QueueRow, queries.queues_set, lambda c, _: queries.clear_queues(c), queries.copy_queue
    ),
    "lanes": _BesideJobs(queries.LaneRow, queries.all_lanes, lambda c, _: queries.clear_lanes(c), queries.copy_lane),
    "slots": _BesideJobs(queries.SlotRow, queries.all_slots, lambda c, _: queries.clear_slots(c), queries.copy_slot),
    "batches": _BesideJobs(
        queries.BatchRow, queries.all_batches, lambda c, _: queries.clear_batches(c), queries.copy_batch
    ),
}


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
            rows = {name: table.read(c, after=after, up_to=up_to, limit=limit) for name, table in OF_JOBS.items()}
            last = rows["jobs"][-1].seq if rows["jobs"] else after
            return Page({name: _readable(found) for name, found in rows.items()}, last)

        return self._database.read(work)

    def store(self, page: Page) -> None:
        """Add the rows of a page of another queue, with their numbers. Raises Conflict when one of them is taken."""

        def work(c: Connection) -> None:
            for name, table in OF_JOBS.items():
                table.add(c, [_as(table.row, row) for row in page.rows[name]])
            c.execute(c.dialect.count_on)

        try:
            self._database.write(work, confirm_commit=lambda c, _: queries.id_at(c, seq=page.last) is not None)
        except Duplicate as error:
            raise Conflict("the target holds jobs of its own with the same ids or numbers") from error

    def beside_jobs(self) -> Mapping[str, Sequence[Row]]:
        """The rows, by table, that belong to no job."""
        return self._database.read(lambda c: {name: _readable(table.read(c)) for name, table in BESIDE_JOBS.items()})

    def store_beside_jobs(self, rows: Mapping[str, Sequence[Row]]) -> None:
        """Have those rows and no others; but workers only in place of the ones with the same ids."""

        def work(c: Connection) -> None:
            for name, table in BESIDE_JOBS.items():
                those = [_as(table.row, row) for row in rows[name]]
                table.clear(c, those)
                table.add(c, those)
            c.execute(c.dialect.count_on)

        self._database.write(work)

    def digests(self, *, up_to: int, seen: Callable[[int], None]) -> Mapping[str, Digest]:
        """The digests, by table, of the jobs up to that number and what belongs to them, and of what was set."""
        sums, last = {name: _Checksum() for name in OF_JOBS}, 0
        while (page := self.page(last, up_to=up_to, limit=PAGE)).jobs:
            for name, rows in page.rows.items():
                sums[name].add(rows)
            last = page.last
            seen(len(page.jobs))
        for name, rows in self.beside_jobs().items():
            if name != "workers":
                sums[name] = _Checksum()
                sums[name].add(sorted(rows, key=lambda row: tuple(map(str, row.values()))))
        return {name: it.digest() for name, it in sums.items()}


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


def _readable(rows: Sequence[Any]) -> Sequence[Row]:
    """The rows' values by the names of their columns. Raises Conflict for one that cannot be read."""
    for row in rows:
        if row.unreadable:
            raise Conflict(
                f"the row of {_named(row)} cannot be read, and so not be copied: {row.unreadable}",
                hint="`queuectl doctor` and `queuectl dlq list` show such rows, `queuectl dlq remove` removes a job's",
            )
    return [dict(zip(row._fields[:-1], row[:-1], strict=True)) for row in rows]


def _as(row_type: type[Any], row: Row) -> Any:  # noqa: ANN401 - of that type
    """The row of these values."""
    return row_type._make([*(row[name] for name in row_type.__annotations__ if name in row), ""])


def _named(row: Any) -> str:  # noqa: ANN401 - of any table
    """The name by which people know the row."""
    return str(next(getattr(row, name) for name in ("id", "job_id", "key", row._fields[0]) if hasattr(row, name)))
