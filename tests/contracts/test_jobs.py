"""What every Jobs store promises; see its docstrings in queuectl.domain.ports."""

import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queuectl.domain.attempt import Attempt, AttemptEnd, Outcome, Output, RunResult
from queuectl.domain.document import MAX_ARGUMENT
from queuectl.domain.errors import DuplicateJob, JobNotFound, WrongState
from queuectl.domain.job import Job, State
from queuectl.domain.ports.jobs import Attempts, Jobs
from queuectl.domain.ports.work import Claim, FirstDue, Settled, Settlement, Work
from queuectl.domain.ports.workers import WorkerRegistry
from queuectl.domain.worker import Lease, WorkerState
from tests.builders import (
    ANN,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    a_failure,
    a_job,
    a_job_that_is,
    a_lease,
    a_loss,
    a_policy,
    a_result,
    a_worker,
    some_jobs,
)
from tests.contracts.conftest import QueueStore
from tests.contracts.racing import claim_all, claim_all_at, meet_at

ODD_TEXT = "naïve 日本語 🎉 'quoted' \"twice\" \\ %s :name ?\ttab\nnewline\x01\x7f\u2028"


def ids(jobs: Sequence[Job]) -> list[str]:
    return [job.id for job in jobs]


def claim(
    work: Work,
    lease: Lease | None = None,
    *,
    limit: int = 100,
    at: datetime = NOON,
    queues: tuple[str, ...] = (),
    labels: tuple[str, ...] = (),
    suspects: bool | None = None,
) -> Sequence[Job]:
    runs = work.claim(Claim(lease or a_lease(), limit, at, queues, labels, suspects))
    return [run.job for run in runs]


def renamed(job: Job, job_id: str) -> Job:
    return job._replace(spec=job.spec._replace(id=job_id))


def a_suspect(job_id: str, **overrides: object) -> Job:
    """A job that waits, and has lost its worker before."""
    return a_job(job_id, attempts=1, suspect=True, **overrides)


def an_end(job: Job, result: RunResult, *, at: datetime = NOON + SECOND, lease: Lease | None = None) -> AttemptEnd:
    return AttemptEnd(job.id, job.attempts, lease or a_lease(), at, result)


def decide(job: Job, end: AttemptEnd) -> Job:
    return job.settled(end.result, end.at, a_policy(), 0)


def settle(
    work: Work, job: Job, result: RunResult, *, at: datetime = NOON + SECOND, lease: Lease | None = None
) -> Settlement:
    [settled] = work.settle([an_end(job, result, at=at, lease=lease)], decide)
    return settled.settlement


def lost(job: Job, alone: bool) -> Job:
    return job.settled(a_loss("w-1 died"), NOON + 2 * HOUR, a_policy(), 0, alone=alone)


def rescue(work: Work, worker_id: str = "w-1") -> Sequence[Job]:
    return work.rescue(worker_id, lost, at=NOON + 2 * HOUR, proved_dead=False)


def ask_to_cancel(job: Job) -> Job:
    return job.cancelled(NOON + SECOND, ANN)


def refuse(_job: Job) -> Job:
    raise WrongState("not this one")


NO_TEXT = "caf\udce9 \udcc3\udca9 \\udce9"
"""Bytes that are no UTF-8 (in é, both alone), and the escape of one in letters."""

ODD_JOBS = [
    a_job(command=ODD_TEXT),
    a_job(command=("printf", "%s", "", ODD_TEXT)),
    a_job(command="x" * MAX_ARGUMENT),
    a_job(command=("/bin/true",)),
    a_job(env={"EMPTY": "", "ODD": ODD_TEXT, "ö": "1"}),
    a_job(timeout=None, cwd=None),
    a_job(timeout=timedelta(days=3650), cwd="/srv/" + ODD_TEXT),
    a_job(command=f"cat {NO_TEXT}", env={NO_TEXT: NO_TEXT}, cwd=f"/{NO_TEXT}"),
    a_job(command=("cat", NO_TEXT), cwd='"/srv"'),
    a_job(timeout=timedelta(microseconds=1)),
    a_job(stdin="", key="k" * 200, key_limit=1),
    a_job(stdin=ODD_TEXT * 500, key=ODD_TEXT, key_limit=100),
    a_job(needs=("gpu", "host=web-1", "zone=eu"), tags=("z", "nightly", ODD_TEXT)),
    a_job(queue="A.b_c-9", priority=10, max_retries=1000),
    a_job(run_at=datetime.fromisoformat("9998-12-31T23:59:59.999999Z")),
    a_job(run_at=datetime.fromisoformat("1971-01-01T00:00:00.000001Z")),
    a_job("aA0._:-" + "z" * 121),
    a_job(created_at=NOON + timedelta(microseconds=1)),
    *[a_job_that_is(state) for state in State if state is not State.PROCESSING],
    a_job()._replace(attempts=7, failures=2, losses=1, exit_code=-1, last_error=ODD_TEXT),
]


