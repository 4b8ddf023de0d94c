"""What a worker does: claim due jobs for its free slots, have them run, settle each with its outcome."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from queuectl.application.work.lease import Heartbeat
from queuectl.application.work.retry_clock import RetryClock
from queuectl.application.work.settle import Unsettled
from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.errors import CommitUnknown, DatabaseReplaced, DatabaseUnavailable, HostTrouble
from queuectl.domain.events import (
    CancelHeard,
    DatabaseBack,
    DatabaseLost,
    JobStarted,
    LeaseLost,
    WorkerInTrouble,
    WorkerStopping,
)
from queuectl.domain.job import Job
from queuectl.domain.policy import Policy
from queuectl.domain.ports.config import ConfigRepository
from queuectl.domain.ports.events import EventSink
from queuectl.domain.ports.host import Clock, Elapsed, OutcomeSpool
from queuectl.domain.ports.runner import Runner
from queuectl.domain.ports.work import FirstDue, JobRepository, Run
from queuectl.domain.retry import Backoff
from queuectl.domain.worker import Lease, WorkerState

DOUBT = timedelta(seconds=5)
"""How long a worker that is to stop waits to learn whether a claim was made whose answer was lost."""

POLL = timedelta(seconds=1)
"""The longest wait of an idle worker. Wake-ups are hints: polling alone must be correct."""

CONTENDED = timedelta(milliseconds=20)
"""The wait before the next claim when there was something due, but not to be had."""

LISTEN_AGAIN = timedelta(milliseconds=50)
"""The shortest time between two questions for jobs that are to be cancelled, however often the worker is woken."""

PAUSES = Backoff(initial=timedelta(seconds=1), ceiling=timedelta(seconds=30), jitter=1)
"""No new claim for this long after the worker itself was unable to start a command: 1 to 2 s at first."""

SHUTDOWN_SIGNALS = (1, 2, 9, 15)
"""SIGHUP, SIGINT, SIGKILL, SIGTERM: what a system sends to all processes when it, a session or a container ends."""

SIGNALLED = 128
"""A shell's exit code for a command that ended by a signal is this and the signal's number; so is a worker's."""

SHUTDOWN_NOTICE = timedelta(seconds=1)
"""How long an end by one of these waits for word that the worker is to stop as well: they are sent to all at once."""

PATIENCE_WITH_OTHERS = (0.5, 4)
"""How many leases, at least and at most, a busy worker leaves a suspect to others before it makes room for it.

Chance decides for each worker: so not all of them let their slots go empty for one suspect.
"""

