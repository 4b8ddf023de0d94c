"""A command from its start to its end: the phases that it goes through, and all that is done to its process.

It is *starting* in a thread of its own, which its program and its directory may hold up; *running*; *exited*, a zombie
that a tracer may keep from being reaped; and *reaped*, from when on only what it left behind is waited for. A stop may
come in any phase but the last: see `Stop`.

It leads a session and process group of its own. The dead leader is left a zombie until its group has been killed, so
that its pid, and with it the group's id, cannot belong to anybody else by then.
"""

import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from queuectl.adapters.processes import tree
from queuectl.adapters.processes.output import OutputPipe
from queuectl.adapters.processes.tree import Orphan
from queuectl.adapters.processes.watch import Watch
from queuectl.domain.attempt import Outcome
from queuectl.domain.ports.host import Elapsed
from queuectl.domain.ports.work import Run

POLL_INTERVAL = timedelta(milliseconds=10)
"""The time between two looks for what no descriptor reports: the rest of a killed group; ends, where there is no
pidfd_open(2)."""

REAP_TIMEOUT = timedelta(seconds=2)
"""The time that a killed group may take to vanish, or a dead leader to be reaped, before its job is recorded anyway."""

KILL_TIMEOUT = timedelta(seconds=5)
"""The time that a leader may take to end on SIGKILL before that is recorded. It runs no more code of its own: it waits
for a disk in the kernel, is in a frozen cgroup, or has a lot of memory to give back."""

YOUNG = timedelta(milliseconds=50)
"""The age up to which a command is likely to be as short as its neighbours."""


class Phase(Enum):
    """A stage of a command; `Child` has the move into each."""

    STARTING = "starting"
    """There is no process yet. Ends with a process, or with a failure, which ends the whole."""
    RUNNING = "running"
    """The leader is there, and has not been seen to have ended."""
    EXITED = "exited"
    """A pidfd has reported the leader's end. Where there is none, RUNNING ends with REAPED."""
    REAPED = "reaped"
    """The group has been killed and the leader reaped: its pid may be another's."""


STARTING, RUNNING, EXITED, REAPED = Phase
"""By names of their own: to look a member up takes longer than what is asked of it, and it is asked often."""


@dataclass(slots=True)
class Stop:
    """The stop of a command: SIGTERM first, and SIGKILL when its grace is over."""

    times_out: timedelta | None
    """The end of its own timeout; None: it has none, or it counts no more."""
    outcome: Outcome | None = None
    """The reason for which it has been stopped; None: it has not."""
    kill_at: timedelta | None = None
    killed_at: timedelta | None = None

    def kill_by(self, at: timedelta) -> None:
        """Let the grace end at that time, or when it would have ended anyway."""
        self.kill_at = at if self.kill_at is None else min(at, self.kill_at)


@dataclass(slots=True)
class End:
    """The end of a command, and what is found out about it afterwards."""

    code: int
    """The exit code, or the signal as a negative number."""
    left_behind: bool
    """Processes of it lived on, though nobody had stopped it."""
    explained_since: timedelta | None = None
    """The time at which a thread began to look for an explanation."""
    explanation: str | None = None


