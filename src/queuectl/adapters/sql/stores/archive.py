"""A whole queue as rows, for copying it to another database. A place is the job's `seq`."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from queuectl.adapters.sql.engine.prepared import Row
from queuectl.adapters.sql.engine.transactions import Connection, Database, Duplicate
from queuectl.domain.errors import Conflict
from queuectl.domain.ports.storage import Digest, Page

PAGE = 50
"""Jobs read at a time for a digest: each may have megabytes of output."""

Rows = Sequence[Mapping[str, object]]


class SqlArchive:
    """`Archive` in SQL; a method is a transaction, but for `digests`, which reads page by page."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def held(self) -> AbstractContextManager[None]:
        """Nobody else writes to this queue while the body runs. Raises DatabaseUnavailable."""
        return self._database.held()

    def size(self) -> int:
        """How many jobs there are."""
        count: int = self._database.read(lambda connection: connection.only_row("places")).count
        return count

    def last(self) -> int:
        """The place of the last job; 0 when there is none."""
        last: int | None = self._database.read(lambda connection: connection.only_row("places")).last
        return last or 0

    def page(self, after: int, *, up_to: int, limit: int) -> Page:
        """The next jobs after that place and up to the other, at most `limit`."""
        chosen = {"after": after, "up_to": up_to, "limit": limit}

        def work(connection: Connection) -> Page:
            found = connection.rows("page_of_jobs", chosen)
            runs = connection.rows("page_of_attempts", chosen)
            return Page(jobs=_mappings(found), attempts=_mappings(runs), last=found[-1].seq if found else after)

        return self._database.read(work)

    def store(self, page: Page) -> None:
        """Add the rows of a page of another queue, with their places. Raises Conflict when one of them is taken."""

        def work(connection: Connection) -> bool:
            connection.run_for_each("copy", page.jobs, ("jobs",))
            connection.run_for_each("copy", page.attempts, ("attempts",))
            _count_on(connection)
            return True

        def recall(connection: Connection) -> bool | None:
            return True if connection.row("job_at", {"seq": page.last}) else None

        try:
            self._database.write(work, recall=recall)
        except Duplicate as error:
            raise Conflict("the target holds jobs of its own with the same ids or places") from error

    def belongings(self) -> Mapping[str, Rows]:
        """The settings that were set, and the workers not yet given up, by table."""
        return self._database.read(
            lambda connection: {
                "config": _mappings(connection.rows("settings")),
                "workers": _mappings(connection.rows("all_live_workers")),
            }
        )

    def store_belongings(self, rows: Mapping[str, Rows]) -> None:
        """Have those settings and no others; put those workers in place of the ones with the same ids."""

        def work(connection: Connection) -> None:
            connection.run("clear_settings")
            connection.run_for_each("add_setting", rows["config"])
            connection.run("delete_workers", {"ids": [row["id"] for row in rows["workers"]]})
            connection.run_for_each("add_worker", rows["workers"])

        self._database.write(work)

    def digests(self, *, up_to: int, seen: Callable[[int], None]) -> Mapping[str, Digest]:
        """The digests of the jobs up to that place, of their attempts, and of the settings."""
        of_jobs, of_attempts, of_config, place = _Tally(), _Tally(), _Tally(), 0
        while (page := self.page(place, up_to=up_to, limit=PAGE)).jobs:
            of_jobs.add(page.jobs)
            of_attempts.add(page.attempts)
            place = page.last
            seen(len(page.jobs))
        of_config.add(sorted(self.belongings()["config"], key=lambda row: str(row["key"])))
        return {"jobs": of_jobs.digest(), "attempts": of_attempts.digest(), "config": of_config.digest()}


class _Tally:
    """A digest in the making. Values are told apart by type and order, and are the same from either database."""

    def __init__(self) -> None:
        self._rows = 0
        self._hash = hashlib.sha256()

    def add(self, rows: Iterable[Mapping[str, object]]) -> None:
        for row in rows:
            self._rows += 1
            for name in sorted(row):
                self._hash.update(f"{name}={row[name]!r};".encode())

    def digest(self) -> Digest:
        return Digest(rows=self._rows, checksum=self._hash.hexdigest())


def _mappings(rows: Sequence[Row]) -> Rows:
    for row in rows:
        if row.unreadable:
            which = getattr(row, "job_id", getattr(row, "id", "?"))
            raise Conflict(
                f"the row of {which} cannot be read, and so not be copied: {row.unreadable}",
                hint="`queuectl doctor` and `queuectl dlq list` show such rows, `queuectl dlq remove` removes a job's",
            )
    return [vars(row) for row in rows]


def _count_on(connection: Connection) -> None:
    """PostgreSQL does not see places that were given, and would give them again; SQLite does."""
    if connection.dialect.name == "postgresql":
        connection.ask("SELECT setval(pg_get_serial_sequence('jobs', 'seq'), max(seq)) FROM jobs")
