"""The judge can fail: for each invariant, histories that keep it and histories that break it."""

from collections.abc import Sequence

import pytest

from queuectl.drill.judge import (
    ATTEMPT_IS_OVER,
    AttemptRecord,
    Call,
    Entry,
    History,
    Invariant,
    JobRecord,
    LeftProcess,
    check,
)


def a_job(state: str = "completed", attempts: int = 1, **fields: int) -> dict[str, JobRecord]:
    return {"a": JobRecord("a", state, attempts, **fields)}


def ended(*outcomes: str | None) -> list[AttemptRecord]:
    return [AttemptRecord("a", number, outcome, f"w-{number}") for number, outcome in enumerate(outcomes, start=1)]


def run(attempt: int, at: float = 0, *, ends: bool = True) -> list[Entry]:
    start, end = Entry("a", attempt, "start", at), Entry("a", attempt, "end", at + 1)
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
    "attempts": [*ended("lost", "succeeded"), AttemptRecord("neighbour", 1, "lost", "w-1")],
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
        "looks": [{"a": JobRecord("a", "completed", 1)}, {"a": JobRecord("a", "pending", 1)}],
        "asked": {"a": None},
    },
    "asked to run again after its first attempt": {
        **ONE_RUN,
        "ledger": [*run(1), *run(2, at=5)],
        "jobs": a_job(attempts=2),
        "attempts": ended("succeeded", "succeeded"),
        "looks": [{"a": JobRecord("a", "completed", 1)}, {"a": JobRecord("a", "pending", 1)}],
        "asked": {"a": 1},
    },
    "an earlier run goes on that nobody could end": {
        **LOST_ONCE,
        "ledger": [*run(1, ends=False), *run(2, at=5), *run(1)[1:]],
        "outlived": [("a", 1)],
    },
    "no process can be seen": {**ONE_RUN, "processes": None},
    "a job that runs": {
        "calls": ACKNOWLEDGED,
        "jobs": a_job("processing"),
        "attempts": ended(None),
        "waiting": ["a"],
        "processes": [LeftProcess(pid=7, job="a", attempt=1, command="sleep")],
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
    "completed, and its last run did not end": (
        "I1",
        {**LOST_ONCE, "ledger": [*run(1), *run(2, at=5, ends=False)], "attempts": ended("lost", "succeeded")},
    ),
    "the same attempt ran twice": ("I2", {**ONE_RUN, "ledger": [*run(1), *run(1, at=5)]}),
    "a run without an attempt": ("I2", {**ONE_RUN, "ledger": [*run(1), *run(2, at=5)]}),
    "a run after a success": (
        "I2",
        {**LOST_ONCE, "jobs": a_job(attempts=2), "attempts": ended("succeeded", "succeeded")},
    ),
    "a third run when a second was asked for": (
        "I2",
        {**LOST_ONCE, "jobs": a_job(attempts=3), "attempts": ended(*["succeeded"] * 3), "asked": {"a": 1}},
    ),
    "a loss without a fault": ("I2", {**LOST_ONCE, "faultless": True}),
    "an earlier run goes on": ("I3", {**LOST_ONCE, "ledger": [*run(1, ends=False), *run(2, at=5), *run(1)[1:]]}),
    "a later run began before": ("I3", {**LOST_ONCE, "ledger": [*run(1, at=9), *run(2, at=5)]}),
    "a process of a job that has ended": (
        "I4",
        {**ONE_RUN, "processes": [LeftProcess(pid=7, job="a", attempt=1, command="sleep")]},
    ),
    "a process of an attempt that was lost": (
        "I4",
        {
            **LOST_ONCE,
            "jobs": a_job("processing", attempts=2, losses=1),
            "attempts": ended("lost", None),
            "waiting": ["a"],
            "processes": [LeftProcess(pid=7, job="a", attempt=1, command="sleep")],
        },
    ),
    "a process whose attempt is over": (
        "I4",
        {
            "jobs": a_job("processing"),
            "attempts": ended(None),
            "processes": [LeftProcess(pid=7, job="a", attempt=ATTEMPT_IS_OVER, command="")],
        },
    ),
    "a process without a mark": (
        "I4",
        {**ONE_RUN, "processes": [LeftProcess(pid=7, job="a", attempt=None, command="sleep")]},
    ),
    "completed, then pending": (
        "I5",
        {**LOST_ONCE, "looks": [{"a": JobRecord("a", "completed", 1)}, {"a": JobRecord("a", "pending", 1)}]},
    ),
    "completed, then pending, and asked before only": (
        "I5",
        {
            **LOST_ONCE,
            "looks": [{"a": JobRecord("a", "completed", 2)}, {"a": JobRecord("a", "pending", 2)}],
            "asked": {"a": 1},
        },
    ),
    "completed, then gone": ("I5", {"looks": [{"a": JobRecord("a", "completed", 1)}]}),
    "attempts fell": ("I6", {**ONE_RUN, "looks": [{"a": JobRecord("a", "processing", 2)}]}),
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
    "a failure that is not counted since it was asked for": (
        "I6",
        {**LOST_ONCE, "jobs": a_job(attempts=3), "attempts": ended("dead", "failed", "succeeded"), "asked": {"a": 1}},
    ),
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
    assert check(History(**history)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(("invariant", "history"), BAD.values(), ids=BAD.keys())
def test_a_bad_history_breaks_its_invariant(invariant: str, history: dict[str, object]) -> None:
    violations = check(History(**history))  # type: ignore[arg-type]
    assert invariant in {violation.invariant.code for violation in violations}
    assert any(str(violation).startswith(f"{invariant} {violation.invariant}: ") for violation in violations)


def test_every_invariant_has_a_history_that_breaks_it() -> None:
    assert {invariant.code for invariant in Invariant} == {invariant for invariant, _ in BAD.values()}


def test_only_the_invariants_that_are_asked_for_are_judged() -> None:
    _, history = BAD["a damaged page"]
    assert check(History(**history), [Invariant.NO_LOSS, Invariant.COUNTING]) == []  # type: ignore[arg-type]
