"""Looking after ends after which nobody has looked, since the process died that should have."""

from datetime import timedelta

from queuectl.application.duties.rescue import LOOKS_PER_LEASE, MAX_PAUSE
from queuectl.application.ends import look_after
from queuectl.domain.policy import Policy
from queuectl.domain.ports.dependencies import Dependencies, Resolved
from queuectl.domain.ports.host import Clock

MAX_LEFT = 100
"""Jobs, and batches, that one look takes on."""


class Leftovers:
    """A look at the ends that are left over.

    Those that were there at the last look, too; what is new, a live process is about to do.
    """

    def __init__(self, dependencies: Dependencies, clock: Clock) -> None:
        self._dependencies = dependencies
        self._clock = clock
        self._seen: frozenset[str] = frozenset()
        self.repairs = 0
        """The ends that it has looked after: none, as long as no process dies."""

    def __call__(self, policy: Policy) -> timedelta:
        """Look once; how long the next look has time. Raises DatabaseUnavailable."""
        left = self._dependencies.unresolved(limit=MAX_LEFT)
        before, self._seen = self._seen, frozenset([*left.jobs, *left.batches])
        for job_id in left.jobs:
            if job_id in before:
                self._repaired(self._dependencies.resolve(job_id, at=self._clock()))
        for batch in left.batches:
            if batch in before:
                self._repaired(self._dependencies.finish(batch, at=self._clock()))
        return min(policy.lease / LOOKS_PER_LEASE, MAX_PAUSE)

    def _repaired(self, done: Resolved) -> None:
        self.repairs += 1
        look_after(done.cancelled, dependencies=self._dependencies, clock=self._clock)
