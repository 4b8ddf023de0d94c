"""The plan of a drill: which jobs it runs and which faults befall their workers, all from a seed."""

import random
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TypeAlias

from queuectl.drill.judge import Entry

FROZEN_LEASES = 2.5
"""The time for which a worker is frozen, in leases: others have taken its jobs back by then."""

PAUSES = (0.5, 2.0)
"""Seconds between two faults, at least and at most."""

RUN_TIMES: Mapping[tuple[float, float], int] = {(0.1, 0.8): 14, (1, 2): 5, (3, 6): 1}
"""Seconds that a job runs, at least and at most, and the frequency of that, in relation to the others."""

LEAVES_A_CHILD, FAILS_AT_FIRST = 0.25, 0.15
"""The chance that a job does so."""


class Order(NamedTuple):
    """The drill that is wanted."""

    span: timedelta
    jobs: int
    workers: int
    seed: int


class Fault(StrEnum):
    """A harm that is done to workers."""

    KILL_WORKER = "worker killed"
    KILL_SUPERVISOR = "supervisor killed"
    FREEZE = "worker frozen"
    STOP = "stopped"
    FORCE_STOP = "stopped by force"


PACE: Mapping[Fault, int] = {Fault.KILL_WORKER: 5, Fault.FREEZE: 2}
"""The frequency of a fault, in relation to the others, which have 1."""

Document: TypeAlias = Mapping[str, object]
"""A job as `enqueue` takes it."""


class Step(NamedTuple):
    """One fault, so long after the start. `chosen`, in [0, 1), says which of the workers that there are then."""

    at: timedelta
    fault: Fault
    chosen: float


class Batch(NamedTuple):
    """Jobs to be enqueued together, so long after the start."""

    at: timedelta
    documents: Sequence[Document]


def new_seed() -> int:
    """A seed of six digits at most, for whoever gives none."""
    return random.randrange(1_000_000)  # noqa: S311 - any will do


def faults(seed: int, *, span: timedelta, lease: timedelta) -> list[Step]:
    """The faults of a drill of that length. The same seed gives the same faults, and every kind once if time allows.

    A worker that is frozen is left alone until it goes on, and nothing is stopped meanwhile.
    """
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be kept secret
    kinds, at, steps = list(Fault), timedelta(seconds=1), list[Step]()
    chance.shuffle(kinds)
    while at < span:
        fault = kinds.pop() if kinds else chance.choices(list(Fault), [PACE.get(it, 1) for it in Fault])[0]
        lasts = lease * FROZEN_LEASES if fault is Fault.FREEZE else timedelta()
        if not steps or at + lasts < span:
            steps.append(Step(at=at, fault=fault, chosen=chance.random()))
            at += lasts
        at += timedelta(seconds=chance.uniform(*PAUSES))
    return steps


def batches(order: Order, ledger: Path) -> list[Batch]:
    """The jobs, each second's together."""
    documents = [
        _document(number, seconds, chance, ledger) for number, (seconds, chance) in enumerate(_run_times(order), 1)
    ]
    count = max(1, int(order.span.total_seconds()))
    parts = [documents[at * len(documents) // count : (at + 1) * len(documents) // count] for at in range(count)]
    return [Batch(at=timedelta(seconds=at), documents=part) for at, part in enumerate(parts) if part]


def undisturbed(order: Order) -> timedelta:
    """The time that the jobs take when each worker runs one at a time and nothing is done to it."""
    return timedelta(seconds=sum(seconds for seconds, _ in _run_times(order)) / order.workers)


def read_ledger(text: str) -> list[Entry]:
    """The entries, in the order in which they were written; a last line that is not whole yet is left out."""
    lines = (line.split() for line in text.split("\n")[:-1])
    return [Entry(job, int(attempt), what) for job, attempt, what in lines]


def _run_times(order: Order) -> Iterator[tuple[float, random.Random]]:
    """The seconds that each job runs, by the seed; and the chance from which the rest of it follows."""
    chance = random.Random(order.seed)  # noqa: S311 - to be repeated, not to be kept secret
    for _ in range(order.jobs):
        yield chance.uniform(*chance.choices(list(RUN_TIMES), list(RUN_TIMES.values()))[0]), chance


def _document(number: int, seconds: float, chance: random.Random, ledger: Path) -> Document:
    """One job: it notes its start, that it is alive, and its end; some leave a child behind, some fail at first."""
    leaves_a_child = "(setsid sleep 600 || sleep 600) >/dev/null 2>&1 & " if chance.random() < LEAVES_A_CHILD else ""
    fails_at_first = '; [ "$QUEUECTL_ATTEMPT" -gt 1 ]' if chance.random() < FAILS_AT_FIRST else ""
    alive = f"i=0; while [ $i -lt {max(1, round(seconds * 10))} ]; do sleep 0.1; note alive; i=$((i+1)); done"
    # A line is appended whole, so the order of the lines is the order of events.
    note = f'note() {{ echo "$QUEUECTL_JOB_ID $QUEUECTL_ATTEMPT $1" >>{shlex.quote(str(ledger))}; }}'
    return {
        "id": f"drill-{number:04}",
        "max_retries": 5,
        "command": f"{note}; note start; {leaves_a_child}{alive}; note end{fails_at_first}",
    }