class TestAdd:
    def test_an_added_job_is_found(self, jobs: Jobs) -> None:
        jobs.add([a_job("job-1"), a_job("job-2")])
        assert jobs.find("job-2") == a_job("job-2")

    def test_an_unknown_job_is_not_found(self, jobs: Jobs) -> None:
        with pytest.raises(JobNotFound, match="job-1"):
            jobs.find("job-1")

    @pytest.mark.parametrize("said", ["caf\udce9", "\ud800", "a\0b", "'", ""])
    def test_what_can_be_no_name_is_not_found(self, attempts: Attempts, jobs: Jobs, said: str) -> None:
        jobs.add([a_job()])
        assert (jobs.search(queues=[said]), attempts.attempts_of(said)) == ([], [])
        for ask in (jobs.find, lambda it: jobs.change(it, lost), lambda it: jobs.remove(it, allow=lost, at=NOON)):
            with pytest.raises(JobNotFound):
                ask(said)

    def test_adding_nothing_is_nothing(self, jobs: Jobs) -> None:
        jobs.add([])
        assert jobs.search() == []

    def test_every_id_that_is_taken_or_given_twice_is_named_and_nothing_stored(self, jobs: Jobs) -> None:
        jobs.add([a_job("old-1"), a_job("old-2")])
        with pytest.raises(DuplicateJob) as refused:
            jobs.add([a_job(job_id) for job_id in ("new-1", "old-2", "twice", "old-1", "twice", "new-2")])
        assert (refused.value.taken, refused.value.repeated) == (("old-2", "old-1"), ("twice",))
        assert sorted(ids(jobs.search())) == ["old-1", "old-2"]

    def test_an_id_that_is_only_given_twice_is_not_taken(self, jobs: Jobs) -> None:
        with pytest.raises(DuplicateJob) as refused:
            jobs.add([a_job("twice"), a_job("once"), a_job("twice")])
        assert (refused.value.taken, refused.value.repeated) == ((), ("twice",))
        assert jobs.search() == []

    def test_a_large_batch_is_stored_whole_and_in_order(self, jobs: Jobs) -> None:
        jobs.add(job for job in some_jobs(12_000))
        assert ids(jobs.search()) == ids(some_jobs(12_000))[::-1]

    @pytest.mark.parametrize("job", ODD_JOBS, ids=str)
    def test_every_field_survives_a_round_trip(self, jobs: Jobs, job: Job) -> None:
        jobs.add([job])
        assert jobs.find(job.id) == job

    def test_every_field_of_a_batch_does(self, jobs: Jobs) -> None:
        alike, odd = [a_job()] * 50, ODD_JOBS * 2
        batch = [renamed(job, f"job-{number}") for number, job in enumerate(alike + odd + alike)]
        jobs.add(batch)
        assert [jobs.find(job.id)._replace(waits_for=None) for job in batch] == batch  # of a key, one is exposed

    def test_variables_keep_their_order_beside_others_of_another(self, jobs: Jobs) -> None:
        one, other = a_job("one", env={"A": "1", "B": "2"}), a_job("other", env={"B": "2", "A": "1"})
        jobs.add([one, other])
        assert [list(jobs.find(job.id).env) for job in (one, other)] == [["A", "B"], ["B", "A"]]

    def test_ids_that_differ_in_case_are_two(self, jobs: Jobs) -> None:
        jobs.add([a_job("job"), a_job("JOB")])
        assert jobs.find("JOB").id == "JOB"


class TestSearch:
    def test_the_newest_come_first(self, jobs: Jobs) -> None:
        jobs.add(some_jobs(2))
        jobs.add([a_job("last", priority=1)])
        assert ids(jobs.search()) == ["last", "job-001", "job-000"]
        assert ids(jobs.search(limit=2)) == ["last", "job-001"]
        assert jobs.search(limit=0) == []

    def test_states_and_queue_filter_together(self, jobs: Jobs) -> None:
        jobs.add([a_job_that_is(state, job_id=f"{queue}-{state}", queue=queue) for queue in "ab" for state in State])
        assert ids(jobs.search(states=[State.DEAD])) == ["b-dead", "a-dead"]
        assert ids(jobs.search(states={State.DEAD, State.FAILED}, queues=["a"])) == ["a-dead", "a-failed"]
        assert len(jobs.search(queues=["b"])) == len(State)
        assert jobs.search(queues=["c"]) == []
        assert ids(jobs.search(states=[State.DEAD], queues=["b", "c", "a"])) == ["b-dead", "a-dead"]

    def test_tags_find_the_jobs_that_have_any_of_them(self, jobs: Jobs) -> None:
        jobs.add([a_job("a", tags=("x", "ü:42")), a_job("b", tags=("y",), queue="mail"), a_job("c")])
        assert ids(jobs.search(tags=["ü:42"])) == ["a"]
        assert ids(jobs.search(tags=["x", "y", "z"])) == ["b", "a"]
        assert ids(jobs.search(tags=["x", "ü:42", "y"], queues=["mail"], limit=9)) == ["b"]
        assert jobs.search(tags=["X", "z", "a\0"]) == []

    def test_keys_find_the_jobs_that_have_them(self, jobs: Jobs) -> None:
        jobs.add([a_job("a", key="db", key_limit=1), a_job("b", key="ü", key_limit=2, tags=("x",)), a_job("c")])
        assert ids(jobs.search(keys=["db"])) == ["a"]
        assert ids(jobs.search(keys=["db", "ü", "other"])) == ["b", "a"]
        assert (jobs.search(keys=["db"], tags=["x"]), jobs.search(keys=["\udce9"])) == ([], [])

    def test_a_removed_job_leaves_no_tag_to_the_next_one(self, jobs: Jobs) -> None:
        jobs.add([a_job("a", tags=("x",)), a_job_that_is(State.DEAD, job_id="b", tags=("x",))])
        jobs.remove("a", allow=lambda job: job, at=NOON)
        jobs.remove_dead(limit=1, at=NOON)
        jobs.add([a_job("a"), a_job("b")])
        assert jobs.search(tags=["x"]) == []

    def test_those_that_ended_last_come_first_where_that_is_wanted(self, jobs: Jobs) -> None:
        ended_after = {"first": 1, "last": 3, "second": 2, "with-second": 2}
        dead = a_job_that_is(State.DEAD)
        jobs.add([renamed(dead, name)._replace(finished_at=NOON + n * SECOND) for name, n in ended_after.items()])
        by_end = ["last", "with-second", "second", "first"]
        assert ids(jobs.search(states=[State.DEAD], by_end=True)) == by_end
        assert ids(jobs.search(states=[State.DEAD], queues=[dead.queue], by_end=True, limit=2)) == by_end[:2]


queue_names = count()


