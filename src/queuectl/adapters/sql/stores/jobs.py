"""The jobs and attempts in SQL. Every statement is written once, for both backends."""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from queuectl.adapters.sql.engine.compiled import ROWS
from queuectl.adapters.sql.engine.log import warn
from queuectl.adapters.sql.engine.prepared import Row, row_writer
from queuectl.adapters.sql.engine.transactions import Connection, Database, Duplicate
from queuectl.adapters.sql.engine.values import as_json
from queuectl.adapters.sql.stores.claiming import Walk, claim, queue_values
from queuectl.adapters.sql.stores.reading import FIELD_VALUES, JOB_FIELDS, read_attempt, read_job, shown_job, unreadable
from queuectl.adapters.sql.stores.workers import stored_settings
from queuectl.domain.attempt import Attempt, Outcome, Output, RunResult
from queuectl.domain.errors import DatabaseFull, DuplicateJob, JobNotFound, QueueError, ValueRefused, WrongState
from queuectl.domain.job import Job, State
from queuectl.domain.policy import Policy
from queuectl.domain.ports.jobs import Decide
from queuectl.domain.ports.work import DecideLost, Ended, FirstDue, Run, Settlement
from queuectl.domain.worker import Lease, WorkerState

ALL = 2**63 - 1
"""More rows than there can be."""

LONGEST_PLAIN = 1000

LATEST = datetime.max.replace(tzinfo=UTC)


