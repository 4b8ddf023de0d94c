"""What every WorkerRegistry promises; see its docstrings in queuectl.domain.ports."""

from dataclasses import replace
from datetime import timedelta

import pytest

from queuectl.domain.ports.jobs import Attempts, Jobs
from queuectl.domain.ports.work import Claim, Work
from queuectl.domain.ports.workers import WorkerRegistry
from queuectl.domain.worker import WorkerState
from tests.builders import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    a_job,
    a_lease,
    a_loss,
    a_policy,
    a_process,
    a_result,
    a_worker,
    settled,
    some_jobs,
)


def renewed(workers: WorkerRegistry, worker_id: str = "w-1") -> bool:
    return workers.renew(worker_id, state=WorkerState.RUNNING, at=NOON + MINUTE, until=NOON + 2 * HOUR)


def test_a_registered_worker_is_live_with_all_its_fields(workers: WorkerRegistry) -> None:
    worker = a_worker(
        "w-2",
        host="höst",
        process=a_process(machine="boot:4026531836", pid=4194304, started=2**40),
        supervisor=a_process(machine="boot:4026531836", pid=7),
        queues=("mail", "a.b"),
        concurrency=64,
        state=WorkerState.STOPPING,
        started_at=NOON + timedelta(microseconds=1),
    )
    workers.register(worker)
    assert workers.live() == [a_worker("w-1"), worker]


def test_live_workers_come_in_order_of_their_start(workers: WorkerRegistry) -> None:
    workers.register(a_worker("a-late", started_at=NOON + HOUR))
    workers.register(a_worker("z-early", started_at=NOON - HOUR))
    assert [worker.id for worker in workers.live()] == ["z-early", "w-1", "a-late"]


def test_a_live_worker_tells_how_many_jobs_it_holds_now(work: Work, workers: WorkerRegistry, jobs: Jobs) -> None:
    workers.register(a_worker("w-2", started_at=NOON + MINUTE))
    jobs.add(some_jobs(3))
    first, *_ = work.claim(Claim(a_lease(1), queues=(), limit=2, at=NOON))
    work.claim(Claim(a_lease(2), queues=(), limit=1, at=NOON))
    assert [worker.jobs for worker in workers.live()] == [3, 0]
    work.settle([first.ended(a_result(), NOON)], settled)
    assert [worker.jobs for worker in workers.live()] == [2, 0]


def test_a_renewal_moves_the_lease_and_tells_the_state(workers: WorkerRegistry) -> None:
    assert workers.renew("w-1", state=WorkerState.STOPPING, at=NOON + MINUTE, until=NOON + 2 * HOUR)
    assert workers.live() == [
        replace(
            a_worker("w-1"),
            state=WorkerState.STOPPING,
            renewed_at=NOON + MINUTE,
            lease_expires_at=NOON + 2 * HOUR,
        )
    ]


def test_an_expired_lease_that_nobody_took_can_be_renewed(workers: WorkerRegistry) -> None:
    workers.register(a_worker("w-2", lease_expires_at=NOON))
    assert renewed(workers, "w-2")


@pytest.mark.parametrize("worker", ["stopped", "lost", "unknown"])
def test_a_worker_that_is_given_up_cannot_renew(work: Work, workers: WorkerRegistry, jobs: Jobs, worker: str) -> None:
    workers.register(a_worker("stopped"))
    workers.register(a_worker("lost"))
    workers.retire("stopped", at=NOON)
    work.rescue("lost", lambda job, _alone: job, at=NOON, proved_dead=True)
    assert not renewed(workers, worker)
    assert [live.id for live in workers.live()] == ["w-1"]


def test_a_worker_that_still_holds_a_job_cannot_retire_for_nobody_would_rescue_it(
    work: Work, workers: WorkerRegistry, jobs: Jobs
) -> None:
    jobs.add([a_job()])
    work.claim(Claim(a_lease(), queues=(), limit=1, at=NOON))
    workers.retire("w-1", at=NOON)
    assert [worker.id for worker in workers.live()] == ["w-1"]


def test_retiring_an_unknown_worker_is_nothing(workers: WorkerRegistry) -> None:
    workers.retire("nobody", at=NOON)
    assert [worker.id for worker in workers.live()] == ["w-1"]


def test_suspects_are_the_expired_ones_and_those_of_the_machine(workers: WorkerRegistry, jobs: Jobs) -> None:
    here, there = a_process(machine="here"), a_process(machine="there")
    workers.register(a_worker("here", process=here))
    workers.register(a_worker("expired", process=there, lease_expires_at=NOON + MINUTE))
    workers.register(a_worker("renewed", process=there, lease_expires_at=NOON + MINUTE + timedelta(microseconds=1)))
    workers.register(a_worker("stopped", process=here))
    workers.retire("stopped", at=NOON)
    found = workers.expired_or_local(at=NOON + MINUTE, machine="here", beyond=NOON + 2 * HOUR)
    assert sorted(worker.id for worker in found) == ["expired", "here"]


def test_the_ended_workers_of_a_machine_are_remembered(work: Work, workers: WorkerRegistry, jobs: Jobs) -> None:
    here, there = a_process(machine="here"), a_process(machine="there")
    for name, process in (("here", here), ("there", there), ("running", here), ("stopped", here)):
        workers.register(a_worker(name, process=process))
    workers.retire("stopped", at=NOON)
    for name in ("here", "there"):
        work.rescue(name, lambda job, _alone: job, at=NOON, proved_dead=True)
    ended = {worker.id: worker.state for worker in workers.stopped_on("here")}
    assert ended == {"here": WorkerState.LOST, "stopped": WorkerState.STOPPED}


def test_the_history_outlives_a_worker_that_is_forgotten(
    work: Work, attempts: Attempts, workers: WorkerRegistry, jobs: Jobs
) -> None:
    jobs.add([a_job()])
    work.claim(Claim(a_lease(), queues=(), limit=1, at=NOON))
    work.rescue("w-1", lambda job, _alone: job.settled(a_loss(), NOON, a_policy(), 0), at=NOON, proved_dead=True)
    workers.register(a_worker("w-2", started_at=NOON + 2 * DAY))
    [attempt] = attempts.attempts_of("job-1")
    assert (attempt.lease.worker, attempt.host) == ("w-1", "host-1")
    assert [worker.id for worker in workers.live()] == ["w-2"]


def test_a_live_worker_is_never_forgotten(workers: WorkerRegistry) -> None:
    workers.register(a_worker("w-2", started_at=NOON + 30 * DAY))
    assert [worker.id for worker in workers.live()] == ["w-1", "w-2"]
