"""The slots of a worker, in which commands run, and the ends of these runs."""

from collections.abc import Sequence
from datetime import timedelta

from queuectl.application.work.duty import NEVER, WorkerPorts
from queuectl.application.work.lease import LeaseTerm
from queuectl.application.work.retry_clock import RetryClock
from queuectl.application.work.settle import Unsettled
from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.events import JobStarted, WorkerInTrouble
from queuectl.domain.exit_codes import SIGNALLED
from queuectl.domain.ports.work import Run
from queuectl.domain.retry import Backoff

PAUSES = Backoff(initial=timedelta(seconds=1), ceiling=timedelta(seconds=30), jitter=1)
"""No new claim for this long after the worker itself was unable to start a command: 1 to 2 s at first."""

SHUTDOWN_SIGNALS = (1, 2, 9, 15)
"""SIGHUP, SIGINT, SIGKILL, SIGTERM: what a system sends to all processes when it, a session or a container ends."""

SHUTDOWN_NOTICE = timedelta(seconds=1)
"""The time that an end by one of these waits for word that the worker is to stop as well: all are signalled at once."""


class Slots:
    """The runs of the worker. The end of each goes on to `outcomes`, to be recorded."""

    def __init__(
        self, worker_id: str, concurrency: int, *, lease: LeaseTerm, outcomes: Unsettled, ports: WorkerPorts
    ) -> None:
        self.concurrency = concurrency
        self.running: dict[str, Run] = {}
        self.stops = 0
        """1: the worker stops gracefully; 2: by force."""
        self.is_lease_lost = False
        self.pause = RetryClock(elapsed=ports.elapsed, chance=ports.chance, backoff=PAUSES)
        """The pause of claims while the worker cannot start commands for reasons of its own: ever longer."""
        self._worker_id = worker_id
        self._lease = lease
        self._outcomes = outcomes
        self._ports = ports
        self._doubtful: dict[str, tuple[RunResult, timedelta]] = {}
        self._has_ended = False
        self._are_abandoned = False

    @property
    def free(self) -> int:
        """The number of commands that could be started now."""
        if self.stops or self.is_lease_lost:
            return 0
        return max(0, self.concurrency - len(self.running) - self._ports.runner.stuck)

    @property
    def decides_at(self) -> timedelta:
        """The moment at which the next end that a shutdown may have brought about is taken for the command's own."""
        return min((until for _, until in self._doubtful.values()), default=NEVER)

    def start(self, run: Run) -> None:
        """Run what has been claimed, unless something has happened while the answer to the claim was under way."""
        self.running[run.job.id] = run
        if self._lease.lost:
            self._end(run, RunResult(outcome=Outcome.LOST, error="not started: the worker had lost its lease"))
        elif run.job.cancel_requested_at:
            self._end(run, RunResult(outcome=Outcome.CANCELLED, error="not started"))
        else:
            self._ports.runner.start(run)
            self._ports.events(JobStarted(job=run.job))

    def take(self, ended: Sequence[tuple[Run, RunResult]]) -> None:
        """Take the ends of runs; not yet those that a shutdown may have brought about."""
        taken = [self._take(run.job.id, result) for run, result in ended]
        self._has_ended = self._take_doubtful() or any(taken)

    def spool_ended(self) -> None:
        """Have the outcomes outlive this process, where this turn has brought new ones."""
        if self._has_ended:
            self._outcomes.spool()

    def abandon(self) -> None:
        """Record nothing of what runs or has ended any more: its jobs are gone with the database that held them."""
        self._are_abandoned = True
        self._outcomes.drop()

    def _take(self, job_id: str, result: RunResult) -> bool:
        if result.outcome is Outcome.FAILED and _is_by_shutdown(result):
            self._doubtful[job_id] = result, self._ports.elapsed() + SHUTDOWN_NOTICE
            return False
        self._end(self.running[job_id], result)
        return True

    def _take_doubtful(self) -> bool:
        """Take the ends that a shutdown may have brought about: it has, if this worker is to stop too. Whether any."""
        now, was_any = self._ports.elapsed(), False
        for job_id, (result, until) in list(self._doubtful.items()):
            if self.stops:
                error = f"stopped with its worker, or by the same signal: {result.error}"
                result = result._replace(outcome=Outcome.RELEASED, error=error)
            elif now < until and not self.is_lease_lost:
                continue
            del self._doubtful[job_id]
            self._end(self.running[job_id], result)
            was_any = True
        return was_any

    def _end(self, run: Run, result: RunResult) -> None:
        del self.running[run.job.id]
        if self._are_abandoned:
            return
        self._note_trouble(result)
        if result.outcome is Outcome.CANCELLED:
            result = result._replace(error=f"cancelled by {run.job.cancel_requested_by}: {result.error}")
        self._outcomes.add(run.ended(result, self._ports.clock()), run.policy)

    def _note_trouble(self, result: RunResult) -> None:
        """Take the end of a run for a sign of the worker's own trouble, or of its end; not what a stop gave back."""
        was_started = result.exit_code is not None or result.signal is not None
        if was_started:
            self.pause.worked()
        elif result.outcome is Outcome.RELEASED and not self.stops and self.pause.is_due and self.pause.failed():
            self._ports.events(WorkerInTrouble(worker=self._worker_id, error=result.error or ""))


def _is_by_shutdown(result: RunResult) -> bool:
    """Tell an end by the signal of a shutdown, also of a command of the shell that says so."""
    number = (result.exit_code or 0) - SIGNALLED if result.signal is None else result.signal
    return number in SHUTDOWN_SIGNALS
