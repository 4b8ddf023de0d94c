"""Dependencies and batches in SQL.

Who locks several jobs locks them in the order of their numbers: who enqueues, the parents; who looks after an end, the
parent and then its children, which have greater numbers. A batch is locked after jobs, and nothing after it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection, Database, Duplicate
from queuectl.adapters.sql.stores.rows import changed, runnable
from queuectl.domain.batch import Batch
from queuectl.domain.dependency import (
    BATCH,
    Counts,
    Parent,
    Placed,
    Standing,
    batch_reason,
    parents_of,
    place,
    reason,
    standing,
    standing_after_batch,
    unknown_parents,
)
from queuectl.domain.errors import BatchNotFound
from queuectl.domain.job import NO_TERMS, TERMINAL, Dependency, Job, On, State, Terms
from queuectl.domain.ports.dependencies import Resolved, Unresolved

PIECE = 1000
"""Children that are looked after in a transaction."""

MEANT = 200
"""Jobs, the newest ones, one of which may have been meant by an id that nobody has."""

ALL = 2**63 - 1
"""More rows than there can be."""


class SqlDependencies:
    """`Dependencies` in SQL; a method is a transaction, or several where there is much to do."""

    def __init__(self, database: Database, notify: Callable[[], None]) -> None:
        """`notify` tells idle workers, after a commit, that there may be work for them; it must not raise."""
        self._database = database
        self._notify = notify

    def resolve(self, job_id: str, *, at: datetime) -> Resolved:
        """Look after those that wait for that job, if it has ended."""

        def work(c: Connection) -> _Piece:
            row = queries.job_to_change(c, job_id=job_id)
            if row is None or row.state not in TERMINAL or not row.has_dependents:
                return _Piece()
            piece = _look_after(c, job_id, lambda on: standing(on, row.state), lambda _: reason(job_id, row.state), at)
            if piece.is_all and queries.awaited(c, parent=job_id) is None:
                queries.expect_no_more(c, job_id=job_id)
            return piece

        return self._in_pieces(work)

    def finish(self, batch: str, *, at: datetime) -> Resolved:
        """Finish a batch that has ended, and look after those that wait for it."""
        if self._database.read(lambda c: queries.open_in_batch(c, name=batch)) is not None:
            return Resolved()
        counts = self._database.write(lambda c: _finished(c, batch, at))
        if counts is None:
            return Resolved()

        def work(c: Connection) -> _Piece:
            # Nobody waits for more than this: what was added since may open the batch again, and comes after its end.
            return _look_after(
                c,
                f"{BATCH}{batch}",
                lambda on: standing_after_batch(on, counts),
                lambda on: batch_reason(batch, on),
                at,
            )

        return self._in_pieces(work)

    def unresolved(self, *, limit: int) -> Unresolved:
        """The jobs and batches that have ended and are still to be looked after."""

        def work(c: Connection) -> Unresolved:
            batches = [*queries.ended_batches(c, limit=limit), *queries.awaited_batches(c, limit=limit)]
            return Unresolved(queries.unresolved(c, limit=limit), batches[:limit])

        return self._database.read(work)

    def parents_of(self, job_ids: Sequence[str]) -> Mapping[str, Sequence[Parent]]:
        """The dependencies of each of these jobs."""
        found: dict[str, list[Parent]] = defaultdict(list)
        for row in self._database.read(lambda c: queries.parents_of(c, ids=job_ids)):
            found[row.id].append(Parent(Dependency(row.parent, row.met_by), row.is_met, row.state))
        return found

    def waiting_for_dead(self) -> int:
        """The number of jobs that wait for the success of dead ones."""
        return len(self._database.read(queries.waiting_for_dead))

    def _in_pieces(self, work: Callable[[Connection], "_Piece"]) -> Resolved:
        released, cancelled, is_all = 0, list[Job](), False
        while not is_all:
            piece = self._database.write(work)
            released, is_all = released + piece.released, piece.is_all
            cancelled += piece.cancelled
        if released:
            self._notify()
        return Resolved(released, cancelled)


class SqlBatches:
    """`Batches` in SQL; a method is a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, name: str) -> Batch:
        """The batch. Raises BatchNotFound."""

        def work(c: Connection) -> Batch:
            row = queries.batch(c, name=name)
            if row is None:
                raise BatchNotFound(name)
            return _batch(row, _counts(c, [name])[name])

        return self._database.read(work)

    def newest(self, *, limit: int | None) -> Sequence[Batch]:
        """The batches, the newest first, at most `limit`."""

        def work(c: Connection) -> Sequence[Batch]:
            rows = queries.newest_batches(c, limit=ALL if limit is None else limit)
            counts = _counts(c, [row.name for row in rows])
            return [_batch(row, counts[row.name]) for row in rows]

        return self._database.read(work)