class TestClaim:
    def test_a_claim_starts_the_next_attempt_under_the_lease(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work, at=NOON + SECOND)
        assert claimed == a_job().claimed(a_lease(), NOON + SECOND)
        assert jobs.find("job-1") == claimed

    def test_a_job_goes_to_a_worker_that_has_all_the_labels_that_it_needs(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job("both", needs=("gpu", "zone=eu")), a_job("one", needs=("gpu",)), a_job("none")])
        assert ids(claim(work, labels=("zone=eu",))) == ["none"]
        assert work.first_due(queues=(), labels=("zone=eu",)) == FirstDue(None, None)
        assert ids(claim(work, a_lease(2), labels=("fast", "gpu", "zone=us"))) == ["one"]
        assert work.first_due(queues=(), labels=("zone=eu", "gpu")) == FirstDue(NOON, None)
        assert ids(claim(work, a_lease(3), labels=("zone=eu", "gpu"))) == ["both"]

    def test_the_jobs_that_nobody_can_take_hold_up_no_others(self, work: Work, jobs: Jobs) -> None:
        jobs.add([*some_jobs(300, needs=("host=down",), priority=10), a_job("other", priority=1)])
        assert ids(claim(work, labels=("host=up",), limit=1)) == ["other"]

    def test_a_batch_may_need_many_labels_that_nobody_has_needed_before(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job(f"job-{number:03}", needs=(f"rack={number}",)) for number in range(100)])
        assert ids(claim(work, labels=("rack=7", "rack=99"))) == ["job-007", "job-099"]

    def test_a_claim_opens_the_attempts_row(self, work: Work, attempts: Attempts, jobs: Jobs) -> None:
        jobs.add([a_job()])
        claim(work, at=NOON + SECOND)
        assert attempts.attempts_of("job-1") == [
            Attempt(job_id="job-1", number=1, lease=a_lease(), host="host-1", started_at=NOON + SECOND)
        ]

    def test_a_failed_job_is_claimed_again_when_its_backoff_is_over(
        self, work: Work, attempts: Attempts, jobs: Jobs
    ) -> None:
        jobs.add([a_job()])
        settle(work, *claim(work), a_failure(7), at=NOON)
        assert claim(work, a_lease(2), at=NOON + 2 * SECOND - timedelta(microseconds=1)) == []
        [again] = claim(work, a_lease(2), at=NOON + 2 * SECOND)
        assert (again.attempts, again.failures, again.exit_code, again.lease) == (2, 1, 7, a_lease(2))
        assert [attempt.number for attempt in attempts.attempts_of("job-1")] == [1, 2]

    @pytest.mark.parametrize("state", [state for state in State if state not in (State.PENDING, State.FAILED)])
    def test_a_job_that_does_not_wait_is_not_claimed(self, work: Work, jobs: Jobs, state: State) -> None:
        jobs.add([a_job_that_is(state)])
        assert claim(work) == []

    def test_no_job_is_claimed_before_it_is_due(self, work: Work, jobs: Jobs) -> None:
        later = NOON + timedelta(microseconds=1)
        jobs.add([a_job("later", run_at=later, priority=10), a_job("now", priority=1)])
        assert ids(claim(work)) == ["now"]
        assert ids(claim(work, at=later)) == ["later"]

    def test_only_the_asked_queues_are_served_in_one_common_order(self, work: Work, jobs: Jobs) -> None:
        jobs.add(
            [a_job(f"{queue}{priority}", queue=queue, priority=priority) for queue in "abc" for priority in (1, 9)]
        )
        assert ids(claim(work, queues=("c", "a"))) == ["a9", "c9", "a1", "c1"]
        assert claim(work, queues=("d",)) == []
        assert ids(claim(work)) == ["b9", "b1"]

    def test_a_claim_takes_no_more_than_its_limit(self, work: Work, jobs: Jobs) -> None:
        jobs.add(some_jobs(5))
        assert ids(claim(work, limit=2)) == ["job-000", "job-001"]
        assert ids(claim(work, limit=2, queues=("default", "other"))) == ["job-002", "job-003"]

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        waiting=st.lists(st.tuples(st.integers(1, 10), st.integers(-3, 2), st.booleans()), max_size=25),
        limit=st.integers(1, 30),
    )
    def test_the_order_is_priority_then_due_time_then_arrival(
        self, store: QueueStore, waiting: list[tuple[int, int, bool]], limit: int
    ) -> None:
        lanes = (f"q{next(queue_names)}", f"q{next(queue_names)}")  # new ones: the examples share one database
        arrived = [
            a_job(f"{lanes[0]}-{number}", queue=lanes[lane], priority=priority, run_at=NOON + offset * SECOND)
            for number, (priority, offset, lane) in enumerate(waiting)
        ]
        store.jobs.add(arrived)
        due = sorted((job for job in arrived if job.run_at <= NOON), key=lambda job: (-job.priority, job.run_at))
        assert ids(claim(store.work, queues=lanes, limit=limit)) == ids(due)[:limit]

    def test_racing_threads_claim_each_job_once(self, store: QueueStore) -> None:
        store.jobs.add(some_jobs(200))
        barrier = threading.Barrier(8)

        def race(number: int) -> list[str]:
            barrier.wait()
            return claim_all(store.work, number)

        with ThreadPoolExecutor(8) as pool:
            claimed = [job_id for taken in pool.map(race, range(8)) for job_id in taken]
        assert sorted(claimed) == ids(some_jobs(200))
        assert all(job.attempts == 1 for job in store.jobs.search())

    def test_racing_processes_claim_each_job_once(self, store: QueueStore, tmp_path: Path) -> None:
        if store.url is None:
            pytest.skip("no other process can reach it")
        store.jobs.add(some_jobs(200))
        context = get_context("spawn")
        with ProcessPoolExecutor(2, context, initializer=meet_at, initargs=(context.Barrier(2),)) as pool:
            taken = pool.map(claim_all_at, [store.url] * 2, [tmp_path] * 2, range(2))
            claimed = [job_id for job_ids in taken for job_id in job_ids]
        assert sorted(claimed) == ids(some_jobs(200))

    def test_an_unknown_worker_claims_nothing(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        assert claim(work, a_lease(worker="nobody")) == []
        assert jobs.find("job-1").state is State.PENDING

    def test_a_worker_whose_lease_has_run_out_claims_nothing(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        assert claim(work, at=NOON + HOUR) == []
        assert claim(work, at=NOON + HOUR - timedelta(microseconds=1)) != []

    def test_however_many_are_asked_for_they_are_claimed_in_order(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job(f"job-{number:03}", priority=1 + number % 10) for number in range(200)])
        runs = work.claim(Claim(a_lease(), queues=(), limit=150, at=NOON))
        in_order = sorted(range(200), key=lambda number: (-(number % 10), number))
        assert [run.job.id for run in runs] == [f"job-{number:03}" for number in in_order[:150]]
        assert len(work.claim(Claim(a_lease(2), queues=(), limit=150, at=NOON))) == 50

    def test_a_worker_that_was_given_up_claims_nothing(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        work.rescue("w-1", lost, at=NOON, proved_dead=True)
        assert claim(work) == []

    def test_a_worker_that_stops_or_has_stopped_claims_nothing(
        self, work: Work, jobs: Jobs, workers: WorkerRegistry
    ) -> None:
        jobs.add([a_job()])
        workers.renew("w-1", state=WorkerState.STOPPING, at=NOON, until=NOON + HOUR)
        assert claim(work) == []
        workers.retire("w-1", at=NOON)
        assert claim(work) == []


class TestClaimOfSuspects:
    """A suspect in these tests has no row of its first attempt, which no claim asks for."""

    def test_they_are_left_out_where_they_must_not_run_beside_others(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_suspect("suspect", priority=9), *some_jobs(2)])
        assert ids(claim(work, suspects=False)) == ["job-000", "job-001"]
        assert jobs.find("suspect").state is State.PENDING

    def test_they_alone_are_taken_in_claim_order(self, work: Work, attempts: Attempts, jobs: Jobs) -> None:
        jobs.add([a_suspect("low", priority=1), a_suspect("late", run_at=NOON - SECOND), a_job("other", priority=10)])
        jobs.add([a_suspect("early", run_at=NOON - MINUTE), a_suspect("high", priority=9), a_suspect("next")])
        jobs.add([a_suspect("not due", run_at=NOON + SECOND, priority=10)])
        assert ids(claim(work, limit=1, suspects=True)) == ["high"]
        assert ids(claim(work, suspects=True)) == ["early", "late", "next", "low"]
        assert claim(work, suspects=True) == []
        assert [run.outcome for run in attempts.attempts_of("high")] == [None]

    def test_where_each_runs_by_itself_they_come_in_one_order_with_the_others(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job("first", priority=9), a_suspect("second", priority=8), a_job("third", priority=7)])
        assert ids(claim(work)) == ["first", "second", "third"]

    def test_they_are_claimed_from_the_asked_queues(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_suspect(queue, queue=queue) for queue in "abc"])
        assert ids(claim(work, queues=("b",), suspects=True)) == ["b"]
        assert ids(claim(work, queues=("c", "a"), suspects=True)) == ["a", "c"]

    def test_an_end_of_its_own_clears_a_job(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_suspect("job-1")])
        [claimed] = claim(work, suspects=True)
        settle(work, claimed, a_failure())
        assert not jobs.find("job-1").suspect
        assert ids(claim(work, a_lease(2), at=NOON + MINUTE, suspects=False)) == ["job-1"]


