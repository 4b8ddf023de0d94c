"""Exponential backoff with a ceiling and jitter: the waits before whatever did not work is tried again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits that grow: the n-th is `min(initial * base ** n, ceiling)`, stretched by a random part of up to `jitter`.

    `initial` and `ceiling` are at least zero, `base` is at least 1, `jitter` a fraction from 0 (none) to 1 (up to twice
    as long). With the default `initial`, the wait after a job's n-th failure is wait n, in seconds.
    Exponential backoff with added jitter as in Brooker, "Exponential Backoff and Jitter" (AWS, 2015).
    """

    initial: timedelta = timedelta(seconds=1)
    base: float = 2.0
    ceiling: timedelta = timedelta(hours=1)
    jitter: float = 0.0

    def after(self, n: int) -> timedelta:
        """The bare curve: wait n (0, 1, 2, …), without jitter. Never overflows."""
        try:
            return min(self.initial * self.base**n, self.ceiling)
        except OverflowError:
            return self.ceiling

    def stretched(self, n: int, chance: float) -> timedelta:
        """Wait n with jitter; `chance` is a random number in [0, 1)."""
        return self.after(n) * (1 + self.jitter * chance)

    def waits(self, chance: Callable[[], float] = lambda: 0.0) -> Iterator[timedelta]:
        """The waits between tries in a row, from wait 0 on, without an end; each asks `chance` once.

        Begin a new iterator when a try has worked.
        """
        return (self.stretched(n, chance()) for n in count())
