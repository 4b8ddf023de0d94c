from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count, pairwise

import pytest

from queuectl.application.ends import look_after
from queuectl.application.work.claim import POLL
from queuectl.application.work.duty import WorkerPorts
from queuectl.application.work.lease import Heartbeat, LeaseTerm
from queuectl.application.work.worker import Worker
from queuectl.domain.attempt import Attempt, Outcome, RunResult
from queuectl.domain.events import (
    CancelReceived,
    DatabaseBack,
    DatabaseLost,
    EndLate,
    EndSpooled,
    Event,
    JobSettled,
    JobStarted,
    LeaseLost,
    WorkerInTrouble,
    WorkerStopping,
)
from queuectl.domain.job import Job, State
from queuectl.domain.policy import Policy
from queuectl.domain.ports.work import Claim, Run
from queuectl.domain.worker import Lease, WorkerState
from tests.builders import ANN, NOON, SECOND, a_failure, a_job, a_loss, a_policy, a_result, a_worker, some_jobs
from tests.fakes import InMemorySpool, ManualClock, ScriptedRunner
from tests.memory import InMemoryConfig, InMemoryDependencies, InMemoryJobs, InMemoryWork, InMemoryWorkers, Memory

LEASE = 30 * SECOND


@dataclass
class WorkerHarness:
    """A worker: its queue in memory, its commands scripted, its time by hand."""

    jobs_to_do: Sequence[Job] = ()
    scripts: dict[str, list[RunResult]] = field(default_factory=dict)
    queues: tuple[str, ...] = ()
    concurrency: int = 1
    chance: float = 0.0
    policy: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = Memory(settings={"": self.policy})
        self.jobs, self.workers = InMemoryJobs(self.memory), InMemoryWorkers(self.memory)
        self.work = InMemoryWork(self.memory)
        self.clock = ManualClock(NOON)
        self.runner = ScriptedRunner(self.clock, self.scripts)
        self.events: list[Event] = []
        self.rescued_at: list[timedelta] = []
        self.first_expiry = LEASE
        self.spool = InMemorySpool()
        self.workers.register(a_worker("w-1", lease_expires_at=NOON + LEASE))
        self.jobs.add(self.jobs_to_do)
        self.heartbeat = Heartbeat(
            "w-1",
            workers=self.workers,
            lease=LeaseTerm(LEASE, elapsed=self.clock.elapsed),
            clock=self.clock,
            wake=self.runner.wake,
        )
        lease_ids = count(1)
        self.worker = Worker(
            "w-1",
            queues=self.queues,
            concurrency=self.concurrency,
            heartbeat=self.heartbeat,
            ports=WorkerPorts(
                work=self.work,
                config=InMemoryConfig(self.memory),
                runner=self.runner,
                spool=self.spool,
                events=self.events.append,
                new_lease_id=lambda: f"{next(lease_ids):032x}",
                clock=self.clock,
                elapsed=self.clock.elapsed,
                chance=lambda: self.chance,
                look_after=partial(look_after, dependencies=InMemoryDependencies(self.memory), clock=self.clock),
            ),
            fleet=[self.rescue],
        )

    def rescue(self, policy: Policy) -> timedelta:
        with self.memory.transaction():
            self.rescued_at.append(self.clock.elapsed())
        return min(policy.lease / 6, self.first_expiry)

    def turn(self, turns: int = 1, *, renew: bool = True) -> None:
        for _ in range(turns):
            if renew:
                self.heartbeat.renew()
            self.worker.work_one()

    def turn_until(self, condition: Callable[[], bool]) -> None:
        for _ in range(100):
            if condition():
                return
            self.turn()
        raise AssertionError("it did not happen within 100 turns")

    def heard(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def state(self, job_id: str = "job-1") -> State:
        return self.memory.jobs[job_id].state

    def attempts(self, job_id: str = "job-1") -> Sequence[Attempt]:
        return [attempt for (owner, _), attempt in sorted(self.memory.attempts.items()) if owner == job_id]

    def outcomes(self, job_id: str = "job-1") -> list[Outcome | None]:
        return [attempt.outcome for attempt in self.attempts(job_id)]


class TestWork:
    def test_a_due_job_is_claimed_run_and_settled(self) -> None:
        harness = WorkerHarness([a_job()], {"job-1": [a_result(output=b"hello")]})
        harness.turn(2)
        assert (harness.state(), harness.outcomes()) == (State.COMPLETED, [Outcome.SUCCEEDED])
        assert [type(event) for event in harness.events] == [JobStarted, JobSettled]

    def test_it_claims_as_many_as_it_has_free_slots_and_one_more_for_each_that_ends(self) -> None:
        harness = WorkerHarness(some_jobs(5), concurrency=2)
        harness.turn(3)
        assert harness.runner.started == ["job-000", "job-001"]
        harness.runner.end("job-000", a_result())
        harness.turn()
        assert harness.runner.started == ["job-000", "job-001", "job-002"]

    def test_it_serves_only_its_queues(self) -> None:
        harness = WorkerHarness([a_job("mine", queue="mail"), a_job("other")], queues=("mail",), concurrency=2)
        harness.turn()
        assert harness.runner.started == ["mine"]

    def test_each_claim_has_a_lease_of_its_own(self) -> None:
        harness = WorkerHarness(some_jobs(2), {"job-000": [a_result()]})
        harness.turn(2)
        leases = [attempt.lease for job_id in ("job-000", "job-001") for attempt in harness.attempts(job_id)]
        assert len(set(leases)) == 2
        assert {lease.worker for lease in leases} == {"w-1"}

    def test_a_failed_job_runs_again_as_soon_as_its_backoff_is_over(self) -> None:
        harness = WorkerHarness([a_job()], {"job-1": [a_failure(), a_result()]})
        harness.turn_until(lambda: harness.state() is State.COMPLETED)
        first, second = harness.attempts()
        assert second.started_at - NOON == 2 * SECOND
        assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)

    def test_the_settled_event_tells_how_long_the_attempt_ran(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.clock.advance(7 * SECOND)
        harness.runner.end("job-1", a_result())
        harness.turn()
        [settled] = harness.heard(JobSettled)
        assert isinstance(settled, JobSettled)
        assert settled.ran == 7 * SECOND

    def test_the_policy_at_the_claim_holds_for_the_attempt(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.memory.config["backoff-base"] = "100"
        harness.runner.end("job-1", a_failure())
        harness.turn()
        assert harness.memory.jobs["job-1"].run_at - harness.memory.jobs["job-1"].updated_at == 2 * SECOND

    def test_others_are_rescued_at_once_when_one_is_known_to_have_died(self) -> None:
        harness = WorkerHarness()
        harness.turn(2)
        rescues = len(harness.rescued_at)
        harness.turn()
        assert len(harness.rescued_at) == rescues
        harness.worker.rescue_soon()
        harness.turn(2)
        assert len(harness.rescued_at) == rescues + 1

    def test_others_are_rescued_every_sixth_of_a_lease_with_jitter(self) -> None:
        harness = WorkerHarness(chance=0.8)
        harness.turn(20)
        gaps = {later - earlier for earlier, later in zip(harness.rescued_at, harness.rescued_at[1:], strict=False)}
        assert gaps == {6 * SECOND}

    def test_others_are_rescued_when_the_first_lease_is_over_whatever_the_policy_says_now(self) -> None:
        harness = WorkerHarness(policy={"lease": "1h"})
        harness.first_expiry = 3 * SECOND
        harness.turn(20)
        gaps = {later - earlier for earlier, later in zip(harness.rescued_at, harness.rescued_at[1:], strict=False)}
        assert gaps == {3 * SECOND}


class TestWaiting:
    def test_an_idle_worker_looks_for_jobs_every_second(self) -> None:
        harness = WorkerHarness()
        harness.turn(4)
        assert harness.runner.waited == [timedelta(), POLL, POLL, POLL]

    def test_the_next_due_job_shortens_the_wait(self) -> None:
        harness = WorkerHarness([a_job(run_at=NOON + timedelta(milliseconds=250))])
        harness.turn(2)
        assert harness.runner.waited[-1] == timedelta(milliseconds=250)
        assert harness.runner.started == ["job-1"]

    @pytest.mark.parametrize("reason", ["full", "stopping", "paused", "lease lost"])
    def test_a_worker_that_cannot_claim_waits_instead_of_spinning(self, reason: str) -> None:
        harness = WorkerHarness([a_job("job-1"), a_job("job-2")], concurrency=1 if reason == "full" else 2)
        harness.turn()
        match reason:
            case "stopping":
                harness.worker.stop()
            case "paused":
                harness.runner.end("job-1", a_result(Outcome.RELEASED))
            case "lease lost":
                harness.runner.stop = lambda outcome, grace: None
                harness.clock.advance(LEASE)
        harness.turn(2, renew=False)
        already = len(harness.runner.waited)
        before = harness.clock.elapsed()
        harness.turn(10, renew=reason != "lease lost")
        assert harness.clock.elapsed() - before >= 8 * SECOND
        assert harness.runner.waited[already:].count(timedelta()) <= 1

    def test_it_waits_no_longer_than_its_lease_lasts(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.memory.outage = "gone"
        while not harness.heard(LeaseLost):
            harness.turn()
        assert harness.clock.now - NOON == LEASE * 2 / 3


class TestSuspects:
    """Jobs that have lost their worker, and run apart from others."""

    def suspects(self, count: int, **overrides: object) -> list[Job]:
        return [a_job(f"suspect-{number}", suspect=True, **overrides) for number in range(count)]

    def test_a_worker_that_holds_nothing_runs_one_and_nothing_beside_it(self) -> None:
        harness = WorkerHarness([*some_jobs(5, priority=9), *self.suspects(1)], concurrency=3)
        harness.turn(5)
        assert harness.runner.started == ["suspect-0"]
        harness.runner.end("suspect-0", a_result())
        harness.turn()
        assert harness.runner.started == ["suspect-0", "job-000", "job-001", "job-002"]

    def test_the_next_one_follows_it_in_claim_order(self) -> None:
        harness = WorkerHarness(
            [*self.suspects(2), a_job("urgent", suspect=True, priority=9), *some_jobs(2)], concurrency=3
        )
        for job_id in ("urgent", "suspect-0", "suspect-1"):
            harness.turn(2)
            assert list(harness.runner.running) == [job_id]
            harness.runner.end(job_id, a_result())
        harness.turn()
        assert list(harness.runner.running) == ["job-000", "job-001"]

    def test_one_that_is_lost_while_a_worker_is_idle_is_taken_at_the_next_look(self) -> None:
        harness = WorkerHarness(concurrency=3)
        harness.turn(3)
        harness.jobs.add(self.suspects(1))
        harness.turn(2)
        assert harness.runner.started == ["suspect-0"]

    def test_a_worker_with_one_slot_takes_them_in_one_order_with_the_others(self) -> None:
        harness = WorkerHarness([a_job("first", priority=9), *self.suspects(1, priority=8), a_job("last")])
        for job_id in ("first", "suspect-0", "last"):
            harness.turn()
            assert list(harness.runner.running) == [job_id]
            harness.runner.end(job_id, a_result())

    def busy(self, chance: float) -> WorkerHarness:
        harness = WorkerHarness(some_jobs(2000), concurrency=2, chance=chance)
        harness.turn(2)
        harness.jobs.add(self.suspects(1))
        return harness

    def work_on(self, harness: WorkerHarness) -> None:
        """The command that runs longest ends; a second goes by."""
        if harness.runner.running:
            harness.runner.end(next(iter(harness.runner.running)), a_result())
        harness.turn()
        harness.clock.advance(SECOND)

    @pytest.mark.parametrize(("chance", "leases"), [(0, 0.5), (0.5, 2.25), (0.999, 4)])
    def test_a_busy_worker_makes_room_for_one_that_waits_for_long_by_chance(self, chance: float, leases: float) -> None:
        harness = self.busy(chance)
        began = harness.clock.elapsed()
        while "suspect-0" not in harness.runner.started:
            self.work_on(harness)
        a_look, the_end_of_the_others = LEASE / 6 * 1.25, 4 * SECOND
        waited = harness.clock.elapsed() - began
        assert leases * LEASE <= waited + SECOND
        assert waited <= leases * LEASE + a_look + the_end_of_the_others
        assert list(harness.runner.running) == ["suspect-0"]

    def test_a_worker_that_makes_room_claims_on_when_another_one_has_taken_it(self) -> None:
        harness = self.busy(chance=0)
        while len(harness.runner.running) == 2:
            self.work_on(harness)
        started = len(harness.runner.started)
        harness.workers.register(a_worker("w-2"))
        harness.work.claim(Claim(Lease(id="f", worker="w-2"), queues=(), limit=1, at=harness.clock.now, suspects=True))
        harness.turn_until(lambda: len(harness.runner.running) == 2)
        assert len(harness.runner.started) == started + 1
        assert harness.runner.started[-1] != "suspect-0"

    def test_a_worker_that_finds_it_taken_goes_on_with_the_others(self) -> None:
        harness = WorkerHarness([*self.suspects(1), *some_jobs(2)], concurrency=3)
        claim = harness.work.claim

        def too_late(lease: Lease, **asked: object) -> Sequence[Run]:
            harness.work.claim = claim
            harness.jobs.change("suspect-0", lambda job: job.cancelled(harness.clock.now, ANN))
            return claim(lease, **asked)

        harness.work.claim = too_late
        harness.turn(2)
        assert harness.runner.started == ["job-000", "job-001"]

    def test_one_of_another_queue_is_none_of_its_business(self) -> None:
        harness = WorkerHarness([*self.suspects(1, queue="mail"), *some_jobs(2)], queues=("default",), concurrency=2)
        harness.turn(2)
        assert harness.runner.started == ["job-000", "job-001"]

    def test_what_several_slots_give_back_when_the_lease_is_lost_is_suspect_and_blamed_on_none(self) -> None:
        harness = WorkerHarness(some_jobs(2), concurrency=2)
        harness.turn()
        harness.clock.advance(LEASE)
        harness.turn(2, renew=False)
        assert {(job.state, job.losses, job.suspect) for job in harness.memory.jobs.values()} == {
            (State.PENDING, 0, True)
        }


class TestStop:
    def test_a_graceful_stop_claims_no_more_and_finishes_the_job_in_hand(self) -> None:
        harness = WorkerHarness(some_jobs(2))
        harness.turn()
        harness.worker.stop()
        harness.turn()
        assert not harness.worker.is_done
        harness.runner.end("job-000", a_result())
        harness.turn()
        assert harness.worker.is_done
        assert (harness.state("job-000"), harness.state("job-001")) == (State.COMPLETED, State.PENDING)
        assert harness.heard(WorkerStopping) == [WorkerStopping(worker="w-1", jobs=1, forced=False)]

    def test_an_idle_worker_stops_at_once_and_in_good_order(self) -> None:
        harness = WorkerHarness()
        harness.turn()
        harness.worker.stop()
        assert harness.worker.run()

    def test_the_registry_hears_of_the_stop_with_the_next_beat(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.worker.stop()
        harness.turn(2)
        assert [worker.state for worker in harness.workers.live()] == [WorkerState.STOPPING]

    def test_a_graceful_stop_asked_for_again_is_nothing_new(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.worker.stop()
        harness.turn()
        harness.worker.stop()
        harness.turn()
        assert len(harness.heard(WorkerStopping)) == 1
        assert harness.runner.stops == []

    def test_a_forced_stop_after_a_graceful_one_releases_the_job_in_hand(self) -> None:
        harness = WorkerHarness([a_job(max_retries=0)], policy={"kill-grace": "7s"})
        harness.turn()
        harness.worker.stop()
        harness.worker.stop(force=True)
        harness.turn(2)
        assert harness.worker.is_done
        assert harness.runner.stops == [(Outcome.RELEASED, 7 * SECOND)]
        assert (harness.state(), harness.outcomes()) == (State.PENDING, [Outcome.RELEASED])

    def test_a_forced_stop_asked_for_again_is_nothing_new(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        for _ in range(5):
            harness.worker.stop(force=True)
        harness.turn(2)
        assert len(harness.runner.stops) == 1


class TestCancel:
    def ask(self, harness: WorkerHarness, job_id: str = "job-1") -> None:
        """Ask as an operator does, with the wake-up that tells of it."""
        harness.jobs.change(job_id, lambda job: job.cancelled(harness.clock.now, ANN))
        harness.runner.wake()

    def test_the_command_of_a_job_that_is_to_be_cancelled_is_stopped_and_who_asked_is_recorded(self) -> None:
        harness = WorkerHarness(some_jobs(2), concurrency=2, policy={"kill-grace": "7s"})
        harness.turn()
        self.ask(harness, "job-001")
        harness.turn(3)
        assert harness.runner.stops == [(Outcome.CANCELLED, 7 * SECOND)]
        assert (harness.state("job-001"), harness.outcomes("job-001")) == (State.CANCELLED, [Outcome.CANCELLED])
        assert harness.attempts("job-001")[0].error == f"cancelled by {ANN}: stopped"
        assert harness.state("job-000") is State.PROCESSING
        assert [event.job.id for event in harness.events if isinstance(event, CancelReceived)] == ["job-001"]

    def test_the_grace_is_that_of_the_policy_of_now(self) -> None:
        harness = WorkerHarness([a_job()], policy={"kill-grace": "1h"})
        harness.turn()
        harness.memory.config["kill-grace"] = "3s"
        self.ask(harness)
        harness.turn(2)
        assert harness.runner.stops == [(Outcome.CANCELLED, 3 * SECOND)]
        assert harness.runner.grace == 3 * SECOND

    def test_without_a_wake_up_it_is_heard_of_within_a_second(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn(3)
        asked_at = harness.clock.now
        harness.jobs.change("job-1", lambda job: job.cancelled(asked_at, ANN))
        harness.turn_until(lambda: harness.state() is State.CANCELLED)
        assert harness.clock.now - asked_at <= POLL

    def test_a_worker_that_stops_gracefully_hears_of_it_too(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.worker.stop()
        harness.turn()
        self.ask(harness)
        harness.turn_until(lambda: harness.worker.is_done)
        assert harness.state() is State.CANCELLED

    def test_it_is_stopped_twice_however_often_it_is_asked_for(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.runner.end = lambda job_id, result: None  # it takes its time
        for _ in range(5):
            self.ask(harness)
            harness.clock.advance(SECOND)
            harness.turn()
        assert harness.runner.stops == [(Outcome.CANCELLED, 5 * SECOND), (Outcome.CANCELLED, 0 * SECOND)]

    @pytest.mark.parametrize(
        ("result", "state"),
        [(a_result(), State.COMPLETED), (a_failure(), State.CANCELLED), (a_result(Outcome.RELEASED), State.CANCELLED)],
    )
    def test_a_command_that_ends_before_its_worker_hears_of_it_has_its_own_outcome(
        self, result: RunResult, state: State
    ) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.runner.end("job-1", result)
        self.ask(harness)
        harness.turn(5)
        assert (harness.state(), harness.outcomes(), harness.runner.stops) == (state, [result.outcome], [])
        [settled] = harness.heard(JobSettled)
        assert isinstance(settled, JobSettled)
        assert settled.job.state is state
        assert harness.runner.started == ["job-1"]

    def test_a_job_that_is_given_back_by_force_after_it_was_to_be_cancelled_is_cancelled(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.worker.stop(force=True)
        self.ask(harness)
        harness.turn(3)
        assert (harness.state(), harness.outcomes()) == (State.CANCELLED, [Outcome.RELEASED])

    def test_a_job_of_a_claim_whose_answer_was_lost_is_not_started_when_it_is_to_be_cancelled(self) -> None:
        harness = WorkerHarness([a_job()])
        lose_the_answer_to_the_next_claim(harness)
        harness.turn()
        self.ask(harness)
        harness.turn(3)
        assert (harness.state(), harness.outcomes(), harness.runner.started) == (
            State.CANCELLED,
            [Outcome.RELEASED],
            [],
        )

    def test_a_job_that_comes_with_a_request_is_not_started(self) -> None:
        harness = WorkerHarness([a_job()])
        claim = harness.work.claim

        def recalled(lease: Lease, **asked: object) -> Sequence[Run]:
            runs = claim(lease, **asked)
            return [
                run._replace(job=harness.jobs.change(run.job.id, lambda job: job.cancelled(NOON, ANN))) for run in runs
            ]

        harness.work.claim = recalled
        harness.turn(3)
        assert (harness.state(), harness.runner.started) == (State.CANCELLED, [])
        assert harness.attempts()[0].error == f"cancelled by {ANN}: not started"

    def test_a_worker_that_is_woken_all_the_time_asks_a_few_times_a_second(self) -> None:
        harness, asked = WorkerHarness([a_job()]), []
        harness.turn()
        harness.work.cancel_requests = lambda *question: asked.append(question) or []
        for _ in range(1000):
            harness.clock.advance(timedelta(milliseconds=1))
            harness.runner.wake()
            harness.turn()
        assert 15 <= len(asked) <= 20

    def test_a_wake_up_just_after_a_question_is_not_forgotten(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn(2)
        self.ask(harness)
        harness.runner.wake()
        harness.turn()
        asked_at = harness.clock.now
        harness.turn_until(lambda: harness.state() is State.CANCELLED)
        assert harness.clock.now - asked_at <= timedelta(milliseconds=100)

    def test_a_worker_whose_jobs_nobody_cancels_does_not_spin(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn(2)
        before = harness.clock.now
        harness.runner.wake()
        harness.turn(10)
        assert harness.clock.now - before >= 8 * SECOND


class TestLease:
    def test_a_worker_that_cannot_renew_stops_its_jobs_before_its_lease_ends(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.memory.outage = "gone"
        harness.turn_until(lambda: bool(harness.runner.stops))
        [(outcome, grace)] = harness.runner.stops
        assert outcome is Outcome.LOST
        assert harness.clock.now + grace < NOON + LEASE

    def test_a_worker_that_was_given_up_stops_its_jobs_and_reports_them_late(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.clock.advance(SECOND)
        harness.work.rescue(
            "w-1",
            lambda job, alone: job.settled(a_loss("frozen"), NOON, a_policy(), 0, alone=alone),
            at=NOON,
            proved_dead=True,
        )
        harness.heartbeat.renew()
        assert not harness.worker.run()
        [attempt] = harness.attempts()
        assert (attempt.outcome, attempt.error, attempt.late) == (Outcome.LOST, "frozen", Outcome.LOST)
        assert (harness.state(), harness.memory.jobs["job-1"].losses) == (State.PENDING, 1)
        assert len(harness.heard(LeaseLost)) == len(harness.heard(EndLate)) == 1
        assert harness.runner.started == ["job-1"]

    def test_a_worker_that_lost_its_lease_but_was_not_rescued_gives_its_jobs_back_itself(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.clock.advance(LEASE)
        harness.turn(2, renew=False)
        assert harness.worker.is_done
        assert (harness.state(), harness.outcomes()) == (State.PENDING, [Outcome.LOST])

    def test_a_lost_lease_is_never_found_again(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.clock.advance(LEASE)
        harness.turn(renew=False)
        harness.turn(3)
        assert harness.worker.is_done
        assert harness.runner.started == ["job-1"]


class TestOutage:
    def test_an_outcome_is_kept_through_an_outage_and_told_when_it_is_recorded(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.memory.outage = "gone"
        harness.runner.end("job-1", a_result(output=b"precious"))
        harness.turn(5)
        assert not harness.heard(JobSettled)
        harness.memory.outage = None
        harness.turn_until(lambda: harness.state() is State.COMPLETED)
        assert harness.attempts()[0].output.content == b"precious"
        assert len(harness.heard(JobSettled)) == 1

    def test_an_outage_is_told_once_and_so_is_its_end(self) -> None:
        harness = WorkerHarness()
        for _ in range(2):
            harness.memory.outage = "gone"
            harness.turn(6)
            harness.memory.outage = None
            harness.turn(6)
        told = [event for event in harness.events if isinstance(event, DatabaseLost | DatabaseBack)]
        assert told == [DatabaseLost(worker="w-1", error="gone"), DatabaseBack(worker="w-1")] * 2

    def test_the_end_of_an_outage_is_not_told_before_the_database_was_asked(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.worker.stop()
        harness.memory.outage = "gone"
        harness.turn_until(lambda: bool(harness.heard(DatabaseLost)))
        harness.turn(8)
        assert not harness.heard(DatabaseBack)

    def test_an_outcome_that_cannot_be_stored_outlives_a_graceful_stop_but_not_a_forced_one_and_the_lease(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.spool.room = 0
        harness.turn()
        harness.memory.outage = "gone"
        harness.runner.end("job-1", a_result())
        harness.worker.stop()
        harness.turn(10)
        assert not harness.worker.is_done
        harness.worker.stop(force=True)
        harness.turn_until(lambda: harness.worker.is_done)
        assert len(harness.heard(LeaseLost)) == 1

    def test_an_outcome_that_cannot_be_stored_is_kept_until_it_is(self) -> None:
        harness = WorkerHarness(some_jobs(2), concurrency=2)
        harness.turn()
        harness.memory.outage = "gone"
        harness.runner.end("job-000", a_result(output=b"precious"))
        harness.turn()
        harness.runner.end("job-001", a_failure())
        harness.turn()
        assert [(it.job_id, it.number, it.result.output.content) for it in harness.spool.spooled()] == [
            ("job-000", 1, b"precious"),
            ("job-001", 1, b""),
        ]
        harness.turn(3)
        assert len(harness.heard(EndSpooled)) == 2
        harness.memory.outage = None
        harness.turn_until(lambda: harness.state("job-001") is State.FAILED)
        assert (harness.state("job-000"), harness.spool.spooled()) == (State.COMPLETED, [])

    def test_an_outcome_that_is_stored_at_once_is_not_kept(self) -> None:
        harness = WorkerHarness([a_job()], {"job-1": [a_result()]})
        harness.turn(3)
        assert (harness.state(), harness.heard(EndSpooled)) == (State.COMPLETED, [])

    def test_a_forced_stop_waits_no_longer_when_the_outcomes_are_kept(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.memory.outage = "gone"
        harness.worker.stop(force=True)
        harness.turn(3)
        assert harness.worker.is_done
        assert harness.heard(LeaseLost) == []
        assert [it.result.outcome for it in harness.spool.spooled()] == [Outcome.RELEASED]

    def test_what_cannot_be_kept_is_tried_again_and_stays_in_memory(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.spool.room = 0
        harness.turn()
        harness.memory.outage = "gone"
        harness.runner.end("job-1", a_result())
        harness.turn(2)
        harness.worker.stop(force=True)
        harness.turn()
        assert not harness.worker.is_done
        harness.spool.room = 1
        harness.turn_until(lambda: harness.worker.is_done)
        assert len(harness.spool.spooled()) == 1
        assert harness.heard(LeaseLost) == []

    def test_the_waits_between_tries_double(self) -> None:
        harness = WorkerHarness(chance=1)
        harness.memory.outage = "gone"
        harness.turn(5)
        assert [wait / timedelta(milliseconds=50) for wait in harness.runner.waited[1:]] == [1, 2, 4, 8]

    def test_a_result_whose_acknowledgement_was_lost_is_sent_again_and_counts_once(self) -> None:
        harness = WorkerHarness([a_job()])
        harness.turn()
        harness.runner.end("job-1", a_failure())
        harness.memory.answers_lost = 1
        harness.clock.advance(SECOND)
        assert not harness.heartbeat.lease.lost
        harness.turn(3, renew=False)
        assert (harness.memory.jobs["job-1"].failures, harness.outcomes()) == (1, [Outcome.FAILED])
        assert len(harness.heard(JobSettled)) == 1

    def test_jobs_of_a_claim_whose_answer_was_lost_are_given_back_and_run(self) -> None:
        harness = WorkerHarness()
        harness.turn(8)
        harness.jobs.add([a_job()])
        lose_the_answer_to_the_next_claim(harness)
        harness.turn_until(lambda: harness.runner.started == ["job-1"])
        assert harness.outcomes() == [Outcome.RELEASED, None]

    def test_a_worker_does_not_end_while_it_may_hold_jobs_of_a_claim_without_an_answer(self) -> None:
        harness = WorkerHarness([a_job()])
        lose_the_answer_to_the_next_claim(harness)
        harness.turn()
        harness.worker.stop()
        harness.turn_until(lambda: harness.worker.is_done)
        assert (harness.state(), harness.outcomes(), harness.runner.started) == (State.PENDING, [Outcome.RELEASED], [])


def lose_the_answer_to_the_next_claim(harness: WorkerHarness) -> None:
    claim = harness.work.claim

    def claim_once(lease: Lease, **asked: object) -> Sequence[Run]:
        harness.work.claim = claim
        harness.memory.answers_lost = 1
        return claim(lease, **asked)

    harness.work.claim = claim_once


class TestOwnTrouble:
    def test_a_command_that_the_worker_could_not_start_is_released_and_claims_pause(self) -> None:
        harness = WorkerHarness([a_job(max_retries=0)], {"job-1": [a_result(Outcome.RELEASED), a_result()]})
        harness.turn_until(lambda: harness.state() is State.COMPLETED)
        first, second = harness.attempts()
        assert (first.outcome, second.outcome) == (Outcome.RELEASED, Outcome.SUCCEEDED)
        assert second.started_at - first.started_at >= SECOND
        assert harness.memory.jobs["job-1"].failures == 0

    def test_the_other_commands_go_on(self) -> None:
        harness = WorkerHarness(some_jobs(2), {"job-000": [a_result(Outcome.RELEASED)]}, concurrency=2)
        harness.turn(2)
        assert harness.state("job-001") is State.PROCESSING
        assert harness.runner.stops == []

    def test_it_claims_ever_more_rarely_and_says_so_once(self) -> None:
        trouble = [a_result(Outcome.RELEASED, exit_code=None, error="no descriptors left")] * 9
        harness = WorkerHarness([a_job(max_retries=0)], {"job-1": [*trouble, a_result()]}, chance=1.0)
        harness.turn(400)
        starts = [attempt.started_at for attempt in harness.attempts()]
        waits = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
        assert all(wait >= least for wait, least in zip(waits, (2, 4, 8, 16, 32, 60, 60, 60, 60), strict=True))
        assert harness.heard(WorkerInTrouble) == [WorkerInTrouble(worker="w-1", error="no descriptors left")]

    def test_a_process_that_nothing_ends_keeps_its_slot(self) -> None:
        harness = WorkerHarness(some_jobs(3), concurrency=2)
        harness.runner.stuck = 1
        harness.turn(2)
        assert harness.runner.started == ["job-000"]
        harness.runner.stuck = 0
        harness.turn(2)
        assert harness.runner.started == ["job-000", "job-001"]


KILLED = [
    a_failure(exit_code=None, signal=15, error="killed by SIGTERM"),
    a_failure(exit_code=None, signal=9, error="killed by SIGKILL"),
    a_failure(exit_code=143, error="exit code 143"),
]
"""Ends of commands whose machine goes down."""


class TestShutdown:
    @pytest.mark.parametrize("result", KILLED)
    @pytest.mark.parametrize("told_first", [True, False])
    def test_a_command_that_ends_by_the_signal_of_a_shutdown_is_given_back(
        self, result: RunResult, told_first: bool
    ) -> None:
        harness = WorkerHarness([a_job(max_retries=0)])
        harness.turn()
        if told_first:
            harness.worker.stop()
            harness.runner.end("job-1", result)
            harness.turn()
        else:
            harness.runner.end("job-1", result)
            harness.turn()
            assert harness.state() is State.PROCESSING
            harness.worker.stop()
            harness.turn()
        assert (harness.state(), harness.outcomes()) == (State.PENDING, [Outcome.RELEASED])
        assert harness.memory.jobs["job-1"].failures == 0
        assert harness.worker.is_done

    @pytest.mark.parametrize("result", KILLED)
    def test_it_has_failed_where_the_worker_goes_on(self, result: RunResult) -> None:
        harness = WorkerHarness([a_job(max_retries=0)])
        harness.turn()
        harness.runner.end("job-1", result)
        ended_at = harness.clock.elapsed()
        harness.turn_until(lambda: harness.state() is State.DEAD)
        assert harness.outcomes() == [Outcome.FAILED]
        assert harness.clock.elapsed() - ended_at < 2 * SECOND

    def test_a_command_that_fails_by_itself_while_the_worker_stops_has_failed(self) -> None:
        harness = WorkerHarness([a_job(max_retries=0)])
        harness.turn()
        harness.worker.stop()
        harness.runner.end("job-1", a_failure())
        harness.turn()
        assert (harness.state(), harness.outcomes()) == (State.DEAD, [Outcome.FAILED])
