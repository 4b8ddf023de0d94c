"""The rounds of a worker, who looks after things from time to time, for itself and for the whole queue."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from queuectl.application.work.context import Context
from queuectl.application.work.duty import NEVER
from queuectl.domain.policy import Policy

Look = Callable[[Policy], timedelta]
"""Looks after one thing, by the policy in force; how long the next look has time, at most (NEVER: no matter).

Raises DatabaseUnavailable. In `application/duties`: those for the whole queue, a file each.
"""

MAX_INTERVAL = timedelta(seconds=5)
"""The longest time between two rounds: the policy may soon be another one, and a late answer make a claim."""

MIN_INTERVAL = timedelta(milliseconds=250)
"""The shortest time between two rounds that nobody asked for."""


class Rounds:
    """A duty: one look after the other, then none until the first of them wants the next, with jitter."""

    def __init__(self, worker: Context, looks: Sequence[Look]) -> None:
        self._worker = worker
        self._looks = looks
        self._due_at = worker.ports.elapsed()
        self._is_asked = False

    @property
    def due_at(self) -> timedelta:
        """The beginning of the next round, unless it is asked for before."""
        return NEVER if self._worker.slots.is_lease_lost else self._due_at

    def ask(self) -> None:
        """Have a round begin with the next turn. Safe in a signal handler."""
        self._is_asked = True

    def begin_anew(self) -> None:
        """Have a round be due now: the last one has come to nothing."""
        self._due_at = self._worker.ports.elapsed()

    def run(self, now: timedelta) -> None:
        """Make a round, if it is time. Raises DatabaseUnavailable."""
        if self._worker.slots.is_lease_lost or (now < self._due_at and not self._is_asked):
            return
        self._is_asked = False
        self._worker.outcomes.settle()  # what has ended is no orphaned claim, and not to be rescued
        policy = self._worker.refresh()
        pause = min([MAX_INTERVAL, *(look(policy) for look in self._looks)])
        self._due_at = self._worker.ports.elapsed() + max(pause, MIN_INTERVAL) * (1 + self._worker.ports.chance() / 4)
