"""The checker of the fault suite can fail: for each invariant, histories that keep it and histories that break it."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.faults.invariants import (
    INVARIANTS,
    AttemptRow,
    Broken,
    Call,
    History,
    JobRow,
    Left,
    Sighting,
    breaches,
    check,
)


@dataclass(frozen=True, slots=True)
class Note:
    job: str
    attempt: int
    what: str
    since_boot: float


def a_job(state: str = "completed", attempts: int = 1, **fields: object) -> dict[str, JobRow]:
    job = JobRow(id="a", state=state, attempts=attempts, **fields)  # type: ignore[arg-type]
    return {"a": job}


def ended(*outcomes: str | None) -> list[AttemptRow]:
    return [
        AttemptRow(job_id="a", number=number, outcome=outcome, worker=f"w-{number}")
        for number, outcome in enumerate(outcomes, start=1)
    ]


def run(attempt: int, at: float = 0, *, ends: bool = True) -> list[Note]:
    start, end = Note("a", attempt, "start", at), Note("a", attempt, "end", at + 1)
    return [start, end] if ends else [start]


def an_enqueue(
    *ids: str, printed: Sequence[str] | None = None, code: int | None = 0, errors: Sequence[str] = ()
) -> Call:
    ids = ids or ("a",)
    return Call(ids=ids, printed=(ids if code == 0 else ()) if printed is None else printed, code=code, errors=errors)


ACKNOWLEDGED = [an_enqueue()]
ONE_RUN = {"calls": ACKNOWLEDGED, "ledger": run(1), "jobs": a_job(), "attempts": ended("succeeded")}
LOST_ONCE = {
    "calls": ACKNOWLEDGED,
    "ledger": [*run(1, ends=False), *run(2, at=5)],
    "jobs": a_job(attempts=2, losses=1),
    "attempts": ended("lost", "succeeded"),
}

LOST_TOGETHER = {
    **LOST_ONCE,
    "jobs": a_job(attempts=2),
    "attempts": [*ended("lost", "succeeded"), AttemptRow(job_id="neighbour", number=1, outcome="lost", worker="w-1")],
}

GOOD = {
    "nothing happened": {},
    "one job ran once": ONE_RUN,
    "a worker was lost": LOST_ONCE,
    "a worker was lost before it started the command": {**LOST_ONCE, "ledger": run(2)},
    "a worker was lost with two jobs": LOST_TOGETHER,
    "a worker has given a job back itself": {**LOST_ONCE, "jobs": a_job(attempts=2)},
    "a loss, a release and a loss": {
        **LOST_ONCE,
        "ledger": [*run(1, ends=False), *run(2, at=5, ends=False), *run(3, at=9, ends=False), *run(4, at=12)],
        "jobs": a_job(attempts=4, losses=2),
        "attempts": ended("lost", "released", "lost", "succeeded"),
    },
    "a retry": {
        "calls": ACKNOWLEDGED,
        "ledger": [*run(1), *run(2, at=5)],
        "jobs": a_job(attempts=2, failures=1),
        "attempts": ended("failed", "succeeded"),
        "faultless": True,
    },
    "asked to run again": {
        **ONE_RUN,
        "ledger": [*run(1), *run(2, at=5)],
        "jobs": a_job(attempts=2),
        "attempts": ended("succeeded", "succeeded"),
        "sightings": [{"a": Sighting("completed", 1)}, {"a": Sighting("pending", 1)}],
        "asked": ["a"],
    },
    "a job that runs": {
        "calls": ACKNOWLEDGED,
        "jobs": a_job("processing"),
        "attempts": ended(None),
        "waiting": ["a"],
        "processes": [Left(pid=7, job="a", attempt=1, command="sleep")],
        "bound": 1.0,
    },
    "a call that failed": {"calls": [an_enqueue(code=6, errors=["the disk is full"])]},
    "a call that nobody knows the end of": {
        "calls": [an_enqueue(code=6, errors=["cut: nobody knows whether the change was made"])],
        "jobs": a_job("pending", attempts=0),
        "waiting": ["a"],
    },
    "a second call with the same id": {**ONE_RUN, "calls": [an_enqueue(), an_enqueue(code=4, errors=["exists"])]},
    "killed before it printed": {"calls": [an_enqueue("a", code=None)], "jobs": a_job("pending", attempts=0)},
    "finished in time, within the caps": {
        **ONE_RUN,
        "took": 1.0,
        "bound": 2.0,
        "peaks": {"descriptors": 9},
        "caps": {"descriptors": 10},
    },
}

BAD = {
    "an acknowledged job is gone": ("I1", {"calls": ACKNOWLEDGED}),
    "an acknowledged job stays pending": ("I1", {"calls": ACKNOWLEDGED, "jobs": a_job("pending", attempts=0)}),
    "completed without an end": ("I1", {**ONE_RUN, "ledger": run(1, ends=False)}),
    "the same attempt ran twice": ("I2", {**ONE_RUN, "ledger": [*run(1), *run(1, at=5)]}),
    "a run without an attempt": ("I2", {**ONE_RUN, "ledger": [*run(1), *run(2, at=5)]}),
    "a run after a success": (
        "I2",
        {**LOST_ONCE, "jobs": a_job(attempts=2), "attempts": ended("succeeded", "succeeded")},
    ),
    "a loss without a fault": ("I2", {**LOST_ONCE, "faultless": True}),
    "an earlier run goes on": ("I3", {**LOST_ONCE, "ledger": [*run(1, ends=False), *run(2, at=5), *run(1)[1:]]}),
    "a later run began before": ("I3", {**LOST_ONCE, "ledger": [*run(1, at=9), *run(2, at=5)]}),
    "a process of a job that has ended": (
        "I4",
        {**ONE_RUN, "processes": [Left(pid=7, job="a", attempt=1, command="sleep")]},
    ),
    "a process of an attempt that was lost": (
        "I4",
        {
            **LOST_ONCE,
            "jobs": a_job("processing", attempts=2, losses=1),
            "attempts": ended("lost", None),
            "waiting": ["a"],
            "processes": [Left(pid=7, job="a", attempt=1, command="sleep")],
        },
    ),
    "a process without a mark": (
        "I4",
        {**ONE_RUN, "processes": [Left(pid=7, job="a", attempt=None, command="sleep")]},
    ),
    "completed, then pending": (
        "I5",
        {**LOST_ONCE, "sightings": [{"a": Sighting("completed", 1)}, {"a": Sighting("pending", 1)}]},
    ),
    "completed, then gone": ("I5", {"sightings": [{"a": Sighting("completed", 1)}]}),
    "attempts fell": ("I6", {**ONE_RUN, "sightings": [{"a": Sighting("processing", 2)}]}),
    "an attempt has no row": ("I6", {**LOST_ONCE, "attempts": ended("lost")}),
    "an attempt never ended": ("I6", {**LOST_ONCE, "attempts": ended("lost", None)}),
    "more failures than retries": (
        "I6",
        {**ONE_RUN, "jobs": a_job("dead", attempts=1, failures=2, max_retries=0), "attempts": ended("failed")},
    ),
    "more losses than allowed": ("I6", {**LOST_ONCE, "max_losses": 0}),
    "a loss that is not counted": (
        "I6",
        {
            **LOST_ONCE,
            "ledger": [*run(1, ends=False), *run(2, at=5, ends=False), *run(3, at=9)],
            "jobs": a_job(attempts=3),
            "attempts": ended("lost", "lost", "succeeded"),
        },
    ),
    "a loss that is counted and was a neighbour's too": ("I6", {**LOST_TOGETHER, "jobs": a_job(attempts=2, losses=1)}),
    "a failure that is not counted": ("I6", {**LOST_ONCE, "attempts": ended("failed", "succeeded")}),
    "a job that never ended": ("I7", {"jobs": a_job("pending", attempts=0), "bound": 9.0}),
    "a job that ended too late": ("I7", {**ONE_RUN, "took": 10.0, "bound": 9.0}),
    "a damaged page": ("I8", {"damage": ["row 3 missing from index jobs_due"]}),
    "more descriptors than allowed": ("I9", {"peaks": {"descriptors": 11}, "caps": {"descriptors": 10}}),
    "something never measured": ("I9", {"caps": {"descriptors": 10}}),
    "printed and not stored": ("I10", {"calls": [an_enqueue("a", code=None, printed=["a"])]}),
    "exit code 0 without the id": ("I10", {**ONE_RUN, "calls": [an_enqueue(printed=[])]}),
    "a part of a batch": ("I10", {"calls": [an_enqueue("a", "b", code=None)], "jobs": a_job("pending", attempts=0)}),
    "stored and failed": (
        "I10",
        {"calls": [an_enqueue(code=6, errors=["full"])], "jobs": a_job("pending", attempts=0)},
    ),
    "failed without a word": ("I10", {"calls": [an_enqueue(code=1)]}),
    "failed in many words": ("I10", {"calls": [an_enqueue(code=1, errors=["this", "and that"])]}),
    "failed and printed": ("I10", {**ONE_RUN, "calls": [an_enqueue(code=1, printed=["a"], errors=["oh"])]}),
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD.keys())
def test_a_good_history_breaks_nothing(history: dict[str, object]) -> None:
    check(History(**history))  # type: ignore[arg-type]


@pytest.mark.parametrize(("invariant", "history"), BAD.values(), ids=BAD.keys())
def test_a_bad_history_breaks_its_invariant(invariant: str, history: dict[str, object]) -> None:
    with pytest.raises(Broken, match=rf"(?m)^{invariant} "):
        check(History(**history))  # type: ignore[arg-type]
    assert {breach.split()[0] for breach in breaches(History(**history))} >= {invariant}  # type: ignore[arg-type]


def test_every_invariant_has_a_history_that_breaks_it() -> None:
    assert {name.split()[0] for name in INVARIANTS} == {invariant for invariant, _ in BAD.values()}
