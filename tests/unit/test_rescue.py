from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import pytest

from queuectl.application.duties.lease_watch import LeaseWatch, SingleLook
from queuectl.application.duties.machine import ThisMachine, clear_leftovers
from queuectl.application.duties.rescue import Rescue
from queuectl.application.work.settle import settle_kept
from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.errors import DatabaseUnavailable
from queuectl.domain.events import Event, JobRescued, JobSettled, ResultLate
from queuectl.domain.job import State
from queuectl.domain.policy import Policy
from queuectl.domain.ports.host import KeptOutcome, LocalProcess, NotedCommand
from queuectl.domain.worker import Lease, Process, WorkerState
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
from tests.fakes import InMemoryJobs, InMemoryLocalProcesses, InMemorySpool, InMemoryWorkers, Memory

HERE, THERE = a_process(machine="here", pid=1), a_process(machine="there", pid=2)
SUPERVISOR = a_process(machine="here", pid=99)
COMMAND = NotedCommand(pid=50, noted_at=MINUTE, output=1)
SINCE_BOOT = HOUR


class Wreck:
    """A worker `w-1` with a lease of an hour from noon and one job, and what a rescue does about it."""

    def __init__(self, process: Process = THERE) -> None:
        self.memory = Memory()
        self.jobs, self.workers = InMemoryJobs(self.memory), InMemoryWorkers(self.memory)
        self.workers.register(a_worker("w-1", process=process, supervisor=SUPERVISOR))
        self.jobs.add([a_job()])
        self.jobs.claim(a_lease(), queues=(), limit=1, at=NOON)
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
        """What `w-1` says of itself on its machine."""
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
        rescue = Rescue(
            jobs=self.jobs,
            workers=self.workers,
            machine=self.machine(alive),
            settle_spooled=self.settle_spooled,
            events=self.events.append,
            clock=lambda: at,
            watch=watch or SingleLook(),
        )
        return rescue(a_policy(max_losses=max_losses, lease=lease))

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

    def settle_spooled(self, policy: Policy) -> None:
        settle_kept(policy, jobs=self.jobs, spool=self.spool, events=self.events.append)

    def keep(self, result: RunResult, *, lease: Lease | None = None) -> None:
        """What `w-1` knew and could not store."""
        ended = KeptOutcome(job_id="job-1", attempt=1, lease=lease or a_lease(), ended_at=NOON + SECOND, result=result)
        self.spool.keep(ended)

    @property
    def job_is(self) -> tuple[State, str | None]:
        return self.memory.jobs["job-1"].state, self.memory.jobs["job-1"].last_error


def test_the_job_of_a_worker_whose_lease_ran_out_is_taken_back() -> None:
    wreck = Wreck()
    wreck.rescue(at=NOON + HOUR)
    assert wreck.job_is == (State.PENDING, "worker w-1 (pid 2 on host-1) did not renew its lease")
    assert wreck.memory.attempts["job-1", 1].outcome is Outcome.LOST
    assert wreck.events == [JobRescued(job=wreck.memory.jobs["job-1"], worker="w-1")]
    assert wreck.workers.live() == []


def test_a_worker_elsewhere_keeps_its_job_while_its_lease_runs() -> None:
    wreck = Wreck(THERE)
    wreck.rescue(at=NOON + MINUTE)
    assert wreck.job_is == (State.PROCESSING, None)
    assert wreck.events == wreck.cleared == []


def test_a_worker_here_whose_process_is_gone_is_rescued_at_once() -> None:
    wreck = Wreck(HERE)
    wreck.rescue(at=NOON + MINUTE)
    assert wreck.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) died")


def test_a_worker_here_that_lives_is_left_alone() -> None:
    wreck = Wreck(HERE)
    wreck.rescue(at=NOON + MINUTE, alive=[HERE])
    assert wreck.job_is == (State.PROCESSING, None)


@pytest.mark.parametrize("at", [NOON + MINUTE, NOON + HOUR])
def test_a_worker_here_that_stands_still_is_killed_then_its_commands_and_then_its_jobs_are_put_back(
    at: datetime,
) -> None:
    wreck = Wreck(HERE)
    wreck.register(lease_ends=SINCE_BOOT)
    wreck.rescue(at=at, alive=[HERE])
    assert wreck.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) did not renew its lease")
    assert wreck.killed == ["w-1"]
    assert (wreck.cleared, wreck.noted) == ([("w-1", State.PROCESSING)], [COMMAND])
    assert wreck.registered == {}


