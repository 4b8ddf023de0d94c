"""The promises of every queue about unique keys: one job holds a key, and the answer says which."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.stores import jobs as stores
from queuectl.domain.attempt import Outcome
from queuectl.domain.errors import DuplicateJob, UniqueKeyTaken
from queuectl.domain.job import ENDED, MICROSECOND, STARTED, Job, OnDuplicate, State, Terms, WaitsFor
from queuectl.domain.ports.jobs import Jobs
from queuectl.domain.ports.work import Claim, Run, Work
from queuectl.domain.unique import Added, Enqueued
from tests.builders import (
    ANN,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    a_failure,
    a_job,
    a_lease,
    a_loss,
    a_policy,
    a_result,
    settled,
)

NEW, EXISTING, REPLACED = Enqueued
SKIP, REPLACE, REJECT = OnDuplicate

RACERS = 6


def unique(job_id: str, unique_key: str = "sync:42", /, *, until: str = ENDED, **overrides: object) -> Job:
    """A job that holds that key from now on; with another `until` than a word, for an hour."""
    created_at = overrides.get("created_at", NOON)
    assert isinstance(created_at, datetime)
    expires_at = None if until in (ENDED, STARTED) else created_at + HOUR
    held = {"unique_key": unique_key, "unique_held": unique_key, "unique_expires_at": expires_at}
    return a_job(job_id, unique_until=until, **held | overrides)


def add(jobs: Jobs, *new: Job, rule: OnDuplicate | None = None) -> list[tuple[str, Enqueued]]:
    """Enqueue them; for each the job that stands for it, and how."""
    added = jobs.add(new, {job.id: Terms(rule) for job in new} if rule else {})
    assert all(jobs.find(it.job.id).spec == it.job.spec for it in added), "the answer is what is stored"
    return [(it.job.id, it.how) for it in added]


def run(work: Work, *, at: datetime = NOON, limit: int = 1, number: int = 1) -> Sequence[Run]:
    return work.claim(Claim(a_lease(number), limit, at))


def end(work: Work, attempt: Run, outcome: Outcome = Outcome.SUCCEEDED) -> None:
    result = a_result(outcome) if outcome is not Outcome.FAILED else a_failure()
    work.settle([attempt.ended(result, NOON + SECOND)], settled)


def stored(jobs: Jobs) -> list[str]:
    return sorted(job.id for job in jobs.search())


def test_a_job_whose_key_is_held_is_not_stored_and_the_holder_is_the_answer(jobs: Jobs) -> None:
    assert add(jobs, unique("a")) == [("a", NEW)]
    assert add(jobs, unique("b")) == [("a", EXISTING)]
    assert add(jobs, unique("c", "another"), a_job("plain")) == [("c", NEW), ("plain", NEW)]
    assert stored(jobs) == ["a", "c", "plain"]


def test_what_was_said_of_the_key_stays(jobs: Jobs, work: Work) -> None:
    add(jobs, unique("a"))
    assert (jobs.find("a").spec.unique_key, jobs.find("a").spec.unique_until) == ("sync:42", ENDED)
    end(work, *run(work))
    assert (jobs.find("a").spec.unique_key, jobs.find("a").unique_held) == ("sync:42", None)


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
def test_until_it_has_ended_a_job_holds_its_key_while_it_waits_runs_and_waits_again(
    jobs: Jobs, work: Work, outcome: Outcome
) -> None:
    add(jobs, unique("a", max_retries=1))
    [attempt] = run(work)
    assert add(jobs, unique("while-it-runs")) == [("a", EXISTING)]
    end(work, attempt, Outcome.FAILED)
    assert add(jobs, unique("while-it-waits-again")) == [("a", EXISTING)]
    end(work, *run(work, at=NOON + HOUR / 2, number=2), outcome)
    assert add(jobs, unique("afterwards")) == [("afterwards", NEW)]


def test_a_lost_worker_and_a_release_leave_the_key_with_the_job(jobs: Jobs, work: Work) -> None:
    add(jobs, unique("a"))
    end(work, *run(work), Outcome.RELEASED)
    run(work, at=NOON + MINUTE, number=2)
    work.rescue("w-1", lambda job, _: job.settled(a_loss(), NOON, a_policy(), 0), at=NOON + MINUTE, proved_dead=True)
    assert jobs.find("a").state is State.PENDING
    assert add(jobs, unique("b")) == [("a", EXISTING)]


def test_a_job_that_ends_with_its_neighbours_gives_its_key_up_too(jobs: Jobs, work: Work) -> None:
    add(jobs, unique("a"), unique("b", "another"))
    ends = [it.ended(a_result(), NOON + SECOND) for it in run(work, limit=2)]
    work.settle(ends, settled)
    assert add(jobs, unique("c"), unique("d", "another")) == [("c", NEW), ("d", NEW)]


@pytest.mark.parametrize("until", [ENDED, STARTED])
def test_a_cancelled_or_removed_job_gives_its_key_up(jobs: Jobs, until: str) -> None:
    add(jobs, unique("a", until=until))
    jobs.change("a", lambda job: job.cancelled(NOON, ANN))
    assert add(jobs, unique("b", until=until)) == [("b", NEW)]
    jobs.remove("b", allow=lambda job: job, at=NOON)
    assert add(jobs, unique("c", until=until)) == [("c", NEW)]


def test_until_it_has_started_a_job_holds_its_key_only_until_its_first_run(jobs: Jobs, work: Work) -> None:
    add(jobs, unique("a", until=STARTED))
    assert add(jobs, unique("b", until=STARTED)) == [("a", EXISTING)]
    [attempt] = run(work)
    assert add(jobs, unique("b", until=STARTED)) == [("b", NEW)]
    end(work, attempt, Outcome.FAILED)
    jobs.change("a", lambda job: job.cancelled(NOON, ANN))
    jobs.change("a", lambda job: job.retried(NOON))
    assert (jobs.find("a").unique_held, jobs.find("b").unique_held) == (None, "sync:42")


def test_for_a_span_a_job_holds_its_key_whatever_becomes_of_it(jobs: Jobs, work: Work) -> None:
    add(jobs, unique("a", until="1h"))
    end(work, *run(work))
    last = NOON + HOUR - MICROSECOND
    assert add(jobs, unique("b", until="1h", created_at=last)) == [("a", EXISTING)]
    assert add(jobs, unique("c", until="1h", created_at=NOON + HOUR)) == [("c", NEW)]
    assert (jobs.find("a").unique_held, jobs.find("c").unique_held) == (None, "sync:42")


def test_a_job_that_waits_longer_than_its_span_gives_the_key_up_and_still_runs(jobs: Jobs, work: Work) -> None:
    add(jobs, unique("a", until="1h"))
    assert add(jobs, unique("b", until="1h", created_at=NOON + HOUR), rule=REPLACE) == [("b", NEW)]
    assert [it.job.id for it in run(work, at=NOON + HOUR, limit=9)] == []  # its worker's lease is over by then
    assert jobs.find("a").state is State.PENDING


class TestReplace:
    """`on_duplicate: replace`."""

    def test_a_holder_that_waits_for_its_first_run_becomes_as_the_new_one(self, jobs: Jobs, work: Work) -> None:
        add(jobs, unique("a", run_at=NOON + HOUR))
        new = unique(
            "b",
            created_at=NOON + SECOND,
            command=("make", "all"),
            priority=9,
            max_retries=7,
            timeout=MINUTE,
            env={"A": "b"},
            cwd="/srv",
        )
        assert add(jobs, new, rule=REPLACE) == [("a", REPLACED)]
        assert stored(jobs) == ["a"]
        job = jobs.find("a")
        assert job.spec == new.spec._replace(id="a", created_at=NOON)
        assert (job.run_at, job.updated_at) == (new.run_at, new.updated_at)
        assert [it.job.command for it in run(work, at=NOON + SECOND)] == [("make", "all")]

    def test_it_moves_to_the_queue_of_the_new_one(self, jobs: Jobs, work: Work) -> None:
        work.claim(Claim(a_lease(9), 1, NOON, queues=("mail",)))  # a queue that a worker names has a lane of its own
        add(jobs, unique("a"))
        add(jobs, unique("b", queue="mail"), rule=REPLACE)
        assert [it.job.id for it in work.claim(Claim(a_lease(8), 1, NOON, queues=("default",)))] == []
        assert [it.job.id for it in work.claim(Claim(a_lease(7), 1, NOON, queues=("mail",)))] == ["a"]

    def test_it_is_found_by_the_tags_of_the_new_one(self, jobs: Jobs) -> None:
        add(jobs, unique("a", tags=("old", "both")), a_job("other", tags=("old",)))
        add(jobs, unique("b", tags=("new", "both")), rule=REPLACE)
        found = {tag: sorted(job.id for job in jobs.search(tags=[tag])) for tag in ("old", "both", "new")}
        assert found == {"old": ["other"], "both": ["a"], "new": ["a"]}

    def test_a_holder_that_runs_or_has_run_stays_as_it_is(self, jobs: Jobs, work: Work) -> None:
        add(jobs, unique("a"))
        [attempt] = run(work)
        before = jobs.find("a")
        assert add(jobs, unique("b", command="new"), rule=REPLACE) == [("a", EXISTING)]
        assert jobs.find("a") == before
        end(work, attempt, Outcome.RELEASED)
        assert add(jobs, unique("b", command="new"), rule=REPLACE) == [("a", EXISTING)]
        assert jobs.find("a").command == "echo hello"

    def test_until_started_makes_it_the_newest_that_waits(self, jobs: Jobs, work: Work) -> None:
        """Debouncing: of those that come while one runs, the newest runs next."""
        add(jobs, unique("a", until=STARTED))
        run(work)
        assert add(jobs, unique("b", until=STARTED), rule=REPLACE) == [("b", NEW)]
        assert add(jobs, unique("c", until=STARTED, command="newest"), rule=REPLACE) == [("b", REPLACED)]
        assert [it.job.command for it in run(work, limit=9, number=2)] == ["newest"]

    def test_a_span_counts_anew(self, jobs: Jobs) -> None:
        add(jobs, unique("a", until="1h"))
        half = NOON + HOUR / 2
        assert add(jobs, unique("b", until="1h", created_at=half), rule=REPLACE) == [("a", REPLACED)]
        assert add(jobs, unique("c", until="1h", created_at=NOON + HOUR)) == [("a", EXISTING)]
        assert add(jobs, unique("d", until="1h", created_at=half + HOUR)) == [("d", NEW)]

    def test_a_job_parked_behind_the_holder_goes_when_it_leaves_their_key(self, jobs: Jobs, work: Work) -> None:
        """Jobs of a batch wait behind the first of their key: somebody must let them go."""
        key = {"key": "db", "key_limit": 1}
        add(jobs, unique("a", **key), a_job("parked", **key))
        assert add(jobs, unique("b", run_at=NOON + HOUR), rule=REPLACE) == [("a", REPLACED)]
        assert [it.job.id for it in run(work, limit=9)] == ["parked"]

    def test_a_parked_holder_may_go_when_it_has_no_key_any_more(self, jobs: Jobs, work: Work) -> None:
        key = {"key": "db", "key_limit": 1}
        add(jobs, a_job("first", **key), unique("a", **key))
        assert jobs.find("a").waits_for is WaitsFor.KEY
        assert add(jobs, unique("b"), rule=REPLACE) == [("a", REPLACED)]
        assert [it.job.id for it in run(work, limit=9)] == ["first", "a"]


class TestReject:
    """`on_duplicate: reject`."""

    def test_nothing_of_the_batch_is_stored_and_every_holder_is_named(self, jobs: Jobs) -> None:
        add(jobs, unique("a"), unique("b", "another"))
        with pytest.raises(UniqueKeyTaken) as refused:
            add(jobs, a_job("plain"), unique("c"), unique("d", "another"), rule=REJECT)
        assert refused.value.refused == {
            1: "job a has the unique key sync:42 and waits",
            2: "job b has the unique key another and waits",
        }
        assert stored(jobs) == ["a", "b"]

    def test_a_free_key_is_taken(self, jobs: Jobs) -> None:
        assert add(jobs, unique("a"), rule=REJECT) == [("a", NEW)]


class TestBatch:
    """Line by line, as if each had been enqueued by itself."""

    def test_a_later_line_meets_an_earlier_one(self, jobs: Jobs) -> None:
        assert add(jobs, unique("a"), a_job("plain"), unique("b")) == [("a", NEW), ("plain", NEW), ("a", EXISTING)]
        assert stored(jobs) == ["a", "plain"]

    def test_a_later_line_replaces_an_earlier_one(self, jobs: Jobs) -> None:
        added = jobs.add(
            [unique("a", command="old"), unique("b", command="new")], {"b": Terms(REPLACE), "a": Terms(REPLACE)}
        )
        assert [(it.job.id, it.how) for it in added] == [("a", NEW), ("a", REPLACED)]
        assert {it.job.command for it in added} == {jobs.find("a").command} == {"new"}
        assert stored(jobs) == ["a"]

    def test_a_later_line_rejects_the_batch(self, jobs: Jobs) -> None:
        with pytest.raises(UniqueKeyTaken, match="sync:42 is given more than once"):
            add(jobs, unique("a"), unique("b"), rule=REJECT)
        assert stored(jobs) == []

    def test_a_large_one_has_each_key_once(self, jobs: Jobs) -> None:
        new = [unique(f"job-{number:03}", f"key-{number % 70}") for number in range(300)]
        answers = add(jobs, *new)
        assert Counter(how for _, how in answers) == {NEW: 70, EXISTING: 230}
        assert all(job_id == f"job-{number % 70:03}" for number, (job_id, _) in enumerate(answers))
        assert stored(jobs) == [f"job-{number:03}" for number in range(70)]


class TestId:
    """An id that is taken."""

    def test_it_is_refused_whatever_becomes_of_the_unique_key(self, jobs: Jobs) -> None:
        add(jobs, unique("a"))
        for again in (unique("a"), unique("a", "another"), a_job("a")):
            with pytest.raises(DuplicateJob) as error:
                add(jobs, unique("new", "new"), again)
            assert error.value.taken == ("a",)
        with pytest.raises(DuplicateJob, match="given more than once: b"):
            add(jobs, unique("b", "b"), a_job("b"))
        assert stored(jobs) == ["a"]

    def test_with_skip_the_same_job_once_more_is_the_one_that_is_there(self, jobs: Jobs, work: Work) -> None:
        job = a_job("a", env={"A": "b"}, command=("true", "x"))
        assert add(jobs, job, rule=SKIP) == [("a", NEW)]
        end(work, *run(work))
        later = job._replace(spec=job.spec._replace(created_at=NOON + HOUR), run_at=NOON + HOUR)
        assert add(jobs, later, later, a_job("b"), rule=SKIP) == [("a", EXISTING), ("a", EXISTING), ("b", NEW)]
        assert jobs.find("a").state is State.COMPLETED

    def test_with_skip_another_job_of_that_id_is_refused(self, jobs: Jobs) -> None:
        add(jobs, a_job("a"))
        with pytest.raises(DuplicateJob) as error:
            add(jobs, a_job("a", command="another"), rule=SKIP)
        assert error.value.taken == ("a",)


class TestRetry:
    """An operator has a job run again that gave its key up."""

    def dead(self, jobs: Jobs, *job_ids: str, key: str = "sync:42") -> None:
        for job_id in job_ids:
            jobs.add([unique(job_id, key, unique_held=None, state=State.DEAD, finished_at=NOON)])

    def test_it_takes_the_key_again(self, jobs: Jobs) -> None:
        self.dead(jobs, "a")
        jobs.change("a", lambda job: job.retried(NOON + SECOND))
        assert add(jobs, unique("b")) == [("a", EXISTING)]

    def test_it_is_refused_while_another_job_has_the_key_and_says_which(self, jobs: Jobs) -> None:
        self.dead(jobs, "a")
        add(jobs, unique("b"))
        with pytest.raises(UniqueKeyTaken, match="job a cannot run again: job b has its unique key sync:42 and waits"):
            jobs.change("a", lambda job: job.retried(NOON + SECOND))
        assert jobs.find("a").state is State.DEAD

    def test_it_takes_the_key_of_a_job_whose_span_is_over(self, jobs: Jobs) -> None:
        self.dead(jobs, "a")
        add(jobs, unique("b", until="1h"))
        jobs.change("a", lambda job: job.retried(NOON + HOUR))
        assert (jobs.find("a").unique_held, jobs.find("b").unique_held) == ("sync:42", None)

    def test_of_many_those_whose_key_is_held_stay_dead_and_the_others_go_on(self, jobs: Jobs) -> None:
        self.dead(jobs, "a", "b")
        self.dead(jobs, "held", key="held")
        self.dead(jobs, "free", key="free")
        add(jobs, unique("holder", "held"))
        at, seen = NOON + SECOND, list[tuple[str, State]]()
        while changed := jobs.change_dead(lambda job: job.retried(at), until=at, limit=1):
            seen += [(job.id, job.state) for job in changed]
        assert seen == [("a", State.PENDING), ("b", State.DEAD), ("held", State.DEAD), ("free", State.PENDING)]
        assert {job.id for job in jobs.search(states=[State.DEAD])} == {"b", "held"}
        again = jobs.change_dead(lambda job: job.retried(at + MINUTE), until=at + MINUTE, limit=9)
        assert [job.state for job in again] == [State.DEAD, State.DEAD]

    def test_of_those_that_are_retried_together_one_has_the_key(self, jobs: Jobs) -> None:
        self.dead(jobs, "a", "b")
        changed = jobs.change_dead(lambda job: job.retried(NOON + SECOND), until=NOON + SECOND, limit=9)
        assert [(job.id, job.state) for job in changed] == [("a", State.PENDING), ("b", State.DEAD)]


def in_parallel(tasks: Sequence[Callable[[], object]]) -> list[object]:
    """What each of them comes to; they begin at the same moment."""
    barrier = threading.Barrier(len(tasks))

    def begin(task: Callable[[], object]) -> object:
        barrier.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(begin, tasks))


@pytest.fixture
def nobody_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who enqueues waits for whoever has the same key in hand, and so does not run into it."""

    def look_again(*_: object) -> None:
        raise AssertionError("an enqueue has run into a job that another had stored meanwhile")

    monkeypatch.setattr(stores, "foreseen", look_again)


