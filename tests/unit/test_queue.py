from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from queuectl.application.operate import retry
from queuectl.application.operate.cancel import cancel_job, ended_job, is_watched_by_others, silent_holder
from queuectl.application.operate.configure import policy_of, set_setting, stored_settings, unset_setting
from queuectl.application.operate.enqueue import enqueue_jobs
from queuectl.application.operate.explain import explain, first_reasons
from queuectl.application.operate.inspect import attempts_of, find_job, outputs_of, search_jobs, status_of, unmet
from queuectl.application.operate.metrics import metrics_of
from queuectl.application.operate.queue import Queue
from queuectl.application.operate.retry import (
    remove_all_dead,
    remove_dead_job,
    retry_all_dead,
    retry_dead_job,
    retry_job,
)
from queuectl.domain.attempt import Outcome
from queuectl.domain.errors import DuplicateJob, InvalidSetting, JobNotFound, WrongState
from queuectl.domain.job import TERMINAL, Job, JobRequest, State
from queuectl.domain.ports.work import Claim
from queuectl.domain.reasons import Code, Holder
from queuectl.domain.worker import WorkerState
from tests.builders import (
    ANN,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    a_job,
    a_job_that_is,
    a_lease,
    a_policy,
    a_process,
    a_result,
    a_worker,
    settled,
)
from tests.fakes import ManualClock
from tests.memory import (
    InMemoryAttempts,
    InMemoryBatches,
    InMemoryConfig,
    InMemoryDependencies,
    InMemoryJobs,
    InMemoryMeasurements,
    InMemoryQueues,
    InMemorySurroundings,
    InMemoryWork,
    InMemoryWorkers,
    Memory,
)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def queue(memory: Memory) -> Queue:
    ids = count(1)
    return Queue(
        jobs=InMemoryJobs(memory),
        attempts=InMemoryAttempts(memory),
        dependencies=InMemoryDependencies(memory),
        batches=InMemoryBatches(memory),
        workers=InMemoryWorkers(memory),
        config=InMemoryConfig(memory),
        queues=InMemoryQueues(memory),
        measurements=InMemoryMeasurements(memory),
        surroundings=InMemorySurroundings(memory),
        clock=ManualClock(NOON + HOUR),
        is_gone=lambda _process: False,
        new_job_ids=lambda count: [f"new-{next(ids)}" for _ in range(count)],
        operator=ANN,
    )


def test_requests_become_jobs_with_an_id_each(queue: Queue, memory: Memory) -> None:
    added = enqueue_jobs(queue, [JobRequest(command="a"), JobRequest(command="b", id="mine")], cwd="/here")
    jobs = [it.job for it in added]
    assert [(job.id, job.command, job.cwd, job.created_at) for job in jobs] == [
        ("new-1", "a", "/here", NOON + HOUR),
        ("mine", "b", "/here", NOON + HOUR),
    ]
    assert list(memory.jobs.values()) == jobs


def test_a_new_job_takes_the_policy_of_the_moment(queue: Queue) -> None:
    set_setting(queue, "max-retries", "7")
    set_setting(queue, "default-timeout", "90s")
    [(job, _)] = enqueue_jobs(queue, [JobRequest(command="a")], cwd="/")
    unset_setting(queue, "max-retries")
    assert (find_job(queue, job.id).max_retries, job.timeout) == (7, 90 * SECOND)


def test_one_taken_id_stores_nothing_of_the_batch(queue: Queue) -> None:
    enqueue_jobs(queue, [JobRequest(command="a", id="taken")], cwd="/")
    with pytest.raises(DuplicateJob, match="taken"):
        enqueue_jobs(queue, [JobRequest(command="b"), JobRequest(command="c", id="taken")], cwd="/")
    assert [job.id for job in search_jobs(queue)] == ["taken"]


def test_a_waiting_job_is_cancelled_now(queue: Queue, memory: Memory) -> None:
    memory.jobs["job-1"] = a_job()
    assert cancel_job(queue, "job-1") == memory.jobs["job-1"] == a_job().cancelled(NOON + HOUR, ANN)


@pytest.mark.parametrize("state", [state for state in State if state in TERMINAL])
def test_a_job_that_has_ended_is_not_cancelled(queue: Queue, memory: Memory, state: State) -> None:
    memory.jobs["job-1"] = a_job_that_is(state)
    with pytest.raises(WrongState, match=f"job-1 is {state}: only a job that waits or runs can be cancelled"):
        cancel_job(queue, "job-1")


