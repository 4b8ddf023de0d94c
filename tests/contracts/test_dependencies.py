"""Dependencies and batches: a job runs after the ends that it waits for, and each of them lets it go once."""

from collections.abc import Callable, Sequence
from datetime import datetime

import pytest

from queuectl.application.duties.dependencies import Leftovers
from queuectl.application.ends import look_after
from queuectl.domain.dependency import BATCH
from queuectl.domain.errors import BatchNotFound, DuplicateJob, InvalidJob, JobNotFound, NotFound
from queuectl.domain.job import Dependency, Job, On, State, Terms, WaitsFor
from queuectl.domain.ports.work import Claim
from tests.builders import ANN, HOUR, MINUTE, NOON, SECOND, a_failure, a_job, a_lease, a_policy, a_result, settled
from tests.contracts.conftest import QueueStore

LATER = NOON + MINUTE
HALF_PAST = NOON + 30 * MINUTE


class Scene:
    """A queue in which jobs are enqueued after others, and end."""

    def __init__(self, store: QueueStore) -> None:
        self.store = store
        self._leases = iter(range(1, 1000))

    def add(self, job_id: str, *after: str | Dependency, **fields: object) -> Job:
        return self.add_all([a_job(job_id, **fields)], **{job_id: after})[0]

    def add_all(self, jobs: Sequence[Job], **after: Sequence[str | Dependency]) -> Sequence[Job]:
        terms = {
            child: Terms(after=[it if isinstance(it, Dependency) else Dependency(it) for it in parents])
            for child, parents in after.items()
        }
        return self.store.jobs.add(jobs, terms)

    def claimed(self, at: datetime = LATER) -> list[str]:
        lease = a_lease(next(self._leases))
        return [run.job.id for run in self.store.work.claim(Claim(lease, queues=(), limit=10, at=at))]

    def end(self, job_id: str, *, dead: bool = False, duty: bool = True, at: datetime = LATER) -> None:
        """Claim and settle that job alone, and look after its end, unless its worker dies in between."""
        others = [it.id for it in self.store.jobs.search() if it.is_due(at) and it.id != job_id]
        assert others == [] or self.store.jobs.find(job_id).priority == 10, others
        lease = a_lease(next(self._leases))
        [run] = self.store.work.claim(Claim(lease, queues=(), limit=1, at=at))
        assert run.job.id == job_id
        result = a_failure() if dead else a_result()
        [it] = self.store.work.settle([run.ended(result, at)], settled)
        assert it.job is not None
        if duty:
            self.look_after(it.job)

    def cancel(self, job_id: str) -> None:
        self.look_after(self.store.jobs.change(job_id, lambda job: job.cancelled(LATER, ANN)))

    def retry(self, job_id: str) -> None:
        self.store.jobs.change(job_id, lambda job: job.retried(LATER))

    def look_after(self, *jobs: Job) -> None:
        look_after(jobs, dependencies=self.store.dependencies, clock=lambda: LATER)

    def job(self, job_id: str) -> Job:
        return self.store.jobs.find(job_id)

    def state(self, job_id: str) -> tuple[State, WaitsFor | None]:
        job = self.job(job_id)
        return job.state, job.waits_for

    def met(self, job_id: str) -> list[tuple[str, bool]]:
        return [(it.dependency.parent, it.is_met) for it in self.store.dependencies.parents_of([job_id])[job_id]]


@pytest.fixture
def scene(store: QueueStore) -> Scene:
    return Scene(store)


FREE, HELD = (State.PENDING, None), (State.PENDING, WaitsFor.JOBS)
CANCELLED = (State.CANCELLED, None)


def after_batch(name: str, on: On = On.SUCCESS) -> Dependency:
    return Dependency(f"{BATCH}{name}", on)


ENDS: dict[str, Callable[[Scene], None]] = {
    "completed": lambda scene: scene.end("a"),
    "dead": lambda scene: scene.end("a", dead=True),
    "cancelled": lambda scene: scene.cancel("a"),
}


