"""The queue that people's requests go to."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from queuectl.domain.ports.config import ConfigRepository
from queuectl.domain.ports.dependencies import Batches, Dependencies
from queuectl.domain.ports.host import Clock
from queuectl.domain.ports.jobs import Attempts, Jobs
from queuectl.domain.ports.metrics import Measurements
from queuectl.domain.ports.queues import Queues
from queuectl.domain.ports.surroundings import AroundJobs
from queuectl.domain.ports.workers import WorkerRegistry
from queuectl.domain.worker import Process


class Queue(NamedTuple):
    """The ports that the use cases work with. Every use case may raise `DatabaseUnavailable`."""

    jobs: Jobs
    attempts: Attempts
    dependencies: Dependencies
    batches: Batches
    workers: WorkerRegistry
    config: ConfigRepository
    queues: Queues
    measurements: Measurements
    surroundings: AroundJobs
    clock: Clock
    is_gone: Callable[[Process], bool]
    """Says of a process of this machine that it has ended."""
    new_job_ids: Callable[[int], Sequence[str]]
    """Makes so many ids."""
    operator: str
    """The person who asks, as it is recorded: `ann@web-1`."""
