from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import pytest

from queuectl.application.duties.lease_watch import LeaseWatch
from queuectl.application.duties.machine import ThisMachine, clear_leftovers
from queuectl.application.duties.rescue import Rescue
from queuectl.application.work.settle import settle_spooled
from queuectl.domain.attempt import AttemptEnd, Outcome, RunResult
from queuectl.domain.errors import DatabaseUnavailable
from queuectl.domain.events import EndLate, Event, JobRescued, JobSettled
from queuectl.domain.job import Job, State
from queuectl.domain.ports.host import LocalProcess, NotedCommand
from queuectl.domain.ports.work import Claim
from queuectl.domain.worker import Lease, Process, WorkerRecord, WorkerState
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
    a_process,
    a_result,
    a_worker,
)
from tests.fakes import InMemoryLocalProcesses, InMemorySpool
from tests.memory import InMemoryConfig, InMemoryJobs, InMemoryWork, InMemoryWorkers, Memory

HERE, THERE = a_process(machine="here", pid=1), a_process(machine="there", pid=2)
SUPERVISOR = a_process(machine="here", pid=99)
COMMAND = NotedCommand(pid=50, noted_at=MINUTE, output=1)
SINCE_BOOT = HOUR


class WatchedForLong(LeaseWatch):
    """A watch that has seen all that the clock says, which never steps."""

    def __init__(self, at: datetime) -> None:
        super().__init__(timedelta)
        self._at = at

    def left(self, worker: WorkerRecord) -> timedelta:
        return max(timedelta(), worker.lease_expires_at - self._at)


class RescueHarness:
    """A worker `w-1` with a lease of an hour from noon and one job, and what a rescue does about it."""

    def __init__(self, process: Process = THERE) -> None:
        self.memory = Memory()
        self.jobs, self.workers = InMemoryJobs(self.memory), InMemoryWorkers(self.memory)
        self.looked_after: list[Job] = []
        self.work, self.config = InMemoryWork(self.memory), InMemoryConfig(self.memory)
        self.workers.register(a_worker("w-1", process=process, supervisor=SUPERVISOR))
        self.jobs.add([a_job()])
        self.work.claim(Claim(a_lease(), queues=(), limit=1, at=NOON))
        self.cleared: list[tuple[str, State]] = []
        self.events: list[Event] = []
        self.spool = InMemorySpool()
        self.killed: list[str] = []
        self.registered: dict[Process, LocalProcess] = {}
        if process == HERE:
            self.register(is_alive=False)

    def register(
        self, *, lease_ends: timedelta | None = None, is_alive: bool = True, fit_until: timedelta | None = None
    ) -> None:
        """Register `w-1` on its machine."""
        self.registered[HERE] = LocalProcess(
            HERE,
            SUPERVISOR,
            "w-1",
            is_alive=is_alive,
            lease_ends=lease_ends,
            fit_until=fit_until,
            commands=[] if fit_until else [COMMAND],
        )

    def rescue(
        self,
        *,
        at: datetime,
        alive: Collection[Process] = (),
        lease: str = "30s",
        max_losses: str = "3",
        watch: LeaseWatch | None = None,
    ) -> timedelta:
        self.config.store("max-losses", max_losses)
        rescue = Rescue(
            work=self.work,
            workers=self.workers,
            machine=self.machine(alive),
            config=self.config,
            settle_spooled=self.settle_spooled,
            events=self.events.append,
            clock=lambda: at,
            watch=watch or WatchedForLong(at),
            look_after=self.looked_after.extend,
        )
        return rescue(a_policy(lease=lease))

    def machine(self, alive: Collection[Process], name: str = "here") -> ThisMachine:
        return ThisMachine(
            id=name,
            local=self.local(),
            is_alive=lambda process: process in alive,
            clear=self.clear,
            elapsed=lambda: SINCE_BOOT,
        )

    def local(self) -> InMemoryLocalProcesses:
        return InMemoryLocalProcesses(
            self.registered, a_process(machine="here", pid=7), end=lambda it: self.killed.append(it.worker)
        )

    def clear(self, worker: str, noted: Sequence[NotedCommand]) -> None:
        self.cleared.append((worker, self.memory.jobs["job-1"].state))
        self.noted = noted

    def settle_spooled(self) -> None:
        settle_spooled(
            work=self.work,
            config=self.config,
            spool=self.spool,
            events=self.events.append,
            look_after=self.looked_after.extend,
        )

    def keep(self, result: RunResult, *, lease: Lease | None = None) -> None:
        """Spool an end that `w-1` knew and could not store."""
        ended = AttemptEnd(job_id="job-1", number=1, lease=lease or a_lease(), at=NOON + SECOND, result=result)
        self.spool.spool(ended)

    @property
    def job_is(self) -> tuple[State, str | None]:
        return self.memory.jobs["job-1"].state, self.memory.jobs["job-1"].last_error


