"""Runs commands as child processes: one loop over their ends, their output and their deadlines.

Each phase that a command could stay in has an end (see `child`): what SIGKILL does not end, or a tracer does not let go
of, is *stuck*: its outcome is reported, and it is reaped whenever that can be.

A run ends when its process ends, not when its output does: a background child that keeps the pipe open must not hang
the worker. When the leader is dead its group is killed; what left the group is killed next, once it has become an
orphan and so, by adoption, a child of this process: see `tree`.
"""

import contextlib
import math
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from queuectl.adapters.processes import environment, results, tree
from queuectl.adapters.processes.blocking_calls import BlockingCalls
from queuectl.adapters.processes.child import POLL_INTERVAL, REAP_TIMEOUT, RUNNING, STARTING, Child, End, Stop
from queuectl.adapters.processes.output import OutputBuffer, OutputPipe
from queuectl.adapters.processes.slots import Note, Slots
from queuectl.adapters.processes.starts import Starts
from queuectl.adapters.processes.tree import Orphans
from queuectl.adapters.processes.watch import Bell, Watch
from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.errors import QueueError
from queuectl.domain.job import NO_VARIABLES
from queuectl.domain.ports.host import Elapsed
from queuectl.domain.ports.work import Run

WHILE_STARTING, WHILE_YOUNG = timedelta(milliseconds=25), timedelta(milliseconds=3)
"""The time that an end waits for others while young commands are being started, or run: what ends together is recorded
together, in one transaction, which fills all their slots. To start them is what takes the time meanwhile."""

EXPLAIN_TIMEOUT = timedelta(seconds=1)
"""The time that a look at a job's files may take which would only make the words about its end better."""

REAP_INTERVAL = timedelta(milliseconds=100)
"""The time between two looks for orphans of running commands that have ended."""

DESCRIPTORS, DESCRIPTORS_EACH = 64, 2
"""The descriptors that a worker needs for itself, starts under way and looks at /proc included, and for each command:
its pipe and its pidfd."""


