"""Why a job waits: the order of the reasons, and that they are those of claims."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuectl.domain.job import Dependency, Job, On, State, WaitsFor
from queuectl.domain.limits import Rate
from queuectl.domain.ports.work import Claim
from queuectl.domain.queues import EVERY, Pause, QueueSettings
from queuectl.domain.reasons import (
    MAX_BEFORE,
    TAKES_TURNS,
    Code,
    Facts,
    Holder,
    Reason,
    Surroundings,
    estimate,
    reasons,
)
from tests.builders import ANN, HOUR, MINUTE, NOON, a_job, a_job_that_is, a_lease, a_worker
from tests.memory import InMemorySurroundings, InMemoryWork, InMemoryWorkers, Memory

ORDER = list(Code)


def facts(
    around: Surroundings | None = None, *, workers: Sequence[object] | None = None, **queues: QueueSettings
) -> Facts:
    """A free worker, and nothing in the way."""
    live = [a_worker()] if workers is None else workers
    return Facts({"" if name == "every" else name: it for name, it in queues.items()}, live, around or Surroundings())


def codes(job: Job, found: Facts, at: datetime = NOON) -> list[Code]:
    return [it.code for it in reasons(job, found, at)]


def only(job: Job, found: Facts) -> Reason:
    [reason] = reasons(job, found, NOON)
    return reason


def test_a_job_that_nothing_holds_back_is_next() -> None:
    assert codes(a_job(), facts()) == [Code.NEXT]


@pytest.mark.parametrize("state", [State.COMPLETED, State.DEAD, State.CANCELLED])
def test_a_job_that_has_ended_says_only_that(state: State) -> None:
    paused = QueueSettings("default", pause=Pause(NOON, ANN))
    assert codes(a_job_that_is(state), facts(default=paused)) == [Code.ENDED]


def test_a_job_that_runs_says_with_which_worker() -> None:
    reason = only(a_job_that_is(State.PROCESSING), facts(workers=[]))
    assert (reason.code, reason.holders) == (Code.RUNNING, [Holder("job-1", "w-1", NOON)])


def test_a_pause_says_who_made_it_and_why_and_how_to_end_it() -> None:
    pause = Pause(NOON - HOUR, ANN, until=NOON + HOUR, reason="API maintenance")
    reason, *rest = reasons(a_job(queue="api"), facts(api=QueueSettings("api", pause=pause)), NOON)
    assert (reason.code, reason.since, reason.until) == (Code.PAUSED, NOON - HOUR, NOON + HOUR)
    assert reason.message == f"queue api is paused by {ANN}: API maintenance"
    assert (reason.hint, rest) == ("queuectl queue resume api", [])


def test_a_pause_of_all_queues_is_ended_for_all() -> None:
    assert only(a_job(), facts(every=QueueSettings(EVERY, pause=Pause(NOON, ANN)))).hint == "queuectl resume --all"


def test_a_job_that_failed_says_of_what_and_when_it_is_tried_again() -> None:
    job = a_job_that_is(State.FAILED)
    reason = only(job, facts())
    assert (reason.code, reason.until) == (Code.NOT_DUE, job.run_at)
    assert reason.message == "run 1 failed, and it is tried again: exit code 1"


def test_of_the_parents_those_that_are_dead_come_first_with_the_command_to_retry_one() -> None:
    parents = [
        (Dependency("done"), State.COMPLETED),
        (Dependency("waits"), State.PENDING),
        (Dependency("broken"), State.DEAD),
        (Dependency("cleanup", On.FAILURE), State.PENDING),
    ]
    reason = only(a_job(waits_for=WaitsFor.JOBS, blockers=3), facts(Surroundings(parents=parents)))
    assert reason.code is Code.AFTER_JOBS
    assert reason.message == "it runs after broken (dead), waits (pending), cleanup (pending, waits for its failure)"
    assert reason.hint == "queuectl retry broken"


def test_a_batch_is_a_reason_of_its_own() -> None:
    around = Surroundings(parents=[(Dependency("batch:nightly", On.END), None)])
    assert codes(a_job(waits_for=WaitsFor.JOBS), facts(around)) == [Code.AFTER_BATCH]


def test_a_full_key_says_who_runs_with_it_and_how_many_wait_before() -> None:
    holders = [Holder("other", "w-1", NOON)]
    around = Surroundings(key_running=1, key_holders=holders, before=2)
    reason = only(a_job(key="db", key_limit=1, waits_for=WaitsFor.KEY), facts(around))
    assert (reason.code, reason.holders) == (Code.KEY_FULL, holders)
    assert reason.message == "key db is at its limit: 1 of 1 run; 2 jobs wait for it before this one"


def test_a_full_queue_and_a_used_rate_say_what_their_limits_are() -> None:
    queue = QueueSettings("default", concurrency=2, rate=Rate(100, MINUTE))
    around = Surroundings(queue_running=2, next_start=NOON + MINUTE)
    full, rate = reasons(a_job(), facts(around, default=queue), NOON)
    assert (full.code, full.message) == (Code.QUEUE_FULL, "queue default is at its limit: 2 of 2 run")
    assert (rate.code, rate.until) == (Code.RATE, NOON + MINUTE)


def test_a_job_that_no_worker_serves_says_how_to_start_one() -> None:
    elsewhere = a_worker(queues=("mail",))
    reason = only(a_job(queue="gpu", needs=("big",)), facts(workers=[elsewhere]))
    assert (reason.code, reason.hint) == (Code.NO_WORKER, "queuectl worker start --label big")


def test_a_reserved_queue_is_served_by_those_that_name_it() -> None:
    reserved = QueueSettings("gpu", reserved=True)
    reason = only(a_job(queue="gpu"), facts(gpu=reserved))
    assert (reason.code, reason.hint) == (Code.NO_WORKER, "queuectl worker start --queue gpu")
    assert codes(a_job(queue="gpu"), facts(workers=[a_worker(queues=("gpu",))], gpu=reserved)) == [Code.NEXT]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((("eu",),), "it needs label gpu, and no live worker has it"),
        (((),), "it needs labels eu, gpu, and no live worker has any of them"),
        ((("eu",), ("gpu",)), "it needs labels eu, gpu, and no live worker has them all"),
    ],
)
def test_a_label_that_no_worker_has_is_named(labels: Sequence[tuple[str, ...]], message: str) -> None:
    workers = [a_worker(f"w-{number}", labels=those) for number, those in enumerate(labels)]
    reason = only(a_job(needs=("eu", "gpu")), facts(workers=workers))
    assert (reason.code, reason.message) == (Code.NO_LABEL, message)
    assert reason.hint == "queuectl worker start --label eu --label gpu"


def test_workers_are_busy_only_when_all_that_may_run_it_are() -> None:
    busy, free, other = (a_worker(jobs=2, concurrency=2), a_worker(concurrency=2), a_worker(queues=("mail",)))
    assert codes(a_job(), facts(workers=[busy, free])) == [Code.NEXT]
    reason = only(a_job(), facts(workers=[busy, busy, other]))
    assert (reason.code, reason.message) == (
        Code.WORKERS_BUSY,
        "all 4 slots of the 2 workers that may run it are taken",
    )


def test_a_count_that_was_given_up_says_that_there_may_be_more() -> None:
    messages = [only(a_job(), facts(Surroundings(before=before))).message for before in (1, 4, MAX_BEFORE)]
    assert messages == ["1 job goes before it", "4 jobs go before it", "10,000 or more jobs go before it"]


# The estimate.


def estimated(job: Job, found: Facts) -> datetime | None:
    return estimate(job, found, reasons(job, found, NOON), NOON)


def test_a_job_that_is_next_starts_now_and_one_that_is_not_due_then() -> None:
    assert estimated(a_job(), facts()) == NOON
    assert estimated(a_job(run_at=NOON + HOUR), facts()) == NOON + HOUR


def test_those_before_it_take_their_usual_time_in_all_slots() -> None:
    around = Surroundings(before=4, usual_run=10 * MINUTE)
    assert estimated(a_job(), facts(around, workers=[a_worker(concurrency=4)])) == NOON + 20 * MINUTE
    narrow = facts(around, workers=[a_worker(concurrency=4)], default=QueueSettings("default", concurrency=1))
    assert estimated(a_job(), narrow) == NOON + 50 * MINUTE


def test_a_rate_lets_so_many_start_in_each_of_its_spans() -> None:
    queue = QueueSettings("default", rate=Rate(2, HOUR))
    around = Surroundings(before=5, usual_run=MINUTE, next_start=NOON + HOUR)
    assert estimated(a_job(), facts(around, default=queue)) == NOON + 3 * HOUR


@pytest.mark.parametrize(
    ("job", "found"),
    [
        (a_job(), facts(default=QueueSettings("default", pause=Pause(NOON, ANN)))),
        (a_job(), facts(workers=[])),
        (a_job(needs=("gpu",)), facts()),
        (a_job(waits_for=WaitsFor.JOBS), facts()),
        (a_job(), facts(Surroundings(before=1))),
        (a_job(), facts(Surroundings(before=MAX_BEFORE, usual_run=MINUTE))),
        (a_job_that_is(State.COMPLETED), facts()),
    ],
    ids=["paused without end", "no worker", "no label", "after jobs", "no usual run", "too many before", "ended"],
)
def test_nobody_can_know_when_a_reason_without_an_end_ends(job: Job, found: Facts) -> None:
    assert estimated(job, found) is None


# Whatever the queue holds.


def mostly(usual: object, *others: object) -> st.SearchStrategy[Any]:
    """The usual one in most cases: with all others at once, next to nothing would ever start."""
    return st.sampled_from([*[usual] * 2 * len(others), *others])


PAUSES = mostly(None, Pause(NOON, ANN), Pause(NOON, ANN, NOON + HOUR), Pause(NOON - HOUR, ANN, NOON))
SETTINGS = st.builds(
    lambda concurrency, rate, reserved, pause: {
        "concurrency": concurrency,
        "rate": rate,
        "reserved": reserved,
        "pause": pause,
    },
    st.sampled_from([None, 1]),
    st.sampled_from([None, Rate(1, MINUTE)]),
    mostly(False, True),
    PAUSES,
)
JOBS = st.builds(
    lambda queue, needs, key, later, priority, waits_for: {
        "queue": queue,
        "needs": needs,
        "key": key,
        "key_limit": key and 1,
        "run_at": NOON + later,
        "priority": priority,
        "waits_for": waits_for,
    },
    mostly("a", "b"),
    mostly((), ("gpu",), ("eu", "gpu")),
    mostly(None, "k"),
    mostly(timedelta(), HOUR),
    st.sampled_from([1, 5]),
    mostly(None, WaitsFor.JOBS),
)
WORKERS = st.builds(
    lambda queues, labels, concurrency: {"queues": queues, "labels": labels, "concurrency": concurrency},
    mostly((), ("a",), ("a", "b")),
    mostly(("eu", "gpu"), ("gpu",), ()),
    st.integers(1, 2),
)


def a_memory(queues: Sequence[dict], paused: Pause | None, jobs: Sequence[dict], workers: Sequence[dict]) -> Memory:
    memory = Memory()
    named = [QueueSettings(name, **fields) for name, fields in zip("ab", queues, strict=False)]
    memory.queues = {it.name: it for it in [*named, QueueSettings(EVERY, pause=paused)]}
    memory.store(a_job(f"job-{number}", **fields) for number, fields in enumerate(jobs))
    for number, fields in enumerate(workers):
        InMemoryWorkers(memory).register(a_worker(f"w-{number}", **fields))
    return memory


def claim(memory: Memory, worker: str, limit: int, number: int) -> set[str]:
    it = memory.workers[worker]
    found = Claim(a_lease(number, worker=worker), limit=limit, at=NOON, queues=it.queues, labels=it.labels)
    return {run.job.id for run in InMemoryWork(memory).claim(found)}


def facts_of(memory: Memory, job_id: str) -> Facts:
    around = InMemorySurroundings(memory).of_job(job_id, at=NOON)
    return Facts(memory.queues, InMemoryWorkers(memory).live(), around)


a_queue: Callable[[Callable[..., None]], Callable[[], None]] = given(
    queues=st.lists(SETTINGS, min_size=1, max_size=2),
    paused=PAUSES,
    jobs=st.lists(JOBS, min_size=2, max_size=8),
    workers=st.lists(WORKERS, min_size=1, max_size=3),
    started=mostly(1, 0, 2, 3),
)


@settings(max_examples=300)
@a_queue
def test_a_claim_takes_a_job_just_when_its_reasons_are_that_others_have_their_turn(
    queues: Sequence[dict], paused: Pause | None, jobs: Sequence[dict], workers: Sequence[dict], started: int
) -> None:
    memory = a_memory(queues, paused, jobs, workers)
    for worker in memory.workers:
        claim(memory, worker, started, 1)
    waiting = [job for job in memory.jobs.values() if job.state is State.PENDING]
    for job in waiting:
        found = set(codes(job, facts_of(memory, job.id)))
        alone = Memory(**{**vars(memory), "jobs": {it.id: it for it in memory.jobs.values() if it not in waiting}})
        alone.used = defaultdict(list, {name: list(used) for name, used in memory.used.items()})
        alone.store([job])
        is_taken = any(job.id in claim(alone, worker, 1, 2) for worker in memory.workers)
        assert is_taken is (found <= TAKES_TURNS)


@a_queue
def test_reasons_come_in_the_order_in_which_they_bind_and_there_is_one_at_least(
    queues: Sequence[dict], paused: Pause | None, jobs: Sequence[dict], workers: Sequence[dict], started: int
) -> None:
    memory = a_memory(queues, paused, jobs, workers)
    for worker in memory.workers:
        claim(memory, worker, started, 1)
    for job in memory.jobs.values():
        found = codes(job, facts_of(memory, job.id))
        assert found
        assert found == sorted(found, key=ORDER.index)
        assert Code.NEXT not in found or len(found) == 1
