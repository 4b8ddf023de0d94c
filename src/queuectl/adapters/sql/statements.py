"""Every statement, in SQLAlchemy's language, once for both databases; values are bound at each use.

`prepared.py` hands them to the drivers as text, most of it compiled ahead of time: after a change here, `make sql`.
The locking clauses are PostgreSQL's; SQLite's compiler leaves them out, as its writers exclude each other anyway.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias, TypeVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Delete,
    Insert,
    Integer,
    Select,
    Text,
    Update,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    select,
    tuple_,
    type_coerce,
    union_all,
    update,
)

from queuectl.adapters.sql.engine.prepared import MOST_CLAIMED, PRIORITIES
from queuectl.adapters.sql.schema import SUSPECT, WAITING, Moment, Stored, attempts, config, jobs, metadata, workers
from queuectl.domain.attempt import RAN, Outcome
from queuectl.domain.job import State
from queuectl.domain.worker import WorkerState

MOST_ATTEMPTS = 2**31 - 1

T = TypeVar("T")

AnySelect: TypeAlias = Select[*tuple[object, ...]]
Statement: TypeAlias = AnySelect | Insert | Update | Delete
Shape: TypeAlias = tuple[int | str | bool, ...]
Build: TypeAlias = Callable[..., Statement]
B = TypeVar("B", bound=Build)

FIXED = ("seq", "id", "command", "queue", "priority", "max_retries", "timeout", "created_at", "cwd", "env")
"""The columns of a job that never change."""

ENDING = ("state", "run_at", "updated_at", "failures", "losses", "finished_at", "exit_code", "last_error", "suspect")
"""The columns of a job that the end of an attempt changes, besides its lease."""

CHANGING = [column.name for column in jobs.columns if column.name not in FIXED]


@dataclass(frozen=True, slots=True)
class Source:
    """How a statement is built for a shape, the shapes to compile ahead of time, and the columns that it writes.

    `rows` are the columns whose values are in each row of its parameter `:rows`.
    """

    build: Build
    shapes: Collection[Shape]
    writes: tuple[str, ...] | None
    rows: tuple[Column[object], ...]


SOURCES: dict[str, Source] = {}


def statement(
    *, shapes: Collection[Shape] = ((),), writes: Iterable[str] | None = None, rows: Iterable[Column[object]] = ()
) -> Callable[[B], B]:
    """Register a statement under its function's name. `writes`: columns that get the parameters of their names."""

    def register(build: B) -> B:
        SOURCES[build.__name__] = Source(build, shapes, None if writes is None else tuple(writes), tuple(rows))
        return build

    return register


