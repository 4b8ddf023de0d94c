"""The queues' settings."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Protocol

from queuectl.domain.job import State
from queuectl.domain.queues import QueueSettings, Starts

DecideSettings = Callable[[QueueSettings], QueueSettings]
"""A pure decision about a queue's settings. May raise, and then nothing changes."""


class Queues(Protocol):
    """The settings of queues, which act at once: every claim that begins after their commit goes by them.

    A claim that is under way at that moment, for some milliseconds, may still go by the old ones.
    """

    def all(self) -> Mapping[str, QueueSettings]:
        """Those of all queues of which something was set, by name; `EVERY` has the pause of all."""

    def change(self, name: str, decide: DecideSettings) -> QueueSettings:
        """Read, decide and store the settings of one queue; as stored.

        From the commit on its waiting jobs are held by them, also while they are still being moved to its own lane.
        Where its concurrency was lowered, jobs that run go on, and none starts until fewer than that run. Where its
        rate was changed, the starts that were made count on.
        """

    def starts(self, *, at: datetime) -> Mapping[str, Starts]:
        """The starts that each queue with a rate has used, as of that moment."""

    def move(self, name: str, to: str, *, states: Collection[State], at: datetime) -> int:
        """Move the jobs that wait in these states to another queue; how many were moved.

        They keep their place in the claim order. They are moved in pieces: where it fails, some were moved.
        """

    def forget(self, name: str) -> None:
        """Remove the settings and the lanes of a queue in which nothing waits or runs. Raises WrongState.

        No live worker may name it, either.
        """