class TestHeldBy:
    def test_a_worker_holds_what_it_claimed_until_it_is_settled(
        self, work: Work, jobs: Jobs, workers: WorkerRegistry
    ) -> None:
        workers.register(a_worker("w-2"))
        jobs.add(some_jobs(4))
        first, second = claim(work, a_lease(1), limit=2)
        [third] = claim(work, a_lease(2), limit=1)
        claim(work, a_lease(3, worker="w-2"), limit=1)
        settle(work, second, a_result())
        assert work.held_by("w-1") == [first, third]
        assert work.held_by("nobody") == []


class TestFirstDue:
    def test_it_is_the_earliest_moment_of_a_waiting_job_past_or_to_come(self, work: Work, jobs: Jobs) -> None:
        assert work.first_due(queues=()) == FirstDue(job=None, suspect=None)
        jobs.add([a_job("later", run_at=NOON + 2 * HOUR), a_job("next", run_at=NOON + HOUR, priority=1)])
        assert work.first_due(queues=()).job == NOON + HOUR
        jobs.add([a_job("due", run_at=NOON - HOUR)])
        assert work.first_due(queues=()).job == NOON - HOUR

    def test_it_sees_only_the_asked_queues(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job(queue, queue=queue, run_at=NOON + n * HOUR) for n, queue in enumerate("abc", start=1)])
        assert work.first_due(queues=("c", "b")).job == NOON + 2 * HOUR

    def test_a_failed_job_waits_too_and_an_ended_one_does_not(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job_that_is(State.CANCELLED, run_at=NOON + SECOND), a_job("job-2")])
        settle(work, *claim(work), a_failure(), at=NOON)
        assert work.first_due(queues=()).job == NOON + 2 * SECOND

    def test_that_of_suspects_comes_apart(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job("other", run_at=NOON + HOUR), *(a_suspect(queue, queue=queue) for queue in "ab")])
        claim(work, queues=("a",), suspects=True)
        later = a_suspect("later", queue="b", run_at=NOON + MINUTE)
        jobs.add([later])
        assert work.first_due(queues=()) == FirstDue(job=NOON + HOUR, suspect=NOON)
        assert work.first_due(queues=("b", "c")) == FirstDue(job=None, suspect=NOON)
        assert work.first_due(queues=("a",)) == FirstDue(job=None, suspect=None)