class SqlJobRepository:
    """`JobRepository` in SQL; a method is a transaction."""

    def __init__(self, database: Database, announce: Callable[[], None]) -> None:
        """`announce` tells idle workers, after a commit, that there may be work for them; it must not raise."""
        self._database = database
        self._announce = announce
        self._walks: dict[tuple[str, ...], Walk | None] = {}

    def add(self, new: Iterable[Job]) -> None:
        """Store new jobs, all or none. Raises DuplicateJob naming every id that is taken, or given twice."""
        jobs = list(new)
        if not jobs:
            return

        def work(connection: Connection) -> bool:
            connection.load("add_job", jobs)
            return True

        def recall(connection: Connection) -> bool | None:
            # All or none were stored, so the first one speaks for all.
            stored = connection.row("job", {"job_id": jobs[0].id})
            return True if stored is not None and stored.created_at == jobs[0].created_at else None

        try:
            self._database.write(work, recall=recall)
        except Duplicate as error:
            ids = [job.id for job in jobs]
            taken = self._database.read(lambda connection: _taken(connection, ids))
            repeated = [job_id for job_id, count in Counter(ids).items() if count > 1]
            raise DuplicateJob(taken, repeated=repeated) from error
        self._announce()

    def find(self, job_id: str) -> Job:
        """The job. Raises JobNotFound."""
        return self._database.read(lambda connection: _found(connection, job_id))

    def search(
        self,
        *,
        states: Collection[State] = (),
        queues: Collection[str] = (),
        limit: int | None = None,
        by_end: bool = False,
    ) -> Sequence[Job]:
        """Jobs of those states and queues, the newest first, or those that ended last."""
        wanted = {f"state_{number}": state for number, state in enumerate(states)}
        named = queue_values([_name(queue) for queue in queues])
        values = {**wanted, **named, "limit": ALL if limit is None else limit}
        shape = (len(states), len(queues), by_end)
        return self._database.read(
            lambda connection: [shown_job(row) for row in connection.rows("search", values, shape)]
        )

    def attempts_of(self, job_id: str) -> Sequence[Attempt]:
        """All runs of a job, the first one first."""
        return self._database.read(
            lambda connection: [read_attempt(row) for row in connection.rows("attempts_of", {"of_job": _name(job_id)})]
        )

    def outputs_of(self, job_ids: Sequence[str]) -> Mapping[str, bytes]:
        """What the last ended attempt of each of these jobs wrote."""
        rows = self._database.read(lambda connection: connection.rows("last_outputs", {"ids": job_ids}))
        return {row.job_id: row.output or b"" for row in rows}

    def claim(
        self,
        lease: Lease,
        *,
        queues: Collection[str],
        limit: int,
        at: datetime,
        suspects: bool | None = None,
    ) -> Sequence[Run]:
        """Take up to `limit` due jobs in claim order and start an attempt of each under `lease`."""
        return self.settle_and_claim((), lease, queues=queues, limit=limit, at=at, suspects=suspects)[1]

    def held_by(self, worker_id: str) -> Sequence[Job]:
        """The jobs that run under any lease of this worker."""
        return self._database.read(
            lambda connection: [shown_job(row) for row in connection.rows("held", {"worker": worker_id})]
        )

    def asked_to_cancel(self, worker_id: str, job_ids: Collection[str]) -> Sequence[Job]:
        """Of these jobs, those that run under any lease of this worker and whose cancel was asked for."""
        asked = self._database.read(
            lambda connection: [shown_job(row) for row in connection.rows("asked_to_cancel", {"ids": list(job_ids)})]
        )
        return [job for job in asked if job.lease is not None and job.lease.worker == worker_id]

    def first_due(self, *, queues: Collection[str]) -> FirstDue:
        """When the first of the jobs that wait in those queues are due."""
        shape = (len(queues),)
        first = self._database.read(lambda connection: connection.only_row("first_due", queue_values(queues), shape))
        return FirstDue(job=first.run_at, suspect=first.suspect_run_at)

    def settle(self, job: Job, lease: Lease, result: RunResult) -> Settlement:
        """Record how `job.attempts`, run under `lease`, ended, and store `job`: fenced by the lease.

        An outcome may not be lost for what came with it: where the database does not take all, the output is left out,
        and then the error's words are spelt in ASCII.
        """
        ended = Ended(job=job, lease=lease, result=result)
        for poorer in (_without_output, _in_plain_words):
            with contextlib.suppress(DatabaseFull, ValueRefused):
                return self._settled([ended], lambda ended: self._database.write(lambda it: _settle_all(it, ended)))[0]
            ended = poorer(ended)
        return self._settled([ended], lambda ended: self._database.write(lambda it: _settle_all(it, ended)))[0]

    def settle_and_claim(
        self,
        ended: Sequence[Ended],
        lease: Lease,
        *,
        queues: Collection[str],
        limit: int,
        at: datetime,
        suspects: bool | None = None,
    ) -> tuple[Sequence[Settlement], Sequence[Run]]:
        """`settle` each of these, in order, then `claim`: all in one transaction."""
        runs: list[Run] = []
        set_aside: list[_SetAside] = []
        walk = None

        def settle(ended: Sequence[Ended]) -> Sequence[Settlement]:
            def work(connection: Connection) -> Sequence[Settlement]:
                nonlocal walk
                settlements = _settle_all(connection, ended)
                known = self._walks.get(tuple(queues))
                rows, walk = claim(connection, lease, queues, limit, at, known, suspects=suspects)
                runs[:], set_aside[:] = _started(connection, lease, rows, at)
                return settlements

            def recall(connection: Connection) -> Sequence[Settlement] | None:
                held = connection.rows("held", {"worker": lease.worker})
                taken = [shown_job(row) for row in held if row.lease_id == lease.id]
                policy = Policy.of(stored_settings(connection))
                runs[:] = [Run(job=job, lease=lease, policy=policy) for job in taken]
                return _settle_all(connection, ended) if taken else None  # what was settled before is a resend now

            return self._database.write(work, recall=recall)

        settlements = self._settled(ended, settle)
        self._walks[tuple(queues)] = walk
        _tell(set_aside)
        return settlements, runs

    def _settled(
        self, ended: Sequence[Ended], settle: Callable[[Sequence[Ended]], Sequence[Settlement]]
    ) -> Sequence[Settlement]:
        try:
            settlements = settle(ended)
        except QueueError:
            raise
        except Exception as error:
            if not ended:
                raise
            # Whatever it is (a text that cannot be encoded, a mistake of ours), it must not cost a job its outcome.
            jobs = ", ".join(each.job.id for each in ended)
            raise ValueRefused(f"how {jobs} ended cannot be written: {type(error).__name__}: {error}") from error
        waits = (each.job.state is State.PENDING for each in ended)
        if any(wait and it is Settlement.RECORDED for wait, it in zip(waits, settlements, strict=True)):
            self._announce()
        return settlements

    def change(self, job_id: str, decide: Decide) -> Job:
        """Read, decide and write one job in one transaction. Raises JobNotFound."""
        decided: list[Job] = []

        def work(connection: Connection) -> Job:
            decided[:] = [decide(_changeable(connection, job_id))]
            _write(connection, decided)
            return decided[0]

        def recall(connection: Connection) -> Job | None:
            return decided[0] if _found(connection, job_id).updated_at == decided[0].updated_at else None

        job = self._database.write(work, recall=recall)
        self._announce()
        return job

    def change_some(self, state: State, decide: Decide, *, until: datetime, limit: int) -> Sequence[Job]:
        """The same for up to `limit` jobs of a state that last changed by `until`, the oldest first."""
        oldest = {"until": until, "limit": limit}
        changed: list[Job] = []

        def work(connection: Connection) -> list[Job]:
            changed[:] = []
            while not changed and (rows := connection.rows("oldest", oldest, (state.value,))):
                good, bad = _sorted_out(rows)
                changed[:] = map(decide, good)
                # So that they are not among the oldest of the next call.
                _set_aside(connection, bad, until + timedelta(microseconds=1))
            _write(connection, changed)
            return changed

        def recall(connection: Connection) -> list[Job] | None:
            # All or none were changed, so the first one speaks for all.
            row = connection.row("job", {"job_id": changed[0].id}) if changed else None
            return changed if row is not None and row.state != state else None

        self._database.write(work, recall=recall)
        self._announce()
        return changed

    def remove(self, job_id: str, *, allow: Decide) -> None:
        """Delete a job and its attempts, unless `allow` raises for it. Raises JobNotFound."""

        def work(connection: Connection) -> bool:
            allow(_found(connection, job_id, lock=True))
            connection.run("delete_job", {"job_id": job_id})
            return True

        def recall(connection: Connection) -> bool | None:
            return None if connection.row("job", {"job_id": job_id}) else True

        self._database.write(work, recall=recall)

    def remove_some(self, state: State, *, limit: int) -> Sequence[str]:
        """Delete up to `limit` jobs of a state with their attempts; their ids."""
        oldest = {"until": LATEST, "limit": limit}
        ids: list[str] = []
        seqs: list[int] = []

        def work(connection: Connection) -> Sequence[str]:
            rows = connection.rows("oldest", oldest, (state.value,))
            ids[:], seqs[:] = [shown_job(row).id for row in rows], [row.seq for row in rows]
            connection.run("delete_jobs", {"seqs": seqs})
            return ids

        def recall(connection: Connection) -> Sequence[str] | None:
            return None if seqs and connection.row("job_at", {"seq": seqs[0]}) else ids

        return self._database.write(work, recall=recall)

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

        def work(connection: Connection) -> list[Job]:
            worker = connection.row("worker_to_rescue", {"worker": worker_id})
            if worker is None:
                return []
            is_gone = proved_dead or worker.renewed_at == silent_since
            if worker.lease_expires_at > at and not is_gone:
                return []
            good, bad = _sorted_out(connection.rows("held_to_rescue", {"worker": worker_id}))
            # What of it was lost before, it gave back itself within its last lease, or another rescue took.
            since = min(worker.renewed_at, at) - (worker.lease_expires_at - worker.renewed_at)  # the clock may step
            before = {"worker": worker_id, "since": since}
            alone = worker.jobs == len(good) + len(bad) == 1 and connection.row("lost_by", before) is None
            rescued = [*(decide(job, alone) for job in good), *_set_aside(connection, bad, at)]
            lost = [_end_of_attempt(job, RunResult(outcome=Outcome.LOST, error=job.last_error)) for job in rescued]
            connection.run_for_each("end_attempt", lost)
            _write(connection, rescued[: len(good)])
            connection.run("end_worker", {"of_worker": worker_id, "end_state": WorkerState.LOST, "ended_at": at})
            return rescued

        rescued = self._database.write(work)
        if rescued:
            self._announce()
        return rescued


