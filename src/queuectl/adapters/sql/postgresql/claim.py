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
from typing import Any

from queuectl.adapters.host.clock import microseconds
from queuectl.adapters.sql.backend import Due, Found, Taken
from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.queries import ClaimJobsRow, EndAttempt
from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.adapters.sql.stores.lanes import SHARED
from queuectl.adapters.sql.stores.rows import changed
from queuectl.domain.job import PRIORITIES, Job
from queuectl.domain.limits import Candidate, Start
from queuectl.domain.ports.work import Claim, FirstDue

LONG_WALK = 0.01
"""Seconds that a claim may take, its way to the server included, before the next ones begin where it left off."""

RESCAN_FACTOR, RESCAN_LIMIT = 100, 5.0
"""A walk from the beginning is made again after so many times what it took, and after so many seconds at the latest."""

MAX_OUTPUT = 1_000_000
"""Bytes of output that a statement stores for several attempts: in a list, they take twice the room of their own."""

LATE = timedelta(seconds=1)
"""Positions end so long before the moment of a claim: an enqueue may be under way with its job's `run_at`."""

Walk = tuple[int, int]
"""A lane and a priority."""

Position = tuple[int, int]
"""A `run_at`, as it is stored, and a job's `seq`."""


@dataclass(frozen=True, slots=True)
class ScanCursor:
    """The beginnings of the next claims of these queues, by walk, until that moment of the monotonic clock."""

    queues: Collection[str]
    positions: Mapping[Walk, Position]
    until: float

    def moved(self, found: Iterable[ClaimJobsRow], at: datetime) -> "ScanCursor":
        """The same, behind what was found at that moment."""
        last: dict[Walk, Position] = {}
        for it in found:
            walk = it.due_lane, it.due_priority
            position = min(_end(at), (it.due_run_at, it.due_seq))
            last[walk] = max(position, last.get(walk, position))
        return replace(self, positions={**self.positions, **last})


