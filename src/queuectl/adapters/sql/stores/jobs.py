"""The jobs and their attempts in SQL, as those who enqueue and operators see them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

from queuectl.adapters.sql.backend import Claiming
from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.query import Piece, compose
from queuectl.adapters.sql.engine.transactions import Confirm, Connection, Database, Duplicate, Work
from queuectl.adapters.sql.stores.dependencies import (
    cancel_children,
    is_linked,
    locked_with_children,
    placed,
    store_links,
)
from queuectl.adapters.sql.stores.lanes import Lanes, expose, place_again
from queuectl.adapters.sql.stores.rows import Unrunnable, changed, read_attempt, read_job, runnable, shown_job
from queuectl.adapters.sql.stores.unique import admitted, foreseen, has_to_look, regained, store_replaced, store_tags
from queuectl.domain.attempt import Attempt
from queuectl.domain.dependency import Placed
from queuectl.domain.errors import DatabaseBusy, DuplicateJob, JobNotFound, WrongState
from queuectl.domain.job import CLAIMABLE, MICROSECOND, NO_TERMS, TERMINAL, Job, Spec, State, Terms
from queuectl.domain.limits import parked_behind
from queuectl.domain.ports.jobs import Decide, Removed
from queuectl.domain.unique import Added, Admission, not_regained

T = TypeVar("T")

ALL = 2**63 - 1
"""More rows than there can be."""

GROUP = 25
"""Rows of a batch that are made, and on SQLite inserted, together. An older SQLite takes 999 values in a statement."""

MAX_RACES = 100
"""Tries of a change whose unique keys others take at the same moment: each of them has been served by then."""

LATEST = datetime.max.replace(tzinfo=UTC)


class SqlJobs:
    """`Jobs` in SQL; a method is a transaction."""

    def __init__(self, database: Database, notify: Callable[[], None], claiming: Claiming) -> None:
        """`notify` tells idle workers, after a commit, that there may be work for them; it must not raise.

        `claiming` has the database's own statements: see `Backend`.
        """
        self._database = database
        self._notify = notify
        self._own = claiming

    def add(self, jobs: Iterable[Job], terms: Mapping[str, Terms] = NO_TERMS) -> Sequence[Added]:
        """Store new jobs, all or none; as they are then. Raises DuplicateJob, UniqueKeyTaken, InvalidJob, NotFound."""
        asked = list(jobs)
        if not asked:
            return []
        is_open = has_to_look(asked, terms)
        all_new = Admission(list(map(Added, asked)), asked)

        def work(c: Connection) -> Admission:
            admission = admitted(c, asked, terms, self._own) if is_open else all_new
            if admission.new or admission.replaced:
                lanes = Lanes(c)
                store_replaced(c, admission, lanes)
                admission = admission.stored_as(_store_new(c, admission.new, terms, lanes))
            return admission

        def refuse(error: Duplicate) -> None:
            admission = self._database.read(lambda c: foreseen(c, asked, terms)) if is_open else all_new
            ids = [job.id for job in admission.new]
            taken = set(self._database.read(lambda c: queries.taken_ids(c, ids=ids)))
            repeated = [job_id for job_id, count in Counter(ids).items() if count > 1]
            if taken or repeated or not is_open:
                raise DuplicateJob([it for it in dict.fromkeys(ids) if it in taken], repeated=repeated) from error

        admission = self._written(work, _is_admitted, refuse)
        if admission.new or admission.replaced:
            self._notify()
        return admission.added

    def _written(
        self, work: Work[T], confirm_commit: Confirm[T], refuse: Callable[[Duplicate], None] = lambda _: None
    ) -> T:
        """The same as `write`, and again when others have taken a unique key meanwhile: then the next try sees it.

        `refuse` raises an error for a duplicate of another kind.
        """
        for _ in range(MAX_RACES):
            try:
                return self._database.write(work, confirm_commit=confirm_commit)
            except Duplicate as error:
                refuse(error)
        raise DatabaseBusy("others take the same unique keys at every try", hint="try again later")

    def find(self, job_id: str) -> Job:
        """The job. Raises JobNotFound."""
        return self._database.read(lambda c: shown_job(_found(queries.job(c, job_id=_askable(job_id)), job_id)))

    def search(
        self,
        *,
        states: Collection[State] = (),
        queues: Collection[str] = (),
        keys: Collection[str] = (),
        tags: Collection[str] = (),
        limit: int | None = None,
        by_end: bool = False,
    ) -> Sequence[Job]:
        """Jobs of those states, queues, keys and tags, the newest first, or those that ended last."""
        conditions: Sequence[Sequence[Piece]] = [
            [queries.state_is(state=state) for state in states],
            [queries.queue_is(queue=_askable(queue)) for queue in queues],
            [queries.key_is(key=_askable(key)) for key in keys],
            [queries.has_tag(tags=list(map(_askable, tags)))] if tags else [],
        ]
        order = queries.last_ended_first() if by_end else queries.newest_first()
        query, values = compose(
            queries.search(), conditions, order, queries.at_most(limit=ALL if limit is None else limit)
        )
        return self._database.read(lambda c: [shown_job(row) for row in c.fetch(query, values, queries.JOBS_ROWS)])

    def change(self, job_id: str, decide: Decide) -> Job:
        """Read, decide and write one job in one transaction. Raises JobNotFound."""

        def work(c: Connection) -> Job:
            self._own.hold_keys_of(c, [_askable(job_id)])
            before = _changeable(_found(queries.job_to_change(c, job_id=_askable(job_id)), job_id))
            decided = decide(before)
            if (holder := regained(c, [(before, decided)]).refused.get(job_id)) is not None:
                raise not_regained(decided, holder)
            queries.store_job(c, changed([decided]))
            if before.state not in CLAIMABLE:
                place_again(c, [decided])
            if before.state in CLAIMABLE and decided.state not in CLAIMABLE:
                expose(c, [before.spec.key])
            _open_batches(c, [before], [decided])
            if before.blockers and not decided.blockers:
                queries.drop_open(c, job_id=job_id)
            return decided

        def is_stored(c: Connection, decided: Job) -> bool:
            return _found(queries.job(c, job_id=job_id), job_id).updated_at == decided.updated_at

        job = self._written(work, is_stored)
        self._notify()
        return job

    def change_dead(self, decide: Decide, *, until: datetime, limit: int) -> Sequence[Job]:
        """The same for up to `limit` dead jobs that last changed by `until`, the oldest first.

        Those whose unique key another job holds stay dead, and count as changed just after `until`.
        """

        def work(c: Connection) -> Sequence[Job]:
            good, decided = list[Job](), list[Job]()
            while not decided and (rows := queries.oldest_dead(c, until=until, limit=limit)):
                good, bad = runnable(rows)
                # So that they are not among the oldest of the next call.
                passed = until + MICROSECOND
                set_aside(c, bad, passed)
                changes = [(job, decide(job)) for job in good]
                refused = regained(c, changes).refused
                decided = [job._replace(updated_at=passed) if job.id in refused else it for job, it in changes]
            queries.store_job(c, changed(decided))
            place_again(c, decided)
            _open_batches(c, good, decided)
            return decided

        def is_stored(c: Connection, decided: Sequence[Job]) -> bool:
            # All or none were changed, so the first one speaks for all.
            row = queries.job(c, job_id=decided[0].id) if decided else None
            return row is not None and (row.state is not State.DEAD or row.updated_at > until)

        decided = self._written(work, is_stored)
        self._notify()
        return decided

    def remove(self, job_id: str, *, allow: Decide, at: datetime) -> Removed:
        """Delete a job and its attempts, unless `allow` raises for it. Raises JobNotFound."""

        def work(c: Connection) -> bool:
            row = _found(queries.job_to_change(c, job_id=_askable(job_id)), job_id)
            allow(shown_job(row))
            if not is_linked(row):
                queries.delete_job(c, job_id=job_id)
            return is_linked(row)

        if self._database.write(work, confirm_commit=lambda c, _: queries.job(c, job_id=job_id) is None):
            return self._remove_linked(job_id, allow, at)
        return Removed([job_id], [])

    def remove_dead(self, *, limit: int, at: datetime) -> Removed:
        """Delete up to `limit` dead jobs with their attempts."""

        def work(c: Connection) -> Sequence[queries.JobRow]:
            rows = queries.oldest_dead(c, until=LATEST, limit=limit)
            queries.delete_jobs(c, seqs=[row.seq for row in rows if not is_linked(row)])
            return rows

        def are_gone(c: Connection, rows: Sequence[queries.JobRow]) -> bool:
            return all(is_linked(row) for row in rows) or queries.id_at(c, seq=_first_plain(rows).seq) is None

        ids, cancelled = [], list[Job]()
        for row in self._database.write(work, confirm_commit=are_gone):
            if is_linked(row):
                with suppress(JobNotFound, WrongState):  # others were quicker
                    cancelled += self._remove_linked(row.id, _still_dead, at).cancelled
            ids.append(shown_job(row).id)
        return Removed(ids, cancelled)

    def _remove_linked(self, job_id: str, allow: Decide, at: datetime) -> Removed:
        """Delete a job for which others wait, or for whose batch."""

        def work(c: Connection) -> Sequence[Job]:
            row = _found(locked_with_children(c, job_id), job_id)
            allow(shown_job(row))
            cancelled = cancel_children(c, row, at)
            queries.delete_job(c, job_id=job_id)
            return cancelled

        cancelled = self._database.write(work, confirm_commit=lambda c, _: queries.job(c, job_id=job_id) is None)
        return Removed([job_id], cancelled)


class SqlAttempts:
    """`Attempts` in SQL; a method is a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def attempts_of(self, job_id: str) -> Sequence[Attempt]:
        """All runs of a job, the first one first."""
        of_it = _askable(job_id)
        return self._database.read(lambda c: [read_attempt(row) for row in queries.attempts_of(c, job_id=of_it)])

    def outputs_of(self, job_ids: Sequence[str]) -> Mapping[str, bytes]:
        """The output of the last ended attempt of each of these jobs."""
        rows = self._database.read(lambda c: queries.last_outputs(c, ids=job_ids))
        return {row.job_id: row.output or b"" for row in rows}


