"""The decision about new jobs whose unique keys others may hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.errors import UniqueKeyTaken
from queuectl.domain.job import ENDED, STARTED, TERMINAL, Job, JobRequest, OnDuplicate, State, Terms, WaitsFor, jobs_of
from queuectl.domain.unique import Admission, Enqueued, admit, on_conflict, with_unique_keys
from tests.builders import HOUR, NOON, SECOND, a_job, a_job_that_is, a_policy

WAITING_FOR_ITS_FIRST_RUN = a_job_that_is(State.PENDING, unique_held="k", unique_key="k")

KEYS = st.sampled_from(["k-1", "k-2", "k-3"])
RULES = st.sampled_from([None, *OnDuplicate])


def unique(job_id: str, key: str | None, **overrides: object) -> Job:
    return a_job(job_id, unique_key=key, unique_held=key, unique_until=key and ENDED, **overrides)


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Job], dict[str, Terms], list[Job]]:
    """New jobs, their terms, and the holders of some keys."""
    keys = draw(st.lists(st.none() | KEYS, min_size=1, max_size=8))
    new = [unique(f"new-{number}", key, command=f"{number}") for number, key in enumerate(keys)]
    terms = {job.id: Terms(rule) for job in new if (rule := draw(RULES)) is not None}
    held = draw(st.lists(KEYS, unique=True))
    waiting = [unique(f"old-{key}", key, attempts=draw(st.integers(0, 1))) for key in held]
    return new, terms, waiting


def after(admission: Admission, holders: list[Job]) -> list[Job]:
    """The jobs that are there when an admission is stored."""
    return list(
        {job.id: job for job in (*holders, *admission.new, *(after for _, after in admission.replaced))}.values()
    )


@given(batches())
def test_a_key_has_one_holder_and_each_new_job_one_answer(batch: tuple[list[Job], dict[str, Terms], list[Job]]) -> None:
    new, terms, holders = batch
    try:
        admission = admit(new, terms, holders=holders)
    except UniqueKeyTaken:
        assert OnDuplicate.REJECT in {it.on_duplicate for it in terms.values()}
        return
    stored = after(admission, holders)
    keys = [job.unique_held for job in stored if job.unique_held is not None]
    assert len(keys) == len(set(keys))
    assert len(admission.added) == len(new)
    for asked, answer in zip(new, admission.added, strict=True):
        assert answer.job in stored
        assert answer.job.unique_held == asked.unique_held
        assert (answer.how is Enqueued.NEW) == (answer.job.id == asked.id)
    assert all(before.attempts == 0 and before in holders for before, _ in admission.replaced)


@given(batches())
def test_a_batch_is_as_if_each_job_of_it_came_by_itself(batch: tuple[list[Job], dict[str, Terms], list[Job]]) -> None:
    new, terms, holders = batch
    try:
        together = after(admit(new, terms, holders=holders), holders)
    except UniqueKeyTaken:
        return
    one_by_one = holders
    for job in new:
        one_by_one = after(admit([job], terms, holders=[it for it in one_by_one if it.unique_held]), one_by_one)
    assert sorted(one_by_one, key=lambda job: job.id) == sorted(together, key=lambda job: job.id)


@pytest.mark.parametrize("state", State)
def test_only_a_job_that_waits_for_its_first_run_is_replaced(state: State) -> None:
    holder = a_job_that_is(state)._replace(unique_held="k")
    new = unique("new", "k", command="new")
    changed, how = on_conflict(new, holder, OnDuplicate.REPLACE)
    assert how is (Enqueued.REPLACED if state is State.PENDING else Enqueued.EXISTING)
    assert changed.command == ("new" if state is State.PENDING else holder.command)


@given(st.sampled_from(State), st.sampled_from([OnDuplicate.SKIP, OnDuplicate.REPLACE]))
def test_whatever_the_rule_the_holder_stays_the_job_that_it_is(state: State, rule: OnDuplicate) -> None:
    holder = a_job_that_is(state)._replace(unique_held="k")
    changed, _ = on_conflict(unique("new", "k", command="new", created_at=NOON + HOUR), holder, rule)
    kept = ("state", "attempts", "failures", "losses", "lease", "unique_held", "blockers", "has_dependents")
    assert (changed.id, changed.created_at) == (holder.id, holder.created_at)
    assert [getattr(changed, name) for name in kept] == [getattr(holder, name) for name in kept]


@pytest.mark.parametrize("waits_for", [None, *WaitsFor])
def test_a_replaced_job_waits_for_its_jobs_still_and_for_no_key(waits_for: WaitsFor | None) -> None:
    holder = WAITING_FOR_ITS_FIRST_RUN._replace(waits_for=waits_for)
    changed = on_conflict(unique("new", "k"), holder, OnDuplicate.REPLACE).job
    assert changed.waits_for is (WaitsFor.JOBS if waits_for is WaitsFor.JOBS else None)


@pytest.mark.parametrize(
    ("state", "does"),
    [
        (State.PENDING, "waits"),
        (State.FAILED, "waits"),
        (State.PROCESSING, "runs"),
        (State.DEAD, "has ended, but holds it for longer"),
    ],
)
def test_a_rejected_job_hears_who_has_the_key_and_what_that_one_does(state: State, does: str) -> None:
    holder = a_job_that_is(state)._replace(unique_held="k")
    with pytest.raises(UniqueKeyTaken, match=f"job job-1 has the unique key k and {does}"):
        on_conflict(unique("new", "k"), holder, OnDuplicate.REJECT)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_job_that_has_ended_holds_no_key_but_for_its_span(state: State) -> None:
    for until, expires_at, held in [(ENDED, None, None), (STARTED, None, None), ("1h", NOON + HOUR, "k")]:
        keys = {"unique_key": "k", "unique_until": until, "unique_held": "k", "unique_expires_at": expires_at}
        job = a_job_that_is(state, **keys)
        assert job.unique_held == held
        assert job.retried(NOON).unique_held == ("k" if until != STARTED else None)


class TestOfTheCommand:
    """`unique: true`."""

    def key(self, **said: object) -> str | None:
        request = {"command": "true", "unique": True} | said
        jobs = jobs_of([request], ["new"], policy_of=lambda _: a_policy(), cwd="/", at=NOON)  # type: ignore[list-item]
        [job] = with_unique_keys(jobs, [request])  # type: ignore[list-item]
        assert job.unique_held == job.spec.unique_key
        return job.spec.unique_key

    def test_the_key_is_alike_for_what_runs_alike(self) -> None:
        own = self.key(env={"A": "1", "B": "2"})
        assert own == self.key(env={"B": "2", "A": "1"}, priority=9, delay=SECOND, queue="default", id="other")
        assert own is not None
        assert len(own) == 64

    @pytest.mark.parametrize(
        "said",
        [
            {"command": ("true",)},
            {"command": "false"},
            {"queue": "mail"},
            {"cwd": "/srv"},
            {"env": {"A": "1"}},
            {"stdin": "x"},
        ],
    )
    def test_the_key_is_another_for_what_runs_otherwise(self, said: dict[str, object]) -> None:
        assert self.key(**said) != self.key()

    def test_names_in_any_bytes_have_a_key(self) -> None:
        assert self.key(command="cat \udce9") != self.key(command="cat \udce8")


def test_a_span_counts_from_the_enqueue() -> None:
    request = JobRequest(command="true", unique="k", unique_until="1h")
    jobs = jobs_of([request], ["new"], policy_of=lambda _: a_policy(), cwd="/", at=NOON)
    [job] = with_unique_keys(jobs, [request])
    assert (job.unique_held, job.unique_expires_at, job.spec.unique_until) == ("k", NOON + HOUR, "1h")
