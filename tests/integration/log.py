"""The logs of workers: a test waits for what must be there, and looks at once only for what must not be there.

A worker writes a line after what it tells of is in the database: a test that has seen the one may not yet see the
other.
"""

import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PATIENCE = 30.0
"""Seconds until a condition is taken as never true: far more than any takes, even on a busy machine."""

Said = str | re.Pattern[str]
"""A text, or a pattern that may match anywhere."""


def never() -> bool:
    return False


class Log:
    """The text of one file or several; files may come to be later."""

    def __init__(self, files: Callable[[], Iterable[Path]]) -> None:
        self._files = files

    @classmethod
    def at(cls, path: Path) -> "Log":
        """The log in one file."""
        return cls(lambda: [path] if path.exists() else [])

    def __repr__(self) -> str:
        return self.so_far()

    def wait_for(
        self, said: Said, count: int = 1, timeout: float = PATIENCE, *, or_until: Callable[[], object] = never
    ) -> bool:
        """Return True once that was written that often, False once `or_until` is true before; fail after `timeout`."""
        give_up_at = time.monotonic() + timeout
        while self._count(said) < count:
            if or_until():
                return self._count(said) >= count
            assert time.monotonic() < give_up_at, f"not {count} times within {timeout} s: {said}; the log:\n{self}"
            time.sleep(0.02)
        return True

    def assert_exactly(self, said: Said, count: int = 1) -> None:
        """Wait until that was written that often, and fail if it was written more often."""
        self.wait_for(said, count)
        self.assert_at_most(said, count)

    def assert_as_many(self, said: Said, as_of: Said) -> None:
        """Wait until the one was written as often as the other."""
        self.wait_for(said, self._count(as_of))
        self.assert_at_most(said, self._count(as_of))

    def assert_at_most(self, said: Said, count: int) -> None:
        """Fail if that was written more often so far."""
        assert self._count(said) <= count, f"{self._count(said)} times instead of {count}: {said}; the log:\n{self}"

    def assert_without(self, *said: Said) -> None:
        """Fail if any of that was written so far."""
        for each in said:
            self.assert_at_most(each, 0)

    def assert_at_most_lines(self, count: float, *, besides: Iterable[str]) -> None:
        """Fail if more lines than that were written so far that have none of the texts `besides`."""
        lines = [line for line in self.so_far().splitlines() if not any(text in line for text in besides)]
        assert len(lines) <= count, lines

    def so_far(self) -> str:
        """The whole text by now, for drivers and messages: a test that looks into it looks too early."""
        return "".join(path.read_text() for path in sorted(self._files()))

    def _count(self, said: Said) -> int:
        return len(re.findall(re.escape(said) if isinstance(said, str) else said, self.so_far()))
