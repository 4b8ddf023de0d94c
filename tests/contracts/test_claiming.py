"""Claims on PostgreSQL that begin where the last one left off, as they do when a walk from the beginning takes long."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import psycopg
import pytest

from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.adapters.sql.postgresql import claim as claiming
from tests.builders import HOUR, MINUTE, NOON, SECOND, a_result, settled
from tests.contracts.operations import Desk
from tests.postgres.plugin import emptied


@pytest.fixture
def desk(session_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A queue in which every walk counts as a long one, and none from the beginning is made again for its time."""
    monkeypatch.setattr(claiming, "LONG_WALK", 0.0)
    monkeypatch.setattr(claiming, "RESCAN_FACTOR", 1e9)
    monkeypatch.setattr(claiming, "RESCAN_LIMIT", 3600.0)
    desk = Desk(emptied(session_postgres_url), tmp_path)
    yield desk
    desk.close()


def claimed(desk: Desk, limit: int = 1, queues: Sequence[str] = ()) -> list[str]:
    return [run.job.id for run in desk.work.claim(desk.lease(), queues=queues, limit=limit, at=NOON)]


def add(desk: Desk, number: int = 1, **overrides: object) -> list[str]:
    """A minute ago, unless said: long before the places where walks begin at the latest."""
    return [job.id for job in desk.add(number, **{"run_at": NOON - MINUTE} | overrides)]


def test_jobs_come_in_the_order_of_claims_each_once(desk: Desk) -> None:
    low = add(desk, 3, priority=3)
    late = add(desk, 2, priority=7)
    early = add(desk, 2, priority=7, run_at=NOON - HOUR)
    assert [job_id for _ in range(7) for job_id in claimed(desk)] == early + late + low
    assert claimed(desk) == []


def test_many_at_once_are_taken_over_the_place_where_the_last_claim_left_off(desk: Desk) -> None:
    first, others = add(desk), add(desk, 100)
    assert claimed(desk) == first
    assert claimed(desk, limit=70) == others[:70]
    assert claimed(desk, limit=70) == others[70:]


def test_a_job_that_comes_later_with_a_higher_priority_is_the_next_one(desk: Desk) -> None:
    first, second = add(desk, 2, priority=3, run_at=NOON - HOUR)
    assert claimed(desk) == [first]
    urgent = add(desk, priority=8, run_at=NOON - SECOND / 2)
    assert claimed(desk) + claimed(desk) == [*urgent, second]


def test_one_of_the_same_moment_that_is_committed_late_is_not_passed_by_jobs_of_a_lower_priority(desk: Desk) -> None:
    low = add(desk, priority=3)
    add(desk, priority=8, run_at=NOON - SECOND / 4)
    claimed(desk)
    late = add(desk, priority=8, run_at=NOON - SECOND / 2)
    assert claimed(desk) + claimed(desk) == late + low


def test_what_was_taken_beyond_the_place_is_not_the_place_of_the_walk_from_the_beginning(desk: Desk) -> None:
    add(desk)
    claimed(desk)
    early, beyond = add(desk, 6, run_at=NOON - HOUR), add(desk)
    assert claimed(desk, limit=3) == early[:2] + beyond
    after = add(desk, 3)
    assert [job_id for _ in range(7) for job_id in claimed(desk)] == early[2:] + after


def test_a_job_before_the_place_is_found_at_once_where_there_is_nothing_else(desk: Desk) -> None:
    add(desk, 2)
    claimed(desk, limit=2)
    before = add(desk, run_at=NOON - HOUR)
    assert claimed(desk) == before


def test_beside_others_it_is_found_by_the_next_walk_from_the_beginning(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = add(desk, 3)
    assert claimed(desk) == [first]
    before = add(desk, run_at=NOON - HOUR)
    assert claimed(desk) == [second], "it walks from the beginning each time"
    monkeypatch.setattr(claiming.time, "monotonic", lambda now=claiming.time.monotonic: now() + 3601)
    assert claimed(desk) + claimed(desk) == [*before, third]


def test_it_is_found_at_once_where_walks_are_short(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "LONG_WALK", 60.0)
    first, second = add(desk, 2)
    assert claimed(desk) == [first]
    before = add(desk, run_at=NOON - HOUR)
    assert claimed(desk) + claimed(desk) == [*before, second]


def test_queues_are_walked_apart(desk: Desk) -> None:
    mail, reports = add(desk, 2, queue="mail"), add(desk, 2, queue="reports")
    assert claimed(desk, queues=["reports"]) == reports[:1]
    assert claimed(desk, queues=["mail"]) == mail[:1]
    assert claimed(desk, queues=["mail", "reports"]) == mail[1:]
    assert claimed(desk, queues=["reports", "mail"]) == reports[1:]


def test_what_was_not_committed_is_claimed_again(desk: Desk, session_postgres_url: str) -> None:
    first, second = add(desk, 2)
    with psycopg.connect(session_postgres_url) as other:  # a claim of another worker's that comes to nothing
        other.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", [first])
        assert claimed(desk) == [second]
        other.rollback()
    assert claimed(desk) == [first]


def test_beside_a_snapshot_that_stays_open_a_claim_does_not_walk_over_what_was_claimed_since(
    desk: Desk, session_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(desk, 310)
    with psycopg.connect(session_postgres_url) as snapshot:
        snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot.execute("SELECT count(*) FROM jobs")
        for _ in range(300):
            [run] = desk.work.claim(desk.lease(), queues=(), limit=1, at=NOON)
            desk.work.settle([run.ended(a_result(), NOON + SECOND)], settled)
        assert walked_over(desk) < 20  # what still waits may be sorted
        monkeypatch.setattr(claiming.time, "monotonic", lambda now=claiming.time.monotonic: now() + 3601)
        assert walked_over(desk) > 300, "a walk from the beginning is no longer than that"


def walked_over(desk: Desk) -> int:
    """Entries of the index of due jobs, dead ones too, that a claim of one job reads."""
    count = "SELECT pg_stat_get_xact_tuples_returned('jobs_due'::regclass)"

    def work(connection: Connection) -> int:
        before = cast("int", connection.scalar(count))
        assert len(desk.claim(connection, desk.lease(), queues=(), limit=1, at=NOON, suspects=None)) == 1
        return cast("int", connection.scalar(count)) - before

    return desk.database.write(work)