class TestSettle:
    @pytest.mark.parametrize("outcome", Outcome)
    def test_an_outcome_is_recorded_on_the_job_and_its_attempt(
        self, work: Work, attempts: Attempts, jobs: Jobs, outcome: Outcome
    ) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work)
        result = RunResult(
            outcome=outcome,
            exit_code=None if outcome is not Outcome.SUCCEEDED else 0,
            signal=9,
            error=ODD_TEXT,
            output=Output(content=bytes(range(256)), truncated=True),
        )
        assert settle(work, claimed, result, at=NOON + MINUTE) is Settlement.RECORDED
        assert jobs.find("job-1") == claimed.settled(result, NOON + MINUTE, a_policy(), 0)
        assert attempts.attempts_of("job-1") == [
            Attempt(
                job_id="job-1",
                number=1,
                lease=a_lease(),
                host="host-1",
                started_at=NOON,
                finished_at=NOON + MINUTE,
                outcome=outcome,
                exit_code=result.exit_code,
                signal=9,
                error=ODD_TEXT,
                output=result.output,
            )
        ]

    @pytest.mark.parametrize("size", [256, 256 * 4096], ids=["small", "large"])
    def test_many_outcomes_at_once_are_recorded_as_each_alone(
        self, work: Work, attempts: Attempts, jobs: Jobs, size: int
    ) -> None:
        output = Output(content=bytes(range(256)) * (size // 256))
        results = [RunResult(outcome=it, exit_code=-1, signal=9, error=ODD_TEXT, output=output) for it in Outcome]
        results += [RunResult(outcome=Outcome.SUCCEEDED, output=Output(truncated=True))]
        jobs.add(some_jobs(len(results)))
        ends = [an_end(job, result) for job, result in zip(claim(work), results, strict=True)]
        settled = work.settle(ends, decide)
        assert settled == [Settled(Settlement.RECORDED, jobs.find(end.job_id)) for end in ends]
        stored = [attempt for end in ends for attempt in attempts.attempts_of(end.job_id)]
        assert [(it.outcome, it.exit_code, it.signal, it.error, it.output) for it in stored] == [
            (it.outcome, it.exit_code, it.signal, it.error, it.output) for it in results
        ]

    def test_a_resend_is_recorded_and_changes_nothing(self, work: Work, attempts: Attempts, jobs: Jobs) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work)
        settle(work, claimed, a_failure())
        [again] = claim(work, a_lease(2), at=NOON + MINUTE)
        before = attempts.attempts_of("job-1")
        assert settle(work, claimed, a_failure()) is Settlement.RECORDED
        assert (jobs.find("job-1"), attempts.attempts_of("job-1")) == (again, before)

    @pytest.mark.parametrize("outcome", Outcome)
    def test_a_late_result_stands_on_its_attempt_and_changes_nothing_else(
        self, work: Work, attempts: Attempts, jobs: Jobs, workers: WorkerRegistry, outcome: Outcome
    ) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work)
        rescue(work)
        workers.register(a_worker("w-2", lease_expires_at=NOON + 9 * HOUR))
        [again] = claim(work, a_lease(2, worker="w-2"), at=NOON + 3 * HOUR)
        rescued, running = attempts.attempts_of("job-1")

        late = a_result(outcome, output=b"written late")
        assert settle(work, claimed, late, at=NOON + 4 * HOUR) is Settlement.LATE
        assert jobs.find("job-1") == again
        assert attempts.attempts_of("job-1") == [rescued._replace(late=outcome, output=late.output), running]

    def test_a_late_result_does_not_overwrite_output(self, work: Work, attempts: Attempts, jobs: Jobs) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work)
        settle(work, claimed, a_failure(output=b"first"))
        assert settle(work, claimed, a_result(output=b"second"), at=NOON + MINUTE) is Settlement.LATE
        [attempt] = attempts.attempts_of("job-1")
        assert (attempt.outcome, attempt.late, attempt.output.content) == (Outcome.FAILED, Outcome.SUCCEEDED, b"first")

    def test_a_late_result_sent_again_is_late_again(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work)
        rescue(work)
        assert [settle(work, claimed, a_result()) for _ in range(2)] == [Settlement.LATE] * 2

    def test_a_lost_lease_cannot_complete_the_job(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work)
        assert settle(work, claimed, a_result(), lease=a_lease(2)) is not Settlement.RECORDED
        assert jobs.find("job-1") == claimed

    def test_the_result_of_a_removed_job_is_gone(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work)
        jobs.remove("job-1", allow=lambda job: job, at=NOON)
        assert settle(work, claimed, a_result()) is Settlement.GONE

    def test_the_result_of_a_removed_job_does_not_touch_a_new_one_of_its_name(
        self, work: Work, attempts: Attempts, jobs: Jobs
    ) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work)
        jobs.remove("job-1", allow=lambda job: job, at=NOON)
        jobs.add([a_job()])
        [new] = claim(work, a_lease(2))
        assert settle(work, claimed, a_result()) is Settlement.GONE
        assert jobs.find("job-1") == new
        assert attempts.attempts_of("job-1")[0].outcome is None


