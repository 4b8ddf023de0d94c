from datetime import timedelta
from itertools import pairwise

import pytest

from queuectl.domain.attempt import Attempt, Outcome
from queuectl.domain.job import Job, State
from queuectl.drill.judge import FROZEN_LEASES, Entry, Fault, History, judged, plan, read_ledger
from tests.builders import MINUTE, NOON, SECOND, a_job, a_job_that_is, a_lease

LEASE = 2 * SECOND


def a_history(ledger: str, *outcomes: Outcome | None, **overrides: object) -> History:
    """Of job-1: what its runs wrote (`1 start, 1 end`), and how the queue says that its attempts ended."""
    job = a_job_that_is(State.COMPLETED)._replace(attempts=len(outcomes))
    lines = [line.split() for line in ledger.split(", ")] if ledger else []
    parts: dict[str, object] = {
        "acknowledged": ["job-1"],
        "jobs": {"job-1": job},
        "attempts": {"job-1": [an_attempt(number, outcome) for number, outcome in enumerate(outcomes, 1)]},
        "ledger": [Entry(job="job-1", attempt=int(number), what=what) for number, what in lines],
        "orphans": [],
    }
    return History(**parts | overrides)  # type: ignore[arg-type]


def an_attempt(number: int, outcome: Outcome | None) -> Attempt:
    return Attempt(job_id="job-1", number=number, lease=a_lease(), host="h", started_at=NOON, outcome=outcome)


def promises(history: History) -> list[str]:
    return [broken.promise for broken in judged(history).broken]


class TestPlan:
    def test_a_seed_is_one_plan_and_another_seed_another(self) -> None:
        assert plan(1, span=MINUTE, lease=LEASE) == plan(1, span=MINUTE, lease=LEASE)
        assert plan(1, span=MINUTE, lease=LEASE) != plan(2, span=MINUTE, lease=LEASE)

    @pytest.mark.parametrize("seed", range(20))
    def test_in_half_a_minute_every_kind_of_fault_comes(self, seed: int) -> None:
        assert {step.fault for step in plan(seed, span=30 * SECOND, lease=LEASE)} == set(Fault)

    @pytest.mark.parametrize("seed", range(20))
    def test_nothing_else_happens_while_a_worker_is_frozen_and_nothing_after_the_end(self, seed: int) -> None:
        steps = plan(seed, span=MINUTE, lease=LEASE)
        assert steps[-1].at < MINUTE
        for step, following in pairwise(steps):
            assert following.at > step.at + (LEASE * FROZEN_LEASES if step.fault is Fault.FREEZE else timedelta())

    def test_the_shortest_drill_has_a_fault_if_there_is_time_for_one(self) -> None:
        assert len(plan(0, span=1.1 * SECOND, lease=LEASE)) == 1


def test_the_ledger_is_read_but_for_a_line_that_is_not_whole() -> None:
    assert read_ledger("a 1 start\na 1 e") == [Entry(job="a", attempt=1, what="start")]


class TestJudge:
    def test_a_history_in_which_every_promise_was_kept(self) -> None:
        outcomes = Outcome.LOST, Outcome.FAILED, Outcome.RELEASED, Outcome.SUCCEEDED
        ledger = "1 start, 1 alive, 2 start, 2 end, 3 start, 4 start, 4 alive, 4 end"
        report = judged(a_history(ledger, *outcomes, rescues=[SECOND, 2 * SECOND, SECOND]))
        assert (report.lost, report.overlaps, report.orphans, report.unexplained, report.broken) == (0, 0, 0, 0, [])
        assert (report.jobs, report.attempts, report.runs, report.slowest_rescue) == (1, 4, 4, 2 * SECOND)

    def test_an_acknowledged_job_that_is_not_in_the_queue_is_lost(self) -> None:
        history = a_history("1 start, 1 end", Outcome.SUCCEEDED, acknowledged=["job-1", "job-2"])
        [broken] = judged(history).broken
        assert (broken.promise, broken.job) == ("no job is lost", "job-2")
        assert judged(history).lost == 1

    @pytest.mark.parametrize("job", [a_job(), a_job_that_is(State.PROCESSING), a_job_that_is(State.FAILED)])
    def test_a_job_that_has_not_ended_is_lost(self, job: Job) -> None:
        [broken] = judged(a_history("1 start", None, jobs={"job-1": job})).broken
        assert broken.message == f"job job-1 is still {job.state} after {job.attempts} attempts"

    def test_a_completed_job_whose_last_run_did_not_end_is_lost(self) -> None:
        assert promises(a_history("1 start", Outcome.SUCCEEDED)) == ["no job is lost"]
        ledger = "1 start, 1 end, 2 start"
        assert promises(a_history(ledger, Outcome.FAILED, Outcome.SUCCEEDED)) == ["no job is lost"]

    def test_a_dead_job_has_ended(self) -> None:
        assert promises(a_history("1 start", Outcome.FAILED, jobs={"job-1": a_job_that_is(State.DEAD)})) == []

    @pytest.mark.parametrize("what", ["alive", "end"])
    def test_a_run_that_does_anything_after_the_next_has_started_overlaps_and_is_told_once(self, what: str) -> None:
        ledger = f"1 start, 2 start, 1 {what}, 1 {what}, 2 end"
        [broken] = judged(a_history(ledger, Outcome.LOST, Outcome.SUCCEEDED)).broken
        assert (broken.promise, judged(a_history(ledger, Outcome.LOST, Outcome.SUCCEEDED)).overlaps) == (
            "no overlap",
            1,
        )
        assert broken.message == "attempt 1 of job job-1 still ran when attempt 2 had started"

    def test_an_earlier_run_that_starts_late_overlaps(self) -> None:
        assert "no overlap" in promises(a_history("2 start, 1 start, 2 end", Outcome.LOST, Outcome.SUCCEEDED))

    def test_an_attempt_that_runs_twice_is_unexplained(self) -> None:
        assert promises(a_history("1 start, 1 start, 1 end", Outcome.SUCCEEDED)) == ["no unexplained run"]

    def test_a_run_that_the_queue_does_not_know_is_unexplained(self) -> None:
        assert promises(a_history("1 start, 1 end, 2 start", Outcome.SUCCEEDED)) == ["no unexplained run"]

    @pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.CANCELLED, None])
    def test_a_run_after_one_that_did_not_fail_is_unexplained(self, outcome: Outcome | None) -> None:
        ledger = "1 start, 1 end, 2 start, 2 end"
        assert promises(a_history(ledger, outcome, Outcome.SUCCEEDED)) == ["no unexplained run"]

    def test_processes_that_were_left_are_orphans_each(self) -> None:
        report = judged(a_history("1 start, 1 end", Outcome.SUCCEEDED, orphans=[(7, "job-1"), (8, "job-1")]))
        assert report.orphans == 2
        assert report.broken[0].message == "process 7 of job job-1 was left running"

    def test_where_processes_cannot_be_seen_their_number_is_not_told(self) -> None:
        report = judged(a_history("1 start, 1 end", Outcome.SUCCEEDED, orphans=None))
        assert (report.orphans, report.broken) == (None, [])