def test_the_job_of_a_worker_whose_lease_ran_out_is_taken_back() -> None:
    harness = RescueHarness()
    harness.rescue(at=NOON + HOUR)
    assert harness.job_is == (State.PENDING, "worker w-1 (pid 2 on host-1) did not renew its lease")
    assert harness.memory.attempts["job-1", 1].outcome is Outcome.LOST
    assert harness.events == [JobRescued(job=harness.memory.jobs["job-1"], worker="w-1")]
    assert harness.workers.live() == []


def test_a_worker_elsewhere_keeps_its_job_while_its_lease_runs() -> None:
    harness = RescueHarness(THERE)
    harness.rescue(at=NOON + MINUTE)
    assert harness.job_is == (State.PROCESSING, None)
    assert harness.events == harness.cleared == []


def test_a_worker_here_whose_process_is_gone_is_rescued_at_once() -> None:
    harness = RescueHarness(HERE)
    harness.rescue(at=NOON + MINUTE)
    assert harness.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) died")


def test_a_worker_here_that_lives_is_left_alone() -> None:
    harness = RescueHarness(HERE)
    harness.rescue(at=NOON + MINUTE, alive=[HERE])
    assert harness.job_is == (State.PROCESSING, None)


@pytest.mark.parametrize("at", [NOON + MINUTE, NOON + HOUR])
def test_a_worker_here_that_stands_still_is_killed_then_its_commands_and_then_its_jobs_are_put_back(
    at: datetime,
) -> None:
    harness = RescueHarness(HERE)
    harness.register(lease_ends=SINCE_BOOT)
    harness.rescue(at=at, alive=[HERE])
    assert harness.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) did not renew its lease")
    assert harness.killed == ["w-1"]
    assert (harness.cleared, harness.noted) == ([("w-1", State.PROCESSING)], [COMMAND])
    assert harness.registered == {}


def test_a_worker_here_that_is_fit_and_runs_nothing_any_more_is_left_alive_when_its_jobs_are_put_back() -> None:
    harness = RescueHarness(HERE)
    harness.register(lease_ends=SINCE_BOOT, fit_until=SINCE_BOOT + SECOND)
    harness.rescue(at=NOON + MINUTE, alive=[HERE])
    assert harness.job_is == (State.PROCESSING, None)
    harness.rescue(at=NOON + HOUR, alive=[HERE])
    assert harness.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) did not renew its lease")
    assert harness.killed == []


def test_a_worker_here_keeps_its_jobs_by_the_time_since_boot_wherever_the_clock_was_set() -> None:
    harness = RescueHarness(HERE)
    harness.register(lease_ends=SINCE_BOOT + SECOND)
    harness.rescue(at=NOON + 24 * HOUR, alive=[HERE])
    assert harness.job_is == (State.PROCESSING, None)
    assert harness.killed == harness.cleared == []


def test_a_dead_worker_here_whose_jobs_are_locked_stays_registered_for_the_next_rescue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harness = RescueHarness(HERE)
    with monkeypatch.context() as locked:
        locked.setattr(harness.work, "rescue", lambda *_, **__: [])
        harness.rescue(at=NOON + MINUTE)
    harness.rescue(at=NOON + MINUTE)
    assert harness.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) died")
    assert harness.registered == {}


def test_the_commands_of_a_worker_here_that_is_not_registered_are_ended_when_its_lease_is_over() -> None:
    harness = RescueHarness(HERE)
    harness.registered.clear()
    harness.rescue(at=NOON + HOUR, alive=[HERE])
    assert harness.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) did not renew its lease")
    assert (harness.cleared, harness.noted) == ([("w-1", State.PROCESSING)], ())


