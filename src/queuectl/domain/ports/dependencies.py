"""The dependencies between jobs, and the batches."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from queuectl.domain.batch import Batch
from queuectl.domain.dependency import Parent
from queuectl.domain.job import Job


class Resolved(NamedTuple):
    """The jobs that a parent's end has let go, by number, and those that can never run now, as cancelled."""

    released: int = 0
    cancelled: Sequence[Job] = ()


class Unresolved(NamedTuple):
    """The ids of jobs, and the names of batches, that have ended."""

    jobs: Sequence[str]
    batches: Sequence[str]


class Dependencies(Protocol):
    """The dependencies between jobs.

    An end is committed first; then `resolve` and `finish` are called, which may be repeated by anybody: a dependency
    is met once, and stays met.
    """

    def resolve(self, job_id: str, *, at: datetime) -> Resolved:
        """Look after those that wait for that job, if it has ended: `dependency.standing` decides."""

    def finish(self, batch: str, *, at: datetime) -> Resolved:
        """Finish a batch of which no job waits or runs any more, and look after those that wait for it."""

    def unresolved(self, *, limit: int) -> Unresolved:
        """The jobs and batches, up to `limit` of each, that have ended and are still to be looked after."""

    def parents_of(self, job_ids: Sequence[str]) -> Mapping[str, Sequence[Parent]]:
        """The dependencies of each of these jobs; nothing for a job without any."""

    def waiting_for_dead(self) -> int:
        """The number of jobs that wait for the success of dead ones, and are cancelled when those are removed."""


class Batches(Protocol):
    """The batches: each is made by the first job that names it."""

    def find(self, name: str) -> Batch:
        """The batch. Raises BatchNotFound."""

    def newest(self, *, limit: int | None) -> Sequence[Batch]:
        """The batches, the newest first, at most `limit`."""
