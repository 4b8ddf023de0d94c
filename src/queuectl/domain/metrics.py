"""Figures of what the queue got done in a span of time, and how fast."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from queuectl.domain.attempt import Outcome
from queuectl.domain.job import State


class Percentiles(NamedTuple):
    """The median and the 95th percentile (nearest rank) of some spans; None when there are none."""

    p50: timedelta | None = None
    p95: timedelta | None = None


class Backlog(NamedTuple):
    """The jobs of a queue in one state that need the same labels. Of those that may start by their `run_at`, the
    number, and the `run_at` of the first one."""

    queue: str
    state: State
    needs: Sequence[str]
    jobs: int
    due: int = 0
    first_due_at: datetime | None = None


class Totals(NamedTuple):
    """The work of one worker or queue in the window, by attempts that ended in it; `name` says which.

    `busy` is the sum of its run times. `failed` includes timeouts.
    """

    name: str
    succeeded: int
    failed: int
    busy: timedelta


class Metrics(NamedTuple):
    """The figures from `since` on, by attempts and jobs that ended then.

    `attempts` counts ended attempts by outcome. `completed` counts jobs that completed, each time; `dead` those that
    died and are dead still. `retried` counts the completions that needed more than one attempt, `most_attempts` the
    most that any needed. `wait` is from due to start, `run` from start to end, of attempts that succeeded, failed or
    timed out: of the latest 100,000.
    """

    since: datetime
    attempts: Mapping[Outcome, int]
    completed: int
    dead: int
    retried: int
    most_attempts: int
    wait: Percentiles
    run: Percentiles
    workers: Sequence[Totals] = ()
    queues: Sequence[Totals] = ()