def _among(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """That the column is one of the texts of a list: one parameter, however many there are."""
    return column.in_(select(_listed(name)))


def _listed(name: str) -> ColumnElement[str]:
    """The texts of the list `:name`."""
    parameter = bindparam(name, type_=Stored("texts", JSON()))
    column: ColumnElement[str] = func.json_array_elements_text(parameter).table_valued("value", name="listed").c.value
    return column


def _given(columns: Iterable[Column[object]]) -> dict[str, ColumnElement[object]]:
    """The values of each row of `:rows`, a list of lists in the order of the columns, by the columns' names.

    One parameter for any number of rows: a driver needs several times as long to be told them one by one.
    """
    row = func.json_array_elements(bindparam("rows", type_=JSON)).table_valued("value", name="given")
    return {
        column.name: cast(row.c.value.op("->>")(literal(place)), column.type) for place, column in enumerate(columns)
    }


def _is_one_of(column: ColumnElement[T], words: Collection[T]) -> ColumnElement[bool]:
    """That the column is one of a few constants."""
    return column.in_([literal(word, column.type) for word in words])


_NOW = bindparam("now", type_=Moment)
# SQLite prepares a statement anew for each value of a bare LIMIT parameter: ten times what a claim takes otherwise.
_LIMIT = bindparam("limit", type_=BigInteger) + 0
_IS_PROCESSING = jobs.c.state == literal(State.PROCESSING, jobs.c.state.type)
_IS_LIVE = _is_one_of(workers.c.state, [WorkerState.RUNNING, WorkerState.STOPPING])


# Jobs: reading and changing them.


@statement(writes=[column.name for column in jobs.columns if column.name not in ("seq", "worker", "lease_id")])
def add_job() -> Insert:
    """A new job, which nobody holds and whose place is counted on."""
    return insert(jobs).inline()


@statement()
def job() -> AnySelect:
    """The job `:job_id`."""
    return select(jobs).where(jobs.c.id == bindparam("job_id"))


@statement()
def job_to_change() -> AnySelect:
    """The same, locked."""
    return job().with_for_update()


@statement(writes=CHANGING)
def store_job() -> Update:
    """What a transition can change of the job `:job_id`."""
    return update(jobs).where(jobs.c.id == bindparam("job_id"))


@statement()
def delete_job() -> Delete:
    """The job `:job_id`, and with it its attempts."""
    return delete(jobs).where(jobs.c.id == bindparam("job_id"))


@statement()
def delete_jobs() -> Delete:
    """The jobs at the places `:seqs`, and with them their attempts."""
    return delete(jobs).where(jobs.c.seq.in_(select(cast(_listed("seqs"), BigInteger))))


@statement()
def set_aside() -> Update:
    """Make the job at the place `:of_seq` dead, for a `:reason` that is no attempt's."""
    return (
        update(jobs)
        .where(jobs.c.seq == bindparam("of_seq"))
        .values(
            state=literal(State.DEAD, jobs.c.state.type),
            worker=None,
            lease_id=None,
            attempts=jobs.c.attempts - bindparam("not_started", type_=Integer),
            updated_at=bindparam("at", type_=Moment),
            finished_at=bindparam("at", type_=Moment),
            last_error=bindparam("reason"),
        )
    )


@statement()
def taken() -> AnySelect:
    """Those of the `:ids` that belong to jobs."""
    return select(jobs.c.id).where(_among(jobs.c.id, "ids"))


@statement(shapes=[(0, 0, False), (0, 1, False), (1, 0, False), (1, 1, False), (1, 0, True), (1, 1, True)])
def search(state_count: int, queue_count: int, by_end: bool) -> AnySelect:
    """Up to `:limit` jobs of the states `:state_0` … and the queues `:queue_0` … (none: of any), the newest first.

    With `by_end`, those that ended last come first.
    """
    order = [jobs.c.finished_at.desc(), jobs.c.seq.desc()] if by_end else [jobs.c.seq.desc()]
    found = select(jobs).order_by(*order).limit(_LIMIT)
    for column, name, count in ((jobs.c.state, "state", state_count), (jobs.c.queue, "queue", queue_count)):
        if count:
            wanted = [bindparam(f"{name}_{number}", type_=column.type) for number in range(count)]
            found = found.where(column.in_(wanted) if count > 1 else column == wanted[0])
    return found


@statement(shapes=[(State.DEAD.value,)])
def oldest(state: str) -> AnySelect:
    """Up to `:limit` jobs of a state that last changed by `:until`, the oldest first, locked.

    The state is a constant: a plan of PostgreSQL's for any state would look for the few dead jobs among all.
    """
    return (
        select(jobs)
        .where(jobs.c.state == literal(State(state), jobs.c.state.type), jobs.c.updated_at <= bindparam("until"))
        .order_by(jobs.c.seq)
        .limit(_LIMIT)
        .with_for_update()
    )


# Claiming.


@statement(shapes=[(count, *flags) for count in (0, 1) for flags in product((False, True), (False, True))])
def claim(queue_count: int, resumes: bool, takes_suspects: bool) -> Update:
    """Claim up to `:limit` due jobs of `:queue_0` … (none: of every queue) for `:by_worker` under `:by_lease`.

    The limit is at most MOST_CLAIMED. With each job come the settings that are stored now.

    One probe per priority, high first: each walks its index from the earliest due job and stops at the limit, and the
    outer limit stops the walk over the probes. So the cost does not grow with the jobs that are scheduled for later.

    With `resumes` the walk of a priority begins at `:run_at_10`, `:seq_10` …: an earlier claim saw what lies before.

    The limit of a probe is a constant. Of a limit that is a parameter, PostgreSQL expects a tenth of all rows; so where
    many jobs wait it would keep no plan, but make one for each claim, which takes longer than to run it.
    """
    flags = {"resumes": resumes, "takes_suspects": takes_suspects}
    probes = [_due(priority, queue_count, **flags) for priority in PRIORITIES]
    return _claimed(select(union_all(*probes).subquery("due").c.seq).limit(_LIMIT))


@statement(shapes=[(0,), (1,)])
def claim_suspects(queue_count: int) -> Update:
    """The same of the suspects alone, which are few."""
    due = select(jobs.c.seq).where(*_WAITING_SUSPECT, jobs.c.run_at <= _NOW, *_of_queues(queue_count))
    in_order = due.order_by(jobs.c.priority.desc(), jobs.c.run_at, jobs.c.seq)
    return _claimed(in_order.limit(_LIMIT).with_for_update(skip_locked=True))


# Not by its state, by which SQLite would look for it among all that wait.
_WAITING_SUSPECT = (SUSPECT, jobs.c.worker.is_(None))


def _of_queues(queue_count: int) -> list[ColumnElement[bool]]:
    """That the queue is one of `:queue_0` …; nothing when there are none."""
    names = [bindparam(f"queue_{number}", type_=jobs.c.queue.type) for number in range(queue_count)]
    return [jobs.c.queue.in_(names)] if names else []


def _claimed(chosen: AnySelect) -> Update:
    """The claim of jobs by their places."""
    due = chosen.cte("claimed")
    # A rescue locks the worker's row FOR UPDATE: this share lock makes each see the other's end, so that no job is
    # claimed for a worker that is being given up. It does not stand in the way of the heartbeat.
    owner = (
        select(workers.c.id)
        .where(
            workers.c.id == bindparam("by_worker"),
            workers.c.state == literal(WorkerState.RUNNING, workers.c.state.type),
            workers.c.lease_expires_at > _NOW,
        )
        .with_for_update(read=True, key_share=True)
        .cte("owner")
    )
    return (
        update(jobs)
        .where(jobs.c.seq.in_(select(due.c.seq)), exists(select(owner.c.id)))
        .values(
            state=literal(State.PROCESSING, jobs.c.state.type),
            worker=bindparam("by_worker"),
            lease_id=bindparam("by_lease"),
            # A number that was written by hand must not be one that cannot be added to.
            attempts=case((jobs.c.attempts < MOST_ATTEMPTS, jobs.c.attempts + 1), else_=jobs.c.attempts),
            started_at=_NOW,
            updated_at=_NOW,
            finished_at=None,
        )
        .returning(jobs, _SETTINGS)
    )


_SETTINGS = (
    select(cast(func.json_object_agg(config.c.key, cast(config.c.value, Text)), Stored("text map", Text())))
    .scalar_subquery()
    .label("settings")
)


def _due(priority: int, queue_count: int, *, resumes: bool, takes_suspects: bool) -> Select[int]:
    """The due jobs of one priority, locked, in order. Of several queues: merged from one probe each."""
    # A merge takes all that its probes may give, and they lock it: no more than is asked for.
    limit = literal(MOST_CLAIMED, BigInteger) if queue_count < 2 else _LIMIT
    due = select(jobs.c.seq, jobs.c.run_at).where(WAITING, jobs.c.priority == priority, jobs.c.run_at <= _NOW)
    if not takes_suspects:
        due = due.where(not_(SUSPECT))
    if resumes:
        begin = bindparam(f"run_at_{priority}", type_=Moment), bindparam(f"seq_{priority}", type_=BigInteger)
        due = due.where(tuple_(jobs.c.run_at, jobs.c.seq) >= tuple_(*begin))
    queues = [due.where(jobs.c.queue == bindparam(f"queue_{number}")) for number in range(queue_count)] or [due]
    probes = [
        probe.order_by(jobs.c.run_at, jobs.c.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .subquery(f"p{priority}_{number}")
        for number, probe in enumerate(queues)
    ]
    if len(probes) == 1:
        return select(probes[0].c.seq)
    merged = union_all(*(select(probe.c.seq, probe.c.run_at) for probe in probes)).subquery(f"m{priority}")
    ordered = select(merged).order_by(merged.c.run_at, merged.c.seq).limit(limit).subquery(f"o{priority}")
    return select(ordered.c.seq)


@statement(shapes=[(0,), (1,)])
def first_due(queue_count: int) -> AnySelect:
    """The earliest `run_at` of the waiting jobs of `:queue_0` … (none: of every queue), by one probe per priority.

    That of suspects comes apart.
    """
    earliest = []
    for priority in PRIORITIES:
        waiting = select(jobs.c.run_at).where(WAITING, jobs.c.priority == priority, not_(SUSPECT))
        queues = [waiting.where(jobs.c.queue == bindparam(f"queue_{number}")) for number in range(queue_count)]
        for number, probe in enumerate(queues or [waiting]):
            first = probe.order_by(jobs.c.run_at).limit(1).subquery(f"n{priority}_{number}")
            earliest.append(select(first.c.run_at))
    suspects = select(func.min(jobs.c.run_at, type_=Moment)).where(*_WAITING_SUSPECT, *_of_queues(queue_count))
    return select(
        func.min(union_all(*earliest).subquery("earliest").c.run_at, type_=Moment).label("run_at"),
        suspects.scalar_subquery().label("suspect_run_at"),
    )


@statement()
def start_attempts() -> Insert:
    """The attempts of the jobs `:ids`, just claimed, unless they are there already.

    The worker's host is copied: the history outlives its row.
    """
    columns = {
        "job_id": jobs.c.id,
        "number": jobs.c.attempts,
        "queue": jobs.c.queue,
        "worker": jobs.c.worker,
        "host": select(workers.c.host).where(workers.c.id == jobs.c.worker).scalar_subquery(),
        "lease_id": jobs.c.lease_id,
        "started_at": jobs.c.started_at,
        "waited": type_coerce(jobs.c.started_at, BigInteger) - type_coerce(jobs.c.run_at, BigInteger),
        "output_truncated": literal(False),
    }
    earlier = exists().where(attempts.c.job_id == jobs.c.id, attempts.c.number == jobs.c.attempts)
    started = select(*columns.values()).where(_among(jobs.c.id, "ids"), ~earlier)
    return insert(attempts).from_select(list(columns), started).inline()


@statement()
def held() -> AnySelect:
    """What runs under any lease of `:worker`."""
    return select(jobs).where(jobs.c.worker == bindparam("worker"), _IS_PROCESSING).order_by(jobs.c.seq)


@statement()
def asked_to_cancel() -> AnySelect:
    """Of the jobs `:ids`, those whose cancel was asked for; what has ended since may be among them.

    Found by id alone: where somebody holds a snapshot open, the other indexes keep all that a worker has held.
    """
    return select(jobs).where(_among(jobs.c.id, "ids"), jobs.c.cancel_requested_at.is_not(None))


# Settling and rescuing.


_SETTLED = [jobs.c.id, jobs.c.lease_id, *(jobs.c[name] for name in ENDING)]


@statement(rows=_SETTLED)
def store_settled() -> Update:
    """The fence: only the holder of a job's lease may say how its attempt ended. A job has one only while it runs.

    Tells of a cancel asked for, and leaves that as it is: it is the operators'.
    """
    given = _given(_SETTLED)
    return (
        update(jobs)
        .where(jobs.c.id == given["id"], jobs.c.lease_id == given["lease_id"])
        .values({name: given[name] for name in ENDING} | {"worker": None, "lease_id": None})
        .returning(jobs.c.id, jobs.c.cancel_requested_at, jobs.c.cancel_requested_by)
    )


_ATTEMPT = (attempts.c.job_id == bindparam("of_job"), attempts.c.number == bindparam("attempt"))
_OWN_ATTEMPT = (*_ATTEMPT, attempts.c.lease_id == bindparam("held_lease"))


@statement(writes=["finished_at", "ran", "outcome", "exit_code", "signal", "error", "output", "output_truncated"])
def end_attempt() -> Update:
    """How the attempt ended, unless it has ended."""
    return update(attempts).where(*_ATTEMPT, attempts.c.outcome.is_(None))


@statement()
def own_attempt() -> AnySelect:
    """What is stored of the end of the attempt that ran under `:held_lease`, locked."""
    return select(attempts.c.outcome, attempts.c.finished_at, attempts.c.output).where(*_OWN_ATTEMPT).with_for_update()


@statement(writes=["late"])
def keep_late() -> Update:
    """The late result of that attempt."""
    return update(attempts).where(*_OWN_ATTEMPT)


@statement(writes=["output", "output_truncated"])
def keep_late_output() -> Update:
    """The late output of that attempt."""
    return update(attempts).where(*_OWN_ATTEMPT)


@statement()
def worker_to_rescue() -> AnySelect:
    """The lease of the live worker `:worker`, locked; nothing when another rescuer has the lock.

    With it comes how many jobs the worker holds, also those that `held_to_rescue` leaves to a later rescue.
    """
    holding = select(func.count()).select_from(jobs).where(jobs.c.worker == workers.c.id, _IS_PROCESSING)
    return (
        select(workers.c.lease_expires_at, workers.c.renewed_at, holding.scalar_subquery().label("jobs"))
        .where(workers.c.id == bindparam("worker"), _IS_LIVE)
        .with_for_update(skip_locked=True)
    )


@statement()
def held_to_rescue() -> AnySelect:
    """What runs under any lease of `:worker`, locked.

    What is locked already may stay so until the server ends the transaction of a host that is cut off. It is left to a
    later rescue: waiting for it would hold up the rescuer, and with it every worker there is.
    """
    return held().with_for_update(skip_locked=True)


@statement()
def lost_by() -> AnySelect:
    """One of the attempts of `:worker` that were lost already, `:since` some moment."""
    return (
        select(attempts.c.job_id)
        .where(
            attempts.c.finished_at >= bindparam("since", type_=Moment),
            attempts.c.worker == bindparam("worker"),
            attempts.c.outcome == literal(Outcome.LOST, attempts.c.outcome.type),
        )
        .limit(1)
    )


@statement(writes=["ended_at"])
def end_worker() -> Update:
    """Mark `:of_worker` as `:end_state` if it holds nothing: a worker that has ended is never rescued."""
    holds = exists().where(jobs.c.worker == workers.c.id, _IS_PROCESSING)
    return (
        update(workers)
        .where(workers.c.id == bindparam("of_worker"), _IS_LIVE, ~holds)
        .values(state=bindparam("end_state", type_=workers.c.state.type))
    )


# Attempts.


@statement()
def attempts_of() -> AnySelect:
    """All attempts of `:of_job`, the first one first."""
    return select(attempts).where(attempts.c.job_id == bindparam("of_job")).order_by(attempts.c.number)


@statement()
def last_outputs() -> AnySelect:
    """What the last ended attempt of each of the jobs `:ids` wrote."""
    ended = attempts.alias("ended")
    last = (
        select(func.max(ended.c.number))
        .where(ended.c.job_id == attempts.c.job_id, ended.c.outcome.is_not(None))
        .scalar_subquery()
    )
    return select(attempts.c.job_id, attempts.c.output).where(
        _among(attempts.c.job_id, "ids"), attempts.c.number == last
    )


# Workers.


@statement(writes=[column.name for column in workers.columns])
def add_worker() -> Insert:
    """A worker with its first lease."""
    return insert(workers).inline()


@statement()
def forget_workers() -> Delete:
    """Those that ended before `:before`."""
    return delete(workers).where(workers.c.ended_at < bindparam("before", type_=Moment))


@statement()
def worker() -> AnySelect:
    """The worker `:worker`."""
    return select(workers.c.id).where(workers.c.id == bindparam("worker"))


@statement(writes=["state", "renewed_at", "lease_expires_at"])
def renew() -> Update:
    """The lease of `:of_worker`, unless it is given up."""
    return update(workers).where(workers.c.id == bindparam("of_worker"), _IS_LIVE)


@statement()
def live_workers() -> AnySelect:
    """Those that run or stop, with the number of jobs that each holds, in order of their start."""
    return _with_jobs().where(_IS_LIVE)


def _with_jobs() -> AnySelect:
    holding = select(func.count()).select_from(jobs).where(jobs.c.worker == workers.c.id, _IS_PROCESSING)
    counted = select(workers, holding.scalar_subquery().label("jobs"))
    return counted.order_by(workers.c.started_at, workers.c.id)


@statement()
def suspects() -> AnySelect:
    """Of these, those whose lease has run out `:at` that moment, or ends `:beyond`, and all on `:machine`."""
    ran_out = workers.c.lease_expires_at <= bindparam("at", type_=Moment)
    is_odd = workers.c.lease_expires_at > bindparam("beyond", type_=Moment)
    return live_workers().where(ran_out | is_odd | (workers.c.machine == bindparam("machine")))


@statement()
def ended_workers() -> AnySelect:
    """Those on `:machine` that were stopped or given up."""
    return _with_jobs().where(~_IS_LIVE, workers.c.machine == bindparam("machine"))


# The settings of the policy.


@statement()
def settings() -> AnySelect:
    """All that were set."""
    return select(config)


@statement(writes=["key", "value"])
def add_setting() -> Insert:
    """One that was not set."""
    return insert(config).inline()


@statement()
def clear_setting() -> Delete:
    """Back to the default."""
    return delete(config).where(config.c.key == bindparam("of_key"))


# Measurements.

_SINCE = bindparam("since", type_=Moment)
_COUNT = func.count().label("count")


@statement()
def counts() -> AnySelect:
    """How many jobs are in each state."""
    return select(jobs.c.state, _COUNT).group_by(jobs.c.state)


@statement()
def due() -> AnySelect:
    """How many jobs of each queue are due `:at` that moment."""
    is_due = jobs.c.run_at <= bindparam("at", type_=Moment)
    return select(jobs.c.queue, _COUNT).where(WAITING, is_due).group_by(jobs.c.queue)


@statement()
def ended_since() -> AnySelect:
    """How many attempts ended with each outcome, how many of them were not the first of their job, and the last one's
    number."""
    again = func.count().filter(attempts.c.number > 1).label("again")
    return (
        select(attempts.c.outcome, _COUNT, again, func.max(attempts.c.number).label("most"))
        .where(attempts.c.finished_at >= _SINCE)
        .group_by(attempts.c.outcome)
    )


@statement()
def died_since() -> AnySelect:
    """How many jobs are dead since then.

    By their last attempts, which are found by time: the jobs that have ever died may be many more.
    """
    last = (attempts.c.job_id == jobs.c.id) & (attempts.c.number == jobs.c.attempts)
    return (
        select(_COUNT)
        .select_from(attempts.join(jobs, last))
        .where(
            attempts.c.finished_at >= _SINCE,
            _is_one_of(attempts.c.outcome, [Outcome.FAILED, Outcome.TIMEOUT, Outcome.LOST]),
            jobs.c.state == literal(State.DEAD, jobs.c.state.type),
        )
    )


@statement(shapes=[("waited",), ("ran",)])
def spread(span: str) -> AnySelect:
    """The span after the `:rank` shortest ones, of the `:most` attempts that ran to an end last."""
    latest = (
        select(attempts.c[span].label("span"))
        .where(attempts.c.finished_at >= _SINCE, _is_one_of(attempts.c.outcome, RAN))
        .order_by(attempts.c.finished_at.desc())
        .limit(bindparam("most", type_=BigInteger) + 0)
        .subquery("latest")
    )
    rank = bindparam("rank", type_=BigInteger)
    return select(latest.c.span).order_by(latest.c.span).limit(1).offset(rank)


@statement(shapes=[("worker",), ("queue",)])
def tallies(name: str) -> AnySelect:
    """How the attempts of each worker or queue ended, and how long they ran."""
    column = attempts.c[name]
    return (
        select(
            column.label("name"),
            func.count().filter(attempts.c.outcome == Outcome.SUCCEEDED).label("succeeded"),
            func.count().filter(_is_one_of(attempts.c.outcome, [Outcome.FAILED, Outcome.TIMEOUT])).label("failed"),
            func.sum(attempts.c.ran, type_=attempts.c.ran.type).label("busy"),
        )
        .where(attempts.c.finished_at >= _SINCE)
        .group_by(column)
    )


# Copying a whole queue. A place is a job's `seq`.


@statement()
def places() -> AnySelect:
    """How many jobs there are, and the last place."""
    return select(_COUNT, func.max(jobs.c.seq).label("last")).select_from(jobs)


_PAGE = (
    select(jobs)
    .where(jobs.c.seq > bindparam("after"), jobs.c.seq <= bindparam("up_to"))
    .order_by(jobs.c.seq)
    .limit(_LIMIT)
)


@statement()
def page_of_jobs() -> AnySelect:
    """Up to `:limit` jobs at the places after `:after` and up to `:up_to`."""
    return _PAGE


@statement()
def page_of_attempts() -> AnySelect:
    """The attempts of these jobs."""
    chosen = _PAGE.with_only_columns(jobs.c.seq, jobs.c.id).subquery("chosen")
    return select(attempts).join(chosen, chosen.c.id == attempts.c.job_id).order_by(chosen.c.seq, attempts.c.number)


@statement()
def job_at() -> AnySelect:
    """The job at the place `:seq`."""
    return select(jobs.c.id).where(jobs.c.seq == bindparam("seq"))


@statement(shapes=[("jobs",), ("attempts",)])
def copy(table: str) -> Insert:
    """A row as it is in another database."""
    return insert(metadata.tables[table]).inline()


@statement()
def all_live_workers() -> AnySelect:
    """The rows of the workers that are not given up."""
    return select(workers).where(_IS_LIVE)


@statement()
def delete_workers() -> Delete:
    """The workers `:ids`."""
    return delete(workers).where(_among(workers.c.id, "ids"))


@statement()
def clear_settings() -> Delete:
    """All of them."""
    return delete(config)