@dataclass(slots=True, eq=False)
class Child:
    """A command and its process. Times are since boot; `since` is when it was seen to have ended, or was reaped."""

    run: Run
    slot: int
    spawned_at: timedelta
    pipe: OutputPipe
    watch: Watch
    stopping: Stop
    phase: Phase = field(default=STARTING, init=False)
    since: timedelta = field(default=timedelta(), init=False)
    thread: int | None = field(default=None, init=False)
    """The thread that starts it, as the kernel numbers it, while it does."""
    pid: int = field(default=0, init=False)
    pidfd: int | None = field(default=None, init=False)
    end: End | None = field(default=None, init=False)

    def started(self, pid: int) -> None:
        """STARTING → RUNNING. Whoever stopped it meanwhile had no process to signal."""
        self.thread, self.pid = None, pid
        self.phase = RUNNING
        if self.stopping.outcome is not None:
            self.signal_group(signal.SIGTERM if self.stopping.kill_at else signal.SIGKILL)

    def watch_exit(self, elapsed: Elapsed) -> None:
        """Have the watch report its end; where there is no pidfd, its end is looked for."""
        with contextlib.suppress(AttributeError, OSError):
            self.pidfd = os.pidfd_open(self.pid)
            self.watch.add(self.pidfd, lambda: self._exit(elapsed()))

    def _exit(self, now: timedelta) -> None:
        """RUNNING → EXITED. The pidfd is closed: it would report also an end that cannot be reaped for ever."""
        self.close_pidfd()
        self.phase, self.since = EXITED, now

    def reap(self, now: timedelta, *, is_pipe_shared: bool) -> None:
        """RUNNING or EXITED → REAPED: take the rest of the output, kill what is left of the group, reap the leader.

        `is_pipe_shared`: another process may have the pipe open that is none of its own.
        """
        self.pipe.drain()
        by_itself = self.stopping.outcome is None
        left_behind = by_itself and self.pipe.is_open and not is_pipe_shared
        self.pipe.close()
        self.signal_group(signal.SIGKILL)
        self.close_pidfd()
        code = self.reap_leader()
        self.phase, self.since = REAPED, now
        self.end = End(code, left_behind=(by_itself and self.group_exists()) or left_behind)

    def stop(self, outcome: Outcome, grace: timedelta, now: timedelta) -> None:
        """Have it end: SIGTERM now and SIGKILL after `grace`, or at once without one. Nothing if it has ended."""
        self.stopping.times_out = None
        if self.stopping.outcome is None and self.has_ended():
            return  # it ended by itself first, and that is its outcome
        self.stopping.outcome = self.stopping.outcome or outcome
        if not grace:
            self.kill(now)
            return
        self.stopping.kill_by(now + grace)
        self.signal_group(signal.SIGTERM)
        self.signal_group(signal.SIGCONT)  # a process that has stopped itself could not obey

    def kill(self, now: timedelta) -> None:
        """SIGKILL, to the whole group."""
        self.stopping.kill_at = None
        self.stopping.killed_at = self.stopping.killed_at or now
        if self.thread is not None:
            tree.kill_children_of(self.thread)  # the one that waits for its directory or program
        self.signal_group(signal.SIGKILL)

    def enforce(self, now: timedelta, grace: timedelta) -> None:
        """Stop it when its time is up, and kill it when its grace is."""
        stopping = self.stopping
        if stopping.times_out is not None and now >= stopping.times_out:
            self.stop(Outcome.TIMEOUT, grace, now)
        if stopping.kill_at is not None and now >= stopping.kill_at:
            self.kill(now)

    def reap_leader(self) -> int:
        """Reap the dead leader; how it ended, as an exit code or a negative signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def has_ended(self) -> bool:
        """Return whether the leader has ended; it stays a zombie."""
        if self.phase in (STARTING, REAPED):
            return self.phase is REAPED
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the group, while it is sure that the id is this group's."""
        if self.phase in (RUNNING, EXITED):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def group_exists(self) -> bool:
        """Return whether any of the group is left; reaps those that have become children of this process and ended."""
        if self.phase is STARTING:
            return False
        with contextlib.suppress(ChildProcessError):  # none of the group is, or has become, a child of ours
            while os.waitid(os.P_PGID, self.pid, os.WEXITED | os.WNOHANG):
                pass
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def may_have_started(self, orphan: Orphan) -> bool:
        """Return whether an orphan may be this command's: by its mark, or for want of one by its age."""
        if orphan.job_id is not None:
            return orphan.job_id == self.run.job.id
        return orphan.is_younger(self.spawned_at)

    def is_young(self, now: timedelta) -> bool:
        """Return whether it has only just begun."""
        return now < self.spawned_at + YOUNG

    def is_stuck(self, now: timedelta) -> bool:
        """Return whether SIGKILL has not ended it in time, or it has ended and cannot be reaped."""
        if self.phase is EXITED and now > self.since + REAP_TIMEOUT:
            return True
        killed_at = self.stopping.killed_at
        return killed_at is not None and self.phase is not REAPED and now > killed_at + KILL_TIMEOUT

    def deadlines(self, now: timedelta) -> Sequence[timedelta]:
        """List the times at which something is to be done about it."""
        stopping = self.stopping
        found = [at for at in (stopping.times_out, stopping.kill_at) if at is not None]
        if stopping.killed_at is not None and self.phase is not REAPED:
            found.append(stopping.killed_at + KILL_TIMEOUT)
        if self.pidfd is None and self.phase is not STARTING:
            found.append(now + POLL_INTERVAL)
        return found

    def close_pidfd(self) -> None:
        """Wait for its end no more."""
        if self.pidfd is not None:
            self.watch.close(self.pidfd)
            self.pidfd = None