class TestSettleAndClaim:
    def test_what_has_ended_is_recorded_and_the_next_ones_are_claimed(
        self, work: Work, attempts: Attempts, jobs: Jobs
    ) -> None:
        jobs.add(some_jobs(4))
        first, second = claim(work, limit=2)
        ended = [an_end(first, a_result(output=b"done")), an_end(second, a_failure(7))]
        settlements, runs = work.settle_and_claim(
            ended, decide, Claim(a_lease(2), queues=(), limit=2, at=NOON + SECOND)
        )
        assert [it.settlement for it in settlements] == [Settlement.RECORDED] * 2
        assert [jobs.find(job.id) for job in (first, second)] == [it.job for it in settlements]
        assert [attempts.attempts_of(job.id)[0].outcome for job in (first, second)] == [
            Outcome.SUCCEEDED,
            Outcome.FAILED,
        ]
        assert [run.lease for run in runs] == [a_lease(2)] * 2
        assert {run.job.id for run in runs} == {job.id for job in some_jobs(4)} - {first.id, second.id}

    def test_a_job_that_is_given_back_may_be_claimed_at_once(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work)
        ended = [an_end(claimed, RunResult(outcome=Outcome.RELEASED))]
        settlements, [run] = work.settle_and_claim(
            ended, decide, Claim(a_lease(2), queues=(), limit=1, at=NOON + SECOND)
        )
        assert [it.settlement for it in settlements] == [Settlement.RECORDED]
        assert (run.job.attempts, run.job.lease) == (2, a_lease(2))

    def test_each_result_has_its_own_answer(self, work: Work, jobs: Jobs, workers: WorkerRegistry) -> None:
        jobs.add(some_jobs(3))
        kept, taken_away, removed = claim(work, limit=3)
        workers.register(a_worker("w-2", lease_expires_at=NOON + 4 * HOUR))
        ended = [an_end(job, a_result()) for job in (kept, taken_away, removed)]
        work.settle(ended[:1], decide)
        rescue(work)
        jobs.remove(removed.id, allow=lambda job: job, at=NOON)
        lease = a_lease(2, worker="w-2")
        settlements, runs = work.settle_and_claim(ended, decide, Claim(lease, queues=(), limit=5, at=NOON + 3 * HOUR))
        assert [it.settlement for it in settlements] == [Settlement.RECORDED, Settlement.LATE, Settlement.GONE]
        assert [run.job.id for run in runs] == [taken_away.id]

    def test_two_attempts_of_one_job_have_an_answer_each(
        self, work: Work, attempts: Attempts, jobs: Jobs, workers: WorkerRegistry
    ) -> None:
        jobs.add([a_job()])
        [first] = claim(work)
        rescue(work)
        workers.register(a_worker("w-2", lease_expires_at=NOON + 4 * HOUR))
        [second] = claim(work, a_lease(2, worker="w-2"), at=NOON + 3 * HOUR)
        ended = [an_end(first, a_failure(7)), an_end(second, a_result(), lease=second.lease)]
        lease = a_lease(3, worker="w-2")
        settlements, _ = work.settle_and_claim(ended, decide, Claim(lease, queues=(), limit=1, at=NOON + 3 * HOUR))
        assert [it.settlement for it in settlements] == [Settlement.LATE, Settlement.RECORDED]
        assert [attempt.late for attempt in attempts.attempts_of("job-1")] == [Outcome.FAILED, None]
        assert jobs.find("job-1").state is State.COMPLETED

    def test_with_nothing_to_settle_it_is_a_claim(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        settlements, [run] = work.settle_and_claim((), decide, Claim(a_lease(), queues=(), limit=1, at=NOON))
        assert (list(settlements), run.job.id) == ([], "job-1")


class TestCancel:
    def test_a_request_is_heard_by_the_worker_that_runs_the_job_and_by_no_other(
        self, work: Work, jobs: Jobs, workers: WorkerRegistry
    ) -> None:
        workers.register(a_worker("w-2"))
        jobs.add(some_jobs(4))
        claim(work, limit=2)
        claim(work, a_lease(2), limit=1)
        claim(work, a_lease(3, worker="w-2"), limit=1)
        all_ids = ids(jobs.search())
        assert work.cancel_requests("w-1", all_ids) == []
        asked = [jobs.change(f"job-{number:03}", ask_to_cancel) for number in (1, 2, 3)]
        assert sorted(work.cancel_requests("w-1", all_ids), key=lambda job: job.id) == asked[:2]
        assert work.cancel_requests("w-1", [asked[1].id, "none"]) == [asked[1]]
        assert work.cancel_requests("w-2", all_ids) == asked[2:]
        assert work.cancel_requests("w-1", []) == []

    def test_a_request_is_heard_no_more_when_the_attempt_has_ended(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work)
        jobs.change("job-1", ask_to_cancel)
        settle(work, claimed, a_result(Outcome.CANCELLED))
        assert work.cancel_requests("w-1", ["job-1"]) == []

    @pytest.mark.parametrize("outcome", Outcome)
    def test_a_request_that_the_worker_has_not_heard_of_is_heeded_when_it_settles(
        self, work: Work, attempts: Attempts, jobs: Jobs, outcome: Outcome
    ) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work)
        asked = jobs.change("job-1", ask_to_cancel)
        result = a_result(outcome, error=f"{outcome}", output=b"out")
        [settled] = work.settle([an_end(claimed, result, at=NOON + MINUTE)], decide)
        assert settled == (Settlement.RECORDED, jobs.find("job-1"))
        assert jobs.find("job-1") == asked.settled(result, NOON + MINUTE, a_policy(), 0)
        [attempt] = attempts.attempts_of("job-1")
        assert (attempt.outcome, attempt.error, attempt.output.content) == (outcome, f"{outcome}", b"out")
        assert claim(work, a_lease(2), at=NOON + HOUR) == []

    def test_a_rescued_job_whose_cancel_was_asked_for_is_cancelled(
        self, work: Work, attempts: Attempts, jobs: Jobs
    ) -> None:
        jobs.add([a_job()])
        claim(work)
        jobs.change("job-1", ask_to_cancel)
        [rescued] = rescue(work)
        assert (rescued.state, rescued.cancel_requested_by) == (State.CANCELLED, ANN)
        assert jobs.find("job-1") == rescued
        assert [attempt.outcome for attempt in attempts.attempts_of("job-1")] == [Outcome.LOST]

    def test_a_retry_takes_the_request_back(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        [claimed] = claim(work)
        jobs.change("job-1", ask_to_cancel)
        settle(work, claimed, a_result(Outcome.CANCELLED))
        jobs.change("job-1", lambda job: job.retried(NOON + MINUTE))
        [again] = claim(work, a_lease(2), at=NOON + MINUTE)
        assert (again.cancel_requested_at, again.cancel_requested_by) == (None, None)
        assert settle(work, again, a_failure(), lease=a_lease(2)) is Settlement.RECORDED
        assert jobs.find("job-1").state is State.FAILED


class TestOutputs:
    def test_they_are_exact_bytes_of_the_last_attempt_that_has_ended(
        self, work: Work, attempts: Attempts, jobs: Jobs
    ) -> None:
        jobs.add([a_job("job-1"), a_job("job-2"), a_job("job-3", run_at=NOON + HOUR)])
        for job in claim(work, limit=2):
            settle(work, job, a_failure(output=b"old"))
        for job, output in zip(claim(work, a_lease(2), limit=2, at=NOON + MINUTE), (b"\0\xff\r\n", b""), strict=True):
            settle(work, job, a_failure(output=output), lease=a_lease(2), at=NOON + 2 * MINUTE)
        assert attempts.outputs_of(["job-1", "job-2", "job-3", "unknown"]) == {"job-1": b"\0\xff\r\n", "job-2": b""}

    def test_those_before_a_running_attempt_are_still_there(self, work: Work, attempts: Attempts, jobs: Jobs) -> None:
        jobs.add([a_job()])
        settle(work, *claim(work), a_failure(output=b"old"))
        claim(work, a_lease(2), at=NOON + MINUTE)
        assert attempts.outputs_of(["job-1"]) == {"job-1": b"old"}

    def test_of_no_jobs_there_are_none(self, attempts: Attempts, jobs: Jobs) -> None:
        assert attempts.outputs_of([]) == {}

    def test_of_very_many_jobs_they_are_given_all_the_same(self, work: Work, attempts: Attempts, jobs: Jobs) -> None:
        jobs.add([a_job()])
        settle(work, *claim(work), a_result(output=b"x"))
        assert attempts.outputs_of([f"no-{number}" for number in range(33_000)] + ["job-1"]) == {"job-1": b"x"}


class TestChange:
    def test_a_decision_is_stored_and_returned(self, jobs: Jobs) -> None:
        jobs.add([a_job()])
        changed = jobs.change("job-1", lambda job: job.cancelled(NOON + SECOND, ANN))
        assert changed == jobs.find("job-1") == a_job().cancelled(NOON + SECOND, ANN)

    def test_a_refused_decision_changes_nothing(self, jobs: Jobs) -> None:
        jobs.add([a_job()])
        with pytest.raises(WrongState):
            jobs.change("job-1", refuse)
        assert jobs.find("job-1") == a_job()

    def test_an_unknown_job_cannot_be_changed(self, jobs: Jobs) -> None:
        with pytest.raises(JobNotFound):
            jobs.change("job-1", lambda job: job)

    def test_some_are_changed_the_oldest_first_until_none_is_left(self, jobs: Jobs) -> None:
        jobs.add([a_job("waits"), *(a_job_that_is(State.DEAD, job_id=f"dead-{number}") for number in range(3))])

        def retry_two() -> list[str]:
            at = NOON + HOUR
            return ids(jobs.change_dead(lambda job: job.retried(at), until=at, limit=2))

        assert [retry_two(), retry_two(), retry_two()] == [["dead-0", "dead-1"], ["dead-2"], []]
        assert {job.state for job in jobs.search()} == {State.PENDING}

    def test_jobs_that_changed_since_are_not_changed_again(self, jobs: Jobs) -> None:
        jobs.add([a_job_that_is(State.DEAD, job_id="dies-now")])
        died_at = jobs.find("dies-now").updated_at
        assert jobs.change_dead(refuse, until=died_at - SECOND, limit=9) == []
        assert ids(jobs.change_dead(lambda job: job.retried(NOON), until=died_at, limit=9)) == ["dies-now"]

    def test_some_are_changed_all_or_none(self, jobs: Jobs) -> None:
        jobs.add([a_job_that_is(State.DEAD, job_id=f"job-{number:03}") for number in range(2)])
        with pytest.raises(WrongState):
            jobs.change_dead(
                lambda job: refuse(job) if job.id == "job-001" else job.retried(NOON), until=NOON + HOUR, limit=9
            )
        assert jobs.search(states=[State.PENDING]) == []

    def test_a_retry_keeps_the_history(self, work: Work, attempts: Attempts, jobs: Jobs) -> None:
        jobs.add([a_job(max_retries=0)])
        settle(work, *claim(work), a_failure())
        retried = jobs.change("job-1", lambda job: job.retried(NOON + MINUTE))
        assert (retried.failures, retried.attempts) == (0, 1)
        [again] = claim(work, a_lease(2), at=NOON + MINUTE)
        assert again.attempts == 2
        assert [attempt.outcome for attempt in attempts.attempts_of("job-1")] == [Outcome.FAILED, None]


class TestRemove:
    def test_a_job_goes_with_its_history(self, work: Work, attempts: Attempts, jobs: Jobs) -> None:
        jobs.add([a_job(), a_job("other")])
        settle(work, *claim(work, limit=1), a_result(output=b"x"))
        jobs.remove("job-1", allow=lambda job: job, at=NOON)
        assert ids(jobs.search()) == ["other"]
        assert attempts.attempts_of("job-1") == []
        assert attempts.outputs_of(["job-1"]) == {}

    def test_a_refused_job_stays(self, jobs: Jobs) -> None:
        jobs.add([a_job()])
        with pytest.raises(WrongState):
            jobs.remove("job-1", allow=refuse, at=NOON)
        assert jobs.find("job-1") == a_job()

    def test_an_unknown_job_cannot_be_removed(self, jobs: Jobs) -> None:
        with pytest.raises(JobNotFound):
            jobs.remove("job-1", allow=lambda job: job, at=NOON)

    def test_some_are_removed_until_none_is_left(self, jobs: Jobs) -> None:
        jobs.add([a_job("waits"), *(a_job_that_is(State.DEAD, job_id=f"dead-{number}") for number in range(3))])
        assert [jobs.remove_dead(limit=2, at=NOON).ids for _ in range(3)] == [["dead-0", "dead-1"], ["dead-2"], []]
        assert ids(jobs.search()) == ["waits"]


class TestRescue:
    def test_the_jobs_of_an_expired_worker_are_taken_back(self, work: Work, attempts: Attempts, jobs: Jobs) -> None:
        jobs.add(some_jobs(3))
        claimed = claim(work, limit=2)
        rescued = work.rescue("w-1", lost, at=NOON + HOUR, proved_dead=False)
        assert sorted(ids(rescued)) == ["job-000", "job-001"]
        assert [jobs.find(job.id) for job in claimed] == [lost(job, False) for job in claimed]
        [attempt] = attempts.attempts_of("job-000")
        assert (attempt.outcome, attempt.error, attempt.finished_at, attempt.output) == (
            Outcome.LOST,
            "w-1 died",
            NOON + 2 * HOUR,
            Output(),
        )

    def test_a_worker_that_renewed_in_time_keeps_its_jobs(
        self, work: Work, jobs: Jobs, workers: WorkerRegistry
    ) -> None:
        jobs.add([a_job()])
        claimed = claim(work)
        workers.renew("w-1", state=WorkerState.RUNNING, at=NOON + MINUTE, until=NOON + 3 * HOUR)
        assert rescue(work) == []
        assert jobs.search() == claimed

    def test_a_worker_that_was_silent_is_rescued_unless_it_has_renewed_meanwhile(
        self, work: Work, jobs: Jobs, workers: WorkerRegistry
    ) -> None:
        jobs.add([a_job()])
        claim(work)
        [worker] = workers.live()
        silent = {"at": NOON, "proved_dead": False, "silent_since": worker.renewed_at}
        workers.renew("w-1", state=WorkerState.RUNNING, at=NOON + SECOND, until=NOON + HOUR)
        assert work.rescue("w-1", lost, **silent) == []
        assert ids(work.rescue("w-1", lost, **silent | {"silent_since": NOON + SECOND})) == ["job-1"]

    def test_a_worker_proved_dead_is_rescued_at_once(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        claim(work)
        assert ids(work.rescue("w-1", lost, at=NOON, proved_dead=True)) == ["job-1"]

    def test_the_second_rescue_finds_nothing(self, work: Work, jobs: Jobs) -> None:
        jobs.add([a_job()])
        claim(work)
        assert [len(rescue(work)) for _ in range(2)] == [1, 0]
        assert jobs.find("job-1").losses == 1

    def test_only_a_job_that_its_worker_held_alone_is_told_to_be_lost_alone(
        self, work: Work, jobs: Jobs, workers: WorkerRegistry
    ) -> None:
        jobs.add(some_jobs(3))
        ended, _ = claim(work, limit=2)
        settle(work, ended, a_result())
        workers.register(a_worker("w-2"))
        claim(work, a_lease(2, worker="w-2"))
        [alone] = rescue(work)
        assert (alone.losses, alone.suspect) == (1, True)
        jobs.add([a_job("job-003")])
        workers.register(a_worker("w-3"))
        claim(work, a_lease(3, worker="w-3"), limit=1)
        claim(work, a_lease(4, worker="w-3"))
        assert {(job.id, job.losses, job.suspect) for job in rescue(work, "w-3")} == {
            ("job-001", 2, True),  # a suspect: it ran apart, whatever else its worker held
            ("job-003", 0, True),
        }

    def test_what_its_worker_gave_back_itself_when_it_lost_its_lease_was_lost_with_it(
        self, work: Work, jobs: Jobs
    ) -> None:
        jobs.add(some_jobs(2))
        first, _ = claim(work)
        settle(work, first, a_loss(), at=NOON + HOUR)
        [second] = rescue(work)
        assert (second.losses, second.suspect) == (0, True)

    def test_the_jobs_of_others_are_left_alone(self, work: Work, jobs: Jobs, workers: WorkerRegistry) -> None:
        workers.register(a_worker("w-2"))
        jobs.add(some_jobs(2))
        claim(work, limit=1)
        [other] = claim(work, a_lease(2, worker="w-2"))
        rescue(work)
        assert jobs.find(other.id) == other

    def test_a_rescued_worker_cannot_renew(self, work: Work, jobs: Jobs, workers: WorkerRegistry) -> None:
        rescue(work)
        assert not workers.renew("w-1", state=WorkerState.RUNNING, at=NOON, until=NOON + 9 * HOUR)
        assert workers.live() == []

    def test_a_worker_that_is_unknown_or_has_stopped_is_not_rescued(
        self, work: Work, jobs: Jobs, workers: WorkerRegistry
    ) -> None:
        workers.retire("w-1", at=NOON)
        assert [list(rescue(work, worker)) for worker in ("w-1", "nobody")] == [[], []]

    def test_a_job_that_was_lost_too_often_is_dead_with_that_reason_on_the_attempt(
        self, work: Work, attempts: Attempts, jobs: Jobs
    ) -> None:
        jobs.add([a_job()])
        claim(work)
        policy = a_policy(max_losses="1")
        [dead] = work.rescue(
            "w-1",
            lambda job, alone: job.settled(a_loss("w-1 died"), NOON, policy, 0, alone=alone),
            at=NOON,
            proved_dead=True,
        )
        assert jobs.find("job-1").state is State.DEAD
        assert attempts.attempts_of("job-1")[0].error == dead.last_error
        assert "max-losses" in (dead.last_error or "")

    def test_a_rescue_whose_decision_fails_changes_nothing(
        self, work: Work, jobs: Jobs, workers: WorkerRegistry
    ) -> None:
        jobs.add([a_job()])
        claimed = claim(work)
        with pytest.raises(WrongState):
            work.rescue("w-1", lambda job, _alone: refuse(job), at=NOON, proved_dead=True)
        assert jobs.search() == claimed
        assert [worker.id for worker in workers.live()] == ["w-1"]