def test_a_worker_here_that_is_fit_and_runs_nothing_any_more_is_left_alive_when_its_jobs_are_put_back() -> None:
    wreck = Wreck(HERE)
    wreck.register(lease_ends=SINCE_BOOT, fit_until=SINCE_BOOT + SECOND)
    wreck.rescue(at=NOON + MINUTE, alive=[HERE])
    assert wreck.job_is == (State.PROCESSING, None)
    wreck.rescue(at=NOON + HOUR, alive=[HERE])
    assert wreck.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) did not renew its lease")
    assert wreck.killed == []


def test_a_worker_here_keeps_its_jobs_by_the_time_since_boot_wherever_the_clock_was_set() -> None:
    wreck = Wreck(HERE)
    wreck.register(lease_ends=SINCE_BOOT + SECOND)
    wreck.rescue(at=NOON + 24 * HOUR, alive=[HERE])
    assert wreck.job_is == (State.PROCESSING, None)
    assert wreck.killed == wreck.cleared == []


def test_a_dead_worker_here_whose_jobs_are_locked_stays_registered_for_the_next_rescue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wreck = Wreck(HERE)
    with monkeypatch.context() as locked:
        locked.setattr(wreck.jobs, "rescue", lambda *_, **__: [])
        wreck.rescue(at=NOON + MINUTE)
    wreck.rescue(at=NOON + MINUTE)
    assert wreck.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) died")
    assert wreck.registered == {}


def test_the_commands_of_a_worker_here_that_is_not_registered_are_ended_when_its_lease_is_over() -> None:
    wreck = Wreck(HERE)
    wreck.registered.clear()
    wreck.rescue(at=NOON + HOUR, alive=[HERE])
    assert wreck.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) did not renew its lease")
    assert (wreck.cleared, wreck.noted) == ([("w-1", State.PROCESSING)], ())


def test_the_lease_of_a_dead_worker_here_that_is_not_registered_is_waited_out_and_its_end_says_so() -> None:
    wreck = Wreck(HERE)
    wreck.registered.clear()
    wreck.rescue(at=NOON + MINUTE)
    assert wreck.job_is == (State.PROCESSING, None)
    wreck.rescue(at=NOON + HOUR)
    state, reason = wreck.job_is
    assert state is State.PENDING
    assert reason is not None
    assert "was not registered on this machine" in reason


def test_a_dead_worker_here_that_is_not_registered_is_rescued_at_once_while_its_supervisor_lives() -> None:
    wreck = Wreck(HERE)
    wreck.registered.clear()
    wreck.rescue(at=NOON + MINUTE, alive=[SUPERVISOR])
    assert wreck.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) died")


def test_the_next_look_comes_when_the_first_lease_is_over_if_that_is_sooner_than_the_policy_says() -> None:
    wreck = Wreck(THERE)
    assert wreck.rescue(at=NOON + HOUR - 4 * SECOND, lease="30s") == 4 * SECOND
    assert wreck.rescue(at=NOON, lease="30s") == 5 * SECOND
    assert wreck.rescue(at=NOON, lease="1h") == 5 * SECOND


@pytest.mark.parametrize("at", [NOON + MINUTE, NOON + HOUR])
def test_what_a_dead_worker_here_left_running_is_ended_before_its_job_is_put_back(at: datetime) -> None:
    wreck = Wreck(HERE)
    wreck.rescue(at=at)
    assert wreck.cleared == [("w-1", State.PROCESSING)]


def test_a_job_that_was_lost_too_often_goes_to_the_dead_letter_queue() -> None:
    wreck = Wreck()
    wreck.rescue(at=NOON + HOUR, max_losses="1")
    state, reason = wreck.job_is
    assert state is State.DEAD
    assert reason is not None
    assert "max-losses" in reason


def test_of_jobs_that_are_lost_together_none_is_blamed_and_each_is_told() -> None:
    wreck = Wreck()
    wreck.jobs.add([a_job("job-2")])
    wreck.jobs.claim(a_lease(2), queues=(), limit=1, at=NOON)
    wreck.rescue(at=NOON + HOUR, max_losses="1")
    assert {(job.state, job.losses, job.suspect, job.last_error) for job in wreck.jobs.search()} == {
        (State.PENDING, 0, True, "worker w-1 (pid 2 on host-1) did not renew its lease; it had other jobs too")
    }


