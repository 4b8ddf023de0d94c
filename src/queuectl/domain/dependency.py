"""Dependencies: a job that waits for the ends of others, its parents, or of whole batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from queuectl.domain.errors import BatchNotFound, InvalidJob, NotFound, nearest
from queuectl.domain.job import CLAIMABLE, USUAL, Dependency, Job, On, State, Terms, WaitsFor

MAX_PARENTS = 100
"""Parents of a job; for more there are batches."""

BATCH = "batch:"
"""The beginning of a parent that is no job."""


class Standing(Enum):
    """The prospects of a dependency."""

    MET = "met"
    WAITS = "waits"
    NEVER = "never"


class Parent(NamedTuple):
    """A dependency of a job as it is now; `state` is its parent's: None for a batch, and for a job that is gone."""

    dependency: Dependency
    is_met: bool
    state: State | None


class Link(NamedTuple):
    """A dependency of a new job."""

    child: str
    dependency: Dependency
    is_met: bool


class Placed(NamedTuple):
    """New jobs as they are to be stored, parents before their children; and their dependencies.

    `awaited` are the jobs that were there before and whose ends the new ones wait for.
    """

    jobs: Sequence[Job]
    links: Sequence[Link] = ()
    awaited: Sequence[str] = ()


Counts = Mapping[State, int]
"""The jobs of a batch, by their states."""


def batch_of(parent: str) -> str | None:
    """The name of the batch, if the parent is one."""
    return parent.removeprefix(BATCH) if parent.startswith(BATCH) else None


def standing(on: On, parent: State | None) -> Standing:
    """Say how a dependency stands whose parent is in that state; None: it is gone.

    A dead job may be run again by an operator: what needs its success waits for that.
    """
    match parent:
        case State.PENDING | State.FAILED | State.PROCESSING:
            return Standing.WAITS
        case State.COMPLETED:
            return Standing.NEVER if on is On.FAILURE else Standing.MET
        case State.DEAD:
            return Standing.WAITS if on is On.SUCCESS else Standing.MET
        case State.CANCELLED | None:
            return Standing.MET if on is On.END else Standing.NEVER


def standing_after_batch(on: On, counts: Counts) -> Standing:
    """Say how a dependency on a batch stands, whose failure is that one of its jobs is dead or cancelled."""
    if any(counts.get(state) for state in (*CLAIMABLE, State.PROCESSING)):
        return Standing.WAITS
    dead, cancelled = counts.get(State.DEAD, 0), counts.get(State.CANCELLED, 0)
    match on:
        case On.END:
            return Standing.MET
        case On.FAILURE:
            return Standing.MET if dead or cancelled else Standing.NEVER
        case On.SUCCESS:
            return Standing.NEVER if cancelled else Standing.WAITS if dead else Standing.MET


def reason(parent: str, state: State | None) -> str:
    """The reason why what needs another end of that job can never run."""
    ended = "was removed" if state is None else "completed" if state is State.COMPLETED else f"was {state}"
    return f"job {parent} {ended}"


def batch_reason(batch: str, on: On) -> str:
    """The reason why what needs that end of a batch can never run."""
    return f"all jobs of batch {batch} completed" if on is On.FAILURE else f"a job of batch {batch} was cancelled"


def parents_of(terms: Mapping[str, Terms], known: Iterable[str] = ()) -> tuple[set[str], set[str]]:
    """The jobs, but for the `known`, and the batches that are named as parents."""
    named = {dependency.parent for it in terms.values() for dependency in it.after}
    batches = {batch for parent in named if (batch := batch_of(parent)) is not None}
    return {parent for parent in named if batch_of(parent) is None} - set(known), batches