def test_the_lease_of_a_dead_worker_here_that_is_not_registered_is_waited_out_and_its_end_says_so() -> None:
    harness = RescueHarness(HERE)
    harness.registered.clear()
    harness.rescue(at=NOON + MINUTE)
    assert harness.job_is == (State.PROCESSING, None)
    harness.rescue(at=NOON + HOUR)
    state, reason = harness.job_is
    assert state is State.PENDING
    assert reason is not None
    assert "was not registered on this machine" in reason


def test_a_dead_worker_here_that_is_not_registered_is_rescued_at_once_while_its_supervisor_lives() -> None:
    harness = RescueHarness(HERE)
    harness.registered.clear()
    harness.rescue(at=NOON + MINUTE, alive=[SUPERVISOR])
    assert harness.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) died")


def test_the_next_look_comes_when_the_first_lease_is_over_if_that_is_sooner_than_the_policy_says() -> None:
    harness = RescueHarness(THERE)
    assert harness.rescue(at=NOON + HOUR - 4 * SECOND, lease="30s") == 4 * SECOND
    assert harness.rescue(at=NOON, lease="30s") == 5 * SECOND
    assert harness.rescue(at=NOON, lease="1h") == 5 * SECOND


@pytest.mark.parametrize("at", [NOON + MINUTE, NOON + HOUR])
def test_what_a_dead_worker_here_left_running_is_ended_before_its_job_is_put_back(at: datetime) -> None:
    harness = RescueHarness(HERE)
    harness.rescue(at=at)
    assert harness.cleared == [("w-1", State.PROCESSING)]


def test_a_job_that_was_lost_too_often_goes_to_the_dead_letter_queue() -> None:
    harness = RescueHarness()
    harness.rescue(at=NOON + HOUR, max_losses="1")
    state, reason = harness.job_is
    assert state is State.DEAD
    assert reason is not None
    assert "max-losses" in reason


def test_how_often_a_job_may_be_lost_its_queue_says() -> None:
    harness = RescueHarness()
    harness.config.store("max-losses", "1", "default")
    harness.rescue(at=NOON + HOUR, max_losses="9")
    assert harness.job_is[0] is State.DEAD


def test_of_jobs_that_are_lost_together_none_is_blamed_and_each_is_told() -> None:
    harness = RescueHarness()
    harness.jobs.add([a_job("job-2")])
    harness.work.claim(Claim(a_lease(2), queues=(), limit=1, at=NOON))
    harness.rescue(at=NOON + HOUR, max_losses="1")
    assert {(job.state, job.losses, job.suspect, job.last_error) for job in harness.jobs.search()} == {
        (State.PENDING, 0, True, "worker w-1 (pid 2 on host-1) did not renew its lease; it had other jobs too")
    }


def test_every_lost_worker_is_rescued() -> None:
    harness = RescueHarness()
    harness.workers.register(a_worker("w-2", process=HERE))
    harness.jobs.add([a_job("job-2")])
    harness.work.claim(Claim(a_lease(2, worker="w-2"), queues=(), limit=1, at=NOON))
    harness.rescue(at=NOON + HOUR)
    assert {job.state for job in harness.jobs.search()} == {State.PENDING}


