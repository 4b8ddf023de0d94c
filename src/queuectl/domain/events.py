"""Events in a worker. Logs listen to these in one place; the work itself has no log lines."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from queuectl.domain.attempt import AttemptEnd
from queuectl.domain.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarted:
    """A worker holds its first lease and begins to claim."""

    worker: str
    queues: tuple[str, ...]
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopping:
    """A worker claims no more. `forced`: the jobs in hand are stopped and released instead of finished."""

    worker: str
    jobs: int
    forced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSignalled:
    """A signal that its supervisor does not send would have ended a worker: it stops, and is replaced."""

    worker: str
    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopped:
    """A worker has ended in good order."""

    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted:
    """An attempt has begun. `job.attempts` is its number."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReceived:
    """A worker knows now that a job it runs is to be cancelled, and stops its command."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettled:
    """The end of an attempt is recorded; `job` is as it is now, `ran` how long the attempt took."""

    job: Job
    end: AttemptEnd
    ran: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSpooled:
    """The end of an attempt cannot be recorded now; it is kept on this machine until it can."""

    end: AttemptEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRefused:
    """The end of an attempt can never be recorded as it is; it is kept on this machine, and nobody runs the job now."""

    end: AttemptEnd
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndLate:
    """An attempt ended after its job had been taken away; nothing but the late result was stored."""

    end: AttemptEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRescued:
    """A job was taken back from a worker that died or lost its lease."""

    job: Job
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLost:
    """A worker could not renew its lease in time, or was given up by others, and stops its jobs."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLost:
    """The database stopped answering a worker; it goes on trying. Emitted once per outage."""

    worker: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseBack:
    """The database answers a worker again."""

    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInTrouble:
    """A worker cannot start commands for reasons of its own, and claims ever more rarely. Emitted once."""

    worker: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysRepaired:
    """Jobs waited for keys that were free, and nothing would have let them go: it should never be."""

    keys: tuple[str, ...]


Event = (
    WorkerStarted
    | WorkerStopping
    | WorkerSignalled
    | WorkerStopped
    | JobStarted
    | CancelReceived
    | JobSettled
    | EndSpooled
    | EndRefused
    | EndLate
    | JobRescued
    | LeaseLost
    | DatabaseLost
    | DatabaseBack
    | WorkerInTrouble
    | KeysRepaired
)

EventSink = Callable[[Event], None]
"""Hears of what happened. Must not raise and must return at once."""
