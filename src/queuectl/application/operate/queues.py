"""Look at queues, limit and pause them, and move their jobs."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from queuectl.application.operate.inspect import search_jobs, working
from queuectl.application.operate.queue import Queue
from queuectl.domain.errors import QueueNotFound
from queuectl.domain.job import CLAIMABLE, Job, State
from queuectl.domain.metrics import Backlog
from queuectl.domain.policy import SETTINGS, checked, setting_of
from queuectl.domain.queues import EVERY, LIMITS, Pause, QueueSettings, Starts


class QueueNow(NamedTuple):
    """A queue at a moment."""

    settings: QueueSettings
    at: datetime
    backlog: Sequence[Backlog] = ()
    starts: Starts | None = None
    """Of a queue with a rate."""
    policy: Mapping[str, str] = {}
    """The settings of the policy that it has of its own."""
    workers: Sequence[Collection[str]] = ()
    """The labels of each worker that serves it."""
    pause_of_all: Pause | None = None

    @property
    def name(self) -> str:
        """The name of the queue."""
        return self.settings.name

    @property
    def waiting(self) -> int:
        """The jobs that wait, whether they are due or not."""
        return self.jobs(State.PENDING) + self.jobs(State.FAILED)

    @property
    def running(self) -> int:
        """The jobs that run."""
        return self.jobs(State.PROCESSING)

    @property
    def due(self) -> int:
        """The waiting jobs whose time has come."""
        return sum(it.due for it in self.backlog)

    @property
    def first_due_at(self) -> datetime | None:
        """The time of the first of them."""
        return min((it.first_due_at for it in self.backlog if it.first_due_at), default=None)

    @property
    def pause(self) -> Pause | None:
        """The pause that holds it now: its own, or that of all."""
        return next((it for it in (self.settings.pause, self.pause_of_all) if it and it.lasts(self.at)), None)

    def serve(self, needs: Collection[str]) -> int:
        """The workers that serve its jobs which need these labels."""
        return sum(set(needs) <= set(labels) for labels in self.workers)

    @property
    def lacking(self) -> Sequence[str]:
        """The labels that jobs wait for together and no worker that serves it has; those of the first such jobs."""
        waiting = (it.needs for it in self.backlog if it.state in CLAIMABLE)
        return next((needs for needs in waiting if not self.serve(needs)), ())

    def jobs(self, state: State) -> int:
        """The number of its jobs in that state."""
        return sum(it.jobs for it in self.backlog if it.state is state)


class Overview(NamedTuple):
    """All queues at a moment."""

    at: datetime
    pause: Pause | None
    """That of all of them."""
    queues: Sequence[QueueNow]


def queues_of(queue: Queue) -> Sequence[QueueNow]:
    """The queues that have jobs which wait, run or are dead, or settings, or workers of their own; by name."""
    return overview_of(queue).queues


def overview_of(queue: Queue) -> Overview:
    """The queues, and whether all of them are paused."""
    at = queue.clock()
    settings, policies, workers = queue.queues.all(), queue.config.by_queue(), working(queue)
    starts = queue.queues.starts(at=at)
    backlog = {name: tuple(rows) for name, rows in groupby(queue.measurements.backlog(at=at), lambda it: it.queue)}
    names = {*settings, *policies, *backlog, *(name for worker in workers for name in worker.queues)} - {EVERY}
    every = settings.get(EVERY, QueueSettings(EVERY))
    pause = every.pause if every.is_paused(at) else None
    found = []
    for name in sorted(names):
        own = settings.get(name, QueueSettings(name))
        serving = [worker.labels for worker in workers if own.is_served_by(worker.queues)]
        policy = policies.get(name, {})
        found.append(QueueNow(own, at, backlog.get(name, ()), starts.get(name), policy, serving, pause))
    return Overview(at, pause, found)


def find_queue(queue: Queue, name: str) -> QueueNow:
    """The queue, also one whose jobs have all ended. Raises QueueNotFound."""
    queues = {it.name: it for it in queues_of(queue)}
    if name not in queues and not search_jobs(queue, queues=[name], limit=1):
        raise QueueNotFound(name, queues)
    return queues.get(name) or new_queue(queue, name)


def new_queue(queue: Queue, name: str) -> QueueNow:
    """A queue of which nothing is known."""
    own = QueueSettings(name)
    return QueueNow(own, queue.clock(), workers=[it.labels for it in working(queue) if own.is_served_by(it.queues)])


def look_at(queue: Queue, name: str) -> QueueNow:
    """The queue, be there anything of it or not."""
    return next((it for it in queues_of(queue) if it.name == name), None) or new_queue(queue, name)


def set_queue(queue: Queue, name: str, said: Mapping[str, str]) -> Mapping[str, tuple[str, str]]:
    """Set limits of a queue, and keys of its policy: by key the text as stored, and the one before.

    Raises InvalidSetting, and then nothing is set.
    """
    texts = {key: checked(key, text, name, LIMITS) for key, text in said.items()}
    before = _texts(queue, name)
    limits = {key: text for key, text in texts.items() if key in LIMITS}
    if limits:
        queue.queues.change(name, lambda settings: settings.with_texts(limits))
    for key in texts.keys() - limits.keys():
        queue.config.store(key, texts[key], name)
    return {key: (text, before[key]) for key, text in texts.items()}


def unset_queue(queue: Queue, name: str, keys: Collection[str]) -> Mapping[str, tuple[str, str]]:
    """Remove limits of a queue, and what its policy has of its own: the text that holds now, and the one before.

    Raises InvalidSetting, QueueNotFound.
    """
    defaults = {key: setting_of(key, name, LIMITS).default for key in keys}
    find_queue(queue, name)
    before = _texts(queue, name)
    limits = {key: text for key, text in defaults.items() if key in LIMITS}
    if limits:
        queue.queues.change(name, lambda settings: settings.with_texts(limits))
    for key in defaults.keys() - limits.keys():
        queue.config.clear(key, name)
    after = _texts(queue, name)
    return {key: (after[key], before[key]) for key in defaults}


def pause_queue(queue: Queue, name: str, *, until: datetime | None = None, reason: str | None = None) -> QueueSettings:
    """Have no job of the queue, or with `EVERY` of any, start until then, or until it is resumed."""
    pause = Pause(queue.clock(), queue.operator, until, reason)
    return queue.queues.change(name, lambda settings: settings.paused(pause))


def resume_queue(queue: Queue, name: str) -> bool:
    """Open a queue, or with `EVERY` all of them; False if it was not paused. Raises QueueNotFound."""
    settings = queue.queues.all().get(name)
    if settings is None or not settings.is_paused(queue.clock()):
        if name != EVERY:
            find_queue(queue, name)
        return False
    queue.queues.change(name, lambda settings: settings.resumed())
    return True


def running_in(queue: Queue, name: str) -> Sequence[Job]:
    """The jobs of the queue that run, or with `EVERY` all of them."""
    return search_jobs(queue, states=[State.PROCESSING], queues=[] if name == EVERY else [name])


def move_jobs(queue: Queue, name: str, to: str, states: Collection[State]) -> int:
    """Move the jobs that wait in these states to another queue; how many were moved."""
    return queue.queues.move(name, to, states=states, at=queue.clock())


def forget_queue(queue: Queue, name: str) -> None:
    """Remove the settings of a queue in which nothing waits or runs. Raises QueueNotFound, WrongState."""
    find_queue(queue, name)
    queue.queues.forget(name)


def _texts(queue: Queue, name: str) -> Mapping[str, str]:
    """The texts in force in a queue, by key."""
    stored = queue.config.by_queue()
    policy = {key: it.default for key, it in SETTINGS.items()} | dict(stored.get("", {})) | dict(stored.get(name, {}))
    return {**policy, **queue.queues.all().get(name, QueueSettings(name)).texts()}