def place(
    jobs: Sequence[Job], terms: Mapping[str, Terms], states: Mapping[str, State], batches: Mapping[str, Counts]
) -> Placed:
    """The new jobs, given how their parents stand that are there: jobs by id, and batches.

    Raises InvalidJob for a cycle, and NotFound for parents that nobody knows.
    """
    if not any(it.after for it in terms.values()):
        return Placed(jobs)
    new = {job.id: job for job in jobs}
    opened = {job.spec.batch for job in jobs}
    _check_batches(terms, {*batches, *opened})
    _check_parents(terms, {*new, *states})
    ended = {name: counts for name, counts in batches.items() if name not in opened}
    order, now, links = _parents_first(new, terms), dict(states), list[Link]()
    for job_id in order:
        prospects = [_prospect(it, now, ended) for it in _after(terms, job_id)]
        links += [Link(job_id, it.dependency, it.standing is Standing.MET) for it in prospects]
        new[job_id] = _started(new[job_id], prospects)
        now[job_id] = new[job_id].state
    awaited = {it.dependency.parent for it in links if not it.is_met and new[it.child].waits_for is WaitsFor.JOBS}
    placed = [new[job_id]._replace(has_dependents=job_id in awaited) for job_id in order]
    return Placed(placed, links, sorted(awaited & set(states)))


class _Prospect(NamedTuple):
    dependency: Dependency
    standing: Standing
    reason: str


def _after(terms: Mapping[str, Terms], job_id: str) -> Sequence[Dependency]:
    return terms.get(job_id, USUAL).after


def _prospect(it: Dependency, states: Mapping[str, State], batches: Mapping[str, Counts]) -> _Prospect:
    """The standing of a dependency at its enqueue; a batch that is none of these gets jobs at this moment."""
    if (batch := batch_of(it.parent)) is None:
        state = states[it.parent]
        return _Prospect(it, standing(it.on, state), reason(it.parent, state))
    if (counts := batches.get(batch)) is None:
        return _Prospect(it, Standing.WAITS, "")
    return _Prospect(it, standing_after_batch(it.on, counts), batch_reason(batch, it.on))


def _started(job: Job, prospects: Sequence[_Prospect]) -> Job:
    """The new job, waiting for what it has to; or cancelled, when it has to wait for what can never come."""
    blockers = sum(it.standing is not Standing.MET for it in prospects)
    if not blockers:
        return job
    for it in prospects:
        if it.standing is Standing.NEVER:
            return job._replace(blockers=blockers).never_run(it.reason, job.updated_at)
    return job._replace(blockers=blockers, waits_for=WaitsFor.JOBS)


def _parents_first(jobs: Mapping[str, Job], terms: Mapping[str, Terms]) -> Sequence[str]:
    """The ids in an order in which parents come before their children. Raises InvalidJob for a cycle."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for job_id, job in jobs.items():
        after = [it.parent for it in _after(terms, job_id)]
        sorter.add(job_id, *(it for it in after if it in jobs or batch_of(it) is not None))
        if job.spec.batch is not None:
            sorter.add(f"{BATCH}{job.spec.batch}", job_id)
    try:
        return [it for it in sorter.static_order() if it in jobs]
    except CycleError as error:
        # graphlib names it backwards: each is a parent of the one after it
        cycle = [_named(it) for it in reversed(error.args[1])]
        raise InvalidJob([f"jobs that wait for each other would never run: {' after '.join(cycle)}"]) from None


def _named(parent: str) -> str:
    batch = batch_of(parent)
    return parent if batch is None else f"batch {batch}"


def _check_batches(terms: Mapping[str, Terms], known: set[str | None]) -> None:
    for name in sorted(parents_of(terms)[1]):
        if name not in known:
            raise BatchNotFound(name)


def _check_parents(terms: Mapping[str, Terms], known: set[str]) -> None:
    if unknown := sorted(parents_of(terms, known)[0]):
        raise unknown_parents(unknown, terms, known)


def unknown_parents(unknown: Sequence[str], terms: Mapping[str, Terms], known: Iterable[str]) -> NotFound:
    """The error for parents that are not there; `known` are ids that may have been meant."""
    return NotFound(
        "; ".join(_unknown(parent, terms, list(known)) for parent in unknown),
        hint="a job is enqueued after those that it waits for, or in one batch with them; nothing was stored",
    )


def _unknown(parent: str, terms: Mapping[str, Terms], known: Sequence[str]) -> str:
    children = list(_children(parent, terms))
    near = nearest(parent, known, likeness=0.6)
    meant = f": did you mean {near}?" if near else ""
    more = f" and {len(children) - 1:,} more" if len(children) > 1 else ""
    return f"there is no job {parent}, which job {children[0]}{more} would wait for{meant}"


def _children(parent: str, terms: Mapping[str, Terms]) -> Iterator[str]:
    return (child for child, it in terms.items() if any(each.parent == parent for each in it.after))
