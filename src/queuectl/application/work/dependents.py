"""Looking after those that wait for what this worker has ended."""

from datetime import timedelta

from queuectl.application.work.context import Context
from queuectl.application.work.duty import AT_ONCE, NEVER


class Dependents:
    """A duty: after the ends that were recorded are committed, let go what waited for them."""

    def __init__(self, worker: Context) -> None:
        self._worker = worker

    @property
    def due_at(self) -> timedelta:
        """At once while there are such ends."""
        return AT_ONCE if self._worker.outcomes.awaited else NEVER

    def run(self, _now: timedelta) -> None:
        """Look after them. Raises DatabaseUnavailable, and the rest is still there."""
        awaited = self._worker.outcomes.awaited
        while awaited:
            self._worker.ports.look_after(awaited[:1])
            del awaited[0]