class TestWatch:
    """A rescuer that looks every second at the harness, whose worker's lease is a minute long."""

    @pytest.fixture(autouse=True)
    def rescuer(self) -> None:
        self.harness, self.elapsed = RescueHarness(THERE), timedelta()
        self.watch = LeaseWatch(lambda: self.elapsed)
        self.renew(NOON)

    def renew(self, at: datetime) -> None:
        self.harness.workers.renew("w-1", state=WorkerState.RUNNING, at=at, until=at + MINUTE)

    def looks(self, seconds: int, *, at: datetime, renewed: timedelta | None = None) -> bool:
        """Look so many times while the worker renews by a clock that differs; True when the job has been taken back."""
        for second in range(seconds):
            self.elapsed += SECOND
            now = at + second * SECOND
            if renewed is not None and not second % 10:
                self.renew(now + renewed)
            self.harness.rescue(at=now, lease="1m", watch=self.watch)
        return self.harness.job_is[0] is State.PENDING

    def test_a_lease_is_over_when_it_was_seen_for_its_length_that_it_was_not_renewed(self) -> None:
        assert not self.looks(100, at=NOON, renewed=timedelta())  # the last time after 90 seconds
        assert not self.looks(60, at=NOON + 100 * SECOND)
        assert self.looks(2, at=NOON + 160 * SECOND)

    def test_a_first_look_finds_no_lease_over_of_a_worker_elsewhere(self) -> None:
        assert not self.looks(1, at=NOON + HOUR)

    def test_a_rescuer_that_stood_still_asks_what_was_renewed_meanwhile(self) -> None:
        assert not self.looks(100, at=NOON, renewed=timedelta())
        self.elapsed += HOUR
        assert not self.looks(60, at=NOON + 2 * HOUR, renewed=-HOUR)

    def test_a_worker_that_renews_by_the_clock_as_it_was_survives_a_step(self) -> None:
        assert not self.looks(100, at=NOON, renewed=timedelta())
        assert not self.looks(60, at=NOON + 2 * HOUR, renewed=-2 * HOUR)
        assert not self.looks(200, at=NOON + 2 * HOUR + MINUTE, renewed=timedelta())

    @pytest.mark.parametrize("step", [-2 * HOUR, -MINUTE, -20 * SECOND, 20 * SECOND, 2 * HOUR])
    def test_a_worker_that_has_heard_of_a_step_before_the_rescuer_survives_it(self, step: timedelta) -> None:
        assert not self.looks(100, at=NOON, renewed=timedelta())
        assert not self.looks(20, at=NOON + 100 * SECOND, renewed=step)
        assert not self.looks(200, at=NOON + 120 * SECOND + step, renewed=timedelta())

    @pytest.mark.parametrize("step", [-2 * HOUR, -MINUTE, 2 * HOUR])
    def test_one_that_died_after_a_renewal_by_the_clock_as_it_is_now_is_lost_too(self, step: timedelta) -> None:
        assert not self.looks(100, at=NOON, renewed=timedelta())
        assert not self.looks(1, at=NOON + 100 * SECOND, renewed=step)
        assert not self.looks(59, at=NOON + 101 * SECOND)
        assert self.looks(2, at=NOON + 160 * SECOND)

    def test_a_clock_that_is_set_again_and_again_costs_no_time(self) -> None:
        assert not self.looks(100, at=NOON, renewed=timedelta())
        assert not any(self.looks(1, at=NOON + HOUR * (-1) ** second) for second in range(60))
        assert self.looks(2, at=NOON)

    def test_after_a_step_a_worker_that_is_silent_for_a_lease_is_lost(self) -> None:
        assert not self.looks(100, at=NOON, renewed=timedelta())
        assert not self.looks(60, at=NOON + 2 * HOUR)
        assert self.looks(2, at=NOON + 2 * HOUR + MINUTE)

    def test_a_worker_that_died_before_the_clock_was_set_back_is_lost_too(self) -> None:
        assert not self.looks(60, at=NOON - 10 * HOUR)
        assert self.looks(2, at=NOON - 10 * HOUR + MINUTE)

    def test_the_next_look_comes_when_the_silence_is_long_enough(self) -> None:
        self.looks(57, at=NOON + HOUR)
        self.elapsed += SECOND
        assert self.harness.rescue(at=NOON + HOUR, lease="1m", watch=self.watch) == 3 * SECOND