def set_aside(c: Connection, bad: Sequence[Unrunnable], at: datetime, *, not_started: int = 0) -> Sequence[Job]:
    """Make these jobs dead, with the reason; as they are shown from then on. `not_started` of their runs do not count.

    By their numbers: an id may be one that nobody can ask for.
    """
    for each in bad:
        queries.set_aside(c, seq=each.seq, at=at, reason=each.reason, not_started=not_started)
    return [
        each.job._replace(state=State.DEAD, updated_at=at, finished_at=at, last_error=each.reason, lease=None)
        for each in bad
    ]


def _is_admitted(c: Connection, admission: Admission) -> bool:
    """All or nothing was stored, so one job speaks for all."""
    if admission.new:
        job = admission.new[0]
        stored = queries.job(c, job_id=job.id)
        return stored is not None and stored.created_at == job.created_at
    if admission.replaced:
        _, job = admission.replaced[0]
        row = queries.job(c, job_id=job.id)
        now = None if row is None else shown_job(row)
        return now is not None and now.spec == job.spec and (now.attempts > 0 or now.run_at == job.run_at)
    return True


def _open_batches(c: Connection, before: Sequence[Job], after: Sequence[Job]) -> None:
    """Open the batches again of jobs that had ended and wait now."""
    waiting = [job for old, job in zip(before, after, strict=True) if old.state in TERMINAL and job.state in CLAIMABLE]
    if names := {job.spec.batch for job in waiting if job.spec.batch is not None}:
        queries.hold_batches(c, names=sorted(names))
        queries.open_batches(c, names=sorted(names))


