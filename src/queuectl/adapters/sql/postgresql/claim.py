"""Claims on PostgreSQL, one statement each, which is in `claim.sql`; and from where they walk to the first due job.

A claim walks the index of the waiting jobs from the earliest one. PostgreSQL cannot clear away the entries of jobs that
were claimed while somebody holds an older snapshot open (a dump, a report, a forgotten session), and each claim walks
over all of them. So after a walk that took long, the next claims begin where the last one left off. What came to wait
before that position since then, or was locked by another claim, is found by the next walk from the beginning: at once
where a claim finds less than it was asked for, and otherwise within five seconds.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from queuectl.adapters.host.clock import microseconds
from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.queries import ClaimJobsRow, EndAttempt
from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.adapters.sql.stores.rows import changed
from queuectl.domain.job import PRIORITIES, Job
from queuectl.domain.worker import Lease

MAX_CLAIMED = 24
"""Jobs that a statement claims, as `claim.sql` says. With many more, PostgreSQL finds no plan for any values cheap
enough, and plans each claim anew: with 32 as soon as a full queue's statistics were steady."""

LONG_WALK = 0.01
"""Seconds that a claim may take, its way to the server included, before the next ones begin where it left off."""

RESCAN_FACTOR, RESCAN_LIMIT = 100, 5.0
"""A walk from the beginning is made again after so many times what it took, and after so many seconds at the latest."""

MAX_OUTPUT = 1_000_000
"""Bytes of output that a statement stores for several attempts: in a list, they take twice the room of their own."""

LATE = timedelta(seconds=1)
"""Positions end so long before the moment of a claim: an enqueue may be under way with its job's `run_at`."""

Position = tuple[int, int]
"""A `run_at`, as it is stored, and a job's `seq`."""

FIRST: Position = -(2**63), -(2**63)
"""Before every job, also those whose `run_at` is no moment."""

BEGINNING: Mapping[int, Position] = dict.fromkeys(PRIORITIES, FIRST)


@dataclass(frozen=True, slots=True)
class ScanCursor:
    """The beginnings of the next claims of these queues, by priority, until that moment of the monotonic clock."""

    queues: Collection[str]
    positions: Mapping[int, Position]
    until: float

    def moved(self, claimed: Iterable[ClaimJobsRow], at: datetime) -> "ScanCursor":
        """The same, behind what was claimed at that moment."""
        last: dict[int, Position] = {}
        for job, *_ in claimed:
            position = min(_end(at), (microseconds(job.run_at), job.seq))
            last[job.priority] = max(position, last.get(job.priority, position))
        return replace(self, positions={**self.positions, **last})


class PostgresClaim:
    """`Claim` that remembers where the last one left off."""

    def __init__(self) -> None:
        self.cursor: ScanCursor | None = None

    def __call__(
        self, c: Connection, lease: Lease, *, queues: Collection[str], limit: int, at: datetime, suspects: bool | None
    ) -> Sequence[ClaimJobsRow]:
        """Take up to `limit` due jobs, the first in claim order, and start their attempts."""
        by, under = lease.worker, lease.id
        if suspects:
            some = list(queues) or None
            return queries.claim_suspects(c, by_worker=by, by_lease=under, now=at, queues=some, limit=limit)
        claim = partial(queries.claim_jobs_of_queues, queues=list(queues)) if queues else queries.claim_jobs
        walk = partial(claim, c, by_worker=by, by_lease=under, now=at, with_suspects=suspects is None)
        cursor, self.cursor = self.cursor, None
        claimed: list[ClaimJobsRow] = []
        if cursor is not None and cursor.queues == tuple(queues) and time.monotonic() < cursor.until:
            claimed = _walked(walk, limit, cursor.positions)
            if len(claimed) == limit:
                self.cursor = cursor.moved(claimed, at)
                return claimed
        begun = time.monotonic()
        others = _walked(walk, limit - len(claimed), BEGINNING)
        claimed += others
        if (took := time.monotonic() - begun) >= LONG_WALK:
            self.cursor = _cursor_after(others, tuple(queues), at, took, is_full=len(claimed) == limit)
        return claimed


def _walked(
    walk: Callable[..., list[ClaimJobsRow]], limit: int, positions: Mapping[int, Position]
) -> list[ClaimJobsRow]:
    """Up to `limit` jobs, from these positions on."""
    run_ats, seqs = zip(*[positions[priority] for priority in PRIORITIES], strict=True)
    claimed: list[ClaimJobsRow] = []
    while len(claimed) < limit:
        asked = min(limit - len(claimed), MAX_CLAIMED)
        rows = walk(run_ats=list(run_ats), seqs=list(seqs), limit=asked)
        claimed += rows
        if len(rows) < asked:
            break
    return claimed


def _cursor_after(
    others: Sequence[ClaimJobsRow], queues: Sequence[str], at: datetime, took: float, *, is_full: bool
) -> ScanCursor:
    """The cursor after a walk from the beginning that took so many seconds and found the `others`."""
    reached = min((it.job.priority for it in others), default=0) if is_full else 0
    positions = {priority: _end(at) if priority > reached else FIRST for priority in PRIORITIES}
    # Behind the others: the first of all lie beyond the old positions, and this walk stopped before it came there.
    until = time.monotonic() + min(RESCAN_FACTOR * took, RESCAN_LIMIT)
    return ScanCursor(queues, positions, until).moved(others, at)


def _end(at: datetime) -> Position:
    """The last position of a claim at that moment."""
    return microseconds(at - LATE), 0


def store_settled(c: Connection, jobs: Sequence[Job], ends: Sequence[EndAttempt]) -> None:
    """Store these ends of attempts, and what they have made of the jobs: each by one statement for all.

    psycopg sends a batch run by run, and at last that this was all. In between the server keeps the jobs locked, and as
    it has yet to receive something, does not count `idle_in_transaction_session_timeout`. When a container is paused
    just then, its host's system goes on answering the probes of TCP, and nobody can rescue the jobs until it goes on.
    """
    if len(jobs) == 1:
        queries.store_job(c, changed(jobs))
    elif jobs:
        queries.store_settled(
            c,
            id=[job.id for job in jobs],
            state=[job.state for job in jobs],
            run_at=[job.run_at for job in jobs],
            updated_at=[job.updated_at for job in jobs],
            failures=[job.failures for job in jobs],
            losses=[job.losses for job in jobs],
            finished_at=[job.finished_at for job in jobs],
            exit_code=[job.exit_code for job in jobs],
            last_error=[job.last_error for job in jobs],
            suspect=[job.suspect for job in jobs],
        )
    _end_attempts(c, ends)


def _end_attempts(c: Connection, ends: Sequence[EndAttempt]) -> None:
    if len(ends) < 2 or sum(len(end.output or b"") for end in ends) > MAX_OUTPUT:
        for end in ends:
            queries.end_attempt(c, [end])
    else:
        queries.end_attempts(
            c,
            finished_at=[end.finished_at for end in ends],
            ran=[end.ran for end in ends],
            outcome=[end.outcome for end in ends],
            exit_code=[end.exit_code for end in ends],
            signal=[end.signal for end in ends],
            error=[end.error for end in ends],
            output_truncated=[end.output_truncated for end in ends],
            output=[end.output for end in ends],
            job_id=[end.job_id for end in ends],
            number=[end.number for end in ends],
        )
