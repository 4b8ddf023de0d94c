"""The queues' settings, and the rows of their limits, in SQL."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from queuectl.adapters.host.clock import EPOCH
from queuectl.adapters.sql.backend import Claiming
from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.adapters.sql.stores.lanes import PIECE, Lanes, expose, place_all, place_waiting
from queuectl.domain.job import State
from queuectl.domain.limits import Rate, SlotKind
from queuectl.domain.ports.queues import DecideSettings
from queuectl.domain.queues import EVERY, Pause, QueueSettings, Starts, check_forgettable


class SqlQueues:
    """`Queues` in SQL; a method is a transaction, and others that move jobs to the lanes of their queue."""

    def __init__(self, database: Database, notify: Callable[[], None], claiming: Claiming) -> None:
        """`notify` and `claiming` are as `SqlWork` has them."""
        self._database = database
        self._notify = notify
        self._own = claiming

    def all(self) -> Mapping[str, QueueSettings]:
        """Those of all queues of which something was set, by name; `EVERY` has the pause of all."""
        found = self._database.read(queries.queues_set)
        return {row.name: _settings(row) for row in found}

    def change(self, name: str, decide: DecideSettings) -> QueueSettings:
        """Read, decide and store the settings of one queue; as stored. Its waiting jobs are in its own lane then."""
        is_new = False

        def work(c: Connection) -> QueueSettings:
            nonlocal is_new
            before = _locked(c, name)
            decided = decide(before)
            _store(c, decided)
            if name != EVERY:
                lanes = Lanes(c)
                is_new = not lanes.are_separate(name)
                lanes.separate(name)
                _keep_slots(c, decided)
                _keep_starts(c, name, before.rate, decided.rate)
            return decided

        def is_stored(c: Connection, decided: QueueSettings) -> bool:
            return _locked(c, name) == decided

        decided = self._database.write(work, confirm_commit=is_stored)
        self._notify()
        if name != EVERY:
            place_all(self._database, name, self._own, is_new=is_new)
            self._notify()
        return decided

    def starts(self, *, at: datetime) -> Mapping[str, Starts]:
        """The starts that each queue with a rate has used, as of that moment."""
        rows = self._database.read(lambda c: queries.starts_used(c, at=at))
        return {row.queue: Starts(row.used, row.free_at if row.free_at > at else None) for row in rows}

    def move(self, name: str, to: str, *, states: Collection[State], at: datetime) -> int:
        """Move the jobs that wait in these states to another queue, in pieces; how many were moved."""
        moved = 0
        for state in states:
            after = 0
            while some := self._database.read(partial(self._waiting, name, state, after)):
                moved += self._database.write(partial(self._move, to, at, some))
                after = some[-1].seq
                self._notify()
        return moved

    def _waiting(self, name: str, state: State, after: int, c: Connection) -> Sequence[queries.WaitingElsewhereRow]:
        return queries.waiting_of(c, state=state, after=after, queue=name, limit=PIECE)

    def _move(self, to: str, at: datetime, some: Sequence[queries.WaitingElsewhereRow], c: Connection) -> int:
        self._own.hold_keys(c, {row.key for row in some if row.key is not None})
        seqs = [row.seq for row in some]
        moved = queries.move_to_queue(c, queue=to, at=at, seqs=seqs)
        place_waiting(c, seqs)
        expose(c, [row.key for row in some])
        return moved

    def forget(self, name: str) -> None:
        """Remove the settings and the lanes of a queue in which nothing waits or runs. Raises WrongState."""

        def work(c: Connection) -> None:
            _locked(c, name)
            check_forgettable(
                name, queries.unfinished(c, queue=name), [row.worker.queues for row in queries.live_workers(c)]
            )
            queries.delete_slots(c, queue=name)
            queries.delete_lanes(c, queue=name)
            queries.clear_settings_of(c, queue=name)
            queries.delete_queue(c, queue=name)

        self._database.write(work)
        place_all(self._database, name, self._own, is_new=True)


def _locked(c: Connection, name: str) -> QueueSettings:
    """The settings of a queue, locked; another transaction may remove its row just before."""
    while (row := queries.queue_to_change(c, name=name)) is None:
        queries.add_queue(c, name=name)
    return _settings(row)


def _settings(row: queries.QueueRow) -> QueueSettings:
    has_rate = row.rate_count is not None and row.rate_period is not None
    pause = None
    if row.paused_at is not None:
        pause = Pause(row.paused_at, row.paused_by or "", row.paused_until, row.pause_reason)
    return QueueSettings(
        name=row.name,
        concurrency=row.concurrency,
        rate=Rate(row.rate_count or 0, row.rate_period or timedelta()) if has_rate else None,
        reserved=row.reserved,
        pause=pause,
    )


def _store(c: Connection, settings: QueueSettings) -> None:
    rate, pause = settings.rate, settings.pause
    queries.store_queue(
        c,
        name=settings.name,
        concurrency=settings.concurrency,
        rate_count=rate and rate.starts,
        rate_period=rate and rate.period,
        reserved=settings.reserved,
        paused_at=pause and pause.at,
        paused_until=pause and pause.until,
        paused_by=pause and pause.by,
        pause_reason=pause and pause.reason,
    )


def _keep_slots(c: Connection, settings: QueueSettings) -> None:
    """As many slots as may run at least: claims look only below the concurrency, so those beyond it do no harm."""
    if settings.concurrency is not None:
        there = len(queries.slots_of(c, queue=settings.name, kind=SlotKind.RUN))
        _add(c, settings.name, SlotKind.RUN, range(there, settings.concurrency))


def _keep_starts(c: Connection, queue: str, before: Rate | None, rate: Rate | None) -> None:
    """As many starts as the rate has. Those free first are the first to go, so that the used ones count on."""
    if before == rate:
        return
    there = queries.slots_of(c, queue=queue, kind=SlotKind.START)
    wanted = 0 if rate is None else rate.starts
    first_free = sorted(there, key=lambda it: (it.free_at, it.slot))
    removed = [it.slot for it in first_free[: max(0, len(there) - wanted)]]
    queries.delete_starts(c, queue=queue, kind=SlotKind.START, slots=removed)
    if before is not None and rate is not None and before.period != rate.period:
        queries.shift_starts(c, queue=queue, kind=SlotKind.START, by=rate.period - before.period)
    kept = {it.slot for it in there} - set(removed)
    free = (number for number in range(len(kept) + wanted) if number not in kept)
    _add(c, queue, SlotKind.START, [next(free) for _ in range(wanted - len(kept))])


def _add(c: Connection, queue: str, kind: SlotKind, numbers: range | list[int]) -> None:
    """They are free at once."""
    count = len(numbers)
    if count:
        queries.add_slots(
            c, [queries.AddSlots(queue=[queue] * count, kind=[kind] * count, slot=numbers, free_at=[EPOCH] * count)]
        )
