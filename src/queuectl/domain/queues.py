"""A queue's settings: its limits, whether only workers that name it serve it, and its pause."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from queuectl.domain.errors import WrongState
from queuectl.domain.limits import MAX_CONCURRENCY, MAX_RATE, Rate, parse_rate
from queuectl.domain.policy import NONE, Setting

EVERY = ""
"""The name under which all queues together are paused."""


class Pause(NamedTuple):
    """While a queue is paused, none of its jobs starts; those that run go on. `until` None: until it is resumed."""

    at: datetime
    by: str
    until: datetime | None = None
    reason: str | None = None

    def lasts(self, at: datetime) -> bool:
        """True if it has not ended at that moment."""
        return self.until is None or at < self.until


class QueueSettings(NamedTuple):
    """The settings of a queue; one of which nothing was set has these: no limits, open to all workers, not paused."""

    name: str
    concurrency: int | None = None
    """The jobs of it that run at a time, on all hosts together."""
    rate: Rate | None = None
    reserved: bool = False
    """Only workers that name it serve it."""
    pause: Pause | None = None

    def is_paused(self, at: datetime) -> bool:
        """True if none of its jobs may start at that moment."""
        return self.pause is not None and self.pause.lasts(at)

    def is_served_by(self, queues: Collection[str]) -> bool:
        """True if workers serve it that were started for these queues; empty: for all."""
        return self.name in queues if queues else not self.reserved

    def texts(self) -> Mapping[str, str]:
        """The texts of its limits, by their keys."""
        return {
            "concurrency": NONE if self.concurrency is None else str(self.concurrency),
            "rate": NONE if self.rate is None else str(self.rate),
            "reserved": str(self.reserved).lower(),
        }

    def with_texts(self, texts: Mapping[str, str]) -> "QueueSettings":
        """The same, with these limits, whose texts are in their normal form."""
        said = {**self.texts(), **texts}
        return self._replace(
            concurrency=None if said["concurrency"] == NONE else int(said["concurrency"]),
            rate=None if said["rate"] == NONE else parse_rate(said["rate"]),
            reserved=said["reserved"] == "true",
        )

    def paused(self, pause: Pause) -> "QueueSettings":
        """The same, paused; one that is paused already keeps the moment since when."""
        since = self.pause.at if self.pause is not None and self.pause.lasts(pause.at) else pause.at
        return self._replace(pause=pause._replace(at=since))

    def resumed(self) -> "QueueSettings":
        """The same, open."""
        return self._replace(pause=None)


class Starts(NamedTuple):
    """The starts of a queue with a rate that were used within its period, and the moment of the next one."""

    used: int
    next_at: datetime | None
    """None: at once."""


def check_forgettable(name: str, unfinished: int, served: Iterable[Collection[str]]) -> None:
    """Raise WrongState if jobs of the queue wait or run, or a worker names it; `served` has the queues of each."""
    if unfinished:
        jobs = "1 of its jobs waits or runs" if unfinished == 1 else f"{unfinished} of its jobs wait or run"
        hint = f"`queuectl queue move {name} --to QUEUE` moves those that wait"
        raise WrongState(f"queue {name} cannot be forgotten: {jobs}", hint=hint)
    if any(name in queues for queues in served):
        hint = "`queuectl worker status` shows the workers and their queues"
        raise WrongState(f"queue {name} cannot be forgotten: a worker that runs was started for it", hint=hint)


def _concurrency(value: str) -> str:
    if value.lower() in (NONE, "null"):
        return NONE
    if not (value.isascii() and value.isdigit() and len(value) <= 9 and 1 <= int(value) <= MAX_CONCURRENCY):
        raise ValueError(f"must be a number of jobs from 1 to {MAX_CONCURRENCY}, or {NONE}")
    return str(int(value))


def _rate(value: str) -> str:
    if value.lower() in (NONE, "null"):
        return NONE
    try:
        return str(parse_rate(value))
    except ValueError as error:
        raise ValueError(f"{error}, or {NONE}") from None


def _flag(value: str) -> str:
    words = {"true": "true", "yes": "true", "false": "false", "no": "false"}
    if value.lower() not in words:
        raise ValueError("must be true or false")
    return words[value.lower()]


LIMITS: Mapping[str, Setting] = {
    "concurrency": Setting(
        NONE,
        f"1-{MAX_CONCURRENCY}, or {NONE}",
        "the jobs of it that run at a time, on all hosts together",
        _concurrency,
    ),
    "rate": Setting(
        NONE, f"1-{MAX_RATE}/SPAN, or {NONE}", "the starts in any span of time, such as 100/1m, on all hosts", _rate
    ),
    "reserved": Setting("false", "true or false", "only workers that name it serve it", _flag),
}
"""The keys that only a queue has; beside them it has those of the policy."""
