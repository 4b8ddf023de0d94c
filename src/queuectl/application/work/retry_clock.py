"""The time of the next try, for whatever does not work now."""

from collections.abc import Callable
from datetime import timedelta

from queuectl.domain.ports.host import Elapsed
from queuectl.domain.retry import Backoff

BACKOFF = Backoff(initial=timedelta(milliseconds=25), ceiling=timedelta(seconds=2.5), jitter=1)
"""The waits between two tries: 25 to 50 ms at first, 2.5 to 5 s at last."""


class RetryClock:
    """Knows whether the last try failed, and when the next one is due (in time since boot)."""

    def __init__(self, *, elapsed: Elapsed, chance: Callable[[], float], backoff: Backoff = BACKOFF) -> None:
        self._elapsed = elapsed
        self._chance = chance
        self._backoff = backoff
        self._failures = 0
        self.next_try = elapsed()

    @property
    def is_failing(self) -> bool:
        """True when the last try did not work."""
        return self._failures > 0

    @property
    def is_due(self) -> bool:
        """True when it may be tried now."""
        return self._elapsed() >= self.next_try

    def failed(self) -> bool:
        """Note that it did not work; whether it is the first try of some that did not."""
        self.next_try = self._elapsed() + self._backoff.stretched(self._failures, self._chance())
        self._failures += 1
        return self._failures == 1

    def worked(self) -> bool:
        """Note that it did; whether tries before had not."""
        was_failing, self._failures = self.is_failing, 0
        return was_failing