@pytest.mark.parametrize(
    ("how", "on", "becomes"),
    [
        ("completed", On.SUCCESS, FREE),
        ("completed", On.END, FREE),
        ("completed", On.FAILURE, CANCELLED),
        ("dead", On.SUCCESS, HELD),
        ("dead", On.END, FREE),
        ("dead", On.FAILURE, FREE),
        ("cancelled", On.SUCCESS, CANCELLED),
        ("cancelled", On.END, FREE),
        ("cancelled", On.FAILURE, CANCELLED),
    ],
)
@pytest.mark.parametrize("has_ended_before", [False, True])
def test_a_child_goes_by_the_end_of_its_parent_also_of_one_that_came_before(
    scene: Scene, how: str, on: On, becomes: object, has_ended_before: bool
) -> None:
    scene.add("a", max_retries=0)
    if has_ended_before:
        ENDS[how](scene)
    scene.add("b", Dependency("a", on))
    if not has_ended_before:
        assert scene.state("b") == HELD
        ENDS[how](scene)
    assert scene.state("b") == becomes
    if becomes == CANCELLED:
        assert scene.job("b").last_error == f"never runs: job a {'was ' * (how != 'completed')}{how}"


def test_a_child_is_not_claimed_before_the_last_of_its_parents_has_ended(scene: Scene) -> None:
    scene.add_all([a_job("a", priority=10), a_job("b"), a_job("c")], c=["a", "b"])
    scene.end("a")
    assert (scene.job("c").blockers, scene.met("c")) == (1, [("a", True), ("b", False)])
    assert scene.claimed() == ["b"]
    assert scene.state("c") == HELD


def test_a_child_is_due_at_its_release_and_not_before_its_own_run_at(scene: Scene) -> None:
    scene.add("a")
    scene.add("soon", "a")
    scene.add("late", "a", run_at=NOON + HOUR)
    scene.end("a")
    assert (scene.job("soon").run_at, scene.job("late").run_at) == (LATER, NOON + HOUR)
    assert scene.claimed() == ["soon"]


def test_parents_that_end_at_the_same_moment_release_the_child_once(scene: Scene) -> None:
    scene.add_all([a_job("a"), a_job("b"), a_job("c")], c=["a", "b"])
    runs = scene.store.work.claim(Claim(a_lease(99), queues=(), limit=2, at=LATER))
    ended = scene.store.work.settle([run.ended(a_result(), LATER) for run in runs], settled)
    jobs = [it.job for it in ended if it.job is not None]
    scene.look_after(*jobs, *jobs)
    assert (scene.state("c"), scene.job("c").blockers) == (FREE, 0)
    assert scene.claimed() == ["c"]


def test_a_parent_with_retries_left_neither_releases_nor_cancels_its_child(scene: Scene) -> None:
    scene.add("a", max_retries=3)
    scene.add("b", "a")
    scene.add("c", Dependency("a", On.FAILURE))
    scene.end("a", dead=True)
    assert (scene.state("a")[0], scene.state("b"), scene.state("c")) == (State.FAILED, HELD, HELD)


def test_a_met_dependency_stays_met_when_its_parent_runs_again(scene: Scene) -> None:
    scene.add_all([a_job("a", priority=10), a_job("b"), a_job("c")], c=["a", "b"])
    scene.end("a")
    scene.retry("a")
    scene.end("a")
    assert (scene.state("c"), scene.job("c").blockers) == (HELD, 1)
    scene.end("b")
    assert scene.state("c") == FREE


def test_a_dead_parent_that_completes_when_it_is_tried_again_releases_its_child(scene: Scene) -> None:
    scene.add("a", max_retries=0)
    scene.add("b", "a")
    scene.end("a", dead=True)
    assert scene.store.dependencies.waiting_for_dead() == 1
    scene.retry("a")
    scene.end("a")
    assert (scene.state("b"), scene.store.dependencies.waiting_for_dead()) == (FREE, 0)


def test_a_child_that_can_never_run_takes_its_own_children_with_it(scene: Scene) -> None:
    scene.add_all([a_job(it) for it in "dcba"], b=["a"], c=["b"], d=[Dependency("c", On.END)])
    scene.cancel("a")
    assert [scene.job(it).last_error for it in "bc"] == [
        "never runs: job a was cancelled",
        "never runs: job b was cancelled",
    ]
    assert scene.state("d") == FREE


def test_a_retry_of_a_child_drops_what_it_still_waited_for(scene: Scene) -> None:
    scene.add_all([a_job("a"), a_job("b"), a_job("c")], c=["a", "b"])
    scene.cancel("a")
    assert (scene.state("c"), scene.job("c").blockers) == (CANCELLED, 2)
    scene.retry("c")
    assert (scene.state("c"), scene.job("c").blockers) == (FREE, 0)
    assert scene.store.dependencies.parents_of(["c"]) == {}
    scene.cancel("b")
    assert scene.claimed() == ["c"]


