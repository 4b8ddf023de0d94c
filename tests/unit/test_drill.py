from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from queuectl.domain.attempt import Outcome
from queuectl.domain.job import State
from queuectl.drill.judge import ATTEMPT_IS_OVER, AttemptRecord, Call, Entry, History, JobRecord, LeftProcess, check
from queuectl.drill.plan import FROZEN_LEASES, Fault, Order, batches, faults, read_ledger
from queuectl.drill.report import Report
from tests.builders import MINUTE, SECOND

LEASE = 2 * SECOND


def a_history(ledger: str, *outcomes: Outcome | None, **overrides: object) -> History:
    """Of job-1: what its runs wrote (`1 start, 1 end`), and how the queue says that its attempts ended."""
    lines = [line.split() for line in ledger.split(", ")] if ledger else []
    parts: dict[str, object] = {
        "calls": [Call(ids=["job-1"], printed=["job-1"], code=0)],
        "jobs": a_job(State.COMPLETED, attempts=len(outcomes), failures=outcomes.count(Outcome.FAILED)),
        "attempts": [AttemptRecord("job-1", number, outcome) for number, outcome in enumerate(outcomes, 1)],
        "ledger": [Entry("job-1", int(number), what) for number, what in lines],
    }
    return History(**parts | overrides)  # type: ignore[arg-type]


def a_job(state: State, *, attempts: int = 1, failures: int = 0) -> dict[str, JobRecord]:
    return {"job-1": JobRecord("job-1", state, attempts, failures)}


def judged(history: History) -> Report:
    return Report(history=history, faults={}, slowest_rescue=None, violations=check(history))


def promises(history: History) -> list[str]:
    return [str(violation.invariant) for violation in check(history)]


class TestPlan:
    def test_a_seed_is_one_plan_and_another_seed_another(self) -> None:
        assert faults(1, span=MINUTE, lease=LEASE) == faults(1, span=MINUTE, lease=LEASE)
        assert faults(1, span=MINUTE, lease=LEASE) != faults(2, span=MINUTE, lease=LEASE)

    @pytest.mark.parametrize("seed", range(20))
    def test_in_half_a_minute_every_kind_of_fault_comes(self, seed: int) -> None:
        assert {step.fault for step in faults(seed, span=30 * SECOND, lease=LEASE)} == set(Fault)

    @pytest.mark.parametrize("seed", range(20))
    def test_nothing_else_happens_while_a_worker_is_frozen_and_nothing_after_the_end(self, seed: int) -> None:
        steps = faults(seed, span=MINUTE, lease=LEASE)
        assert steps[-1].at < MINUTE
        for step, following in pairwise(steps):
            assert following.at > step.at + (LEASE * FROZEN_LEASES if step.fault is Fault.FREEZE else timedelta())

    def test_the_shortest_drill_has_a_fault_if_there_is_time_for_one(self) -> None:
        assert len(faults(0, span=1.1 * SECOND, lease=LEASE)) == 1


def test_the_ledger_is_read_but_for_a_line_that_is_not_whole() -> None:
    assert read_ledger("a 1 start\na 1 e") == [Entry("a", 1, "start")]


def test_the_jobs_are_spread_over_the_drill_and_are_the_same_for_a_seed(tmp_path: Path) -> None:
    order = Order(span=10 * SECOND, jobs=25, workers=2, seed=3)
    found = batches(order, tmp_path / "ledger")
    assert found == batches(order, tmp_path / "ledger")
    assert [batch.at for batch in found] == [number * SECOND for number in range(10)]
    assert [each["id"] for batch in found for each in batch.documents] == [f"drill-{it:04}" for it in range(1, 26)]