def make_room_for(commands: int) -> None:
    """Allow this process as many descriptors as so many commands at once need. Raises QueueError where it may not."""
    needed = DESCRIPTORS + DESCRIPTORS_EACH * commands
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            possible = max(0, hard - DESCRIPTORS) // DESCRIPTORS_EACH
            raise QueueError(
                f"{commands} commands at once need {needed} file descriptors, and the limit is {hard} (ulimit -Hn): "
                + (f"--concurrency can be {possible} at most" if possible else "it is too low for any")
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class SubprocessRunner:
    """`Runner` on child processes. All methods belong to one thread, but `wake` and `stop`, which any may call.

    It takes every child of its process for its own: a command's leader, or an orphan that one left behind.
    """

    def __init__(
        self,
        elapsed: Elapsed,
        environ: Mapping[str, str] = os.environ,
        handed_on: Mapping[str, str] = NO_VARIABLES,
        *,
        note: Note = lambda _slot, _pid, _output: None,
    ) -> None:
        """Commands get `environ` less what is private, and what is `handed_on`: see `environment`."""
        self._elapsed = elapsed
        self._grace = timedelta()
        self._slots = Slots(note)
        self._failed: list[tuple[Run, RunResult]] = []
        self._calls = BlockingCalls()
        self._orphans = Orphans()
        self._reap_at = elapsed()
        self._watch = Watch()
        self._wakes = Bell(self._watch)
        given = environment.inherited(environ, handed_on)
        self._starts = Starts(self._calls, Bell(self._watch), self._slots, environ=given)
        _keep_descriptors_from_commands()
        tree.children()  # whose list stays open: later there may be no descriptor left

    @property
    def stuck(self) -> int:
        """The number of commands that are over, though SIGKILL has not ended them or a tracer holds them."""
        return len(self._slots.stuck)

    def start(self, run: Run) -> None:
        """Have the command started; how it ended, a failure to start included, comes from `wait`."""
        try:
            reads, writes = os.pipe()
        except OSError as error:
            self._failed.append((run, results.start_failed(run, error)))
            return
        child = self._child(run, reads)
        self._slots.note(child)
        with self._slots.lock:
            self._slots.running.append(child)
        try:
            self._starts.begin(child, writes)
        except (OSError, ValueError) as error:
            os.close(writes)
            self._fail(child, results.start_failed(run, error))

    def wait(self, timeout: timedelta) -> Sequence[tuple[Run, RunResult]]:
        """Return the runs that have ended; wait for the first at most `timeout`."""
        now = self._elapsed()
        deadline = now + timeout
        ended: list[tuple[Run, RunResult]] = []
        while True:
            if self._slots.running or self._slots.stuck:
                self._reap_others(now)
            self._enforce(now)
            seconds = max(0.0, (self._next_deadline(deadline) - now).total_seconds())
            ready = self._watch.wait(0 if self._failed else math.ceil(seconds * 1000))
            self._take_started()
            now = self._elapsed()
            ended += self._failed + self._take_ended(now)
            self._failed = []
            if ended or self._wakes.descriptor in ready:
                deadline = min(deadline, now + self._worth_waiting(now))
            if now >= deadline:
                return ended

    def stop(self, outcome: Outcome, *, grace: timedelta, job_id: str | None = None) -> None:
        """Stop all runs, or that job's: SIGTERM, SIGKILL after `grace`, or at once without one.

        Each comes from `wait` with `outcome`, but for those that were being stopped already or had ended by themselves.

        The SIGKILL after a grace is sent by `wait`; where nobody waits, stop again without one.
        """
        with self._slots.lock:
            for child in self._slots.running:
                if job_id in (None, child.run.job.id):
                    child.stop(outcome, grace, self._elapsed())
        self.wake()

    def set_grace(self, grace: timedelta) -> None:
        """From now on, a run has this long between SIGTERM and SIGKILL, or no longer if it has had its SIGTERM."""
        self._grace = grace
        with self._slots.lock:
            for child in self._slots.running:
                if child.stopping.kill_at is not None:
                    child.stopping.kill_by(self._elapsed() + grace)

    def wake(self) -> None:
        """Make a `wait` return early. Safe from any thread or signal handler."""
        self._wakes.ring()

    def close(self) -> None:
        """Kill what still runs and give all descriptors back."""
        self.stop(Outcome.RELEASED, grace=timedelta())
        while self._slots.running:
            self.wait(timedelta(seconds=1))
        self._wakes.close()
        self._starts.close()

    def _child(self, run: Run, reads: int) -> Child:
        now, timeout = self._elapsed(), run.job.timeout
        return Child(
            run=run,
            slot=self._slots.free(),
            spawned_at=now,
            pipe=OutputPipe(reads, OutputBuffer(run.policy.output_limit), self._watch),
            watch=self._watch,
            stopping=Stop(times_out=None if timeout is None else now + timeout),
        )

    def _take_started(self) -> None:
        for child, failure in self._starts.take():
            if failure is not None:
                stopped_as = child.stopping.outcome
                self._fail(child, results.not_started(child.run, stopped_as) if stopped_as else failure)
            elif child.phase is RUNNING and child not in self._slots.stuck:
                child.watch_exit(self._elapsed)

    def _fail(self, child: Child, result: RunResult) -> None:
        """End a command that never ran; one that is stuck has been reported already."""
        if child not in self._slots.stuck:
            self._failed.append((child.run, result))
        child.pipe.close()
        with self._slots.lock:
            self._slots.remove(child)

    def _enforce(self, now: timedelta) -> None:
        """Stop the runs whose time is up, and kill those whose grace is."""
        with self._slots.lock:
            for child in self._slots.running:
                child.enforce(now, self._grace)

    def _next_deadline(self, deadline: timedelta) -> timedelta:
        now = self._elapsed()
        if self._calls.relieve():
            deadline = min(deadline, now + POLL_INTERVAL)
        deadlines = [deadline]
        for child in self._slots.running:
            deadlines += child.deadlines(now)
        return min(deadlines)

    def _worth_waiting(self, now: timedelta) -> timedelta:
        """The time in which other commands may end too: those that have just begun are likely to be as short."""
        young = [child for child in self._slots.running if child.is_young(now)]
        if any(child.phase is STARTING for child in young):
            return WHILE_STARTING
        return WHILE_YOUNG if young else timedelta()

    def _take_ended(self, now: timedelta) -> list[tuple[Run, RunResult]]:
        """The results of the commands that have ended and of whose processes nothing is left, or not to be had."""
        with self._slots.lock:
            self._reap_leaders(now)
            reaped = [(child, child.end) for child in self._slots.running if child.end is not None]
            orphans_left = bool(reaped) and self._kill_orphans(reaped)
            over = [each for each in reaped if self._is_over(*each, now, orphans_left=orphans_left)]
            ended = [(child.run, self._result(child, end, orphans_left)) for child, end in over]
            stuck = [child for child in self._slots.running if child.is_stuck(now)]
            return ended + [(child.run, self._give_up(child)) for child in stuck]

    def _reap_leaders(self, now: timedelta) -> None:
        for child in self._slots.running:
            # A pidfd reports the end; a command that has none is looked at each time.
            if child.end is None and child.pidfd is None and child.has_ended():
                # One that is only being started has a copy of every pipe, as long as its mount is silent.
                child.reap(now, is_pipe_shared=child.pipe.is_open and self._slots.is_any_starting())

    def _is_over(self, child: Child, end: End, now: timedelta, *, orphans_left: bool) -> bool:
        is_late = now > child.since + REAP_TIMEOUT
        return (is_late or not (orphans_left or child.group_exists())) and self._is_explained(child, end, now)

    def _is_explained(self, child: Child, end: End, now: timedelta) -> bool:
        """Return whether all is known that can be said about its end; to look at the job's files may take for ever."""
        if child.stopping.outcome is not None or not results.may_be_explained(end.code):
            return True
        if end.explained_since is None:
            end.explained_since = now
            try:
                self._calls.begin(partial(_explain, child, end))
            except OSError:
                end.explanation = ""
        return end.explanation is not None or now > end.explained_since + EXPLAIN_TIMEOUT

    def _result(self, child: Child, end: End, orphans_left: bool) -> RunResult:
        left = tree.members(child.pid) if child.group_exists() else []
        if orphans_left:
            left += [orphan.pid for orphan in self._orphans.look() if child.may_have_started(orphan)]
        self._slots.remove(child)
        return results.ended(
            child.run,
            end.code,
            child.pipe.output(),
            stopped_as=child.stopping.outcome,
            left_behind=end.left_behind,
            cannot_be_killed=left,
            explanation=end.explanation or "",
        )

    def _give_up(self, child: Child) -> RunResult:
        """The result of a command that cannot be reaped: it holds its slot, and nobody else."""
        child.pipe.close()
        child.close_pidfd()
        self._slots.give_up(child)
        stopped_as = child.stopping.outcome
        if child.phase is STARTING:
            return results.not_started(child.run, stopped_as or Outcome.RELEASED, hangs=True)
        child.signal_group(signal.SIGKILL)
        code = tree.exit_code(child.pid)
        return results.stuck(child.run, code, child.pipe.output(), stopped_as=stopped_as, pid=child.pid)

    def _kill_orphans(self, reaped: Sequence[tuple[Child, End]]) -> bool:
        """Kill what the ended commands left outside their groups; whether there was any: it may leave more itself.

        An orphan that carries no mark any more (env -i) is spared while a command runs that may have started it.
        """
        running = [child for child in self._slots.running if child.end is None]
        orphans = [it for it in self._orphans.look() if not any(child.may_have_started(it) for child in running)]
        for orphan in orphans:
            for child, end in reaped:
                end.left_behind |= child.stopping.outcome is None and child.may_have_started(orphan)
            self._orphans.kill(orphan)
        return bool(orphans)

    def _reap_others(self, now: timedelta) -> None:
        """Reap the adopted orphans of running commands that have ended by themselves, and who was stuck."""
        if now < self._reap_at:
            return
        self._reap_at = now + REAP_INTERVAL
        self._orphans.reap()
        with self._slots.lock:
            for child in self._slots.stuck[:]:
                if child.has_ended():
                    child.reap_leader()
                    self._slots.remove(child)
                else:
                    child.signal_group(signal.SIGKILL)


def _explain(child: Child, end: End) -> None:
    end.explanation = results.explanation_of(child.run, child.pipe.output())


def _keep_descriptors_from_commands() -> None:
    """Keep what this process was started with, a lock perhaps, to itself; Python's own are not inherited anyway."""
    for entry in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the listing itself
            if int(entry.name) > 2:
                os.set_inheritable(int(entry.name), False)
