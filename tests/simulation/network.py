"""The way to the database, as bad as networks are: slow, cut, its answers lost, its requests made twice.

What this does to a transaction is what the adapters' retries leave of the same fault: see decision 0012.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from queuectl.domain.attempt import AttemptEnd
from queuectl.domain.errors import CommitUnknown, DatabaseUnreachable
from queuectl.domain.ports.work import Claim, DecideEnd, Settled, Work
from tests.simulation.simulated_time import SimulatedProcess, Timeline

REPEATABLE = frozenset({"claim", "settle", "settle_and_claim", "renew", "rescue", "retire"})
"""Transactions that are made twice, when their first commit is in doubt and becomes true after all."""


@dataclass(slots=True, kw_only=True)
class SimFaults:
    """The faults of the network at the moment, for everybody. Chances are of each call."""

    slow: float = 0.0
    answer_lost: float = 0.0
    made_twice: float = 0.0
    is_down: bool = False
    """No host reaches the database."""


class SimNetwork:
    """One process's way to the database. `is_cut` tells whether its host is partitioned from it now."""

    def __init__(
        self,
        timeline: Timeline,
        process: SimulatedProcess,
        *,
        faults: SimFaults,
        is_cut: Callable[[], bool],
        gives_up_after: timedelta,
        committed: "Committed",
        seed: int,
    ) -> None:
        self._timeline = timeline
        self._process = process
        self._faults = faults
        self._is_cut = is_cut
        self._gives_up_after = gives_up_after
        self._committed = committed
        self._random = random.Random(seed)

    def reach(self, repository: object) -> "Remote":
        """Put that repository at the far end of this network."""
        return Remote(repository, self)

    def call(
        self, name: str, method: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        sent_at = self._timeline.now
        self._travel()
        if self._faults.is_down or self._is_cut():
            raise self._gave_up(sent_at, name)
        chance = self._random.random()
        if name in ("claim", "settle_and_claim") and chance > 1 - self._faults.answer_lost / 2:
            late = timedelta(seconds=3) * self._random.random()
            self._timeline.after(late, lambda: self._make(name, method, args, kwargs, sent_at))
            raise self._gave_up(sent_at, name)
        answer = self._make(name, method, args, kwargs, sent_at)
        if chance < self._faults.made_twice and name in REPEATABLE:
            self._process.pause(self._gives_up_after * self._random.random())
            answer = self._make(name, method, args, kwargs, sent_at)
        elif chance > 1 - self._faults.answer_lost:
            raise self._gave_up(sent_at, name)
        if self._random.random() < 0.3:
            self._travel()
            if self._faults.is_down or self._is_cut():
                raise self._gave_up(sent_at, name)
        return answer

    def _make(
        self,
        name: str,
        method: Callable[..., object],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        sent_at: timedelta,
    ) -> object:
        if name == "settle":
            return self._settle(method.__self__, *args, sent_at)  # type: ignore[attr-defined]
        if name == "settle_and_claim":
            return self._settle_and_claim(method.__self__, *args, sent_at=sent_at)  # type: ignore[attr-defined]
        answer = method(*args, **kwargs)
        self._committed(self._process, name, args, answer, sent_at)
        return answer

    def _settle(
        self, work: Work, ends: Sequence[AttemptEnd], decide: DecideEnd, sent_at: timedelta
    ) -> Sequence[Settled]:
        """One transaction, of which the watcher is told step by step."""
        settled = []
        for end in ends:
            settled += work.settle([end], decide)
            self._committed(self._process, "settle", (end,), settled[-1], sent_at)
        return settled

    def _settle_and_claim(
        self,
        work: Work,
        ends: Sequence[AttemptEnd],
        decide: DecideEnd,
        claim: Claim,
        sent_at: timedelta,
    ) -> object:
        """The same: a job may be given back and claimed in it."""
        settled = self._settle(work, ends, decide, sent_at)
        runs = work.claim(claim)
        self._committed(self._process, "claim", (claim,), runs, sent_at)
        return settled, runs

    def _travel(self) -> None:
        is_slow = self._faults.slow and self._random.random() < self._faults.slow
        self._process.pause(timedelta(0, 0, int(self._random.random() * (300_000 if is_slow else 4_000))))

    def _gave_up(self, sent_at: timedelta, name: str) -> DatabaseUnreachable | CommitUnknown:
        """At once, as when the connection is refused, or after a silence."""
        silence = sent_at + self._gives_up_after * self._random.choice([0, 0, self._random.random(), 1])
        if silence > self._timeline.now:
            self._process.pause(silence - self._timeline.now)
        return CommitUnknown("cut") if name in REPEATABLE else DatabaseUnreachable("cut")


Committed = Callable[[SimulatedProcess, str, tuple[object, ...], object, timedelta], None]
"""Hears of every transaction that was made: by whom, which, with what arguments and answer, and when it was sent."""


class Remote:
    """A repository at the far end of the network: the same methods."""

    def __init__(self, repository: object, network: SimNetwork) -> None:
        self._repository = repository
        self._network = network

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._repository, name)

        def call(*args: object, **kwargs: object) -> object:
            return self._network.call(name, method, args, kwargs)

        setattr(self, name, call)
        return call