class TestKeptOutcomes:
    def test_what_a_dead_worker_has_kept_is_settled_and_its_job_not_run_again(self) -> None:
        harness = RescueHarness(HERE)
        harness.keep(a_result(output=b"precious"))
        harness.rescue(at=NOON + MINUTE)
        assert harness.job_is == (State.COMPLETED, None)
        attempt = harness.memory.attempts["job-1", 1]
        assert (attempt.outcome, attempt.finished_at) == (Outcome.SUCCEEDED, NOON + SECOND)
        assert (attempt.output.content, harness.spool.spooled()) == (b"precious", [])
        [settled] = harness.events
        assert isinstance(settled, JobSettled)
        assert (settled.job, settled.ran) == (harness.memory.jobs["job-1"], SECOND)
        assert harness.workers.live() == []

    def test_what_it_kept_while_others_looked_already_is_settled_too(self) -> None:
        harness = RescueHarness(HERE)
        suspects = harness.workers.expired_or_local

        def look(**asked: object) -> object:
            harness.keep(a_result())
            return suspects(**asked)

        harness.workers.expired_or_local = look
        harness.rescue(at=NOON + MINUTE)
        assert harness.job_is == (State.COMPLETED, None)

    def test_a_failure_that_was_kept_waits_for_its_retry_from_the_end_on(self) -> None:
        harness = RescueHarness(HERE)
        harness.keep(a_failure(7))
        harness.rescue(at=NOON + MINUTE)
        job = harness.memory.jobs["job-1"]
        assert (job.state, job.failures, job.losses, job.run_at) == (State.FAILED, 1, 0, NOON + 3 * SECOND)

    def test_a_cancel_that_was_asked_for_meanwhile_is_heeded(self) -> None:
        harness = RescueHarness(HERE)
        harness.jobs.change("job-1", lambda job: job.cancelled(NOON + MINUTE, ANN))
        harness.keep(a_failure())
        harness.rescue(at=NOON + MINUTE)
        assert harness.job_is == (State.CANCELLED, "exit code 1")

    def test_an_outcome_of_a_job_that_was_taken_away_is_late(self) -> None:
        harness = RescueHarness()
        harness.rescue(at=NOON + HOUR)
        harness.events.clear()
        harness.keep(a_result(output=b"late"))
        harness.rescue(at=NOON + HOUR)
        attempt = harness.memory.attempts["job-1", 1]
        assert (attempt.outcome, attempt.late, attempt.output.content) == (Outcome.LOST, Outcome.SUCCEEDED, b"late")
        assert (harness.job_is[0], harness.spool.spooled()) == (State.PENDING, [])
        assert [type(event) for event in harness.events] == [EndLate]

    def test_an_outcome_of_a_job_that_is_gone_is_forgotten(self) -> None:
        harness = RescueHarness()
        harness.keep(a_result())
        harness.jobs.remove("job-1", allow=lambda job: job, at=NOON)
        harness.rescue(at=NOON + MINUTE)
        assert (harness.spool.spooled(), harness.events) == ([], [])

    def test_one_that_had_been_recorded_before_its_worker_could_forget_it_changes_nothing(self) -> None:
        harness = RescueHarness(HERE)
        harness.keep(a_failure())
        harness.settle_spooled()
        before = dict(harness.memory.jobs), dict(harness.memory.attempts)
        harness.keep(a_failure())
        harness.settle_spooled()
        assert (harness.memory.jobs, harness.memory.attempts) == before
        assert harness.spool.spooled() == []

    def test_while_the_database_is_away_nothing_is_forgotten_and_nobody_rescued(self) -> None:
        harness = RescueHarness(HERE)
        harness.keep(a_result())
        harness.memory.outage = "gone"
        with pytest.raises(DatabaseUnavailable):
            harness.rescue(at=NOON + MINUTE)
        harness.memory.outage = None
        assert len(harness.spool.spooled()) == 1
        assert harness.job_is == (State.PROCESSING, None)


class TestLeftovers:
    """Commands that still run here of a worker that another machine has rescued."""

    def harness(self) -> RescueHarness:
        harness = RescueHarness(HERE)
        harness.registered.clear()
        harness.work.rescue(
            "w-1", lambda job, _alone: job.settled(a_loss("gone"), NOON, a_policy(), 0), at=NOON, proved_dead=True
        )
        return harness

    def clear(
        self, harness: RescueHarness, *, machine: str = "here", owners: Collection[str], alive: Collection[Process] = ()
    ) -> list[str]:
        clear_leftovers(workers=harness.workers, machine=harness.machine(alive, machine), owners=owners)
        return [worker for worker, _ in harness.cleared]

    def test_it_is_cleared(self) -> None:
        assert self.clear(self.harness(), owners={"w-1", "of another queue"}) == ["w-1"]

    def test_what_it_has_noted_is_cleared_too_and_its_registration_removed(self) -> None:
        harness = self.harness()
        harness.register(is_alive=False)
        assert self.clear(harness, owners=()) == ["w-1"]
        assert harness.registered == {}

    def test_nothing_is_cleared_where_nothing_runs(self) -> None:
        assert self.clear(self.harness(), owners=()) == []

    def test_a_worker_that_lives_ends_its_commands_itself(self) -> None:
        assert self.clear(self.harness(), owners={"w-1"}, alive=[HERE]) == []

    def test_a_worker_of_another_machine_is_not_ours_to_judge(self) -> None:
        assert self.clear(self.harness(), machine="there", owners={"w-1"}) == []

    def test_a_worker_that_was_not_given_up_is_left_to_the_rescue(self) -> None:
        assert self.clear(RescueHarness(HERE), owners={"w-1"}) == []
