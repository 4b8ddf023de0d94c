"""The things around jobs that decide when they start, in SQL."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.domain.job import CLAIMABLE, PRIORITIES, Dependency, On, State, WaitsFor
from queuectl.domain.reasons import MAX_BEFORE, MAX_HOLDERS, Holder, Surroundings

USUAL_OF = 100
"""The last runs of a queue whose median is the usual one."""

LOOKED_AT = 10_000
"""Attempts of all queues among which those are looked for, the latest."""

AFTER_ALL = 2**63 - 1
"""A number that no job has: it stands after all those of its moment."""

Place = queries.PlacesOfRow


class SqlSurroundings:
    """`AroundJobs` in SQL; a method is one consistent view."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_job(self, job_id: str, *, at: datetime) -> Surroundings:
        """All of it for one job; nothing for an unknown one."""
        return self._database.read(lambda c: _of_job(c, job_id, at))

    def of_jobs(self, job_ids: Sequence[str], *, at: datetime) -> Mapping[str, Surroundings]:
        """As much as tells the first reason of each of many jobs, by id."""
        return self._database.read(lambda c: _of_jobs(c, job_ids, at))


def _of_job(c: Connection, job_id: str, at: datetime) -> Surroundings:
    places = queries.places_of(c, job_ids=[job_id])
    if not places:
        return Surroundings()
    [place] = places
    around = _around(c, places, at)[job_id]
    in_slots = queries.holders_of_slots(c, queue=place.queue, limit=MAX_HOLDERS) if around.queue_running else ()
    with_key = _holders_of_key(c, place.key) if place.key is not None and around.key_running else ()
    return around._replace(
        key_holders=[Holder(row.id, row.worker or "", row.started_at) for row in with_key],
        queue_holders=[Holder(row.id, row.worker or "", row.started_at) for row in in_slots],
        before=_before(c, place, at),
        usual_run=_usual_run(c, place.queue),
    )


def _of_jobs(c: Connection, job_ids: Sequence[str], at: datetime) -> Mapping[str, Surroundings]:
    places = queries.places_of(c, job_ids=job_ids)
    around = _around(c, places, at)
    in_line = [place for place in places if place.state in CLAIMABLE and place.waits_for is None]
    firsts = {lane: _first_in(c, lane, at) for lane in sorted({place.lane for place in in_line})}
    behind = {place.id for place in in_line if firsts[place.lane] not in (None, place.seq)}
    return {job_id: found._replace(before=int(job_id in behind)) for job_id, found in around.items()}


def _around(c: Connection, places: Sequence[Place], at: datetime) -> Mapping[str, Surroundings]:
    """The things that take no more statements for many jobs than for one, by the ids of the jobs."""
    parents = _parents(c, [place.seq for place in places if place.waits_for is WaitsFor.JOBS])
    keys = sorted({place.key for place in places if place.key is not None})
    with_key = {row.key: row.running for row in queries.running_with_keys(c, keys=keys)} if keys else {}
    limits = {row.name: row for row in queries.limits_now(c, names=sorted({place.queue for place in places}))}
    found = {}
    for place in places:
        limit = limits.get(place.queue)
        next_start = limit.next_start if limit else None
        found[place.id] = Surroundings(
            parents=parents.get(place.seq, ()),
            key_running=with_key.get(place.key or "", 0),
            queue_running=limit.running if limit else 0,
            next_start=next_start if next_start is not None and next_start > at else None,
        )
    return found


def _parents(c: Connection, seqs: Sequence[int]) -> Mapping[int, Sequence[tuple[Dependency, State | None]]]:
    found: dict[int, list[tuple[Dependency, State | None]]] = defaultdict(list)
    for row in queries.parents_to_come(c, seqs=seqs) if seqs else ():
        with suppress(ValueError):  # a row that was written by hand
            found[row.child].append((Dependency(row.parent, On(row.met_by)), row.state))
    return found


def _holders_of_key(c: Connection, key: str) -> Sequence[queries.HoldersOfSlotsRow]:
    return [*queries.holder_of_key(c, key=key), *queries.holders_of_key(c, key=key, limit=MAX_HOLDERS)][:MAX_HOLDERS]


def _before(c: Connection, place: Place, at: datetime) -> int:
    """The jobs that go before it, up to `MAX_BEFORE`."""
    if place.waits_for is WaitsFor.KEY and place.key is not None:
        return queries.before_for_key(
            c,
            key=place.key,
            lane=place.lane,
            priority=place.priority,
            run_at=place.run_at,
            seq=place.seq,
            limit=MAX_BEFORE,
        )
    if place.state not in CLAIMABLE or place.waits_for is not None:
        return 0
    before, due_by = 0, max(at, place.run_at)
    for priority in PRIORITIES:
        if priority < place.priority or before == MAX_BEFORE:
            break
        run_at, seq = (place.run_at, place.seq) if priority == place.priority else (due_by, AFTER_ALL)
        before += queries.before_in_lane(
            c, lane=place.lane, priority=priority, run_at=run_at, seq=seq, limit=MAX_BEFORE - before
        )
    return before


def _first_in(c: Connection, lane: int, at: datetime) -> int | None:
    """The number of the first due job of a lane."""
    found = (queries.first_in_lane(c, lane=lane, priority=priority, run_at=at) for priority in PRIORITIES)
    return next((seq for seq in found if seq is not None), None)


def _usual_run(c: Connection, queue: str) -> timedelta | None:
    runs = sorted(it for it in queries.latest_runs(c, queue=queue, most=LOOKED_AT, limit=USUAL_OF) if it is not None)
    return runs[(len(runs) - 1) // 2] if runs else None