SHORTEST_PAUSE = timedelta(milliseconds=250)
"""The shortest time between two looks for lost workers that nobody asked for."""


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
        jobs: JobRepository,
        config: ConfigRepository,
        runner: Runner,
        heartbeat: Heartbeat,
        rescue: Callable[[Policy], timedelta],
        clock: Clock,
        elapsed: Elapsed,
        new_lease_id: Callable[[], str],
        chance: Callable[[], float],
        spool: OutcomeSpool,
        events: EventSink,
    ) -> None:
        self.id = worker_id
        self._queues = tuple(queues)
        self._concurrency = concurrency
        self._jobs = jobs
        self._config = config
        self._runner = runner
        self._heartbeat = heartbeat
        self._rescue = rescue
        self._clock = clock
        self._elapsed = elapsed
        self._new_lease_id = new_lease_id
        self._chance = chance
        self._events = events

        self._policy = Policy.of({})
        self._running: dict[str, Run] = {}
        self._doubt_ends: timedelta | None = None
        self._unsettled = Unsettled(jobs=jobs, spool=spool, events=events)
        self._stops_asked = 0
        self._stops_done = 0
        self._lease_lost = False
        self._is_replaced = False
        self._rescue_at = elapsed()
        self._rescue_asked = False
        self._claim_at = elapsed()
        self._listen_at = elapsed()
        self._is_woken_again = False
        self._is_idle = False
        self._make_room_at: timedelta | None = None  # known while a suspect is due
        self._starts = RetryClock(elapsed=elapsed, chance=chance, backoff=PAUSES)
        self._doubtful: dict[str, tuple[RunResult, timedelta]] = {}
        self._retries = RetryClock(elapsed=elapsed, chance=chance)

    def run(self) -> bool:
        """Work until stopped; whether it ended in good order, with its lease."""
        while not self.is_done:
            self.work_one()
        return not self._lease_lost

    def stop(self, *, force: bool = False) -> None:
        """Ask for a graceful stop: claim no more, finish the jobs in hand. With `force`, release them.

        No effect where that much was asked for before. Safe in a signal handler.
        """
        self._stops_asked = max(self._stops_asked, 2 if force else 1)
        self._runner.wake()

    def rescue_soon(self) -> None:
        """Look for workers that have died on this machine, at the next turn. Safe in a signal handler."""
        self._rescue_asked = True
        self._runner.wake()

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stops_asked > 0

    @property
    def is_cut_off(self) -> bool:
        """Whether the database could not be used when it was last tried."""
        return self._retries.is_failing

    @property
    def is_done(self) -> bool:
        """Whether it was asked to stop (or lost its lease) and holds nothing any more.

        An outcome that the database does not take keeps it alive only until that is kept: the next worker of this
        machine will settle it. After a forced stop, also until the lease is over and the job is the rescuers'.
        """
        if self._running or not (self._lease_lost or self._stops_done):
            return False
        in_doubt = self._doubt_ends is not None and self._elapsed() < self._doubt_ends
        if in_doubt and not self._lease_lost:
            return False
        is_safe = self._stops_done > 0 and self._unsettled.are_kept
        return not self._unsettled or is_safe or (self._stops_done > 1 and self._lease_lost)

    @property
    def kill_grace(self) -> timedelta:
        """What a forced stop gives the commands to end."""
        return self._policy.kill_grace

    def work_one(self, patience: timedelta = POLL) -> None:
        """One turn: wait for something to happen, at most `patience`, then settle, obey, rescue and claim."""
        ended = self._runner.wait(min(patience, self._time_to_next()))
        self._obey_stops()
        taken = [self._take(run, result) for run, result in ended]
        has_ended = self._take_doubtful() or any(taken)
        self._watch_lease()
        if not self._retries.is_due:
            if has_ended:
                self._unsettled.keep()
            return
        try:
            self._hear_cancels()
            self._rescue_others()
            self._settle_and_claim()
        except DatabaseReplaced as error:
            self._is_replaced = True  # and the outcomes of what it held are nobody's
            self._unsettled.drop()
            self._heartbeat.give_up(error.message)
        except (DatabaseUnavailable, HostTrouble) as error:
            if self._retries.failed():
                self._events(DatabaseLost(worker=self.id, error=error.message))
            self._rescue_at = self._elapsed()  # so that the next try asks it something, and looks for strays
            self._unsettled.keep()
        else:
            if self._retries.worked():
                self._events(DatabaseBack(worker=self.id))

    def _time_to_next(self) -> timedelta:
        """How long nothing is due by the clock: a settlement, a claim, a rescue, the end of the lease."""
        now = self._elapsed()
        due = [now + POLL]
        if self._unsettled:
            due.append(now)
        due += [until for _, until in self._doubtful.values()]
        if self._is_woken_again and self._running and not self._lease_lost:
            due.append(self._listen_at)
        if self._free_slots:
            due.append(max(self._claim_at, self._starts.next_try))
        if not self._lease_lost:
            due.append(self._rescue_at)
        next_turn = max(min(due), self._retries.next_try)
        if not self._lease_lost:  # an outage must not delay the notice that it has cost the lease
            next_turn = min(next_turn, now + self._heartbeat.time_left)
        return max(timedelta(), next_turn - now)

    @property
    def _free_slots(self) -> int:
        if self._stops_done or self._lease_lost or (self._running and self._runs_apart):
            return 0
        return max(0, self._concurrency - len(self._running) - self._runner.stuck)

    @property
    def _runs_apart(self) -> bool:
        """Whether nothing may be claimed beside what runs: it is a suspect, or one has waited long enough."""
        if self._concurrency == 1:
            return False
        makes_room = self._make_room_at is not None and self._make_room_at <= self._elapsed()
        return makes_room or any(run.job.suspect for run in self._running.values())

    def _take(self, run: Run, result: RunResult) -> bool:
        """Take the end of a run; not yet where a shutdown may have brought it about. Whether it was taken."""
        if result.outcome is Outcome.FAILED and _is_by_shutdown(result):
            self._doubtful[run.job.id] = result, self._elapsed() + SHUTDOWN_NOTICE
            return False
        self._end(self._running.pop(run.job.id), result)
        return True

    def _take_doubtful(self) -> bool:
        """Take the ends that a shutdown may have brought about: it has, if this worker is to stop too. Whether any."""
        now, was_any = self._elapsed(), False
        for job_id, (result, until) in list(self._doubtful.items()):
            if self._stops_done:
                error = f"stopped with its worker, or by the same signal: {result.error}"
                result = result._replace(outcome=Outcome.RELEASED, error=error)
            elif now < until and not self._lease_lost:
                continue
            del self._doubtful[job_id]
            self._end(self._running.pop(job_id), result)
            was_any = True
        return was_any

    def _end(self, run: Run, result: RunResult) -> None:
        if self._is_replaced:
            return
        was_started = result.exit_code is not None or result.signal is not None
        if was_started:
            self._starts.worked()
        elif (
            result.outcome is Outcome.RELEASED
            and not self._stops_done
            and self._starts.is_due
            and self._starts.failed()
        ):
            self._events(WorkerInTrouble(worker=self.id, error=result.error or ""))
        if result.outcome is Outcome.CANCELLED:
            result = result._replace(error=f"cancelled by {run.job.cancel_requested_by}: {result.error}")
        job = run.job.settled(result, self._clock(), run.policy, self._chance())
        self._unsettled.add(job, run.lease, result)

    def _obey_stops(self) -> None:
        while self._stops_done < self._stops_asked:
            self._stops_done += 1
            forced = self._stops_done == 2
            self._events(WorkerStopping(worker=self.id, jobs=len(self._running), forced=forced))
            self._heartbeat.state = WorkerState.STOPPING
            self._heartbeat.soon()
            if forced:
                self._runner.stop(Outcome.RELEASED, grace=self._policy.kill_grace)

    def _watch_lease(self) -> None:
        if self._lease_lost or not (reason := self._heartbeat.lost):
            return
        self._lease_lost = True
        self._events(LeaseLost(worker=self.id, reason=reason))
        self._runner.stop(Outcome.LOST, grace=self._heartbeat.stop_grace)

    def _hear_cancels(self) -> None:
        """Stop the commands whose jobs an operator wants to be cancelled; a wake-up may have told of them."""
        now = self._elapsed()
        if not self._running or self._lease_lost:
            return
        self._is_woken_again = now < self._listen_at
        if self._is_woken_again:
            return
        self._listen_at = now + LISTEN_AGAIN
        asked = self._jobs.asked_to_cancel(self.id, self._running)
        news = [heard for job in asked if (heard := self._heard(job))]
        if news:
            self._adopt(Policy.of(self._config.stored()))  # whoever asks again may have changed the grace
        for job in news:
            self._running[job.id] = self._running[job.id]._replace(job=job)
            self._events(CancelHeard(job=job))
            grace = timedelta() if job.is_to_be_killed else self._policy.kill_grace
            self._runner.stop(Outcome.CANCELLED, grace=grace, job_id=job.id)

    def _heard(self, asked: Job) -> Job | None:
        """The job that runs with what is asked of it now; None where that is no news."""
        run = self._running.get(asked.id)
        if run is None or run.job.is_to_be_killed:
            return None
        heard = run.job._replace(
            updated_at=asked.updated_at,
            cancel_requested_at=asked.cancel_requested_at,
            cancel_requested_by=asked.cancel_requested_by,
        )
        return None if heard == run.job else heard

    def _rescue_others(self) -> None:
        if self._lease_lost or (self._elapsed() < self._rescue_at and not self._rescue_asked):
            return
        self._rescue_asked = False
        self._unsettled.settle()  # what has ended is no stray
        self._adopt(Policy.of(self._config.stored()))
        self._give_back_strays()
        pause = self._rescue(self._policy)
        if self._concurrency > 1:
            self._note_suspects(self._jobs.first_due(queues=self._queues), self._clock())
        self._rescue_at = self._elapsed() + max(pause, SHORTEST_PAUSE) * (1 + self._chance() / 4)

    def _adopt(self, policy: Policy) -> None:
        """Stop commands by this policy from now on, whenever they were claimed."""
        self._policy = policy
        self._runner.set_grace(policy.kill_grace)

    def _give_back_strays(self) -> None:
        """Release what a claim took whose answer was lost: while this worker lives, no one else would."""
        result = RunResult(outcome=Outcome.RELEASED, error="not started: the answer to its claim was lost")
        for job in self._jobs.held_by(self.id):
            if job.lease is not None and job.id not in self._running and not self._unsettled.was_refused(job):
                self._unsettled.add(job.settled(result, self._clock(), self._policy, 0), job.lease, result)
        self._doubt_ends = None

    def _settle_and_claim(self) -> None:
        free = self._free_slots
        if not free or not self._starts.is_due or (self._is_idle and not self._is_any_due()):
            self._unsettled.settle()
            return
        lease = Lease(id=self._new_lease_id(), worker=self.id)
        suspects = None if self._concurrency == 1 else self._make_room_at is not None and not self._running
        if suspects:
            free = 1
        try:
            claimed = self._unsettled.settle_and_claim(
                lease, queues=self._queues, limit=free, at=self._clock(), suspects=suspects
            )
        except CommitUnknown:
            self._doubt_ends = self._elapsed() + DOUBT
            raise
        if claimed:
            self._adopt(claimed[0].policy)
        for run in claimed:
            self._running[run.job.id] = run
            self._start(run)
        if suspects and not claimed:  # another worker took it
            self._make_room_at = None
        self._is_idle = suspects or len(claimed) < free  # after a suspect: look first for the next one
        self._claim_at = self._elapsed() + POLL
        if self._is_idle and self._free_slots and self._is_any_due():  # others were quicker, or more has come
            self._claim_at = self._elapsed() + CONTENDED

    def _start(self, run: Run) -> None:
        if self._heartbeat.lost:  # while the answer to the claim was under way
            del self._running[run.job.id]
            self._end(run, RunResult(outcome=Outcome.LOST, error="not started: the worker had lost its lease"))
            return
        if run.job.cancel_requested_at:  # likewise
            del self._running[run.job.id]
            self._end(run, RunResult(outcome=Outcome.CANCELLED, error="not started"))
            return
        self._runner.start(run)
        self._events(JobStarted(job=run.job))

    def _is_any_due(self) -> bool:
        """Whether a claim could find anything: a look that, unlike a claim, stands in no writer's way."""
        now, first = self._clock(), self._jobs.first_due(queues=self._queues)
        self._note_suspects(first, now)
        may_take = first if self._concurrency == 1 or not self._running else [first.job]
        first_due = min((moment for moment in may_take if moment is not None), default=None)
        if first_due is not None and first_due <= now:
            return True
        self._claim_at = self._elapsed() + (POLL if first_due is None else min(POLL, first_due - now))
        return False

    def _note_suspects(self, first: FirstDue, now: datetime) -> None:
        if first.suspect is None or first.suspect > now:
            self._make_room_at = None
        elif self._make_room_at is None:
            least, most = PATIENCE_WITH_OTHERS
            self._make_room_at = self._elapsed() + self._policy.lease * (least + (most - least) * self._chance())


def _is_by_shutdown(result: RunResult) -> bool:
    """Whether the command ended by a signal of a shutdown, or as a shell says that one of its own commands did."""
    number = (result.exit_code or 0) - SIGNALLED if result.signal is None else result.signal
    return number in SHUTDOWN_SIGNALS