def test_the_removal_of_a_dead_job_cancels_those_that_wait_for_its_success(scene: Scene) -> None:
    scene.add("a", max_retries=0)
    scene.add("b", "a")
    scene.add("c", "b")
    scene.end("a", dead=True)
    removed = scene.store.jobs.remove("a", allow=lambda job: job, at=LATER)
    assert [job.id for job in removed.cancelled] == ["b"]
    assert (scene.state("b"), scene.job("b").last_error) == (CANCELLED, "never runs: job a was removed")
    assert scene.store.dependencies.unresolved(limit=10).jobs == ["b"]
    assert scene.store.dependencies.parents_of(["b"])["b"][0].state is None


def test_the_removal_of_all_dead_jobs_does_the_same(scene: Scene) -> None:
    scene.add("a", max_retries=0)
    scene.add("b", "a")
    scene.add("z", max_retries=0, priority=10)
    scene.end("z", dead=True)
    scene.end("a", dead=True)
    assert sorted(scene.store.jobs.remove_dead(limit=10, at=LATER).ids) == ["a", "z"]
    assert scene.state("b") == CANCELLED


def test_a_cycle_refuses_the_whole_batch_and_names_it(scene: Scene) -> None:
    with pytest.raises(InvalidJob) as refused:
        scene.add_all([a_job(it) for it in "abcd"], a=["b"], b=["c"], c=["a"])
    [problem] = refused.value.problems
    assert sorted(set(problem.partition(": ")[2].split(" after "))) == ["a", "b", "c"]
    assert scene.store.jobs.search() == []
    with pytest.raises(InvalidJob, match="a after a"):
        scene.add("a", "a")


@pytest.mark.parametrize("fields", [{}, {"batch": "nightly"}])
def test_an_id_that_is_given_twice_refuses_the_whole_batch(scene: Scene, fields: dict[str, str]) -> None:
    scene.add("a")
    with pytest.raises(DuplicateJob, match="more than once: b"):
        scene.add_all([a_job("b", **fields), a_job("b", command="false", **fields)], b=["a"])
    assert [job.id for job in scene.store.jobs.search()] == ["a"]


def test_a_job_that_waits_for_its_own_batch_is_refused(scene: Scene) -> None:
    with pytest.raises(InvalidJob, match="batch nightly"):
        scene.add("a", after_batch("nightly"), batch="nightly")


def test_an_unknown_parent_refuses_the_whole_batch_and_says_which_was_meant(scene: Scene) -> None:
    scene.add("backup-1")
    with pytest.raises(NotFound, match=r"no job bakup-1, which job b would wait for: did you mean backup-1\?"):
        scene.add_all([a_job("other"), a_job("b")], b=["bakup-1"])
    with pytest.raises(JobNotFound):
        scene.job("other")


def test_an_unknown_batch_is_not_found(scene: Scene) -> None:
    with pytest.raises(BatchNotFound):
        scene.add("a", after_batch("nightly"))


def test_the_sweep_looks_after_an_end_whose_worker_died_and_counts_it(scene: Scene) -> None:
    scene.add("a")
    scene.add_all([a_job("b", batch="nightly"), a_job("c")], b=["a"], c=["b"])
    scene.end("a", duty=False)
    assert scene.state("b") == HELD
    sweep = Leftovers(scene.store.dependencies, lambda: LATER)
    sweep(a_policy())
    assert (scene.state("b"), sweep.repairs) == (HELD, 0)
    sweep(a_policy())
    assert (scene.state("b"), sweep.repairs) == (FREE, 1)
    scene.end("b", duty=False)
    sweep(a_policy())
    sweep(a_policy())
    assert (scene.state("c"), sweep.repairs) == (FREE, 3)
    assert scene.store.batches.find("nightly").finished_at == LATER
    for _ in range(3):
        sweep(a_policy())
    assert sweep.repairs == 3


def test_the_sweep_leaves_alone_what_waits_for_an_operator(scene: Scene) -> None:
    scene.add("a", max_retries=0, batch="nightly")
    scene.add("b", "a")
    scene.add("c", after_batch("nightly"))
    scene.end("a", dead=True)
    assert scene.store.dependencies.unresolved(limit=10) == ([], [])
    assert (scene.state("b"), scene.state("c")) == (HELD, HELD)


