"""Copying a whole queue, in both directions."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from queuectl.application.transfer import refuse_if_working, transfer
from queuectl.container import Container
from queuectl.domain.errors import Conflict
from queuectl.domain.job import State
from queuectl.domain.limits import Rate
from queuectl.domain.ports.work import Claim
from queuectl.domain.queues import Pause
from queuectl.settings import Settings
from tests.builders import ANN, DAY, HOUR, NOON, SECOND, a_failure, a_job, a_lease, a_loss, a_policy, a_worker, settled

Opened = Callable[[str], Container]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens the queue at a URL, made if need be."""
    containers: list[Container] = []

    def open_at(url: str) -> Container:
        container = Container(settings=Settings(database_url=url, log_dir=tmp_path))
        container.storage().initialise()
        containers.append(container)
        return container

    yield open_at
    for container in containers:
        container.storage().close()


@pytest.fixture(params=["from sqlite", "from postgresql"])
def urls(request: pytest.FixtureRequest, empty_postgres_url: str, tmp_path: Path) -> tuple[str, str]:
    """The source's and the target's URL, on different backends."""
    sqlite_url = f"sqlite:///{tmp_path / 'queue.db'}"
    return (sqlite_url, empty_postgres_url) if request.param == "from sqlite" else (empty_postgres_url, sqlite_url)


@pytest.fixture
def source(opened: Opened, urls: tuple[str, str]) -> Container:
    """A queue with a history: jobs that wait, one that ended twice, one that a dead worker holds, and a setting."""
    source = opened(urls[0])
    jobs, work = source.jobs(), source.work()
    odd = a_job(
        "odd", command=("printf", "\x1b[1mü\u2028\udce9"), env={"A": "ß\udce9"}, cwd="/\udce9", timeout=None, priority=9
    )
    jobs.add([odd, *(a_job(f"job-{number:04}") for number in range(600))])
    source.workers().register(a_worker("w-1"))
    lease = a_lease(1)
    [claimed] = work.claim(Claim(lease, queues=(), limit=1, at=NOON))
    result = a_failure(output=b"\0\xff")
    work.settle([claimed.ended(result, NOON + SECOND)], settled)
    [held] = work.claim(Claim(a_lease(2), queues=(), limit=1, at=NOON))
    assert held.job.id == "job-0000"
    jobs.change("job-0000", lambda job: job.cancelled(NOON + SECOND, ANN))
    source.config().store("max-retries", "7")
    jobs.add(
        [
            a_job("gpu", needs=("gpu",), run_at=NOON + DAY),
            *(a_job(it, key="k", key_limit=1, run_at=NOON + DAY) for it in "ab"),
        ]
    )
    source.queues().change(
        "api", lambda it: it._replace(concurrency=2, rate=Rate(3, HOUR), pause=Pause(NOON, ANN, NOON + HOUR, "upgrade"))
    )
    return source


@pytest.fixture
def target(opened: Opened, urls: tuple[str, str]) -> Container:
    return opened(urls[1])


def test_everything_arrives(source: Container, target: Container) -> None:
    copied: list[int] = []
    done = transfer(source.archive(), target.archive(), copied=copied.append)
    assert done.jobs == 604
    assert sum(copied) == 2 * 604
    assert {table: digest.rows for table, digest in done.digests.items()} == {
        "jobs": 604,
        "attempts": 2,
        "dependencies": 0,
        "tags": 0,
        "config": 1,
        "queues": 1,
        "lanes": 2,
        "slots": 5,
        "batches": 0,
    }
    assert target.jobs().search() == source.jobs().search()
    assert target.attempts().attempts_of("odd") == source.attempts().attempts_of("odd")
    assert target.config().stored() == {"max-retries": "7"}


