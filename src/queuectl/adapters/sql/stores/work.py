"""The jobs in SQL, as workers see them: claimed, settled, rescued."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

from queuectl.adapters.sql.backend import Claiming, Taken
from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.log import warn
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.adapters.sql.stores.claims import claim_due, clock_from
from queuectl.adapters.sql.stores.jobs import set_aside
from queuectl.adapters.sql.stores.lanes import expose, separate
from queuectl.adapters.sql.stores.rows import Unrunnable, filled, read_job, runnable, shown_job, unreadable
from queuectl.adapters.sql.stores.workers import stored_settings
from queuectl.domain.attempt import AttemptEnd, Outcome, Output, RunResult
from queuectl.domain.errors import DatabaseFull, QueueError, ValueRefused
from queuectl.domain.job import Job, State
from queuectl.domain.policy import Policy, StoredSettings
from queuectl.domain.ports.work import Claim, DecideEnd, DecideLost, FirstDue, Run, Settled, Settlement, Sweep
from queuectl.domain.worker import Lease, WorkerState

MAX_PLAIN = 1000
"""Characters of an error in plain words."""


class SqlWork:
    """`Work` in SQL; a method is a transaction."""

    def __init__(self, database: Database, notify: Callable[[], None], claiming: Claiming) -> None:
        """`notify` tells idle workers, after a commit, that there may be work for them; it must not raise.

        `claiming` has the database's own statements: see `Backend`.
        """
        self._database = database
        self._notify = notify
        self._own = claiming
        self._separate: set[str] = set()

    def claim(self, claim: Claim) -> Sequence[Run]:
        """Take due jobs that may start, in claim order, and start an attempt of each."""
        return self.settle_and_claim((), lambda job, _: job, claim)[1]

    def held_by(self, worker_id: str) -> Sequence[Job]:
        """The jobs that run under any lease of this worker."""
        return self._database.read(lambda c: [shown_job(row) for row in queries.held_by(c, worker=worker_id)])

    def cancel_requests(self, worker_id: str, job_ids: Collection[str]) -> Sequence[Job]:
        """Of these jobs, those that run under any lease of this worker and whose cancel was asked for."""
        ids = list(job_ids)
        asked = self._database.read(lambda c: [shown_job(row) for row in queries.cancel_requests(c, ids=ids)])
        return [job for job in asked if job.lease is not None and job.lease.worker == worker_id]

    def first_due(self, *, queues: Collection[str], labels: Collection[str] = ()) -> FirstDue:
        """The moments at which the first of the jobs that such a worker may claim can start."""
        self._separate_queues(queues)
        return self._database.read(lambda c: self._own.first_due(c, queues=queues, labels=labels))

    def settle(self, ends: Sequence[AttemptEnd], decide: DecideEnd) -> Sequence[Settled]:
        """Record how each of these attempts ended, in order, and store each job as decided: fenced by the lease.

        An outcome may not be lost for what came with it: where the database does not take all, the output is left out,
        and then the error's words are spelt in ASCII.
        """
        for poorer in (_without_output, _in_plain_words):
            with contextlib.suppress(DatabaseFull, ValueRefused):
                return self._settled(ends, decide)
            ends = [poorer(end) for end in ends]
        return self._settled(ends, decide)

    def settle_and_claim(
        self, ends: Sequence[AttemptEnd], decide: DecideEnd, claim: Claim
    ) -> tuple[Sequence[Settled], Sequence[Run]]:
        """`settle`, then `claim`: all in one transaction."""
        now = clock_from(claim)
        self._separate_queues(claim.queues)
        runs: list[Run] = []
        bad: list[Unrunnable] = []

        def claim_more(c: Connection) -> None:
            runs[:], bad[:] = _started(c, claim, claim_due(c, claim, self._own, now))

        def claimed_before(c: Connection) -> bool:
            held = queries.held_by(c, worker=claim.lease.worker)
            taken = [shown_job(row) for row in held if row.lease_id == claim.lease.id]
            runs[:] = _runs(taken, claim.lease, stored_settings(c))
            return bool(taken)

        settled = self._settled(ends, decide, claim_more, claimed_before)
        for each in bad:
            warn(f"job {each.job.id} is set aside in the dead letter queue: {each.reason}")
        return settled, runs

    def _separate_queues(self, queues: Collection[str]) -> None:
        """Have lanes for the queues that workers name: at the first time, and then they are there."""
        for queue in queues:
            if queue not in self._separate:
                separate(self._database, queue, self._own)
                self._separate.add(queue)

    def _settled(
        self,
        ends: Sequence[AttemptEnd],
        decide: DecideEnd,
        then: Callable[[Connection], None] = lambda _: None,
        was_done: Callable[[Connection], bool] = lambda _: False,
    ) -> Sequence[Settled]:
        """Settle them, and `then` do something more, unless it `was_done`, when the commit was made after all."""
        before: dict[AttemptEnd, Job] = {}  # what was decided, also by a try whose commit was made unknown to us
        freed: set[str] = set()

        def work(c: Connection) -> Sequence[Settled]:
            settled = self._settle(c, ends, decide, before, freed)
            then(c)
            return settled

        try:
            settled = self._database.write(work, confirm_commit=lambda c, _: was_done(c))
        except QueueError:
            raise
        except Exception as error:
            if not ends:
                raise
            # Whatever it is (a text that cannot be encoded, a mistake of ours), it must not cost a job its outcome.
            jobs = ", ".join(end.job_id for end in ends)
            raise ValueRefused(f"how {jobs} ended cannot be written: {type(error).__name__}: {error}") from error
        if freed or any(it.job is not None and it.job.state is State.PENDING for it in settled):
            self._notify()
        return settled

    def _settle(
        self,
        c: Connection,
        ends: Sequence[AttemptEnd],
        decide: DecideEnd,
        before: dict[AttemptEnd, Job],
        freed: set[str],
    ) -> Sequence[Settled]:
        """The fence: only who holds a job's lease may say how its attempt ended. A job has one only while it runs.

        `freed` gets the jobs that have left a slot or a key to others.
        """
        if not ends:
            return []
        self._own.hold_keys(c, {end.key for end in ends if end.key is not None})
        rows = _locked(c, [end.job_id for end in ends])
        held = {(row.id, row.lease_id): read_job(row)[0] for row in rows if row.lease_id is not None}
        running = [(end, job) for end in ends if (job := held.pop((end.job_id, end.lease.id), None)) is not None]
        decided = {end: decide(job, end) for end, job in running}
        before.update(decided)
        self._own.store_settled(c, list(decided.values()), [_ended(end, job) for end, job in running])
        expose(c, [job.spec.key for _, job in running])
        freed.update(job.id for _, job in running if job.slot is not None or job.spec.key is not None)
        return [
            Settled(Settlement.RECORDED, decided[end]) if end in decided else _late(c, end, rows, before.get(end))
            for end in ends
        ]

    def sweep_keys(self, after: str, *, limit: int) -> Sweep:
        """Look at up to `limit` keys after that one for which jobs wait, and let go what nothing else would."""
        rows = self._database.read(lambda c: queries.parked_keys(c, after=after, limit=limit))
        stranded = [row.key for row in rows if row.is_stranded]

        def work(c: Connection) -> None:
            self._own.hold_keys(c, stranded)
            expose(c, stranded)

        if stranded:
            self._database.write(work)
            self._notify()
        return Sweep(stranded, rows[-1].key if len(rows) == limit else "")

    def rescue(
        self,
        worker_id: str,
        decide: DecideLost,
        *,
        at: datetime,
        proved_dead: bool,
        silent_since: datetime | None = None,
    ) -> Sequence[Job]:
        """Take back every job that the worker holds, then mark the worker as lost."""

        def work(c: Connection) -> Sequence[Job]:
            keys = {row.key for row in queries.held_by(c, worker=worker_id) if row.key is not None}
            self._own.hold_keys(c, keys)
            worker = queries.worker_to_rescue(c, worker=worker_id)
            if worker is None:
                return []
            is_gone = proved_dead or worker.renewed_at == silent_since
            if worker.lease_expires_at > at and not is_gone:
                return []
            rows = [row for row in queries.held_to_rescue(c, worker=worker_id) if row.key is None or row.key in keys]
            held, bad = runnable(rows)
            # What of it was lost before, it gave back itself within its last lease, or another rescue took.
            since = min(worker.renewed_at, at) - (worker.lease_expires_at - worker.renewed_at)  # the clock may step
            held_one = worker.jobs == len(held) + len(bad) == 1
            alone = held_one and queries.lost_by(c, since=since, worker=worker_id) is None
            rescued = [decide(job, alone) for job in held]
            gone = set_aside(c, bad, at)
            befores = [*held, *(each.job for each in bad)]
            ends = [_lost(job, before) for job, before in zip([*rescued, *gone], befores, strict=True)]
            self._own.store_settled(c, rescued, ends)
            expose(c, [row.key for row in rows])
            queries.end_worker(c, worker=worker_id, state=WorkerState.LOST, ended_at=at)
            return [*rescued, *gone]

        rescued = self._database.write(work)
        if rescued:
            self._notify()
        return rescued


def _locked(c: Connection, ids: Sequence[str]) -> Sequence[queries.JobRow]:
    if len(ids) == 1:  # PostgreSQL plans a statement with a list anew for each length of it
        row = queries.job_to_change(c, job_id=ids[0])
        return [] if row is None else [row]
    return queries.jobs_to_settle(c, ids=ids)


def _started(c: Connection, claim: Claim, claimed: Iterable[Taken]) -> tuple[Sequence[Run], Sequence[Unrunnable]]:
    """The runs of jobs just claimed; those that cannot be run are set aside."""
    in_order = sorted(claimed, key=lambda it: (-it.job.priority, it.job.run_at, it.job.seq))
    if not in_order:
        return [], []
    good, bad = runnable(it.job for it in in_order)
    for each in bad:
        queries.forget_start(c, seq=each.seq, lease_id=claim.lease.id)
    again = {it.job.id: it.job.seq for it in in_order if not it.is_started}
    reason = unreadable("it has had an attempt of the number that would be the next")
    bad += [Unrunnable(again[job.id], job, reason) for job in good if job.id in again]
    set_aside(c, bad, claim.at, not_started=1)
    expose(c, [each.job.spec.key for each in bad])  # whose locks this claim has
    started = [job for job in good if job.id not in again]
    return _runs(started, claim.lease, in_order[0].settings or {}), bad


def _runs(jobs: Iterable[Job], lease: Lease, stored: StoredSettings) -> Sequence[Run]:
    return [Run(job=job, lease=lease, policy=Policy.of_queue(job.queue, stored)) for job in jobs]


def _late(c: Connection, end: AttemptEnd, rows: Sequence[queries.JobRow], decided: Job | None) -> Settled:
    """The job is not the worker's any more: it is a resend, or the job was taken away, or it is gone."""
    attempt = queries.own_attempt(c, job_id=end.job_id, number=end.number, lease_id=end.lease.id)
    if attempt is None:
        return Settled(Settlement.GONE, None)
    if (attempt.outcome, attempt.finished_at) == (end.result.outcome, end.at):
        stored = (shown_job(row) for row in rows if row.id == end.job_id)
        return Settled(Settlement.RECORDED, decided or next(stored, None))
    output = Output(attempt.output, attempt.output_truncated) if attempt.output else end.result.output
    queries.store_late(
        c,
        job_id=end.job_id,
        number=end.number,
        lease_id=end.lease.id,
        late=end.result.outcome,
        output=output.content,
        output_truncated=output.truncated,
    )
    return Settled(Settlement.LATE, None)


def _ended(end: AttemptEnd, job: Job) -> queries.EndAttempt:
    return filled(
        queries.EndAttempt,
        end.result,
        job_id=end.job_id,
        number=end.number,
        finished_at=end.at,
        ran=end.at - (job.started_at or end.at),
        output=end.result.output.content,
        output_truncated=end.result.output.truncated,
    )


def _lost(job: Job, before: Job) -> queries.EndAttempt:
    """The end of the attempt of a job that was rescued, which was thus before."""
    lease = before.lease or Lease(id="", worker="")
    result = RunResult(outcome=Outcome.LOST, error=job.last_error)
    return _ended(AttemptEnd(job.id, before.attempts, lease, job.updated_at, result), before)


def _without_output(end: AttemptEnd) -> AttemptEnd:
    """Output may be lost for want of room; an outcome may not."""
    return end._replace(result=end.result._replace(output=Output(truncated=bool(end.result.output.content))))


def _in_plain_words(end: AttemptEnd) -> AttemptEnd:
    """The end without its output, in plain words: for a database that does not take it as it is."""
    error = end.result.error
    plain = error and "".join(c if " " <= c <= "~" else "?" for c in error[:MAX_PLAIN])
    return end._replace(result=end.result._replace(error=plain))
