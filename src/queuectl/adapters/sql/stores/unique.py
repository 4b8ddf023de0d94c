"""Unique keys in a transaction: looked at, locked, decided about by `domain/unique.py`, and changed.

Whoever enqueues jobs with unique keys holds those keys: another waits for its commit, and then sees it. Without that,
two batches could wait for each other in the index, and a batch that is copied would fail as a whole for one key. An
operator's retry holds none, as each change of a job would have to look first whether it needs to. Where it meets an
enqueue at the same moment, the index lets one of them through, and the other is tried again.

Locks are had in this order, so that nobody waits in a circle: unique keys, keys, jobs by their numbers.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter

from queuectl.adapters.sql.backend import Claiming
from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.adapters.sql.stores.lanes import Lanes, expose
from queuectl.adapters.sql.stores.rows import shown_job
from queuectl.domain.job import Job, OnDuplicate, Terms
from queuectl.domain.unique import Admission, Regained, admit, regain, takes_key

_unique_held = attrgetter("unique_held")  # of each of a hundred thousand, in half the time


def has_to_look(jobs: Sequence[Job], terms: Mapping[str, Terms]) -> bool:
    """True if it depends on other jobs which of these are to be stored."""
    is_skipped = any(it.on_duplicate is OnDuplicate.SKIP for it in terms.values())
    return is_skipped or any(map(_unique_held, jobs))


def foreseen(c: Connection, jobs: Sequence[Job], terms: Mapping[str, Terms]) -> Admission:
    """Decide about new jobs by what is there now: nothing is locked. Raises UniqueKeyTaken."""
    return _decided(jobs, terms, _holders(c, jobs), _stored(c, jobs, terms))


def admitted(c: Connection, jobs: Sequence[Job], terms: Mapping[str, Terms], own: Claiming) -> Admission:
    """Decide about new jobs, with all locked that the decision is about. Raises UniqueKeyTaken."""
    own.hold_unique_keys(c, _keys(jobs))
    holders, stored = _holders(c, jobs), _stored(c, jobs, terms)
    admission = _decided(jobs, terms, holders, stored)
    changing = {job.id for job in (*(before for before, _ in admission.replaced), *admission.expired)}
    if not changing:
        return admission
    found = [row for row in holders if row.id in changing]
    own.hold_keys(c, {row.key for row in found if row.key is not None})
    locked = queries.jobs_to_replace(c, seqs=[row.seq for row in found])
    still = [row for row in locked if row.unique_held is not None]  # others have ended meanwhile
    return _decided(jobs, terms, [*still, *(row for row in holders if row.id not in changing)], stored)


def store_replaced(c: Connection, admission: Admission, lanes: Lanes) -> None:
    """Change the jobs that an admission changes, which are locked."""
    if admission.expired:
        queries.give_up_unique_keys(c, ids=[job.id for job in admission.expired])
    if not admission.replaced:
        return
    queries.replace_job(c, [_replacement(after, lanes) for _, after in admission.replaced])
    if tagged := [before.id for before, _ in admission.replaced if before.tags]:
        queries.forget_tags(c, ids=tagged)
    store_tags(c, [after for _, after in admission.replaced])
    expose(c, [before.spec.key for before, _ in admission.replaced])  # each may have been the one that was free to go


def store_tags(c: Connection, jobs: Sequence[Job]) -> None:
    """Have these stored jobs found by their tags."""
    queries.add_tag(c, [queries.AddTag(tag=tag, job_id=job.id) for job in jobs for tag in job.tags])


def regained(c: Connection, changes: Sequence[tuple[Job, Job]]) -> Regained:
    """Decide which of these changes of locked jobs may be made, as far as unique keys go."""
    taking = [after for before, after in changes if takes_key(before, after)]
    if not taking:
        return Regained({}, ())
    decided = regain(changes, map(shown_job, _holders(c, taking)))
    if decided.expired:
        queries.give_up_unique_keys(c, ids=[job.id for job in decided.expired])
    return decided


def _decided(
    jobs: Sequence[Job],
    terms: Mapping[str, Terms],
    holders: Sequence[queries.JobRow],
    stored: Sequence[queries.JobRow],
) -> Admission:
    return admit(jobs, terms, holders=map(shown_job, holders), stored=map(shown_job, stored))


def _keys(jobs: Sequence[Job]) -> Sequence[str]:
    return sorted({job.unique_held for job in jobs if job.unique_held is not None})


def _holders(c: Connection, jobs: Sequence[Job]) -> Sequence[queries.JobRow]:
    keys = _keys(jobs)
    return queries.unique_holders(c, keys=keys) if keys else []


def _stored(c: Connection, jobs: Sequence[Job], terms: Mapping[str, Terms]) -> Sequence[queries.JobRow]:
    ids = [job.id for job in jobs if job.id in terms and terms[job.id].on_duplicate is OnDuplicate.SKIP]
    return queries.jobs_of_ids(c, ids=ids) if ids else []


def _replacement(job: Job, lanes: Lanes) -> queries.ReplaceJob:
    values = job.spec._asdict() | job._asdict()
    values |= {"job_id": job.id, "lane": lanes.of(job.queue, job.spec.needs)}
    return queries.ReplaceJob._make(values[name] for name in queries.ReplaceJob._fields)
