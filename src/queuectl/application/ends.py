"""Looking after those that wait for the ends of others, right after these are committed."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from queuectl.domain.job import TERMINAL, Job
from queuectl.domain.ports.dependencies import Dependencies, Resolved
from queuectl.domain.ports.host import Clock

LookAfter = Callable[[Sequence[Job]], None]
"""See `look_after`. Raises DatabaseUnavailable."""


def is_awaited(job: Job) -> bool:
    """True if the job has ended, and others may wait for it or its batch."""
    return job.state in TERMINAL and (job.has_dependents or job.spec.batch is not None)


def look_after(jobs: Iterable[Job], *, dependencies: Dependencies, clock: Clock) -> None:
    """Let go what waited for the ends of these jobs, which are committed, or cancel it; and so on with the cancelled.

    Each job in a transaction of its own: who holds many locks waits for nobody. Raises DatabaseUnavailable, and then a
    later look of any worker goes on.
    """
    ended = deque(filter(is_awaited, jobs))
    batches: dict[str, None] = {}
    while ended or batches:
        if ended:
            job = ended.popleft()
            if job.spec.batch is not None:
                batches[job.spec.batch] = None
            done = dependencies.resolve(job.id, at=clock()) if job.has_dependents else Resolved()
        else:
            done = dependencies.finish(batches.popitem()[0], at=clock())
        ended += filter(is_awaited, done.cancelled)
