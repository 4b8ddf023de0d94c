"""Claims on SQLite, whose calls are no trips: small probes in a loop. The statements are in `claim.sql`."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from queuectl.adapters.host.clock import EPOCH, MICROSECOND, microseconds
from queuectl.adapters.sql.backend import Due, Found, Taken
from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.adapters.sql.stores.rows import changed
from queuectl.domain.job import PRIORITIES, Job
from queuectl.domain.limits import Candidate, Start
from queuectl.domain.ports.work import Claim, FirstDue

NEVER = 2**63 - 1
"""The moment at which a lane opens that only the end of a job opens, or an operator."""


class SqliteClaiming:
    """`Claiming` without locks: a transaction that writes is alone."""

    def find(
        self,
        c: Connection,
        claim: Claim,
        limit: int,
        *,
        at_once: bool,
        busy_keys: Collection[str],  # noqa: ARG002 - there are none
        full_queues: Collection[str],
    ) -> Found:
        """The first due jobs; they are taken at once where none needs more than a free worker."""
        lanes = queries.served_lanes(c, queues=list(claim.queues) or None, labels=list(claim.labels))
        now = microseconds(claim.at)
        separate = {lane.queue for lane in lanes if lane.queue}
        is_open = {it.id: it for it in lanes if it.is_served and it.opens_at <= now and it.queue not in full_queues}
        rows = _suspects(c, claim, limit, is_open) if claim.suspects else _due(c, claim, limit, is_open)
        due = [
            Due(
                Candidate(row.seq, row.queue, row.key, row.key_limit),
                is_open[lane].concurrency,
                is_open[lane].rate_count is not None,
                is_stray=not is_open[lane].queue and row.queue in separate,
            )
            for lane, row in rows
        ]
        needs_more = any(it.candidate.key or it.concurrency or it.is_rated or it.is_stray for it in due)
        if not due or needs_more or not at_once:
            return Found(due=due, is_all=len(due) < limit)
        starts = [Start(it.candidate.seq, it.candidate.queue) for it in due]
        return Found(taken=self.take(c, claim, starts, claim.at), is_all=len(due) < limit)

    def take(self, c: Connection, claim: Claim, starts: Sequence[Start], at: datetime) -> Sequence[Taken]:
        """Take the chosen, start their attempts, and use the starts of their queues' rates."""
        lease, seqs = claim.lease, [it.seq for it in starts]
        slots = [it.slot for it in starts]
        taken = queries.take_jobs(c, now=at, by_worker=lease.worker, by_lease=lease.id, seqs=seqs, slots=slots)
        if not taken:
            return []
        started = set(queries.start_attempts(c, seqs=seqs, by_lease=lease.id))
        for queue in {it.queue for it in starts if it.start is not None}:
            used = [it.start for it in starts if it.queue == queue]
            queries.use_starts(c, queue=queue, now=at, slots=used)
        return [Taken(row.job, row.settings, row.job.id in started) for row in taken]

    def first_due(self, c: Connection, *, queues: Collection[str], labels: Collection[str]) -> FirstDue:
        """The moments at which the first waiting jobs may start: the same walks."""
        served = queries.served_lanes(c, queues=list(queues) or None, labels=list(labels))
        opening = {it.id: it.opens_at for it in served if it.is_served and it.opens_at < NEVER}
        jobs = [(lane, queries.first_run_at(c, lane=lane)) for lane in opening]
        suspects = [(row.lane, row.run_at) for row in queries.first_suspects(c)]
        earliest = (
            min(
                (max(run_at, opening[lane]) for lane, run_at in those if run_at is not None and lane in opening),
                default=None,
            )
            for those in (jobs, suspects)
        )
        return FirstDue(*(None if it is None else EPOCH + it * MICROSECOND for it in earliest))

    def hold_keys(self, c: Connection, keys: Collection[str]) -> None:
        """Nothing: the transaction holds them all."""

    def hold_keys_of(self, c: Connection, job_ids: Sequence[str]) -> None:
        """Nothing, likewise."""

    def lane_readers(self, c: Connection) -> Collection[str]:  # noqa: ARG002 - it has them all
        """None: who stores jobs is alone from the beginning."""
        return ()

    def store_settled(self, c: Connection, jobs: Sequence[Job], ends: Sequence[queries.EndAttempt]) -> None:
        """Store these ends of attempts, and what they have made of the jobs."""
        queries.store_job(c, changed(jobs))
        queries.end_attempt(c, ends)


def _due(c: Connection, claim: Claim, limit: int, lanes: Collection[int]) -> Iterator[tuple[int, queries.DueJobsRow]]:
    """The first due jobs with their lanes: of one priority after the other, until there are enough."""
    left = limit
    for priority in PRIORITIES:
        found = [
            (lane, row)
            for lane in lanes
            for row in queries.due_jobs(
                c, lane=lane, priority=priority, now=claim.at, with_suspects=claim.suspects is None, limit=left
            )
        ]
        if len(lanes) > 1:
            found.sort(key=lambda it: (it[1].run_at, it[1].seq))
        yield from found[:left]
        left -= len(found[:left])
        if not left:
            return


def _suspects(
    c: Connection, claim: Claim, limit: int, lanes: Collection[int]
) -> Iterator[tuple[int, queries.DueSuspectsRow]]:
    for row in queries.due_suspects(c, now=claim.at, lanes=list(lanes), limit=limit):
        yield row.lane, row