def placed(c: Connection, jobs: Sequence[Job], terms: Mapping[str, Terms] = NO_TERMS) -> Placed:
    """See how the parents of new jobs stand, and lock them: their ends come before this transaction, or after it.

    Raises Duplicate for an id that is given twice, as each job is placed by its id; InvalidJob, NotFound.
    """
    if len({job.id for job in jobs}) < len(jobs):
        raise Duplicate
    ids, names = parents_of(terms, [job.id for job in jobs])
    states = {row.id: row.state for row in queries.parents(c, ids=sorted(ids))} if ids else {}
    if unknown := ids - set(states):
        newest = [job.id for job in jobs[:MEANT]] + list(queries.newest_ids(c, limit=MEANT))
        raise unknown_parents(sorted(unknown), terms, newest)
    placing = place(jobs, terms, states, _held_batches(c, jobs, names))
    if placing.awaited:
        queries.expect_ends(c, ids=placing.awaited)
    return placing


def store_links(c: Connection, placing: Placed) -> None:
    """Store the dependencies of jobs that are stored."""
    queries.add_dependency(
        c,
        [
            queries.AddDependency(id=it.child, parent=it.dependency.parent, met_by=it.dependency.on, is_met=it.is_met)
            for it in placing.links
        ],
    )


def is_linked(row: queries.JobRow) -> bool:
    """True if others may wait for that job, or for its batch."""
    return row.has_dependents or row.batch is not None


def locked_with_children(c: Connection, job_id: str) -> queries.JobRow | None:
    """The job; locked, and with it, in the order of their numbers, those that wait for it or its batch."""
    seen = queries.job(c, job_id=job_id)
    children = queries.waiting_ids(c, parents=_parents(seen)) if seen is not None else []
    return next((row for row in queries.jobs_to_settle(c, ids=[job_id, *children]) if row.id == job_id), None)


def cancel_children(c: Connection, row: queries.JobRow, at: datetime) -> Sequence[Job]:
    """Cancel those that wait for the success of a dead job, or of its batch: it is about to be removed."""
    removed, cancelled = reason(row.id, None), list[Job]()
    for parent in _parents(row):
        is_all = False
        while not is_all:
            piece = _look_after(c, parent, _without_success, lambda _: removed, at)
            is_all = piece.is_all
            cancelled += piece.cancelled
    return cancelled


def _parents(row: queries.JobRow) -> Sequence[str]:
    return [row.id, *([] if row.batch is None else [f"{BATCH}{row.batch}"])]


def _without_success(on: On) -> Standing:
    return Standing.NEVER if on is On.SUCCESS else Standing.WAITS


def _held_batches(c: Connection, jobs: Sequence[Job], names: set[str]) -> Mapping[str, Counts]:
    """The states of the batches of these names; those of the jobs are made, or open again."""
    own = {job.spec.batch: job.created_at for job in jobs if job.spec.batch is not None}
    if not (own or names):
        return {}
    queries.add_batch(c, [queries.AddBatch(name=name, created_at=own[name]) for name in sorted(own)])
    held = queries.hold_batches(c, names=sorted({*own, *names}))
    if own:
        queries.open_batches(c, names=sorted(own))
    counts = _counts(c, sorted(names)) if names else {}
    return {name: counts[name] for name in held if name in names}


def _finished(c: Connection, batch: str, at: datetime) -> Counts | None:
    """The end of the batch; None: it has not ended. Under its lock, so that nobody who enqueues sees it otherwise."""
    held = queries.hold_batches(c, names=[batch])
    if not held or queries.open_in_batch(c, name=batch) is not None:
        return None
    queries.finish_batch(c, name=batch, at=at)
    return _counts(c, [batch])[batch]


class _Piece(NamedTuple):
    released: int = 0
    cancelled: Sequence[Job] = ()
    is_all: bool = True


def _look_after(
    c: Connection, parent: str, stands: Callable[[On], Standing], why: Callable[[On], str], at: datetime
) -> _Piece:
    """Let go, or cancel, the next of those that wait for a parent, given how dependencies on it stand."""
    ends = {on: stands(on) for on in On}
    decided_ends = [on for on, it in ends.items() if it is not Standing.WAITS]
    rows = queries.waiting_for(c, parent=parent, ends=decided_ends, limit=PIECE) if decided_ends else []
    met_by = {row.job.id: row.met_by for row in rows}
    jobs, bad = runnable([row.job for row in rows])
    met = [job.with_parent_met(at) for job in jobs if ends[met_by[job.id]] is Standing.MET]
    never = [job.never_run(why(met_by[job.id]), at) for job in jobs if ends[met_by[job.id]] is Standing.NEVER]
    queries.store_job(c, changed([*met, *never]))
    unreadable = {each.seq for each in bad}
    children = [row.job.seq for row in rows if ends[row.met_by] is Standing.MET and row.job.seq not in unreadable]
    if children:
        queries.meet(c, parent=parent, children=children)
    released = sum(job.waits_for is None for job in met)
    return _Piece(released, never, len(rows) < PIECE or not (met or never))


def _counts(c: Connection, names: Sequence[str]) -> Mapping[str, dict[State, int]]:
    counts: dict[str, dict[State, int]] = {name: {} for name in names}
    for row in queries.counts_of_batches(c, names=names):
        counts[row.name][row.state] = row.total
    return counts


def _batch(row: queries.BatchRow, counts: Mapping[State, int]) -> Batch:
    jobs = {state: counts.get(state, 0) for state in State}
    is_open = any(count for state, count in jobs.items() if state not in TERMINAL)
    return Batch(row.name, row.created_at, None if is_open else row.finished_at, jobs)
