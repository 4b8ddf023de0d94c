"""Looking after jobs that wait for a key: whoever ends a job lets the next one go, and this sees that it was done."""

from dataclasses import dataclass
from datetime import timedelta

from queuectl.application.work.rounds import MAX_INTERVAL
from queuectl.domain.events import EventSink, KeysRepaired
from queuectl.domain.policy import Policy
from queuectl.domain.ports.work import Work

KEYS_PER_LOOK = 100
"""Keys that a look goes over; the next one goes on behind them."""


@dataclass(slots=True, kw_only=True)
class KeySweep:
    """A look at some of the keys for which jobs wait. It tells what it had to repair: it should be nothing."""

    work: Work
    events: EventSink
    _last: str = ""

    def __call__(self, _policy: Policy) -> timedelta:
        """Look once. Raises DatabaseUnavailable."""
        found = self.work.sweep_keys(self._last, limit=KEYS_PER_LOOK)
        self._last = found.last
        if found.repaired:
            self.events(KeysRepaired(keys=tuple(found.repaired)))
        return MAX_INTERVAL
