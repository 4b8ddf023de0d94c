"""The runner of commands."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.ports.work import Run


class Runner(Protocol):
    """Starts commands, watches them all at once, and stops them. Used by one thread, but for `wake` and `stop`."""

    @property
    def stuck(self) -> int:
        """The number of reported runs whose processes are there still: SIGKILL has not ended them yet."""

    def start(self, run: Run) -> None:
        """Start the command. Returns at once; how it ended, a failure to start included, comes from `wait`."""

    def wait(self, timeout: timedelta) -> Sequence[tuple[Run, RunResult]]:
        """The runs that have ended: waits until there is one, `wake` is called, or `timeout` has passed.

        Enforces each job's own timeout meanwhile. When a run is returned, nothing of its process group is left, or its
        error says what is.
        """

    def stop(self, outcome: Outcome, *, grace: timedelta, job_id: str | None = None) -> None:
        """Stop all runs, or that job's: SIGTERM, SIGKILL after `grace`, or at once without one.

        Each comes from `wait` with `outcome`, but for those that were being stopped already or had ended by themselves.
        Safe from any thread. The SIGKILL after a grace is sent by `wait`; where nobody waits, stop again without one.
        """

    def set_grace(self, grace: timedelta) -> None:
        """From now on, a run whose time is up has this long between SIGTERM and SIGKILL.

        One that has had its SIGTERM, whatever for, has no longer than that either.
        """

    def wake(self) -> None:
        """Make a `wait`, the present or the next one, return early. Safe from any thread or signal handler."""