class TestJudge:
    def test_a_history_in_which_every_promise_was_kept(self) -> None:
        outcomes = Outcome.LOST, Outcome.FAILED, Outcome.RELEASED, Outcome.SUCCEEDED
        ledger = "1 start, 1 alive, 2 start, 2 end, 3 start, 4 start, 4 alive, 4 end"
        report = judged(a_history(ledger, *outcomes))
        seen, broken = {"jobs": 1, "attempts": 4, "runs": 4}, {"lost": 0, "overlaps": 0, "orphans": 0, "unexplained": 0}
        assert report.counts == seen | broken
        assert report.violations == []

    def test_an_acknowledged_job_that_is_not_in_the_queue_is_lost(self) -> None:
        ids = ["job-1", "job-2"]
        report = judged(a_history("1 start, 1 end", Outcome.SUCCEEDED, calls=[Call(ids=ids, printed=ids, code=0)]))
        assert (str(report.violations[0].invariant), report.violations[0].job) == ("no job is lost", "job-2")
        assert report.counts["lost"] == 1

    @pytest.mark.parametrize("state", [State.PENDING, State.PROCESSING, State.FAILED])
    def test_a_job_that_has_not_ended_is_lost(self, state: State) -> None:
        violation, *_ = check(a_history("1 start", None, jobs=a_job(state)))
        assert violation.message == f"job job-1 is still {state} after 1 attempts"

    def test_a_completed_job_whose_last_run_did_not_end_is_lost(self) -> None:
        assert promises(a_history("1 start", Outcome.SUCCEEDED)) == ["no job is lost"]
        ledger = "1 start, 1 end, 2 start"
        assert promises(a_history(ledger, Outcome.FAILED, Outcome.SUCCEEDED)) == ["no job is lost"]

    def test_a_dead_job_has_ended(self) -> None:
        assert promises(a_history("1 start", Outcome.FAILED, jobs=a_job(State.DEAD, failures=1))) == []

    @pytest.mark.parametrize("what", ["alive", "end"])
    def test_a_run_that_does_anything_after_the_next_has_started_overlaps_and_is_told_once(self, what: str) -> None:
        ledger = f"1 start, 2 start, 1 {what}, 1 {what}, 2 end"
        report = judged(a_history(ledger, Outcome.LOST, Outcome.SUCCEEDED))
        [violation] = report.violations
        assert (str(violation.invariant), report.counts["overlaps"]) == ("no overlap", 1)
        assert violation.message == "attempt 1 of job job-1 still ran when attempt 2 had started"

    def test_an_earlier_run_that_starts_late_overlaps(self) -> None:
        assert "no overlap" in promises(a_history("2 start, 1 start, 2 end", Outcome.LOST, Outcome.SUCCEEDED))

    def test_an_attempt_that_runs_twice_is_unexplained(self) -> None:
        assert promises(a_history("1 start, 1 start, 1 end", Outcome.SUCCEEDED)) == ["no unexplained run"]

    def test_a_run_that_the_queue_does_not_know_is_unexplained(self) -> None:
        assert promises(a_history("1 start, 1 end, 2 start", Outcome.SUCCEEDED)) == ["no unexplained run"]

    @pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.CANCELLED, None])
    def test_a_run_after_one_that_did_not_fail_is_unexplained(self, outcome: Outcome | None) -> None:
        report = judged(a_history("1 start, 1 end, 2 start, 2 end", outcome, Outcome.SUCCEEDED))
        assert str(report.violations[0].invariant) == "no unexplained run"
        assert report.counts["unexplained"] == 1

    def test_processes_that_were_left_are_orphans_each(self) -> None:
        left = [LeftProcess(pid, "job-1", ATTEMPT_IS_OVER, "") for pid in (7, 8)]
        report = judged(a_history("1 start, 1 end", Outcome.SUCCEEDED, processes=left))
        assert report.counts["orphans"] == 2
        assert report.violations[0].message == "process 7 of job job-1 was left running"

    def test_where_processes_cannot_be_seen_their_number_is_not_told(self) -> None:
        report = judged(a_history("1 start, 1 end", Outcome.SUCCEEDED, processes=None))
        assert (report.counts["orphans"], report.violations) == (None, [])
