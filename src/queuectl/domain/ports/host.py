"""The machine that this process runs on: its clocks, its processes, and outcomes kept on its disk."""

import signal
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from queuectl.domain.attempt import AttemptEnd
from queuectl.domain.worker import Process

Clock = Callable[[], datetime]
"""The one clock of the database: aware moments in UTC, whole microseconds."""


Elapsed = Callable[[], timedelta]
"""Time since the machine's boot, suspension included; never steps."""


class OutcomeSpool(Protocol):
    """The spool: workers of this machine keep ends of attempts in it that a database cannot take now, across restarts.

    It raises nothing: a worker can do without it, as long as it lives.
    """

    def spool(self, end: AttemptEnd) -> bool:
        """Keep it until `discard`; durable on return. False when that cannot be done.

        For want of room its output may be left out. To spool the same once more is nothing new.
        """

    def spooled(self) -> Iterable[AttemptEnd]:
        """All that any worker of this machine has spooled."""

    def discard(self, end: AttemptEnd) -> None:
        """Remove what has been settled; no effect when it is not spooled."""


class NotedCommand(NamedTuple):
    """A command of a worker, by what its processes keep when they have emptied their environment."""

    pid: int
    """The id of its session too; 0 while it is being started, and only its output is known."""
    noted_at: timedelta
    """A moment since boot at which it ran."""
    output: int
    """The number of the pipe that it writes to."""


class LocalProcess(NamedTuple):
    """A supervisor or worker that is or was on this machine, as its own registration says."""

    process: Process
    supervisor: Process
    """A supervisor's own process."""
    worker: str
    """A worker's id; empty for a supervisor."""
    is_alive: bool = False
    """The kernel's word: it holds its registration. Also while it is frozen."""
    lease_ends: timedelta | None = None
    """In time since boot; None when it is not known."""
    kill_grace: timedelta | None = None
    """The grace of its commands when it is stopped by force."""
    fit_until: timedelta | None = None
    """The time since boot at which a sign of life is overdue: also one that has lost its lease gives them."""
    commands: Sequence[NotedCommand] = ()
    file: str = ""
    """Its registration."""

    def is_harmless(self, at: timedelta) -> bool:
        """True if it runs no command and does not stand still: it may outlive its lease, as in a long outage."""
        return not self.commands and self.fit_until is not None and at < self.fit_until


class LocalProcesses(Protocol):
    """The supervisors and workers of a database that run on this machine, known without the database.

    Each registers itself, and only its life holds the registration: so what is alive here is proved, and safe to be
    signalled. Nothing raises; where nothing can be registered, nothing is found.
    """

    def join(self, supervisor: Process | None, *, worker: str = "") -> bool:
        """Register this process, a worker with its supervisor and id; False, told once, when that is impossible."""

    def renew(self, lease_ends: timedelta, *, kill_grace: timedelta, fit_until: timedelta) -> None:
        """Say what this worker's fields in `LocalProcess` are from now on."""

    def note(self, slot: int, pid: int, output: int) -> None:
        """Say which command runs in that slot: see `NotedCommand`; 0 and 0: none any more.

        Called before its start and after: who is killed in between must not leave it unknown.
        """

    def registered(self, *, of: Collection[str] = ()) -> Sequence[LocalProcess]:
        """All that are registered, dead ones too until they are forgotten.

        And of those that know the database by another name, the workers `of` these ids with their supervisors.
        """

    def send(self, target: LocalProcess, number: signal.Signals) -> bool:
        """Signal that very process, if it is alive; whether it was. Raises HostTrouble."""

    def kill(self, target: LocalProcess) -> bool:
        """Kill that very process and wait until it is gone, for two seconds at most; whether it is.

        Raises HostTrouble when that cannot be found out now: then it may be alive.
        """

    def forget(self, gone: LocalProcess) -> None:
        """Remove the registration of a dead process, whose jobs and commands have been dealt with."""
