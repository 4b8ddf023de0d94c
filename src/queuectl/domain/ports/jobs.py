"""The jobs, as those who enqueue and operators see them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from queuectl.domain.attempt import Attempt
from queuectl.domain.job import NO_TERMS, Job, State, Terms
from queuectl.domain.unique import Added

Decide = Callable[[Job], Job]
"""A pure decision: the job as it should be next. May raise WrongState, and then nothing changes."""


class Removed(NamedTuple):
    """The ids of jobs that are gone, and the jobs that are cancelled since they waited for the success of those."""

    ids: Sequence[str] = ()
    cancelled: Sequence[Job] = ()


class Jobs(Protocol):
    """The jobs."""

    def add(self, jobs: Iterable[Job], terms: Mapping[str, Terms] = NO_TERMS) -> Sequence[Added]:
        """Store new jobs, all or none, on these terms by their ids; the answer for each, as it is stored, in order.

        A job whose unique key another one holds is not stored: `unique.admit` decides. `dependency.place` decides about
        those that come after others: one that can never run is stored as cancelled. Raises DuplicateJob naming every
        id that is taken, or given twice; UniqueKeyTaken naming the holder of every key that was to be free; InvalidJob
        for jobs that wait for each other; NotFound for parents that are not there.
        """

    def find(self, job_id: str) -> Job:
        """The job. Raises JobNotFound."""

    def search(
        self,
        *,
        states: Collection[State] = (),
        queues: Collection[str] = (),
        keys: Collection[str] = (),
        tags: Collection[str] = (),
        limit: int | None = None,
        by_end: bool = False,
    ) -> Sequence[Job]:
        """Jobs of those states, queues and keys, with any of those tags; empty: all. The newest first, at most `limit`.

        With `by_end`, those that ended last come first; it is for states in which a job has ended.
        """

    def change(self, job_id: str, decide: Decide) -> Job:
        """Read, decide and write one job in one transaction; the job as written.

        Its dependencies that are not met go with its `blockers`; a finished batch of which it runs again is open.
        Raises JobNotFound, and UniqueKeyTaken when the job would take a unique key again that another one holds.
        """

    def change_dead(self, decide: Decide, *, until: datetime, limit: int) -> Sequence[Job]:
        """The same for up to `limit` dead jobs that last changed by `until`, the oldest first.

        Those that would take a unique key again that another one holds stay dead, and count as changed just after
        `until`.
        """

    def remove(self, job_id: str, *, allow: Decide, at: datetime) -> Removed:
        """Delete a job and its attempts, unless `allow` raises WrongState for it. Raises JobNotFound.

        What waits for its success, or for that of its batch, is cancelled with it at that moment.
        """

    def remove_dead(self, *, limit: int, at: datetime) -> Removed:
        """The same for up to `limit` dead jobs that are there."""


class Attempts(Protocol):
    """The runs of the jobs, and what they wrote."""

    def attempts_of(self, job_id: str) -> Sequence[Attempt]:
        """All runs of a job, the first one first; empty for an unknown job."""

    def outputs_of(self, job_ids: Sequence[str]) -> Mapping[str, bytes]:
        """The output of the last ended attempt of each of these jobs; nothing for a job without one."""
