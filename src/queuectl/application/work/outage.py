"""Working through outages: what a worker asks the database is tried again for as long as that cannot be used."""

from collections.abc import Sequence
from datetime import timedelta

from queuectl.application.work.context import Context
from queuectl.application.work.duty import Duty
from queuectl.application.work.retry_clock import RetryClock
from queuectl.application.work.rounds import Rounds
from queuectl.domain.errors import DatabaseReplaced, DatabaseUnavailable, HostTrouble
from queuectl.domain.events import DatabaseBack, DatabaseLost


class DatabaseDuties:
    """A duty made of those that ask the database: all in their order, but none while it is too soon to try again."""

    def __init__(self, worker: Context, duties: Sequence[Duty], rounds: Rounds) -> None:
        """`rounds`, which is one of them, makes sure that each try after a failure asks the database something."""
        self._worker = worker
        self._duties = duties
        self._rounds = rounds
        self._retries = RetryClock(elapsed=worker.ports.elapsed, chance=worker.ports.chance)

    @property
    def is_cut_off(self) -> bool:
        """True when the database could not be used at the last try."""
        return self._retries.is_failing

    @property
    def due_at(self) -> timedelta:
        """The moment at which the first of them is due, but not before the next try."""
        return max(min(duty.due_at for duty in self._duties), self._retries.next_try)

    def run(self, _now: timedelta) -> None:
        """Try them; where that fails, spool what has ended."""
        if not self._retries.is_due:
            self._worker.slots.spool_ended()
            return
        try:
            for duty in self._duties:
                duty.run(self._worker.ports.elapsed())
        except DatabaseReplaced as error:
            self._worker.slots.abandon()
            self._worker.heartbeat.give_up(error.message)
        except (DatabaseUnavailable, HostTrouble) as error:
            if self._retries.failed():
                self._worker.ports.events(DatabaseLost(worker=self._worker.id, error=error.message))
            self._rounds.begin_anew()  # which looks for orphaned claims too
            self._worker.outcomes.spool()
        else:
            if self._retries.worked():
                self._worker.ports.events(DatabaseBack(worker=self._worker.id))