class _SetAside(NamedTuple):
    """A row that cannot be run: its place, the job as far as it can be shown, and why."""

    seq: int
    job: Job
    reason: str


def _found(connection: Connection, job_id: str, *, lock: bool = False) -> Job:
    return shown_job(_row_of(connection, job_id, lock=lock))


def _changeable(connection: Connection, job_id: str) -> Job:
    job, reason = read_job(_row_of(connection, job_id, lock=True))
    if reason:
        hint = f"`queuectl dlq remove {job_id}` removes it" if job.state is State.DEAD else None
        raise WrongState(f"job {job_id} cannot be changed, as its row cannot be read: {reason}", hint=hint)
    return job


def _row_of(connection: Connection, job_id: str, *, lock: bool) -> Row:
    row = connection.row("job_to_change" if lock else "job", {"job_id": _name(job_id)})
    if row is None:
        raise JobNotFound(job_id)
    return row


def _sorted_out(rows: Iterable[Row]) -> tuple[list[Job], list[_SetAside]]:
    """The jobs of these rows, and those that cannot be read."""
    good, bad = [], []
    for row in rows:
        job, reason = read_job(row)
        if reason:
            bad.append(_SetAside(row.seq, job, unreadable(reason)))
        else:
            good.append(job)
    return good, bad


