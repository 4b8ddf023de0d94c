"""Workers, their processes, their leases and their labels.

A job may need labels, all of which its worker must have: names, some with a value, such as `gpu` and `zone=eu`.
"""

import re
from collections.abc import Collection, Iterable
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


LABEL = re.compile(r"[A-Za-z0-9._-]{1,64}(=[A-Za-z0-9._-]{1,64})?")

MAX_LABELS = 20
"""Labels that a job may need, or that a worker is given."""

BUILT_IN = frozenset({"host", "os", "arch"})
"""The names of the labels that every worker has: those of its machine."""


def labels_of(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in their one order, none twice. Raises ValueError, with words that fit after the name of such a list."""
    found = sorted(set(labels))
    for label in found:
        if not LABEL.fullmatch(label):
            raise ValueError(f"must be labels such as gpu or zone=eu, of letters, digits and ._-, not {label[:140]!a}")
    if len(found) > MAX_LABELS:
        raise ValueError(f"must be at most {MAX_LABELS}, not {len(found):,}")
    return tuple(found)


def with_built_in(labels: Collection[str], built_in: Iterable[str]) -> tuple[str, ...]:
    """The labels that a worker was given, and those of its machine whose names none of them has."""
    given = {name_of(label) for label in labels}
    own = [it for it in built_in if name_of(it) not in given and LABEL.fullmatch(it)]  # a host may have any name
    return tuple(sorted({*labels, *own}))


def name_of(label: str) -> str:
    """The name of a label, without its value."""
    return label.partition("=")[0]