class TestCancelOfAJobThatRuns:
    @pytest.fixture
    def asked(self, queue: Queue, memory: Memory) -> Job:
        memory.workers["w-1"] = a_worker(started_at=NOON + HOUR)
        memory.jobs["job-1"] = a_job_that_is(State.PROCESSING)
        return cancel_job(queue, "job-1")

    def test_it_is_asked_for_in_the_operators_name(self, asked: Job) -> None:
        assert (asked.state, asked.cancel_requested_at, asked.cancel_requested_by) == (
            State.PROCESSING,
            NOON + HOUR,
            ANN,
        )

    def test_it_has_ended_when_that_attempt_has(self, queue: Queue, memory: Memory, asked: Job) -> None:
        assert ended_job(queue, asked) is None
        memory.jobs["job-1"] = asked.settled(a_result(Outcome.CANCELLED), NOON + HOUR, a_policy(), 0)
        assert ended_job(queue, asked) == memory.jobs["job-1"]
        memory.jobs["job-1"] = memory.jobs["job-1"].retried(NOON + HOUR).claimed(a_lease(2), NOON + HOUR)
        assert ended_job(queue, asked) == memory.jobs["job-1"]

    def test_others_watch_over_it_while_any_of_them_has_a_lease(self, queue: Queue, memory: Memory, asked: Job) -> None:
        assert not is_watched_by_others(queue, asked)
        memory.workers["w-2"] = a_worker("w-2", lease_expires_at=NOON + HOUR)
        assert not is_watched_by_others(queue, asked)
        memory.workers["w-3"] = a_worker("w-3", lease_expires_at=NOON + HOUR + SECOND)
        assert is_watched_by_others(queue, asked)

    def test_its_worker_is_silent_when_half_of_its_lease_has_passed(
        self, queue: Queue, memory: Memory, asked: Job
    ) -> None:
        assert silent_holder(queue, asked) is None
        memory.workers["w-1"] = a_worker(
            started_at=NOON + HOUR - 15 * SECOND, lease_expires_at=NOON + HOUR + 15 * SECOND
        )
        assert silent_holder(queue, asked) == replace(memory.workers["w-1"], jobs=1)
        memory.workers.clear()
        assert silent_holder(queue, asked) is None


@pytest.mark.parametrize("state", [State.COMPLETED, State.DEAD, State.CANCELLED])
def test_any_job_that_has_ended_can_be_run_again(queue: Queue, memory: Memory, state: State) -> None:
    memory.jobs["job-1"] = a_job_that_is(state)
    retry_job(queue, "job-1")
    assert (memory.jobs["job-1"].state, memory.jobs["job-1"].run_at) == (State.PENDING, NOON + HOUR)


@pytest.mark.parametrize("state", [state for state in State if state is not State.DEAD])
def test_only_what_is_in_the_dead_letter_queue_is_retried_or_removed_there(
    queue: Queue, memory: Memory, state: State
) -> None:
    memory.jobs["job-1"] = a_job_that_is(state)
    for ask in (retry_dead_job, remove_dead_job):
        with pytest.raises(WrongState, match=f"job-1 is {state}, not in the dead letter queue"):
            ask(queue, "job-1")
    assert memory.jobs["job-1"].state is state


def test_a_dead_job_is_retried_or_removed(queue: Queue, memory: Memory) -> None:
    memory.jobs |= {job_id: a_job_that_is(State.DEAD, job_id=job_id) for job_id in ("again", "away")}
    memory.attempts.clear()
    assert retry_dead_job(queue, "again").state is State.PENDING
    remove_dead_job(queue, "away")
    assert list(memory.jobs) == ["again"]