def test_every_lost_worker_is_rescued() -> None:
    wreck = Wreck()
    wreck.workers.register(a_worker("w-2", process=HERE))
    wreck.jobs.add([a_job("job-2")])
    wreck.jobs.claim(a_lease(2, worker="w-2"), queues=(), limit=1, at=NOON)
    wreck.rescue(at=NOON + HOUR)
    assert {job.state for job in wreck.jobs.search()} == {State.PENDING}


class TestWatch:
    """A rescuer that looks every second at the wreck, whose worker's lease ends in an hour."""

    @pytest.fixture(autouse=True)
    def rescuer(self) -> None:
        self.wreck, self.elapsed = Wreck(THERE), timedelta()
        self.watch = LeaseWatch(lambda: self.elapsed)
        self.renew(NOON)

    def renew(self, at: datetime) -> None:
        self.wreck.workers.renew("w-1", state=WorkerState.RUNNING, at=at, until=at + MINUTE)

    def looks(self, seconds: int, *, at: datetime, renewed: timedelta | None = None) -> bool:
        """Whether the job has been taken back after so many looks, while the worker renews by a clock that differs."""
        for second in range(seconds):
            self.elapsed += SECOND
            now = at + second * SECOND
            if renewed is not None and not second % 10:
                self.renew(now + renewed)
            self.wreck.rescue(at=now, watch=self.watch)
        return self.wreck.job_is[0] is State.PENDING

    def test_a_lease_that_runs_out_while_the_clock_is_watched_is_over_at_once(self) -> None:
        assert not self.looks(100, at=NOON, renewed=timedelta())  # the last time after 90 seconds
        assert not self.looks(49, at=NOON + 100 * SECOND)
        assert self.looks(2, at=NOON + 149 * SECOND)

    def test_a_worker_that_renews_by_the_clock_as_it_was_survives_a_step(self) -> None:
        assert not self.looks(100, at=NOON, renewed=timedelta())
        assert not self.looks(60, at=NOON + 2 * HOUR, renewed=-2 * HOUR)
        assert not self.looks(200, at=NOON + 2 * HOUR + MINUTE, renewed=timedelta())

    def test_after_a_step_a_worker_that_is_silent_for_a_lease_is_lost(self) -> None:
        assert not self.looks(100, at=NOON, renewed=timedelta())
        assert not self.looks(60, at=NOON + 2 * HOUR)
        assert self.looks(2, at=NOON + 2 * HOUR + MINUTE)

    def test_a_worker_that_died_before_the_clock_was_set_back_is_lost_too(self) -> None:
        assert not self.looks(60, at=NOON - 10 * HOUR)
        assert self.looks(2, at=NOON - 10 * HOUR + MINUTE)


