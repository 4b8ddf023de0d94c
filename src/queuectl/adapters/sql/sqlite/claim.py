"""Claims on SQLite, whose calls are no trips: small probes in a loop. The statements are in `claim.sql`."""

from collections.abc import Collection, Sequence
from datetime import datetime

from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.adapters.sql.stores.rows import changed
from queuectl.domain.job import PRIORITIES, Job
from queuectl.domain.worker import Lease


def claim(
    c: Connection, lease: Lease, *, queues: Collection[str], limit: int, at: datetime, suspects: bool | None
) -> Sequence[queries.ClaimJobsRow]:
    """Take up to `limit` due jobs, the first in claim order, and start their attempts."""
    if suspects:
        seqs = [row.seq for row in queries.due_suspects(c, now=at, queues=list(queues) or None, limit=limit)]
    else:
        seqs = _due(c, queues, limit, at, with_suspects=suspects is None)
    if not seqs:
        return []
    taken = queries.take_jobs(c, now=at, by_worker=lease.worker, by_lease=lease.id, seqs=seqs)
    started = set(queries.start_attempts(c, seqs=seqs, by_lease=lease.id)) if taken else set()
    return [queries.ClaimJobsRow(row.job, row.settings, row.job.id in started) for row in taken]


def _due(c: Connection, queues: Collection[str], limit: int, at: datetime, *, with_suspects: bool) -> list[int]:
    """The numbers of the first due jobs: of one priority after the other, until there are enough."""
    found: list[int] = []
    for priority in PRIORITIES:
        missing = limit - len(found)
        if not queues:
            rows = queries.due_jobs(c, priority=priority, now=at, with_suspects=with_suspects, limit=missing)
            found += [row.seq for row in rows]
        else:
            probes = [
                queries.due_jobs_in_queue(
                    c, queue=queue, priority=priority, now=at, with_suspects=with_suspects, limit=missing
                )
                for queue in queues
            ]
            merged = sorted((row.run_at, row.seq) for rows in probes for row in rows)
            found += [seq for _, seq in merged[:missing]]
        if len(found) == limit:
            break
    return found


def store_settled(c: Connection, jobs: Sequence[Job], ends: Sequence[queries.EndAttempt]) -> None:
    """Store these ends of attempts, and what they have made of the jobs."""
    queries.store_job(c, changed(jobs))
    queries.end_attempt(c, ends)
