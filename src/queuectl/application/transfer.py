"""Moving up: copying a whole queue from one database to another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from queuectl.domain.errors import Conflict
from queuectl.domain.ports.storage import Archive, Digest
from queuectl.domain.worker import WorkerRecord

BATCH = 50
"""Jobs per transaction: each may have megabytes of output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred:
    """The content of both databases: the number of jobs, and the digest of each table."""

    jobs: int
    digests: Mapping[str, Digest]


def transfer(source: Archive, target: Archive, *, copied: Callable[[int], None]) -> Transferred:
    """Copy the jobs and all beside them, and verify every value of them; changes nothing at the source.

    Goes on where an earlier transfer of the same queue was interrupted; with nothing new to copy, it only verifies.
    `copied` hears how many jobs each step copied or verified (twice `source.size()` in all). Raises Conflict when the
    target holds other jobs, or when the source changed meanwhile.
    """
    begun = target.last()
    if begun and not _same_jobs(source, target, up_to=begun):
        raise Conflict(
            "the target holds jobs that the source has not, or not the same",
            hint="transfer into an empty database, or one that a transfer began in and nobody has used since",
        )
    copied(target.size())
    copied_to, end = begun, source.last()
    while (page := source.page(copied_to, up_to=end, limit=BATCH)).jobs:
        target.store(page)
        copied_to = page.last
        copied(len(page.jobs))
    target.store_beside_jobs(source.beside_jobs())
    theirs = source.digests(up_to=copied_to, seen=copied)
    ours = target.digests(up_to=copied_to, seen=_nobody)
    if source.last() != copied_to:
        raise Conflict(
            "jobs were added to the source meanwhile, and are not in the target",
            hint="stop what enqueues there, and transfer again: it goes on with the new ones",
        )
    if differing := [table for table in theirs if theirs[table] != ours[table]]:
        raise Conflict(
            f"{' and '.join(differing)} of source and target differ: the source changed meanwhile",
            hint="stop what uses the source, and transfer into an empty database",
        )
    return Transferred(jobs=target.size(), digests=ours)


def refuse_if_working(name: str, workers: Sequence[WorkerRecord], at: datetime) -> None:
    """Raises Conflict, naming the database, when any of its workers still has its lease at `at`."""
    if working := [worker for worker in workers if worker.lease_expires_at > at]:
        hosts = ", ".join(sorted({worker.host for worker in working}))
        are_alive = "1 worker is alive" if len(working) == 1 else f"{len(working)} workers are alive"
        raise Conflict(
            f"{are_alive} in {name} (on {hosts})",
            hint="stop them first with `queuectl worker stop`; --drain does that here and waits for those elsewhere",
        )


def _same_jobs(source: Archive, target: Archive, *, up_to: int) -> bool:
    """True if both hold the same jobs up to that number; settings come last in a transfer, and may still differ."""
    theirs, ours = source.digests(up_to=up_to, seen=_nobody), target.digests(up_to=up_to, seen=_nobody)
    of_jobs = source.page(0, up_to=0, limit=0).rows
    return all(theirs[table] == ours[table] for table in of_jobs)


def _nobody(_count: int) -> None:
    """Report progress to nobody."""