@pytest.mark.parametrize(
    ("ends", "on", "becomes"),
    [
        ("completed", On.SUCCESS, FREE),
        ("completed", On.FAILURE, CANCELLED),
        ("dead", On.SUCCESS, HELD),
        ("dead", On.END, FREE),
        ("dead", On.FAILURE, FREE),
        ("cancelled", On.SUCCESS, CANCELLED),
        ("cancelled", On.FAILURE, FREE),
    ],
)
@pytest.mark.parametrize("has_finished_before", [False, True])
def test_what_comes_after_a_batch_goes_by_the_ends_of_all_its_jobs(
    scene: Scene, ends: str, on: On, becomes: object, has_finished_before: bool
) -> None:
    scene.add_all([a_job("a", batch="nightly", max_retries=0), a_job("b", batch="nightly", run_at=HALF_PAST)])
    if not has_finished_before:
        scene.add("after", after_batch("nightly", on))
    ENDS[ends](scene)
    if not has_finished_before:
        assert scene.state("after") == HELD
    scene.end("b", at=HALF_PAST)
    if has_finished_before:
        scene.add("after", after_batch("nightly", on))
    assert scene.state("after") == becomes


def test_a_batch_counts_its_jobs_and_is_finished_when_none_waits_or_runs(scene: Scene) -> None:
    scene.add_all([a_job("a", batch="nightly"), a_job("b", batch="nightly", run_at=NOON + HOUR)])
    assert scene.store.batches.find("nightly").finished_at is None
    scene.end("a")
    batch = scene.store.batches.find("nightly")
    assert (batch.total, batch.progress, batch.created_at, batch.finished_at) == (2, 0.5, NOON, None)
    assert (batch.jobs[State.COMPLETED], batch.jobs[State.PENDING]) == (1, 1)
    assert batch.left(NOON + SECOND) == SECOND
    scene.cancel("b")
    batch = scene.store.batches.find("nightly")
    assert (batch.progress, batch.finished_at, batch.left(NOON)) == (1, LATER, None)
    with pytest.raises(BatchNotFound):
        scene.store.batches.find("other")


def test_a_finished_batch_is_open_again_with_a_new_job_or_a_retry_and_its_callback_was_released(scene: Scene) -> None:
    scene.add("a", batch="nightly")
    scene.add("after", after_batch("nightly"))
    scene.end("a")
    assert scene.state("after") == FREE
    scene.retry("a")
    assert scene.store.batches.find("nightly").finished_at is None
    scene.cancel("a")
    assert scene.store.batches.find("nightly").finished_at == LATER
    scene.add("b", batch="nightly", run_at=NOON + HOUR)
    assert scene.store.batches.find("nightly").finished_at is None
    assert (scene.state("after"), scene.met("after")) == (FREE, [("batch:nightly", True)])


def test_a_callback_that_waits_for_a_dead_job_is_released_when_that_completes_after_all(scene: Scene) -> None:
    scene.add("a", batch="nightly", max_retries=0)
    scene.add("after", after_batch("nightly"))
    scene.end("a", dead=True)
    scene.retry("a")
    scene.end("a")
    assert scene.state("after") == FREE


def test_the_removal_of_a_dead_job_cancels_what_waits_for_the_success_of_its_batch(scene: Scene) -> None:
    scene.add("a", batch="nightly", max_retries=0)
    scene.add("after", after_batch("nightly"))
    scene.end("a", dead=True)
    scene.store.jobs.remove("a", allow=lambda job: job, at=LATER)
    assert (scene.state("after"), scene.job("after").last_error) == (CANCELLED, "never runs: job a was removed")


def test_batches_are_listed_the_newest_first(scene: Scene) -> None:
    scene.add("a", batch="old")
    scene.add("b", batch="new", created_at=NOON + SECOND)
    assert [it.name for it in scene.store.batches.newest(limit=None)] == ["new", "old"]
    assert [it.name for it in scene.store.batches.newest(limit=1)] == ["new"]


def test_a_parent_of_many_children_lets_them_all_go(scene: Scene) -> None:
    children = [a_job(f"c-{number}") for number in range(1200)]
    scene.add_all([*children, a_job("a")], **{child.id: ["a"] for child in children})
    scene.end("a")
    assert {(job.state, job.waits_for) for job in scene.store.jobs.search(states=[State.PENDING])} == {FREE}
    assert not scene.job("a").has_dependents
