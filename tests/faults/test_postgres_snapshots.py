"""A transaction that somebody holds open on PostgreSQL: dead rows cannot be cleared away, and claims stay cheap."""

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from queuectl.application.operate.enqueue import enqueue_jobs
from queuectl.container import Container
from queuectl.domain.attempt import Outcome, RunResult
from queuectl.domain.job import JobRequest
from queuectl.domain.policy import Policy
from queuectl.domain.ports.work import Claim
from queuectl.domain.worker import Lease, WorkerRecord, WorkerState
from queuectl.settings import Settings
from tests.builders import settled
from tests.faults import reading

pytestmark = pytest.mark.fault("F50")

SAMPLE = 100
FLUSHED_AFTER = 1.2
"""Seconds after which a session's next transaction tells the server what its last ones have read."""

BLOCKS = """
SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read FROM pg_statio_user_tables WHERE relname = 'jobs'
"""


@pytest.fixture
def container(postgres_url: str) -> Iterator[Container]:
    container = Container(settings=Settings(database_url=postgres_url, log_dir=Path()))
    yield container
    container.storage().close()


class Claimer:
    """Does what a worker does with its jobs, as fast as it can."""

    def __init__(self, container: Container, url: str) -> None:
        self._url = url
        self._work = container.work()
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

    def work(self, count: int) -> None:
        """Claim and complete that many jobs."""
        for _ in range(count):
            self._number += 1
            lease = Lease(id=f"{self._number:032x}", worker=self._worker.id)
            [run] = self._work.claim(Claim(lease, queues=(), limit=1, at=self._clock()))
            succeeded = RunResult(outcome=Outcome.SUCCEEDED, exit_code=0)
            self._work.settle([run.ended(succeeded, self._clock())], settled)

    def cost(self) -> float:
        """Blocks of the jobs' table and its indexes that are read for one job: they do not vary with the machine."""
        before = self._blocks()
        self.work(SAMPLE)
        return (self._blocks() - before) / SAMPLE

    def _blocks(self) -> int:
        time.sleep(FLUSHED_AFTER)
        self.work(1)
        with psycopg.connect(self._url) as connection:
            [blocks] = connection.execute(BLOCKS).fetchone() or (0,)
        return int(blocks)


@pytest.mark.parametrize("churn", [500, pytest.param(2000, marks=pytest.mark.slow)])
def test_claims_stay_cheap_while_a_snapshot_is_held_open(container: Container, postgres_url: str, churn: int) -> None:
    enqueue_jobs(container.queue(), [JobRequest(command="true")] * (churn + 6 * SAMPLE), cwd="/")
    claimer = Claimer(container, postgres_url)
    claimer.work(SAMPLE)
    normal = claimer.cost()
    with psycopg.connect(postgres_url) as snapshot:
        snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot.execute("SELECT count(*) FROM jobs")
        claimer.work(churn)
        held = claimer.cost()
    claimer.work(SAMPLE)  # these find the dead rows, and mark them as such for all that come after
    after = claimer.cost()
    assert normal > 10
    assert held < 3 * normal
    assert after < 2 * normal
    assert reading.damage(postgres_url) == []
