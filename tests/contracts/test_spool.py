"""What every OutcomeSpool promises; see its docstrings in queuectl.domain.ports."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from queuectl.adapters.spool import FileOutcomeSpool
from queuectl.domain.attempt import AttemptEnd, Outcome, Output, RunResult
from queuectl.domain.ports.host import OutcomeSpool
from tests.builders import NOON, a_failure, a_lease, a_result
from tests.fakes import InMemorySpool


@pytest.fixture(params=["memory", "files"])
def open_spool(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], OutcomeSpool]:
    """Opens the same spool, as another worker would."""
    memory = InMemorySpool()
    return lambda: memory if request.param == "memory" else FileOutcomeSpool(tmp_path / "spool" / "queue")


@pytest.fixture
def spool(open_spool: Callable[[], OutcomeSpool]) -> OutcomeSpool:
    return open_spool()


def an_outcome(job_id: str = "job-1", attempt: int = 1, lease: int = 1, result: RunResult | None = None) -> AttemptEnd:
    return AttemptEnd(
        job_id=job_id,
        number=attempt,
        lease=a_lease(lease),
        at=NOON + timedelta(microseconds=1),
        result=result or a_result(),
    )


@pytest.mark.parametrize(
    "result",
    [
        a_result(),
        a_result(output=b"\0\xff\r\n{}\n" * 1000),
        a_failure(7, output=b"\n"),
        *[a_result(outcome, error="naïve 日本語 🎉\n\x1b") for outcome in Outcome],
        RunResult(outcome=Outcome.TIMEOUT, signal=9, output=Output(content=b"x", truncated=True)),
    ],
    ids=str,
)
def test_what_is_kept_is_the_same_for_every_worker(
    open_spool: Callable[[], OutcomeSpool], spool: OutcomeSpool, result: RunResult
) -> None:
    assert spool.spool(an_outcome(result=result))
    assert list(open_spool().spooled()) == [an_outcome(result=result)]


def test_nothing_is_kept_at_first(spool: OutcomeSpool) -> None:
    assert list(spool.spooled()) == []
    spool.discard(an_outcome())


def test_each_attempt_is_kept_until_it_is_forgotten(
    open_spool: Callable[[], OutcomeSpool], spool: OutcomeSpool
) -> None:
    others = [an_outcome("JOB-1"), an_outcome(attempt=2), an_outcome(lease=2), an_outcome("x" * 128)]
    for outcome in [an_outcome(), *others]:
        assert spool.spool(outcome)
    open_spool().discard(an_outcome())
    assert sorted(spool.spooled(), key=str) == sorted(others, key=str)


def test_to_keep_the_same_once_more_is_nothing_new(spool: OutcomeSpool) -> None:
    assert [spool.spool(an_outcome()) for _ in range(2)] == [True, True]
    assert list(spool.spooled()) == [an_outcome()]


def test_what_is_forgotten_while_others_look_does_not_disturb_them(spool: OutcomeSpool) -> None:
    for attempt in (1, 2, 3):
        spool.spool(an_outcome(attempt=attempt))
    for outcome in spool.spooled():
        spool.discard(outcome)
    assert list(spool.spooled()) == []
