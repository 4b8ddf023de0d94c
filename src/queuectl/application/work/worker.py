"""A worker: its slots, in which commands run, and its duties."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from queuectl.application.work.cancellation import Cancellations
from queuectl.application.work.claim import POLL, Claims, SettleAndClaim
from queuectl.application.work.context import Context
from queuectl.application.work.duty import Duty, Standing, TimeAndChance
from queuectl.application.work.lease import Heartbeat
from queuectl.application.work.outage import DatabaseDuties
from queuectl.application.work.policy_in_force import PolicyInForce
from queuectl.application.work.rounds import Look, Rounds
from queuectl.application.work.settle import Unsettled
from queuectl.application.work.slots import OwnTrouble, Slots
from queuectl.application.work.stop import LostLease, Stops
from queuectl.application.work.suspects import Suspects
from queuectl.domain.events import EventSink
from queuectl.domain.ports.config import ConfigRepository
from queuectl.domain.ports.host import OutcomeSpool
from queuectl.domain.ports.runner import Runner
from queuectl.domain.ports.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPorts:
    """The world of a worker."""

    work: Work
    config: ConfigRepository
    runner: Runner
    spool: OutcomeSpool
    events: EventSink
    new_lease_id: Callable[[], str]
    time: TimeAndChance


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
        fleet: Sequence[Look] = (),
    ) -> None:
        """`fleet` are its looks for the whole queue."""
        self.id = worker_id
        self._context = context = _context(worker_id, concurrency, heartbeat, ports)
        self._runner = ports.runner
        self._elapsed = ports.time.elapsed
        self._stops = Stops(context)
        self._claims = Claims(context, queues=tuple(queues), new_lease_id=ports.new_lease_id)
        self._suspects = Suspects(context, self._claims.first_due)
        self._rounds = Rounds(context, [self._claims.give_back_orphaned, *fleet, self._suspects.look])
        self._settle_and_claim = SettleAndClaim(context, self._claims, self._suspects)
        ask: Sequence[Duty] = [Cancellations(context), self._rounds, self._settle_and_claim]
        self._database = DatabaseDuties(context, ask, self._rounds)
        self._duties: Sequence[Duty] = [LostLease(context), self._database]

    def run(self) -> bool:
        """Work until stopped; True when it has ended in good order, with its lease."""
        while not self.is_done:
            self.work_one()
        return not self._context.standing.is_lease_lost

    def stop(self, *, force: bool = False) -> None:
        """Ask for a graceful stop: claim no more, finish the jobs in hand. With `force`, release them.

        No effect where that much was asked for before. Safe in a signal handler.
        """
        self._stops.ask(force=force)
        self._runner.wake()

    def rescue_soon(self) -> None:
        """Look for workers that have died on this machine, at the next turn. Safe in a signal handler."""
        self._rounds.ask()
        self._runner.wake()

    @property
    def is_cut_off(self) -> bool:
        """True when the database could not be used at the last try."""
        return self._database.is_cut_off

    @property
    def is_idle(self) -> bool:
        """True when it runs nothing and its last claim has found nothing more."""
        return self._settle_and_claim.is_idle and not self._context.slots.running

    @property
    def is_done(self) -> bool:
        """True when it was asked to stop (or lost its lease) and holds nothing any more.

        An outcome that the database does not take keeps it alive only until that is kept: the next worker of this
        machine will settle it. After a forced stop, also until the lease is over and the job is the rescuers'.
        """
        standing, outcomes = self._context.standing, self._context.outcomes
        if self._context.slots.running or not (standing.is_lease_lost or standing.stops):
            return False
        if self._claims.are_in_doubt and not standing.is_lease_lost:
            return False
        is_safe = standing.stops > 0 and outcomes.are_spooled
        return not outcomes or is_safe or (standing.stops > 1 and standing.is_lease_lost)

    @property
    def kill_grace(self) -> timedelta:
        """The time that a forced stop gives the commands to end."""
        return self._context.policy.policy.kill_grace

    def work_one(self, patience: timedelta = POLL) -> None:
        """Make one turn: wait until something happens or is due, at most `patience`; then run every duty."""
        ended = self._runner.wait(min(patience, self._time_to_next()))
        self._stops.run(self._elapsed())  # first: a command that ended by the signal that stops the worker is released
        self._context.slots.take(ended)
        for duty in self._duties:
            duty.run(self._elapsed())

    def _time_to_next(self) -> timedelta:
        return max(timedelta(), min(duty.due_at for duty in self._duties) - self._elapsed())


def _context(worker_id: str, concurrency: int, heartbeat: Heartbeat, ports: WorkerPorts) -> Context:
    standing = Standing()
    outcomes = Unsettled(work=ports.work, spool=ports.spool, events=ports.events, chance=ports.time.chance)
    slots = Slots(
        concurrency,
        runner=ports.runner,
        outcomes=outcomes,
        heartbeat=heartbeat,
        trouble=OwnTrouble(worker_id, standing=standing, events=ports.events, time=ports.time),
        standing=standing,
        events=ports.events,
        time=ports.time,
    )
    return Context(
        worker_id=worker_id,
        slots=slots,
        outcomes=outcomes,
        policy=PolicyInForce(ports.config, ports.runner),
        standing=standing,
        heartbeat=heartbeat,
        work=ports.work,
        runner=ports.runner,
        events=ports.events,
        time=ports.time,
    )
