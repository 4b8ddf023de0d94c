"""Look at batches, and at what jobs wait for."""

from collections.abc import Mapping, Sequence

from queuectl.application.operate.queue import Queue
from queuectl.domain.batch import Batch
from queuectl.domain.dependency import Parent
from queuectl.domain.job import Job


def find_batch(queue: Queue, name: str) -> Batch:
    """The batch. Raises BatchNotFound."""
    return queue.batches.find(name)


def newest_batches(queue: Queue, *, limit: int | None = None) -> Sequence[Batch]:
    """The batches, the newest first."""
    return queue.batches.newest(limit=limit)


def parents_of(queue: Queue, jobs: Sequence[Job]) -> Mapping[str, Sequence[Parent]]:
    """The dependencies of each job that has any, by job id."""
    return queue.dependencies.parents_of([job.id for job in jobs])
