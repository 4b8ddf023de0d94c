"""A transaction that somebody holds open on PostgreSQL: dead rows cannot be cleared away, and claims stay quick."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from queuectl.container import Container
from queuectl.domain.document import JobRequest
from queuectl.domain.job import Lease
from queuectl.domain.outcome import Outcome, RunResult
from queuectl.domain.policy import Policy
from queuectl.domain.ports import WorkerRecord, WorkerState
from queuectl.settings import Settings
from tests.faults import reading

pytestmark = pytest.mark.fault("F50")

SAMPLE = 150
"""Claims whose longest of a hundred is looked at."""


@pytest.fixture
def container(postgres_url: str) -> Iterator[Container]:
    container = Container(settings=Settings(database_url=postgres_url, log_dir=Path()))
    yield container
    container.storage().close()


class Claimer:
    """Does what a worker does with its jobs, as fast as it can, and takes the time of each claim."""

    def __init__(self, container: Container) -> None:
        self._jobs = container.jobs()
        self._clock = container.clock()
        process, now = container.current_process(), self._clock()
        self._worker = WorkerRecord(
            id="claimer",
            host="here",
            process=process,
            supervisor=process,
            queues=(),
            concurrency=1,
            state=WorkerState.RUNNING,
            started_at=now,
            renewed_at=now,
            lease_expires_at=now + Policy.of({"lease": "1h"}).lease,
        )
        container.workers().register(self._worker)
        self._number = 0

    def work(self, count: int) -> list[float]:
        """Claim and complete that many jobs; the seconds that each claim took."""
        took = []
        for _ in range(count):
            self._number += 1
            lease = Lease(id=f"{self._number:032x}", worker=self._worker.id)
            begun = time.perf_counter()
            [run] = self._jobs.claim(lease, queues=(), limit=1, at=self._clock())
            took.append(time.perf_counter() - begun)
            ended = run.job.settled(RunResult(outcome=Outcome.SUCCEEDED, exit_code=0), self._clock(), run.policy, 0)
            self._jobs.settle(ended, lease, RunResult(outcome=Outcome.SUCCEEDED, exit_code=0))
        return took


@pytest.mark.parametrize("churn", [600, pytest.param(4000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_claims_stay_quick_while_a_snapshot_is_held_open(container: Container, postgres_url: str, churn: int) -> None:
    container.queue().enqueue([JobRequest(command="true")] * (churn + 4 * SAMPLE), cwd="/")
    claimer = Claimer(container)
    claimer.work(SAMPLE)
    normal = claimer.work(SAMPLE)
    with psycopg.connect(postgres_url) as snapshot:
        snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot.execute("SELECT count(*) FROM jobs")
        claimer.work(churn)
        held = claimer.work(SAMPLE)
    after = claimer.work(SAMPLE)
    # The median says what a claim costs; the longest of a hundred says as much about the machine as about the claim.
    assert statistics.median(held) < 3 * statistics.median(normal) + 0.002
    assert _longest_of_a_hundred(held) < 3 * _longest_of_a_hundred(normal) + 0.1
    assert statistics.median(after) < 3 * statistics.median(normal) + 0.002
    assert reading.damage(postgres_url) == []


def _longest_of_a_hundred(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1]
