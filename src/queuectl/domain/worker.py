"""Workers, their processes and their leases."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

WORKER_MARK, JOB_MARK = "QUEUECTL_WORKER_ID", "QUEUECTL_JOB_ID"
"""Variables in the environment of every command: whose it is."""


class Lease(NamedTuple):
    """A worker's right to the jobs of one claim. `id` is the fencing token: 128 random bits, in hex."""

    id: str
    worker: str


class WorkerState(StrEnum):
    """The states of a worker."""

    RUNNING = "running"
    """Claims and runs jobs."""
    STOPPING = "stopping"
    """Claims no more; finishes the jobs in hand."""
    STOPPED = "stopped"
    """Ended in good order."""
    LOST = "lost"
    """Died or lost its lease; its jobs were taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process on one machine, for as long as the machine runs: a pid alone can belong to another tomorrow.

    `machine` names one boot and pid namespace; `started` is the kernel's start time of the pid, in its own units.
    """

    machine: str
    pid: int
    started: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A worker as the registry knows it. `id` is fresh at every start; `jobs` is how many it holds now."""

    id: str
    host: str
    process: Process
    supervisor: Process
    queues: tuple[str, ...]
    concurrency: int
    state: WorkerState
    started_at: datetime
    renewed_at: datetime
    lease_expires_at: datetime
    labels: tuple[str, ...] = ()
    jobs: int = 0