def _first_plain(rows: Sequence[queries.JobRow]) -> queries.JobRow:
    return next(row for row in rows if not is_linked(row))


def _still_dead(job: Job) -> Job:
    if job.state is not State.DEAD:
        raise WrongState(f"job {job.id} is {job.state}")
    return job


def _found(row: queries.JobRow | None, job_id: str) -> queries.JobRow:
    if row is None:
        raise JobNotFound(job_id)
    return row


def _changeable(row: queries.JobRow) -> Job:
    job, reason = read_job(row)
    if reason:
        hint = f"`queuectl dlq remove {job.id}` removes it" if job.state is State.DEAD else None
        raise WrongState(f"job {job.id} cannot be changed, as its row cannot be read: {reason}", hint=hint)
    return job


def _askable(said: str) -> str:
    """An id or a queue to look for; where a driver would not take it, one that nothing has either."""
    return said.encode(errors="replace").decode().replace("\0", "?")


def _store_new(c: Connection, jobs: Sequence[Job], terms: Mapping[str, Terms], lanes: Lanes) -> Sequence[Job]:
    """Store new jobs; as they are then: some may wait for others."""
    if not jobs:
        return jobs
    ours = {job.id: terms[job.id] for job in jobs if job.id in terms} if terms else terms
    has_links = any(it.after for it in ours.values()) or any(job.spec.batch is not None for job in jobs)
    placing = placed(c, jobs, ours) if has_links else Placed(jobs)
    stored = parked_behind(placing.jobs)
    for queue, needs in sorted({(job.queue, tuple(job.needs)) for job in stored if job.needs}):
        lanes.of(queue, needs)  # new ones are made in one order: two batches do not wait for each other's
    of_each = [lanes.of(job.queue, job.needs) for job in stored]  # first: PostgreSQL runs nothing else during a COPY
    queries.add_jobs(c, _by_columns(stored, of_each))
    store_tags(c, stored)
    if placing.links:
        store_links(c, placing)
    return stored


def _by_columns(jobs: Sequence[Job], lanes: Sequence[int]) -> Iterator[queries.AddJobs]:
    """Groups of them, by columns: a batch has a hundred thousand, and a row of its own for each takes twice as long."""
    for start in range(0, len(jobs), GROUP):
        group = jobs[start : start + GROUP]
        columns = dict(zip(Job._fields, zip(*group, strict=True), strict=True))
        columns |= zip(Spec._fields, zip(*[job.spec for job in group], strict=True), strict=True)
        columns["lane"] = tuple(lanes[start : start + GROUP])
        yield queries.AddJobs._make(columns[name] for name in queries.AddJobs._fields)
