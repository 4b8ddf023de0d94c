"""Time that passes only from one event to the next, and processes whose threads live in it.

A thread is a greenlet: it runs the real code of the core, alone, until that waits, and goes on when its time has come.
So thousands of runs take seconds, and one seed gives one history.
"""

import heapq
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import count

from greenlet import getcurrent, greenlet

Action = Callable[[], None]

NOW = timedelta()

AT_ONCE_LIMIT = 20_000
"""Events at one moment; more are a loop in which nobody waits."""


class TimeStandsStill(Exception):
    """A thread goes round and round without ever waiting."""


class Timeline:
    """The events to come. `now` is the true time, which nobody in the simulation can read."""

    def __init__(self) -> None:
        self.now = timedelta()
        self._events: list[tuple[timedelta, int, Action]] = []
        self._order = count()
        self.hub = getcurrent()

    def at(self, moment: timedelta, action: Action) -> None:
        heapq.heappush(self._events, (moment, next(self._order), action))

    def after(self, span: timedelta, action: Action) -> None:
        heapq.heappush(self._events, (self.now + span, next(self._order), action))

    def run(self, *, until: timedelta, unless: Callable[[], bool] = lambda: False) -> None:
        """Let events happen in their order: up to that moment, or `unless` something has come true before."""
        at_once = 0
        while self._events and self._events[0][0] <= until and not unless():
            moment, _, action = heapq.heappop(self._events)
            at_once = at_once + 1 if moment == self.now else 0
            if at_once > AT_ONCE_LIMIT:
                raise TimeStandsStill(f"more than {AT_ONCE_LIMIT} events at {moment}")
            self.now = moment
            action()
        self.now = self.now if unless() else until


class SimulatedProcess:
    """Threads that freeze, go on and die together."""

    def __init__(self, timeline: Timeline, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.freezes: list[tuple[timedelta, timedelta | None]] = []
        """From when to when it was frozen; None: it is still."""
        self._times_frozen = 0
        self._timeline = timeline
        self._threads: list[greenlet] = []
        self._held_up: list[Action] = []

    def __str__(self) -> str:
        return self.name

    def start(self, work: Action) -> None:
        """Run `work` in a thread of this process."""
        thread = greenlet(work, parent=self._timeline.hub)
        self._threads.append(thread)
        self._timeline.after(NOW, partial(self._go_on, thread, [False]))

    def pause(self, span: timedelta, wakers: list[Action] | None = None) -> None:
        """Have the running thread wait that long, or until one of `wakers`, where this adds its own, is called."""
        go_on = partial(self._go_on, getcurrent(), [False])
        self._timeline.after(span, go_on)
        if wakers is not None:
            wakers.append(partial(self._timeline.after, NOW, go_on))
        self._timeline.hub.switch()

    @property
    def is_frozen(self) -> bool:
        return self._times_frozen > 0

    def freeze(self) -> None:
        """SIGSTOP, or its host stands still: nothing of it runs, while time passes."""
        self._times_frozen += 1
        if self._times_frozen == 1:
            self.freezes.append((self._timeline.now, None))

    def thaw(self) -> None:
        """The end of one `freeze`; after the last, whatever was due meanwhile happens."""
        self._times_frozen -= 1
        if self._times_frozen == 0:
            self.freezes[-1] = self.freezes[-1][0], self._timeline.now
            held_up, self._held_up = self._held_up, []
            for go_on in held_up:
                self._timeline.after(NOW, go_on)

    def die(self) -> None:
        """SIGKILL: its threads end where they are. Never called by one of them."""
        self.is_dead = True
        self._held_up.clear()
        for thread in self._threads:
            if not thread.dead:
                thread.throw()
        self._threads.clear()

    def was_frozen(self, since: timedelta) -> bool:
        """Tell whether it was frozen at any moment from `since` on."""
        return any(end is None or end > since for _, end in self.freezes)

    def _go_on(self, thread: greenlet, is_over: list[bool]) -> None:
        if is_over[0] or self.is_dead:
            return
        if self.is_frozen:
            self._held_up.append(partial(self._go_on, thread, is_over))
            return
        is_over[0] = True
        thread.switch()


class SimulatedFlag:
    """`Flag` for the threads of one process."""

    def __init__(self, process: SimulatedProcess) -> None:
        self._process = process
        self._is_set = False
        self._wakers: list[Action] = []

    def set(self) -> None:
        self._is_set = True
        wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float) -> bool:
        if not self._is_set:
            self._process.pause(timedelta(seconds=timeout), self._wakers)
            self._wakers.clear()  # only one thread waits for each flag
        return self._is_set
