"""What tests have in place of a machine: its clock, its processes, its commands. The queue in memory is `memory.py`."""

import signal
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from queuectl.domain.attempt import AttemptEnd, Outcome, RunResult
from queuectl.domain.ports.host import LocalProcess, NotedCommand
from queuectl.domain.ports.work import Run
from queuectl.domain.worker import Process


class InMemoryLocalProcesses:
    """What one process sees and says in a `machine`'s registrations, by process; `end` has another one killed."""

    def __init__(
        self,
        machine: dict[Process, LocalProcess],
        own: Process,
        *,
        end: Callable[[LocalProcess], None] = lambda _: None,
    ) -> None:
        self._machine = machine
        self._own = own
        self._end = end

    def join(self, supervisor: Process | None, *, worker: str = "") -> bool:
        self._machine[self._own] = LocalProcess(self._own, supervisor or self._own, worker, is_alive=True)
        return True

    def renew(self, lease_ends: timedelta, *, kill_grace: timedelta, fit_until: timedelta) -> None:
        if self._own in self._machine:
            own = self._machine[self._own]
            self._say(own._replace(lease_ends=lease_ends, kill_grace=kill_grace, fit_until=fit_until))

    def note(self, slot: int, pid: int, output: int) -> None:
        commands = [*self._machine[self._own].commands]
        commands += [NotedCommand(0, timedelta(), 0)] * (slot + 1 - len(commands))
        commands[slot] = NotedCommand(pid, timedelta(), output)
        self._say(self._machine[self._own]._replace(commands=commands))

    def registered(self, *, of: Collection[str] = ()) -> Sequence[LocalProcess]:
        return [it._replace(commands=[each for each in it.commands if each.output]) for it in self._machine.values()]

    def send(self, target: LocalProcess, number: signal.Signals) -> bool:
        return self._is_alive(target)

    def kill(self, target: LocalProcess) -> bool:
        self._end(target)
        if self._is_alive(target):
            self._say(self._machine[target.process]._replace(is_alive=False))
        return True

    def forget(self, gone: LocalProcess) -> None:
        if not self._is_alive(gone):
            self._machine.pop(gone.process, None)

    def _is_alive(self, target: LocalProcess) -> bool:
        return target.process in self._machine and self._machine[target.process].is_alive

    def _say(self, said: LocalProcess) -> None:
        self._machine[said.process] = said


class InMemorySpool:
    """`room` is for how many ends it has room."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self._spooled: dict[object, AttemptEnd] = {}

    def spool(self, end: AttemptEnd) -> bool:
        if len(self._spooled) >= self.room:
            return False
        self._spooled[end[:3]] = end
        return True

    def spooled(self) -> Sequence[AttemptEnd]:
        return list(self._spooled.values())

    def discard(self, end: AttemptEnd) -> None:
        self._spooled.pop(end[:3], None)


class ManualClock:
    """Time is a value: called, it is the moment; `elapsed` is the time since boot; both move by `advance` alone."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._elapsed = timedelta(days=3)

    def __call__(self) -> datetime:
        return self.now

    def elapsed(self) -> timedelta:
        return self._elapsed

    def advance(self, span: timedelta) -> None:
        self.now += span
        self._elapsed += span


class ScriptedRunner:
    """Commands that end as they are told: by `scripts` (job id to the results of its runs, in turn) or by `end`.

    A `wait` that has nothing to report moves the clock on by its timeout.
    """

    def __init__(self, clock: ManualClock, scripts: Mapping[str, Sequence[RunResult]] | None = None) -> None:
        self._clock = clock
        self._scripts = {job_id: deque(results) for job_id, results in (scripts or {}).items()}
        self._ended: list[tuple[Run, RunResult]] = []
        self._woken = False
        self.running: dict[str, Run] = {}
        self.started: list[str] = []
        self.waited: list[timedelta] = []
        self.stops: list[tuple[Outcome, timedelta]] = []
        self.stuck = 0
        self.grace = timedelta()

    def start(self, run: Run) -> None:
        self.started.append(run.job.id)
        self.running[run.job.id] = run
        if script := self._scripts.get(run.job.id):
            self.end(run.job.id, script.popleft())

    def end(self, job_id: str, result: RunResult) -> None:
        self._ended.append((self.running.pop(job_id), result))

    def wait(self, timeout: timedelta) -> Sequence[tuple[Run, RunResult]]:
        self.waited.append(timeout)
        if not self._ended and not self._woken:
            self._clock.advance(timeout)
        self._woken = False
        ended, self._ended = self._ended, []
        return ended

    def set_grace(self, grace: timedelta) -> None:
        self.grace = grace

    def stop(self, outcome: Outcome, *, grace: timedelta, job_id: str | None = None) -> None:
        self.stops.append((outcome, grace))
        for each in [it for it in self.running if job_id in (None, it)]:
            self.end(each, RunResult(outcome=outcome, error="stopped"))

    def wake(self) -> None:
        self._woken = True