class TestRaces:
    """Many at once: the answers and what is stored agree, and a key has one holder."""

    @pytest.mark.usefixtures("nobody_is_tried_again")
    def test_of_many_enqueues_one_is_new_and_all_name_it(self, jobs: Jobs) -> None:
        for number in range(20):
            racers = [unique(f"{number}-{racer}", f"key-{number}") for racer in range(RACERS)]
            tasks = [lambda job=job: jobs.add([job]) for job in racers]
            answers = [answer for [answer] in in_parallel(tasks)]
            assert Counter(answer.how for answer in answers) == {NEW: 1, EXISTING: RACERS - 1}
            assert len({answer.job.id for answer in answers}) == 1
        assert len(jobs.search()) == 20

    @pytest.mark.usefixtures("nobody_is_tried_again")
    def test_batches_that_name_the_same_keys_in_other_orders_do_not_block_each_other(self, jobs: Jobs) -> None:
        def batch(racer: int) -> Sequence[Added]:
            keys = range(40) if racer % 2 else range(39, -1, -1)
            return jobs.add([unique(f"{racer}-{key}", f"key-{key}") for key in keys])

        answers = in_parallel([lambda it=it: batch(it) for it in range(RACERS)])
        holders = {job.unique_held: job.id for job in jobs.search()}
        assert len(holders) == len(jobs.search()) == 40
        for added in answers:
            assert all(it.job.id == holders[it.job.spec.unique_key] for it in added)
        assert sum(it.how is NEW for added in answers for it in added) == 40

    @pytest.mark.parametrize("rule", [None, *OnDuplicate])
    def test_who_looked_before_another_had_the_key_looks_again(
        self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, rule: OnDuplicate | None
    ) -> None:
        """As a retry and an enqueue may, which do not wait for each other."""
        add(jobs, unique("a"))
        looks = iter([lambda *_, **__: []])
        look = queries.unique_holders
        monkeypatch.setattr(queries, "unique_holders", lambda c, **asked: next(looks, look)(c, **asked))
        if rule is REJECT:
            with pytest.raises(UniqueKeyTaken, match="job a has"):
                add(jobs, unique("b"), rule=rule)
        else:
            assert add(jobs, unique("b"), rule=rule) == [("a", REPLACED if rule is REPLACE else EXISTING)]
        assert stored(jobs) == ["a"]

    def test_a_retry_that_looked_before_another_had_the_key_looks_again(
        self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jobs.add([unique("old", unique_held=None, state=State.DEAD, finished_at=NOON), unique("a")])
        looks = iter([lambda *_, **__: []])
        look = queries.unique_holders
        monkeypatch.setattr(queries, "unique_holders", lambda c, **asked: next(looks, look)(c, **asked))
        with pytest.raises(UniqueKeyTaken, match="job old cannot run again"):
            jobs.change("old", lambda job: job.retried(NOON + SECOND))

    def test_a_retry_and_an_enqueue_at_once_leave_one_holder(self, jobs: Jobs) -> None:
        def retry(job_id: str) -> object:
            try:
                return jobs.change(job_id, lambda job: job.retried(NOON + SECOND)).id
            except UniqueKeyTaken:
                return None

        for number in range(20):
            key, old = f"key-{number}", f"old-{number}"
            jobs.add([unique(old, key, unique_held=None, state=State.DEAD, finished_at=NOON)])
            new = unique(f"new-{number}", key)
            _, [added] = in_parallel([lambda old=old: retry(old), lambda new=new: jobs.add([new])])
            holders = [job.id for job in jobs.search() if job.unique_held == key]
            assert holders == [added.job.id]

    def test_who_replaces_while_the_job_is_claimed_hears_which_of_both_it_was(self, jobs: Jobs, work: Work) -> None:
        for number in range(20):
            old, new = unique(f"old-{number}", f"{number}", command="old"), unique(f"n-{number}", f"{number}")
            jobs.add([old])
            replace = {new.id: Terms(REPLACE)}
            tasks = [
                lambda new=new, replace=replace: jobs.add([new], replace),
                lambda number=number: run(work, number=number + 1),
            ]
            [added], runs = in_parallel(tasks)
            runs = runs or run(work, number=number + 1)  # what the other had locked, a claim passes by
            ran = [attempt.job.command for attempt in runs]
            assert ran == (["echo hello"] if added.how is REPLACED else ["old"])
