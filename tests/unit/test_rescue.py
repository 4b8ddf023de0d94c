from collections.abc import Collection
from datetime import datetime

import pytest

from queuectl.application.rescue import rescue_lost_workers
from queuectl.domain.events import Event, JobRescued
from queuectl.domain.job import State
from queuectl.domain.outcome import Outcome
from queuectl.domain.ports import Process
from tests.builders import HOUR, MINUTE, NOON, a_job, a_lease, a_policy, a_process, a_worker
from tests.fakes import InMemoryJobs, InMemoryWorkers, Memory

HERE, THERE = a_process(machine="here", pid=1), a_process(machine="there", pid=2)


class Wreck:
    """A worker `w-1` with a lease of an hour from noon and one job, and what a rescue does about it."""

    def __init__(self, process: Process = THERE) -> None:
        self.memory = Memory()
        self.jobs, self.workers = InMemoryJobs(self.memory), InMemoryWorkers(self.memory)
        self.workers.register(a_worker("w-1", process=process))
        self.jobs.add([a_job()])
        self.jobs.claim(a_lease(), queues=(), limit=1, at=NOON)
        self.cleared: list[tuple[str, State]] = []
        self.events: list[Event] = []

    def rescue(self, *, at: datetime, alive: Collection[Process] = (), max_losses: str = "3") -> None:
        rescue_lost_workers(
            policy=a_policy(max_losses=max_losses),
            jobs=self.jobs,
            workers=self.workers,
            events=self.events.append,
            machine="here",
            is_alive=lambda process: process in alive,
            clear=lambda worker: self.cleared.append((worker, self.memory.jobs["job-1"].state)),
            at=at,
        )

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


def test_the_commands_of_a_frozen_worker_here_are_ended_before_its_jobs_are_put_back() -> None:
    wreck = Wreck(HERE)
    wreck.rescue(at=NOON + HOUR, alive=[HERE])
    assert wreck.job_is == (State.PENDING, "worker w-1 (pid 1 on host-1) did not renew its lease")
    assert wreck.cleared == [("w-1", State.PROCESSING)]


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


def test_every_lost_worker_is_rescued() -> None:
    wreck = Wreck()
    wreck.workers.register(a_worker("w-2", process=HERE))
    wreck.jobs.add([a_job("job-2")])
    wreck.jobs.claim(a_lease(2, worker="w-2"), queues=(), limit=1, at=NOON)
    wreck.rescue(at=NOON + HOUR)
    assert {job.state for job in wreck.jobs.search()} == {State.PENDING}