class PostgresClaiming:
    """`Claiming` that remembers where the last claim left off."""

    def __init__(self) -> None:
        self.cursor: ScanCursor | None = None

    def find(
        self,
        c: Connection,
        claim: Claim,
        limit: int,
        *,
        at_once: bool,
        busy_keys: Collection[str],
        full_queues: Collection[str],
    ) -> Found:
        """The first due jobs, locked; they are taken at once where none needs more than a free worker."""
        asked = partial(
            queries.claim_suspects if claim.suspects else partial(self._walked, claim),
            c,
            by_worker=claim.lease.worker,
            by_lease=claim.lease.id,
            now=claim.at,
            queues=list(claim.queues) or None,
            labels=list(claim.labels),
            busy_keys=list(busy_keys),
            full_queues=list(full_queues),
            at_once=at_once,
        )
        rows = asked(limit=limit)
        return _found(rows, is_all=len(rows) < limit)

    def _walked(self, claim: Claim, c: Connection, *, limit: int, **asked: Any) -> list[ClaimJobsRow]:  # noqa: ANN401 - of `claim_jobs`
        """Up to `limit` jobs, from where the last walk left off, and then from the beginning."""
        walk = partial(queries.claim_jobs, c, with_suspects=claim.suspects is None, **asked)
        cursor, self.cursor = self.cursor, None
        found: list[ClaimJobsRow] = []
        if cursor is not None and cursor.queues == tuple(claim.queues) and time.monotonic() < cursor.until:
            found = _from(walk, cursor.positions, limit)
            if len(found) == limit:
                self.cursor = cursor.moved(found, claim.at)
                return found
            if not all(it.is_taken for it in found):  # the others may come before them
                found = []
        begun = time.monotonic()
        others = _from(walk, {}, limit - len(found))
        found += others
        if (took := time.monotonic() - begun) >= LONG_WALK:
            self.cursor = _cursor_after(others, tuple(claim.queues), claim.at, took, is_full=len(found) == limit)
        return found

    def take(self, c: Connection, claim: Claim, starts: Sequence[Start], at: datetime) -> Sequence[Taken]:
        """Take the chosen, start their attempts, and use the starts of their queues' rates."""
        used = [it for it in starts if it.start is not None]
        rows = queries.take_chosen(
            c,
            by_worker=claim.lease.worker,
            by_lease=claim.lease.id,
            now=at,
            seqs=[it.seq for it in starts],
            slots=[it.slot for it in starts],
            start_queues=[it.queue for it in used],
            starts=[it.start for it in used],
        )
        return [Taken(*row) for row in rows]

    def first_due(self, c: Connection, *, queues: Collection[str], labels: Collection[str]) -> FirstDue:
        """The moments at which the first waiting jobs may start."""
        first = queries.first_due(c, queues=list(queues) or None, labels=list(labels))
        return FirstDue(job=first.run_at, suspect=first.suspect_run_at)

    def hold_keys(self, c: Connection, keys: Collection[str]) -> None:
        """Wait for the keys' locks."""
        if keys:
            queries.hold_keys(c, keys=sorted(keys))

    def hold_keys_of(self, c: Connection, job_ids: Sequence[str]) -> None:
        """Wait for the locks of these jobs' keys."""
        queries.hold_keys_of(c, ids=job_ids)

    def lane_readers(self, c: Connection) -> Collection[str]:
        """The transactions that have a lock on the table of lanes: each keeps it until its end."""
        return queries.lane_readers(c)

    def store_settled(self, c: Connection, jobs: Sequence[Job], ends: Sequence[EndAttempt]) -> None:
        """Store these ends of attempts, and what they have made of the jobs: each by one statement for all.

        psycopg sends a batch run by run, and at last that this was all. In between the server keeps the jobs locked,
        and as it has yet to receive something, does not count `idle_in_transaction_session_timeout`. When a container
        is paused just then, its host's system goes on answering the probes of TCP, and nobody can rescue the jobs until
        it goes on.
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
                unique_held=[job.unique_held for job in jobs],
            )
        _end_attempts(c, ends)


def _found(rows: Sequence[ClaimJobsRow], *, is_all: bool) -> Found:
    """The candidates of a statement, each taken or not."""
    in_order = sorted(rows, key=lambda it: (-it.due_priority, it.due_run_at, it.due_seq))
    due = [
        Due(
            Candidate(it.due_seq, it.due_queue, it.due_key, it.due_key_limit, it.is_key_locked),
            it.concurrency,
            it.rate_count is not None,
            it.is_stray,
        )
        for it in in_order
        if not it.is_taken
    ]
    return Found([Taken(it.job, it.settings, it.is_started) for it in in_order if it.is_taken], due, is_all)


def _from(
    walk: Callable[..., list[ClaimJobsRow]], positions: Mapping[Walk, Position], limit: int
) -> list[ClaimJobsRow]:
    """Up to `limit` jobs, from these positions on."""
    return walk(
        cursor_lanes=[lane for lane, _ in positions],
        cursor_priorities=[priority for _, priority in positions],
        cursor_run_ats=[run_at for run_at, _ in positions.values()],
        cursor_seqs=[seq for _, seq in positions.values()],
        limit=limit,
    )


def _cursor_after(
    others: Sequence[ClaimJobsRow], queues: Sequence[str], at: datetime, took: float, *, is_full: bool
) -> ScanCursor:
    """The cursor after a walk from the beginning that took so many seconds and found the `others`."""
    reached = min((it.due_priority for it in others), default=0) if is_full else 0
    lanes = {SHARED, *(it.due_lane for it in others)}
    positions = {(lane, it): _end(at) for lane in lanes for it in PRIORITIES if it > reached}
    # Behind the others: the first of all lie beyond the old positions, and this walk stopped before it came there.
    until = time.monotonic() + min(RESCAN_FACTOR * took, RESCAN_LIMIT)
    return ScanCursor(queues, positions, until).moved(others, at)


def _end(at: datetime) -> Position:
    """The last position of a claim at that moment."""
    return microseconds(at - LATE), 0


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
