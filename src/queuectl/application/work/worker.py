"""A worker: its slots, in which commands run, and its duties."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from queuectl.application.work.cancellation import Cancellations
from queuectl.application.work.claim import POLL, Claims
from queuectl.application.work.context import Context
from queuectl.application.work.dependents import Dependents
from queuectl.application.work.duty import Duty, WorkerPorts
from queuectl.application.work.lease import Heartbeat
from queuectl.application.work.outage import DatabaseDuties
from queuectl.application.work.rounds import Look, Rounds
from queuectl.application.work.stop import LostLease, Stops
from queuectl.application.work.suspects import Suspects


class Worker:
    """One worker. `work_one` is one turn of its loop; `stop` asks it to end.

    With several slots it never runs a suspect beside another job: it takes one when it holds nothing, and nothing else
    until that has ended.
    """

    def __init__(
        self,
        worker_id: str,
        *,
        queues: Collection[str],
        concurrency: int,
        heartbeat: Heartbeat,
        ports: WorkerPorts,
        labels: Collection[str] = (),
        fleet: Sequence[Look] = (),
    ) -> None:
        """`fleet` are its looks for the whole queue."""
        self.id = worker_id
        self._context = context = Context(
            worker_id, queues=queues, labels=labels, concurrency=concurrency, heartbeat=heartbeat, ports=ports
        )
        self._stops = Stops(context)
        self._suspects = Suspects(context)
        self._claims = Claims(context, self._suspects)
        self._rounds = Rounds(context, [self._claims.give_back_orphaned, *fleet, self._suspects.look])
        duties: Sequence[Duty] = [Cancellations(context), self._rounds, self._claims, Dependents(context)]
        self._database = DatabaseDuties(context, duties, self._rounds)
        self._duties: Sequence[Duty] = [LostLease(context), self._database]

    def run(self) -> bool:
        """Work until stopped; True when it has ended in good order, with its lease."""
        while not self.is_done:
            self.work_one()
        return not self._context.slots.is_lease_lost

    def stop(self, *, force: bool = False) -> None:
        """Ask for a graceful stop: claim no more, finish the jobs in hand. With `force`, release them.

        No effect where that much was asked for before. Safe in a signal handler.
        """
        self._stops.ask(force=force)
        self._context.ports.runner.wake()

    def rescue_soon(self) -> None:
        """Look for workers that have died on this machine, at the next turn. Safe in a signal handler."""
        self._rounds.ask()
        self._context.ports.runner.wake()

    @property
    def is_cut_off(self) -> bool:
        """True when the database could not be used at the last try."""
        return self._database.is_cut_off

    @property
    def is_idle(self) -> bool:
        """True when it runs nothing and its last claim has found nothing more."""
        return self._claims.is_idle and not self._context.slots.running

    @property
    def is_done(self) -> bool:
        """True when it was asked to stop (or lost its lease) and holds nothing any more.

        An outcome that the database does not take keeps it alive only until that is kept: the next worker of this
        machine will settle it. After a forced stop, also until the lease is over and the job is the rescuers'.
        """
        slots, outcomes = self._context.slots, self._context.outcomes
        if slots.running or not (slots.is_lease_lost or slots.stops):
            return False
        if self._claims.are_in_doubt and not slots.is_lease_lost:
            return False
        is_safe = slots.stops > 0 and outcomes.are_spooled
        return not outcomes or is_safe or (slots.stops > 1 and slots.is_lease_lost)

    @property
    def kill_grace(self) -> timedelta:
        """The time that a forced stop gives the commands to end."""
        return self._context.policy.kill_grace

    def work_one(self, patience: timedelta = POLL) -> None:
        """Make one turn: wait until something happens or is due, at most `patience`; then run every duty."""
        ended = self._context.ports.runner.wait(min(patience, self._time_to_next()))
        self._stops.run(
            self._context.ports.elapsed()
        )  # first: a command that ended by the signal that stops the worker is released
        self._context.slots.take(ended)
        for duty in self._duties:
            duty.run(self._context.ports.elapsed())

    def _time_to_next(self) -> timedelta:
        return max(timedelta(), min(duty.due_at for duty in self._duties) - self._context.ports.elapsed())
