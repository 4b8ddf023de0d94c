"""A queue's settings: its limits, whether only workers that name it serve it, and its pause."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from queuectl.domain.errors import WrongState
from queuectl.domain.limits import Rate

EVERY = ""
"""The name under which all queues together are paused."""


class Pause(NamedTuple):
    """While a queue is paused, none of its jobs starts; those that run go on. `until` None: until it is resumed."""

    at: datetime
    by: str
    until: datetime | None = None
    reason: str | None = None

    def lasts(self, at: datetime) -> bool:
        """True if it has not ended at that moment."""
        return self.until is None or at < self.until


class QueueSettings(NamedTuple):
    """The settings of a queue; one of which nothing was set has these: no limits, open to all workers, not paused."""

    name: str
    concurrency: int | None = None
    """The jobs of it that run at a time, on all hosts together."""
    rate: Rate | None = None
    reserved: bool = False
    """Only workers that name it serve it."""
    pause: Pause | None = None

    def is_paused(self, at: datetime) -> bool:
        """True if none of its jobs may start at that moment."""
        return self.pause is not None and self.pause.lasts(at)

    def paused(self, pause: Pause) -> "QueueSettings":
        """The same, paused; one that is paused already keeps the moment since when."""
        since = self.pause.at if self.pause is not None and self.pause.lasts(pause.at) else pause.at
        return self._replace(pause=pause._replace(at=since))

    def resumed(self) -> "QueueSettings":
        """The same, open."""
        return self._replace(pause=None)


def check_forgettable(name: str, unfinished: int, served: Iterable[Collection[str]]) -> None:
    """Raise WrongState if jobs of the queue wait or run, or a worker names it; `served` has the queues of each."""
    if unfinished:
        jobs = "1 of its jobs waits or runs" if unfinished == 1 else f"{unfinished} of its jobs wait or run"
        hint = f"`queuectl queue move {name} --to QUEUE` moves those that wait"
        raise WrongState(f"queue {name} cannot be forgotten: {jobs}", hint=hint)
    if any(name in queues for queues in served):
        hint = "`queuectl worker list` shows the workers and their queues"
        raise WrongState(f"queue {name} cannot be forgotten: a worker that runs was started for it", hint=hint)
