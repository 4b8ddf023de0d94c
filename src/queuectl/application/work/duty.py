"""The form of a worker's duties, and the values that they share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol

from queuectl.domain.ports.host import Clock, Elapsed

AT_ONCE, NEVER = timedelta(), timedelta.max
"""The earliest and the latest moment at which a duty can be due."""


class Duty(Protocol):
    """Something that a worker does beside running commands."""

    @property
    def due_at(self) -> timedelta:
        """The latest moment for the worker's next turn, in time since boot; NEVER: the clock is no reason for one."""

    def run(self, now: timedelta) -> None:
        """Do what there is to do `now`. Every turn calls it, also before it is due: something may have happened."""


class TimeAndChance(NamedTuple):
    """The clocks that a worker goes by, and its dice."""

    clock: Clock
    elapsed: Elapsed
    chance: Callable[[], float]
    """Random numbers in [0, 1)."""


@dataclass(slots=True)
class Standing:
    """The steps that a worker has come on the way to its end."""

    stops: int = 0
    """1: it stops gracefully; 2: by force."""
    is_lease_lost: bool = False