def test_the_jobs_of_a_dead_worker_can_be_rescued_there(source: Container, target: Container) -> None:
    transfer(source.archive(), target.archive(), copied=_nobody)
    lost = a_loss()
    at = NOON + 2 * HOUR
    rescued = target.work().rescue(
        "w-1", lambda job, _alone: job.settled(lost, at, a_policy(), 0), at=at, proved_dead=False
    )
    assert [(job.id, job.state, job.cancel_requested_by) for job in rescued] == [("job-0000", State.CANCELLED, ANN)]


def test_limits_pauses_and_lanes_hold_there(source: Container, target: Container) -> None:
    transfer(source.archive(), target.archive(), copied=_nobody)
    assert target.queues().all() == source.queues().all()
    target.jobs().add([a_job("api", queue="api"), a_job("cpu", needs=("cpu",), run_at=NOON + DAY)])
    work = target.work()
    target.workers().register(a_worker("w-2", lease_expires_at=NOON + 3 * DAY))

    def claimed(number: int, at: datetime, **asked: Any) -> list[str]:  # noqa: ANN401 - fields of Claim
        lease = a_lease(number, worker="w-2")
        return [run.job.id for run in work.claim(Claim(lease, limit=1000, at=at, **asked))]

    assert claimed(3, NOON, queues=["api"]) == []
    assert claimed(4, NOON + HOUR, queues=["api"]) == ["api"]
    rest = claimed(5, NOON + DAY, labels=["gpu"])
    assert {"gpu", "a"} <= set(rest)
    assert not {"b", "cpu"} & set(rest)
    assert claimed(6, NOON + DAY, labels=["cpu"]) == ["cpu"]


def test_new_jobs_come_after_those_that_were_copied(source: Container, target: Container) -> None:
    transfer(source.archive(), target.archive(), copied=_nobody)
    target.jobs().add([a_job("new")])
    assert [job.id for job in target.jobs().search(limit=2)] == ["new", "b"]


def test_an_interrupted_transfer_goes_on_where_it_was(source: Container, target: Container) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(steps: int) -> None:
        if steps:
            raise Interrupted

    with pytest.raises(Interrupted):
        transfer(source.archive(), target.archive(), copied=interrupt)
    assert 0 < target.archive().size() < 604
    assert transfer(source.archive(), target.archive(), copied=_nobody).jobs == 604
    assert target.jobs().search() == source.jobs().search()


def test_a_second_transfer_changes_nothing(source: Container, target: Container) -> None:
    first = transfer(source.archive(), target.archive(), copied=_nobody)
    assert transfer(source.archive(), target.archive(), copied=_nobody) == first


def test_a_target_with_jobs_of_its_own_is_refused_and_left_as_it_is(source: Container, target: Container) -> None:
    target.jobs().add([a_job("own")])
    with pytest.raises(Conflict, match="the target holds jobs that the source has not"):
        transfer(source.archive(), target.archive(), copied=_nobody)
    assert [job.id for job in target.jobs().search()] == ["own"]


def test_a_source_that_changes_meanwhile_is_told(source: Container, target: Container) -> None:
    def change_once(_steps: int) -> None:
        job = source.jobs().find("job-0001")
        if job.attempts == 0 and target.archive().size():
            source.jobs().change(job.id, lambda job: job._replace(attempts=1))

    with pytest.raises(Conflict, match="jobs of source and target differ"):
        transfer(source.archive(), target.archive(), copied=change_once)


def test_the_source_is_not_changed(source: Container, target: Container) -> None:
    before = source.archive().digests(up_to=10_000, seen=_nobody)
    transfer(source.archive(), target.archive(), copied=_nobody)
    assert source.archive().digests(up_to=10_000, seen=_nobody) == before


def test_it_is_refused_while_a_worker_has_its_lease(source: Container) -> None:
    workers = source.workers().live()
    refuse_if_working("here", workers, NOON + 2 * HOUR)
    with pytest.raises(Conflict, match="1 worker is alive in here"):
        refuse_if_working("here", workers, NOON)


def _nobody(_steps: int) -> None:
    """Who hears nothing."""
