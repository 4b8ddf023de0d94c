"""Suspects: jobs that were lost with their worker beside others. A worker never runs one beside another job."""

from datetime import datetime, timedelta

from queuectl.application.work.context import Context
from queuectl.application.work.duty import NEVER
from queuectl.domain.policy import Policy
from queuectl.domain.ports.work import FirstDue

PATIENCE_WITH_OTHERS = (0.5, 4)
"""Leases, at least and at most, for which a busy worker leaves a suspect to others before it makes room for it.

Chance decides for each worker: so not all of them let their slots go empty for one suspect.
"""


class Suspects:
    """The room that a worker with several slots makes for a suspect: it takes one when it holds nothing.

    With one slot nothing runs beside anything, and a suspect is a job like others.
    """

    def __init__(self, worker: Context) -> None:
        self._worker = worker
        self._slots = worker.slots
        self._make_room_at: timedelta | None = None  # known while a suspect is due

    def look(self, _policy: Policy) -> timedelta:
        """Look for one that waits, also where there is no slot to claim for. Raises DatabaseUnavailable."""
        if self._slots.concurrency > 1:
            self.note(self._worker.first_due(), self._worker.ports.clock())
        return NEVER

    def note(self, first: FirstDue, now: datetime) -> None:
        """Make room in some time where a suspect is due; else there is no need to."""
        if first.suspect is None or first.suspect > now:
            self._make_room_at = None
        elif self._make_room_at is None:
            least, most = PATIENCE_WITH_OTHERS
            patience = self._worker.policy.lease * (least + (most - least) * self._worker.ports.chance())
            self._make_room_at = self._worker.ports.elapsed() + patience

    def forbid_claims(self) -> bool:
        """Forbid claims beside what runs: where that is a suspect, or one has waited long enough."""
        if self._slots.concurrency == 1 or not self._slots.running:
            return False
        makes_room = self._make_room_at is not None and self._make_room_at <= self._worker.ports.elapsed()
        return makes_room or any(run.job.suspect for run in self._slots.running.values())

    def are_wanted(self) -> bool | None:
        """Say whether the next claim is to take a suspect and nothing else; None: it may take anything."""
        if self._slots.concurrency == 1:
            return None
        return self._make_room_at is not None and not self._slots.running

    def are_taken(self) -> None:
        """Note that another worker was quicker."""
        self._make_room_at = None
