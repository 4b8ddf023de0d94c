"""When a failed job is tried again: exponential backoff with a ceiling and optional jitter."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The wait after the n-th failure: `min(base ** n, ceiling)` seconds, stretched by up to `jitter`.

    `base` is at least 1, `ceiling` at least zero, `jitter` a fraction from 0 (none) to 1 (up to twice as long).
    Exponential backoff with added jitter as in Brooker, "Exponential Backoff and Jitter" (AWS, 2015).
    """

    base: float = 2.0
    ceiling: timedelta = timedelta(hours=1)
    jitter: float = 0.0

    def after(self, failures: int) -> timedelta:
        """The bare curve: the wait after that many failures (1, 2, …), without jitter. Never overflows."""
        try:
            return min(timedelta(seconds=self.base**failures), self.ceiling)
        except OverflowError:
            return self.ceiling

    def stretched(self, failures: int, chance: float) -> timedelta:
        """The wait after that many failures, with jitter; `chance` is a random number in [0, 1)."""
        return self.after(failures) * (1 + self.jitter * chance)