def test_the_whole_dead_letter_queue_is_retried_in_batches(
    queue: Queue, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BATCH", 2)
    memory.jobs |= {str(number): a_job_that_is(State.DEAD, job_id=str(number)) for number in range(5)}
    assert [len(jobs) for jobs in retry_all_dead(queue)] == [2, 2, 1]
    assert {job.state for job in memory.jobs.values()} == {State.PENDING}


def test_the_whole_dead_letter_queue_is_removed_in_batches(
    queue: Queue, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BATCH", 2)
    memory.jobs |= {str(number): a_job_that_is(State.DEAD, job_id=str(number)) for number in range(3)}
    memory.jobs["alive"] = a_job("alive")
    assert [len(job_ids) for job_ids in remove_all_dead(queue)] == [2, 1]
    assert list(memory.jobs) == ["alive"]


@pytest.mark.parametrize("ask", [find_job, cancel_job, retry_job, retry_dead_job, remove_dead_job])
def test_an_unknown_job_is_not_found(queue: Queue, ask: Callable[[Queue, str], object]) -> None:
    with pytest.raises(JobNotFound, match="there is no job nope"):
        ask(queue, "nope")


def test_a_setting_is_stored_in_its_normal_form_and_can_be_unset(queue: Queue) -> None:
    assert set_setting(queue, "lease", " 60 ") == "1m"
    assert (stored_settings(queue), policy_of(queue).lease) == ({"": {"lease": "1m"}}, MINUTE)
    unset_setting(queue, "lease")
    assert (stored_settings(queue), policy_of(queue).lease) == ({}, 30 * SECOND)


def test_a_job_that_says_nothing_takes_what_its_queue_says_before_what_all_say(queue: Queue) -> None:
    set_setting(queue, "max-retries", "7")
    set_setting(queue, "max-retries", "9", "api")
    set_setting(queue, "default-timeout", "90s", "api")
    requests = [
        JobRequest(command="a", queue="api"),
        JobRequest(command="b"),
        JobRequest(command="c", queue="api", max_retries=1),
    ]
    jobs = [it.job for it in enqueue_jobs(queue, requests, cwd="/")]
    assert [(job.max_retries, job.timeout) for job in jobs] == [(9, 90 * SECOND), (7, None), (1, 90 * SECOND)]
    unset_setting(queue, "max-retries", "api")
    [added] = enqueue_jobs(queue, requests[:1], cwd="/")
    assert added.job.max_retries == 7


@pytest.mark.parametrize("key", ["lease", "kill-grace"])
def test_what_a_worker_has_once_is_refused_for_a_queue_with_the_reason(queue: Queue, key: str) -> None:
    for ask in (lambda: set_setting(queue, key, "1m", "api"), lambda: unset_setting(queue, key, "api")):
        with pytest.raises(InvalidSetting, match=f"{key} holds for all queues: a worker"):
            ask()
    assert stored_settings(queue) == {}


def test_a_bad_setting_is_not_stored(queue: Queue) -> None:
    with pytest.raises(InvalidSetting):
        set_setting(queue, "lease", "soon")
    for ask in (lambda: set_setting(queue, "max_retries", "3"), lambda: unset_setting(queue, "max_retries")):
        with pytest.raises(InvalidSetting, match="max_retries"):
            ask()
    assert stored_settings(queue) == {}


def test_the_status_has_the_moment_the_jobs_and_the_workers(queue: Queue, memory: Memory) -> None:
    memory.jobs["job-1"] = a_job()
    memory.workers["w-1"] = a_worker()
    status = status_of(queue)
    assert (status.at, status.jobs[State.PENDING], status.workers) == (NOON + HOUR, 1, [a_worker()])


def test_the_metrics_look_back_over_their_window(queue: Queue, memory: Memory) -> None:
    jobs, work = InMemoryJobs(memory), InMemoryWork(memory)
    memory.workers["w-1"] = a_worker()
    jobs.add([a_job("early"), a_job("late")])
    for run, ran in zip(work.claim(Claim(a_lease(), queues=(), limit=2, at=NOON)), (MINUTE, 2 * MINUTE), strict=True):
        work.settle([run.ended(a_result(), NOON + ran)], settled)
    assert metrics_of(queue, window=HOUR - 2 * MINUTE, detailed=False).completed == 1
    assert metrics_of(queue, window=timedelta(days=1), detailed=False).completed == 2
    assert [tally.name for tally in metrics_of(queue, window=HOUR, detailed=True).workers] == ["w-1"]


def test_outputs_are_asked_for_by_job(queue: Queue, memory: Memory) -> None:
    jobs, work = InMemoryJobs(memory), InMemoryWork(memory)
    memory.workers["w-1"] = a_worker()
    jobs.add([a_job()])
    [run] = work.claim(Claim(a_lease(), queues=(), limit=1, at=NOON))
    work.settle([run.ended(a_result(output=b"hello"), NOON)], settled)
    assert outputs_of(queue, [run.job]) == {"job-1": b"hello"}
    assert [attempt.number for attempt in attempts_of(queue, "job-1")] == [1]


def test_needs_are_unmet_where_no_live_worker_of_the_queue_has_all_of_them(queue: Queue) -> None:
    for worker in (
        a_worker("w-1", started_at=NOON + HOUR, queues=("mail",), labels=("gpu",)),
        a_worker("w-2", started_at=NOON + HOUR, labels=("zone=eu",)),
        a_worker("w-3", started_at=NOON + HOUR, labels=("gpu", "zone=eu"), state=WorkerState.STOPPING),
        a_worker("w-4", labels=("gpu", "zone=eu")),  # its lease is over
    ):
        queue.workers.register(worker)
    asked = [("mail", ("gpu",)), ("mail", ("zone=eu",)), ("default", ("zone=eu",)), ("default", ())]
    assert unmet(queue, asked) == []
    assert unmet(queue, [("default", ("gpu",)), *asked]) == [("default", ("gpu",))]
    assert unmet(queue, [("mail", ("gpu", "zone=eu"))]) == [("mail", ("gpu", "zone=eu"))]


def test_a_queue_that_nobody_serves_is_not_named_for_its_needs(queue: Queue) -> None:
    queue.workers.register(a_worker("w-1", started_at=NOON + HOUR, queues=("mail",)))
    assert unmet(queue, [("default", ("gpu",))]) == []


def test_jobs_are_searched_by_key_and_tag(queue: Queue) -> None:
    requests = [JobRequest(command="true", id="a", key="db", tags=("x",)), JobRequest(command="true", id="b")]
    enqueue_jobs(queue, requests, cwd="/")
    found = search_jobs(queue, keys=["db"]), search_jobs(queue, tags=["x", "y"]), search_jobs(queue, tags=["y"])
    assert [[job.id for job in jobs] for jobs in found] == [["a"], ["a"], []]


# Why a job waits, an hour later.

LATER = NOON + HOUR
A_WORKER = a_worker(lease_expires_at=LATER + HOUR)


def test_of_an_unknown_job_nothing_is_explained(queue: Queue) -> None:
    with pytest.raises(JobNotFound):
        explain(queue, "nope")


def test_a_job_behind_a_full_queue_is_told_who_holds_it_up_and_when_it_may_start(queue: Queue, memory: Memory) -> None:
    InMemoryWorkers(memory).register(A_WORKER)
    queue.queues.change("gpu", lambda before: before._replace(concurrency=1))
    queue.jobs.add([a_job(job_id, queue="gpu") for job_id in ("old", "runs", "next", "last")])
    work = InMemoryWork(memory)
    [old] = work.claim(Claim(a_lease(1), limit=1, at=NOON))
    work.settle([old.ended(a_result(), NOON + 10 * MINUTE)], settled)
    work.claim(Claim(a_lease(2), limit=1, at=NOON + 10 * MINUTE))
    found = explain(queue, "last")
    assert [it.code for it in found.reasons] == [Code.QUEUE_FULL, Code.WORKERS_BUSY, Code.BEHIND]
    assert found.reasons[0].holders == [Holder("runs", "w-1", NOON + 10 * MINUTE)]
    assert (found.hosts["w-1"], found.before, found.estimate) == ("host-1", 1, LATER + 20 * MINUTE)
    assert explain(queue, "runs").first is None


@pytest.mark.parametrize(
    "changes", [{"state": WorkerState.STOPPING}, {"lease_expires_at": LATER}, {"process": a_process(pid=1)}]
)
def test_a_worker_that_stops_or_is_lost_serves_no_queue(
    queue: Queue,
    memory: Memory,
    changes: dict[str, object],
) -> None:
    InMemoryWorkers(memory).register(replace(A_WORKER, **changes))
    queue.jobs.add([a_job()])
    asked = queue._replace(is_gone=lambda process: process.pid == 1)
    assert [it.code for it in explain(asked, "job-1").reasons] == [Code.NO_WORKER]


def test_of_many_jobs_the_first_reasons_are_told_of_those_that_wait(queue: Queue, memory: Memory) -> None:
    InMemoryWorkers(memory).register(A_WORKER)
    queue.jobs.add([a_job("runs"), a_job("next"), a_job("behind"), a_job("later", run_at=LATER + HOUR)])
    InMemoryWork(memory).claim(Claim(a_lease(), limit=1, at=NOON))
    memory.workers["w-1"] = replace(memory.workers["w-1"], concurrency=2)
    jobs = [queue.jobs.find(job_id) for job_id in ("runs", "next", "behind", "later")]
    gone = a_job("removed-since")
    found = first_reasons(queue, [*jobs, gone])
    assert {job_id: it.code for job_id, it in found.items()} == {
        "next": Code.NEXT,
        "behind": Code.BEHIND,
        "later": Code.NOT_DUE,
    }
