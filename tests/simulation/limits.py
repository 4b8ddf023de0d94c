"""The promises of queues with limits and of keys, held to at each commit: L1 to L3, X and P.

By the database's clock, which starts and pauses go by: when it is set, a second of it is no second of true time.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from queuectl.domain.job import CLAIMABLE, Job, State, WaitsFor
from queuectl.domain.queues import QueueSettings
from tests.memory import Memory


def broken_limits(memory: Memory) -> Iterator[str]:
    """What is wrong in the committed state."""
    jobs = list(memory.jobs.values())
    running = [job for job in jobs if job.state is State.PROCESSING]
    for job in jobs:
        if job.slot is not None and job.state is not State.PROCESSING:
            yield f"L1: {job.id} is {job.state} and has slot {job.slot} of queue {job.queue}"
    for queue in memory.queues.values():
        of_queue = [job for job in running if job.queue == queue.name]
        if queue.concurrency is not None and len(of_queue) > queue.concurrency:
            yield f"L1: {len(of_queue)} jobs run in queue {queue.name}, whose limit is {queue.concurrency}"
        yield from _too_soon(memory, queue)
    yield from _of_keys(jobs, Counter(job.spec.key for job in running))


def _too_soon(memory: Memory, queue: QueueSettings) -> Iterator[str]:
    rate = queue.rate
    if rate is None:
        return
    starts = sorted(it.started_at for it in memory.attempts.values() if memory.jobs[it.job_id].queue == queue.name)
    for first, later in zip(starts, starts[rate.starts :], strict=False):
        if later - first < rate.period:
            yield f"L3: {rate.starts + 1} jobs of queue {queue.name} start in {later - first}, by rate {rate}"


def _of_keys(jobs: Sequence[Job], running: Counter[str | None]) -> Iterator[str]:
    keyed = {job.spec.key: job.spec.key_limit or 1 for job in jobs if job.spec.key is not None}
    waiting = [job for job in jobs if job.state in CLAIMABLE]
    exposed = Counter((job.spec.key, job.queue) for job in waiting if job.waits_for is None)
    parked = {(job.spec.key, job.queue) for job in waiting if job.waits_for is WaitsFor.KEY}
    for key, limit in keyed.items():
        if running[key] > limit:
            yield f"L2: {running[key]} jobs run with key {key}, whose limit is {limit}"
    for key, queue in parked:
        if key is not None and running[key] + exposed[key, queue] < keyed[key]:
            yield f"X: jobs of queue {queue} are parked, and too few of key {key} run or may be claimed"


def broken_pause(memory: Memory, claimed: Job, at: datetime) -> Iterator[str]:
    """What is wrong with a claim of that job at that moment."""
    if memory.queue(claimed.queue).is_paused(at):
        yield f"P: {claimed.id} starts in queue {claimed.queue}, which is paused"
