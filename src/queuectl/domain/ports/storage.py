"""The database itself: made, examined, copied."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from pathlib import Path  # which help does without

Row = Mapping[str, object]
"""The values of one row, by the names of its columns."""


Listen = Callable[[Callable[[], None]], None]
"""Starts to call the given function, from another thread, whenever a job may have arrived; returns at once.

A hint only: it may call too often, or never.
"""


class Grade(StrEnum):
    """The grade of one checked thing."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """A finding of `doctor` about one thing; `hint` is the next step where something is to be done."""

    subject: str
    grade: Grade
    message: str
    hint: str | None = None


class Storage(Protocol):
    """The database itself: made, checked, examined, closed."""

    @property
    def name(self) -> str:
        """The database's URL without its password."""

    def initialise(self) -> str | None:
        """Create the schema or bring it up to date; idempotent, safe against others doing the same.

        What was done, as one line, or None when there was nothing to do. Raises SchemaMismatch when it is too new.
        """

    def open(self, *, create: bool = False) -> None:
        """Make sure that it can be used. With `create`, an absent database file is made; else nothing is.

        Raises DatabaseUnreachable, or SchemaMismatch with the command to run.
        """

    def examine(self) -> Sequence[Finding]:
        """Check the database from inside; never raises: what is wrong is a finding."""

    def close(self) -> None:
        """Close every connection; those of other threads must be idle."""


class Scratch(Protocol):
    """A database for one more queue, apart from the user's own and where that one is: to be used and thrown away."""

    @property
    def name(self) -> str:
        """Its URL, once it is made, without its password."""

    @property
    def directory(self) -> "Path | None":
        """The directory under which its files belong, on the disk of the user's own; None: it has none."""

    def make(self, directory: "Path") -> str:
        """Make it, files in that directory; its URL. Raises DatabaseUnavailable."""

    def remove(self) -> None:
        """Remove it with all that is in it, but for the directory. Raises DatabaseUnavailable."""


class Page(NamedTuple):
    """Some jobs of a queue with all that belongs to them, as rows by table; `last` is the last job's number."""

    rows: Mapping[str, Sequence[Row]]
    last: int

    @property
    def jobs(self) -> Sequence[Row]:
        """The jobs themselves."""
        return self.rows["jobs"]


class Digest(NamedTuple):
    """The number of a table's rows, and the SHA-256 of all their values in order, in hex."""

    rows: int
    checksum: str


class Archive(Protocol):
    """A whole queue as rows, to be copied from one database to another. Its jobs are numbered in order of arrival."""

    def held(self) -> AbstractContextManager[None]:
        """Nobody else writes to this queue while the body runs: a claim, a new job or a new worker waits.

        Raises DatabaseUnavailable when it cannot be held, and at the end when somebody has broken the hold.
        """

    def size(self) -> int:
        """The number of jobs."""

    def last(self) -> int:
        """The number of the last job; 0 when there is none."""

    def page(self, after: int, *, up_to: int, limit: int) -> Page:
        """The next jobs after that number and up to the other, at most `limit`, as one moment shows them."""

    def store(self, page: Page) -> None:
        """Add the rows of a page of another queue, with their numbers. Raises Conflict when one of them is taken."""

    def beside_jobs(self) -> Mapping[str, Sequence[Row]]:
        """The rows, by table, that belong to no job: what was set, queues, lanes, batches, the workers not given up."""

    def store_beside_jobs(self, rows: Mapping[str, Sequence[Row]]) -> None:
        """Have those rows and no others; but put workers in place of the ones with the same ids."""

    def digests(self, *, up_to: int, seen: Callable[[int], None]) -> Mapping[str, Digest]:
        """The digests, by table, of the jobs up to that number, what belongs to them, and what was set.

        `seen` hears how many jobs each step has read.
        """