class TestKeptOutcomes:
    def test_what_a_dead_worker_has_kept_is_settled_and_its_job_not_run_again(self) -> None:
        wreck = Wreck(HERE)
        wreck.keep(a_result(output=b"precious"))
        wreck.rescue(at=NOON + MINUTE)
        assert wreck.job_is == (State.COMPLETED, None)
        attempt = wreck.memory.attempts["job-1", 1]
        assert (attempt.outcome, attempt.finished_at) == (Outcome.SUCCEEDED, NOON + SECOND)
        assert (attempt.output.content, wreck.spool.kept()) == (b"precious", [])
        [settled] = wreck.events
        assert isinstance(settled, JobSettled)
        assert (settled.job, settled.ran) == (wreck.memory.jobs["job-1"], SECOND)
        assert wreck.workers.live() == []

    def test_what_it_kept_while_others_looked_already_is_settled_too(self) -> None:
        wreck = Wreck(HERE)
        suspects = wreck.workers.suspects

        def look(**asked: object) -> object:
            wreck.keep(a_result())
            return suspects(**asked)

        wreck.workers.suspects = look
        wreck.rescue(at=NOON + MINUTE)
        assert wreck.job_is == (State.COMPLETED, None)

    def test_a_failure_that_was_kept_waits_for_its_retry_from_the_end_on(self) -> None:
        wreck = Wreck(HERE)
        wreck.keep(a_failure(7))
        wreck.rescue(at=NOON + MINUTE)
        job = wreck.memory.jobs["job-1"]
        assert (job.state, job.failures, job.losses, job.run_at) == (State.FAILED, 1, 0, NOON + 3 * SECOND)

    def test_a_cancel_that_was_asked_for_meanwhile_is_heeded(self) -> None:
        wreck = Wreck(HERE)
        wreck.jobs.change("job-1", lambda job: job.cancelled(NOON + MINUTE, ANN))
        wreck.keep(a_failure())
        wreck.rescue(at=NOON + MINUTE)
        assert wreck.job_is == (State.CANCELLED, "exit code 1")

    def test_an_outcome_of_a_job_that_was_taken_away_is_late(self) -> None:
        wreck = Wreck()
        wreck.rescue(at=NOON + HOUR)
        wreck.events.clear()
        wreck.keep(a_result(output=b"late"))
        wreck.rescue(at=NOON + HOUR)
        attempt = wreck.memory.attempts["job-1", 1]
        assert (attempt.outcome, attempt.late, attempt.output.content) == (Outcome.LOST, Outcome.SUCCEEDED, b"late")
        assert (wreck.job_is[0], wreck.spool.kept()) == (State.PENDING, [])
        assert [type(event) for event in wreck.events] == [ResultLate]

    def test_an_outcome_of_a_job_that_is_gone_is_forgotten(self) -> None:
        wreck = Wreck()
        wreck.keep(a_result())
        wreck.jobs.remove("job-1", allow=lambda job: job)
        wreck.rescue(at=NOON + MINUTE)
        assert (wreck.spool.kept(), wreck.events) == ([], [])

    def test_one_that_had_been_recorded_before_its_worker_could_forget_it_changes_nothing(self) -> None:
        wreck = Wreck(HERE)
        wreck.keep(a_failure())
        wreck.settle_spooled(a_policy())
        before = dict(wreck.memory.jobs), dict(wreck.memory.attempts)
        wreck.keep(a_failure())
        wreck.settle_spooled(a_policy())
        assert (wreck.memory.jobs, wreck.memory.attempts) == before
        assert wreck.spool.kept() == []

    def test_while_the_database_is_away_nothing_is_forgotten_and_nobody_rescued(self) -> None:
        wreck = Wreck(HERE)
        wreck.keep(a_result())
        wreck.memory.outage = "gone"
        with pytest.raises(DatabaseUnavailable):
            wreck.rescue(at=NOON + MINUTE)
        wreck.memory.outage = None
        assert len(wreck.spool.kept()) == 1
        assert wreck.job_is == (State.PROCESSING, None)


class TestLeftovers:
    """What is still running here of a worker that another machine has rescued."""

    def wreck(self) -> Wreck:
        wreck = Wreck(HERE)
        wreck.registered.clear()
        wreck.jobs.rescue(
            "w-1", lambda job, _alone: job.settled(a_loss("gone"), NOON, a_policy(), 0), at=NOON, proved_dead=True
        )
        return wreck

    def clear(
        self, wreck: Wreck, *, machine: str = "here", owners: Collection[str], alive: Collection[Process] = ()
    ) -> list[str]:
        clear_leftovers(workers=wreck.workers, machine=wreck.machine(alive, machine), owners=owners)
        return [worker for worker, _ in wreck.cleared]

    def test_it_is_cleared(self) -> None:
        assert self.clear(self.wreck(), owners={"w-1", "of another queue"}) == ["w-1"]

    def test_what_it_has_noted_is_cleared_too_and_its_registration_removed(self) -> None:
        wreck = self.wreck()
        wreck.register(is_alive=False)
        assert self.clear(wreck, owners=()) == ["w-1"]
        assert wreck.registered == {}

    def test_nothing_is_cleared_where_nothing_runs(self) -> None:
        assert self.clear(self.wreck(), owners=()) == []

    def test_a_worker_that_lives_ends_its_commands_itself(self) -> None:
        assert self.clear(self.wreck(), owners={"w-1"}, alive=[HERE]) == []

    def test_a_worker_of_another_machine_is_not_ours_to_judge(self) -> None:
        assert self.clear(self.wreck(), machine="there", owners={"w-1"}) == []

    def test_a_worker_that_was_not_given_up_is_left_to_the_rescue(self) -> None:
        assert self.clear(Wreck(HERE), owners={"w-1"}) == []