def _set_aside(
    connection: Connection, bad: Sequence[_SetAside], at: datetime, *, not_started: int = 0
) -> Sequence[Job]:
    """Make these jobs dead, with the reason; as they are shown from then on. `not_started` of their runs do not count.

    By their places: an id may be one that nobody can ask for.
    """
    for each in bad:
        values = {"of_seq": each.seq, "at": at, "reason": each.reason, "not_started": not_started}
        connection.run("set_aside", values)
    return [
        each.job._replace(state=State.DEAD, updated_at=at, finished_at=at, last_error=each.reason, lease=None)
        for each in bad
    ]


def _tell(set_aside: Iterable[_SetAside]) -> None:
    for each in set_aside:
        warn(f"job {each.job.id} is set aside in the dead letter queue: {each.reason}")


def _started(
    connection: Connection, lease: Lease, rows: Sequence[Row], at: datetime
) -> tuple[Sequence[Run], Sequence[_SetAside]]:
    """Start an attempt of each job just claimed, but for those that cannot be run."""
    if not rows:
        return [], []
    in_order = sorted(rows, key=lambda row: (-row.priority, row.run_at, row.seq))
    good, bad = _sorted_out(in_order)
    if good and connection.run("start_attempts", {"ids": [job.id for job in good]}) < len(good):
        started = [job for job in good if connection.row("own_attempt", _own_attempt(job, lease))]
        places = {row.id: row.seq for row in rows}
        reason = unreadable("it has had an attempt of the number that would be the next")
        bad += [_SetAside(places[job.id], job, reason) for job in good if job not in started]
        good = started
    _set_aside(connection, bad, at, not_started=1)
    policy = Policy.of(rows[0].settings or {})
    return [Run(job=job, lease=lease, policy=policy) for job in good], bad


def _own_attempt(job: Job, lease: Lease) -> dict[str, object]:
    return {"of_job": job.id, "attempt": job.attempts, "held_lease": lease.id}


