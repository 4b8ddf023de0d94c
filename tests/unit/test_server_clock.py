"""The server's time, known as exactly as the quickest of its answers allows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from queuectl.adapters.sql.postgresql import connection as postgres
from queuectl.adapters.sql.postgresql.connection import ServerClock

MILLISECOND = timedelta(milliseconds=1)
AT_BOOT = datetime(2026, 11, 22, 12, tzinfo=UTC)


class SlowServer:
    """Its clock reads AT_BOOT when this machine boots; each answer takes its time, all of it on the way back."""

    def __init__(self, *answers: timedelta) -> None:
        self.now = timedelta()
        self.answers = list(answers)

    def read(self, work: Callable[[Any], object]) -> object:
        return work(self)

    def scalar(self, _text: str) -> datetime:
        moment = AT_BOOT + self.now
        self.now += self.answers.pop(0)
        return moment


@pytest.fixture
def new_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[SlowServer], ServerClock]:
    def new(server: SlowServer) -> ServerClock:
        monkeypatch.setattr(postgres, "elapsed", lambda: server.now)
        return ServerClock(cast("Any", server))

    return new


@pytest.mark.parametrize(
    ("answers", "asked", "error"),
    [
        pytest.param([2, 0], 1, 1, id="quick"),
        pytest.param([900, 10, 0], 2, 5, id="slow once"),
        pytest.param([900, 100, 500, 0], 3, 50, id="always slow"),
    ],
)
def test_a_slow_answer_is_asked_for_again_and_the_quickest_counts(
    new_clock: Callable[[SlowServer], ServerClock], answers: list[int], asked: int, error: int
) -> None:
    server = SlowServer(*(each * MILLISECOND for each in answers))
    clock = new_clock(server)
    clock()
    assert len(server.answers) == len(answers) - asked
    assert clock() == AT_BOOT + server.now - error * MILLISECOND


def test_an_answer_that_took_over_a_second_changes_nothing_that_was_known_before(
    new_clock: Callable[[SlowServer], ServerClock],
) -> None:
    server = SlowServer(MILLISECOND * 0, *[3000 * MILLISECOND] * 3)
    clock = new_clock(server)
    assert clock() == AT_BOOT
    server.now += timedelta(minutes=1)
    assert clock() == AT_BOOT + server.now
    assert server.answers == []
