"""When to try again what does not work now."""

from collections.abc import Callable
from datetime import timedelta

from queuectl.domain.ports.host import Elapsed

FIRST_WAIT, LONGEST_WAIT = timedelta(milliseconds=50), timedelta(seconds=5)
"""The waits between two tries; doubled each time, with jitter."""


class RetryClock:
    """Knows whether the last try failed, and when the next one is due (in time since boot)."""

    def __init__(
        self,
        *,
        elapsed: Elapsed,
        chance: Callable[[], float],
        first: timedelta = FIRST_WAIT,
        longest: timedelta = LONGEST_WAIT,
    ) -> None:
        self._elapsed = elapsed
        self._chance = chance
        self._first = first
        self._longest = longest
        self._wait = first
        self.is_failing = False
        """Whether the last try did not work."""
        self.next_try = elapsed()

    @property
    def is_due(self) -> bool:
        """Whether it may be tried now."""
        return self._elapsed() >= self.next_try

    def failed(self) -> bool:
        """It did not work; whether it is the first try of some that did not."""
        was_failing, self.is_failing = self.is_failing, True
        self.next_try = self._elapsed() + self._wait * (0.5 + self._chance() / 2)
        self._wait = min(self._wait * 2, self._longest)
        return not was_failing

    def worked(self) -> bool:
        """It did; whether tries before had not."""
        was_failing, self.is_failing = self.is_failing, False
        self._wait = self._first
        return was_failing