def _settle_all(connection: Connection, ended: Sequence[Ended]) -> Sequence[Settlement]:
    """The fence, and what of the attempts it let through; the others are late."""
    if not ended:
        return []
    if len({each.job.id for each in ended}) < len(ended):  # a job twice: each of its attempts passes by itself
        return [settlement for each in ended for settlement in _settle_all(connection, [each])]
    rows = as_json([_settled_row(each) for each in ended])
    stored = {row.id: row for row in connection.rows("store_settled", {"rows": rows})}
    connection.run_for_each("end_attempt", [_end_of_attempt(it.job, it.result) for it in ended if it.job.id in stored])
    return [
        _heeded(connection, each.job, stored[each.job.id])
        if each.job.id in stored
        else _settle_late(connection, each.job, each.lease, each.result)
        for each in ended
    ]


def _without_output(ended: Ended) -> Ended:
    """Output may be lost for want of room; an outcome may not."""
    return ended._replace(result=ended.result._replace(output=Output(truncated=bool(ended.result.output.content))))


def _in_plain_words(ended: Ended) -> Ended:
    """What is left when the database does not take the outcome: what happened, and words in which nothing is odd."""

    def plain(text: str | None) -> str | None:
        return text and "".join(c if " " <= c <= "~" else "?" for c in text[:LONGEST_PLAIN])

    job = ended.job._replace(last_error=plain(ended.job.last_error))
    return ended._replace(job=job, result=ended.result._replace(error=plain(ended.result.error)))


def _heeded(connection: Connection, job: Job, stored: Row) -> Settlement:
    """What became of a job just stored, given that its cancel may have been asked for while it ran."""
    if stored.cancel_requested_at == job.cancel_requested_at:
        return Settlement.RECORDED
    heeded = job._replace(
        cancel_requested_at=stored.cancel_requested_at, cancel_requested_by=stored.cancel_requested_by
    ).heeding_cancel()
    if heeded.state is job.state:
        return Settlement.RECORDED
    _write(connection, [heeded])
    return Settlement.CANCELLED


def _settle_late(connection: Connection, job: Job, lease: Lease, result: RunResult) -> Settlement:
    """The job is not ours any more: it is our own resend, or it was taken away, or it is gone."""
    own = _own_attempt(job, lease)
    attempt = connection.row("own_attempt", own)
    if attempt is None:
        return Settlement.GONE
    if (attempt.outcome, attempt.finished_at) == (result.outcome, job.updated_at):
        return Settlement.RECORDED
    connection.run("keep_late", own | {"late": result.outcome})
    if not attempt.output:
        output = {"output": result.output.content, "output_truncated": result.output.truncated}
        connection.run("keep_late_output", own | output)
    return Settlement.LATE


def _write(connection: Connection, changed: Sequence[Job]) -> None:
    connection.run_for_each("store_job", [_row(job) | {"job_id": job.id} for job in changed])


def _name(said: str) -> str:
    """An id or a queue to look for; where a driver would not take it, one that nothing has either."""
    return said.encode(errors="replace").decode().replace("\0", "?")


def _taken(connection: Connection, ids: Sequence[str]) -> list[str]:
    taken = {row.id for row in connection.rows("taken", {"ids": ids})}
    return [job_id for job_id in dict.fromkeys(ids) if job_id in taken]


_settled_row = row_writer(
    ROWS["store_settled"], {name: f"job.{name}" for name in ROWS["store_settled"]} | {"lease_id": "lease.id"}
)


def _row(job: Job) -> dict[str, object]:
    """A job as a row; and from a row: `read_job`. Fields have their column's name, but for the lease, which has two."""
    row: dict[str, object] = dict(zip(JOB_FIELDS, FIELD_VALUES(job), strict=True))
    lease = job.lease
    row["worker"], row["lease_id"] = (lease.worker, lease.id) if lease else (None, None)
    return row


def _end_of_attempt(job: Job, result: RunResult) -> dict[str, object]:
    return {
        "of_job": job.id,
        "attempt": job.attempts,
        "finished_at": job.updated_at,
        "ran": job.updated_at - (job.started_at or job.updated_at),
        "outcome": result.outcome,
        "exit_code": result.exit_code,
        "signal": result.signal,
        "error": result.error,
        "output": result.output.content,
        "output_truncated": result.output.truncated,
    }
