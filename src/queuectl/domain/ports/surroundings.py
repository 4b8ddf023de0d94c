"""The things around jobs that decide when they start, as only the database can tell them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from queuectl.domain.reasons import Surroundings


class AroundJobs(Protocol):
    """The things that decide when jobs start; a method is one consistent view. No cost of it grows with the queue."""

    def of_job(self, job_id: str, *, at: datetime) -> Surroundings:
        """All of it for one job; nothing for an unknown one."""

    def of_jobs(self, job_ids: Sequence[str], *, at: datetime) -> Mapping[str, Surroundings]:
        """As much as tells the first reason of each of many jobs, by id.

        No holders, no usual run; `before` is 0 for the first job of those that wait in one line, and 1 for the others.
        """
