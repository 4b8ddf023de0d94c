"""Commands that only take time: what really ran, when and on which host, and the runner that starts and stops them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.ports.work import Run
from tests.simulation.simulated_time import Action, SimulatedProcess, Timeline

NEVER = timedelta.max

TURN = timedelta(milliseconds=2)
"""The time that a turn of a worker's loop takes which waits for nothing: else one that spins would stop the time."""


@dataclass(frozen=True, slots=True)
class Script:
    """The course of a run that nobody stops, and the time that it takes to end by SIGTERM; None: it ignores that."""

    lasts: timedelta
    exit_code: int = 0
    obeys_in: timedelta | None = timedelta(milliseconds=20)
    kills_its_worker: bool = False
    """True: it does so in the middle of its run, `kill -9 $PPID`."""


@dataclass(eq=False)
class Command:
    """One run in true time. It lives on a host, not in its worker: a frozen or dead worker does not end it."""

    timeline: Timeline
    run: Run
    worker: SimulatedProcess
    host: str
    script: Script
    on_end: Callable[["Command"], None]
    started_at: timedelta = field(init=False)
    ended_at: timedelta | None = None
    exit_code: int | None = None
    """Set when it ended by itself."""
    is_forsaken: bool = False
    """True when its worker and its supervisor died at once, so that nobody on its host is left to kill it."""
    _left: timedelta | None = None
    """While it is frozen: how long it would go on."""
    _times_frozen: int = 0
    _turn: int = 0
    _ends_with: int | None = None
    _ends_at: timedelta = NEVER

    def __post_init__(self) -> None:
        self.started_at = self.timeline.now
        self._end_in(self.script.lasts, self.script.exit_code)

    def __str__(self) -> str:
        return f"{self.job}#{self.attempt}"

    @property
    def job(self) -> str:
        return self.run.job.id

    @property
    def attempt(self) -> int:
        return self.run.job.attempts

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None

    def terminate(self) -> None:
        """SIGTERM."""
        obeys_in = self.script.obeys_in
        if obeys_in is None:
            return
        if self._left is not None:
            if obeys_in < self._left:
                self._left, self._ends_with = obeys_in, None
        elif self.timeline.now + obeys_in < self._ends_at:
            self._end_in(obeys_in, None)

    def kill(self) -> None:
        """SIGKILL."""
        if not self.is_over:
            self._end(None)

    def freeze(self) -> None:
        self._times_frozen += 1
        if self._left is None and not self.is_over:
            self._left = self._ends_at - self.timeline.now
            self._turn += 1

    def thaw(self) -> None:
        self._times_frozen -= 1
        if self._times_frozen == 0 and self._left is not None and not self.is_over:
            left, self._left = self._left, None
            self._end_in(left, self._ends_with)

    def _end_in(self, span: timedelta, exit_code: int | None) -> None:
        self._turn += 1
        turn = self._turn
        self._ends_at, self._ends_with = self.timeline.now + span, exit_code
        self.timeline.after(span, lambda: self._end(exit_code) if turn == self._turn and not self.is_over else None)

    def _end(self, exit_code: int | None) -> None:
        self.ended_at, self.exit_code = self.timeline.now, exit_code
        self.on_end(self)


@dataclass(slots=True)
class _Child:
    command: Command
    times_out: timedelta
    stopped_as: Outcome | None = None
    kill_at: timedelta = NEVER

    def result(self) -> RunResult:
        code = self.command.exit_code
        if self.stopped_as is not None:
            return RunResult(outcome=self.stopped_as, error="stopped")
        if code is None:
            return RunResult(outcome=Outcome.FAILED, signal=9, error="killed by signal 9")
        outcome = Outcome.SUCCEEDED if code == 0 else Outcome.FAILED
        return RunResult(outcome=outcome, exit_code=code, error=None if code == 0 else f"exit code {code}")


class SimulatedRunner:
    """`Runner` of one worker, on commands that only take time.

    `take_up` hears of a run to be started and says how long that takes; `spawn` starts it then.
    """

    def __init__(
        self,
        timeline: Timeline,
        process: SimulatedProcess,
        spawn: Callable[[Run, Action], Command],
        take_up: Callable[[Run], timedelta],
    ) -> None:
        self._timeline = timeline
        self._process = process
        self._spawn = spawn
        self._take_up = take_up
        self._children: list[_Child] = []
        self._grace = timedelta()
        self._is_woken = False
        self._wakers: list[Action] = []
        self.stuck = 0

    def start(self, run: Run) -> None:
        self._process.pause(self._take_up(run))
        command = self._spawn(run, self._wake_waiting)
        timeout = run.job.timeout
        self._children.append(_Child(command, NEVER if timeout is None else self._timeline.now + timeout))

    def wait(self, timeout: timedelta) -> Sequence[tuple[Run, RunResult]]:
        deadline = self._timeline.now + timeout
        if not timeout:
            self._process.pause(TURN)
        while True:
            self._enforce()
            ended = [child for child in self._children if child.command.is_over]
            if ended or self._is_woken or self._timeline.now >= deadline:
                self._is_woken = False
                self._children = [child for child in self._children if not child.command.is_over]
                return [(child.command.run, child.result()) for child in ended]
            soon = min([deadline, *(min(child.times_out, child.kill_at) for child in self._children)])
            self._process.pause(max(timedelta(), soon - self._timeline.now), self._wakers)
            self._wakers.clear()

    def set_grace(self, grace: timedelta) -> None:
        self._grace = grace
        for child in self._children:
            child.kill_at = min(child.kill_at, NEVER if child.kill_at == NEVER else self._timeline.now + grace)

    def stop(self, outcome: Outcome, *, grace: timedelta, job_id: str | None = None) -> None:
        for child in self._children:
            if job_id in (None, child.command.job):
                self._stop(child, outcome, grace)
        self.wake()

    def wake(self) -> None:
        self._is_woken = True
        self._wake_waiting()

    def _enforce(self) -> None:
        """As in the real one, only while somebody waits: time limits, and the end of a grace."""
        now = self._timeline.now
        for child in self._children:
            if now >= child.times_out:
                self._stop(child, Outcome.TIMEOUT, self._grace)
            if now >= child.kill_at:
                child.kill_at = NEVER
                child.command.kill()

    def _stop(self, child: _Child, outcome: Outcome, grace: timedelta) -> None:
        child.times_out = NEVER
        if child.command.is_over:
            return
        child.stopped_as = child.stopped_as or outcome
        if grace:
            child.kill_at = min(child.kill_at, self._timeline.now + grace)
            child.command.terminate()
        else:
            child.command.kill()

    def _wake_waiting(self) -> None:
        wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()
