"""The form of a worker's duties, and the ports that they share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from queuectl.application.ends import LookAfter
from queuectl.domain.events import EventSink
from queuectl.domain.ports.config import ConfigRepository
from queuectl.domain.ports.host import Clock, Elapsed, OutcomeSpool
from queuectl.domain.ports.runner import Runner
from queuectl.domain.ports.work import Work

AT_ONCE, NEVER = timedelta(), timedelta.max
"""The earliest and the latest moment at which a duty can be due."""


class Duty(Protocol):
    """Something that a worker does beside running commands."""

    @property
    def due_at(self) -> timedelta:
        """The latest moment for the worker's next turn, in time since boot; NEVER: the clock is no reason for one."""

    def run(self, now: timedelta) -> None:
        """Do what there is to do `now`. Every turn calls it, also before it is due: something may have happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPorts:
    """The ports of a worker."""

    work: Work
    config: ConfigRepository
    runner: Runner
    spool: OutcomeSpool
    events: EventSink
    new_lease_id: Callable[[], str]
    clock: Clock
    elapsed: Elapsed
    chance: Callable[[], float]
    """Random numbers in [0, 1)."""
    look_after: LookAfter
    """Lets go what waited for these jobs."""
