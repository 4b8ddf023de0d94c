"""Claims on PostgreSQL that begin where the last one left off, as they do when a walk from the beginning takes long."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import psycopg
import pytest

from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.adapters.sql.postgresql import claim as claiming
from queuectl.adapters.sql.stores.claims import claim_due
from queuectl.domain.ports.work import Claim
from tests.builders import HOUR, MINUTE, NOON, SECOND, a_result, settled
from tests.contracts.operations import QueueHarness
from tests.postgres.plugin import emptied


@pytest.fixture
def harness(session_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[QueueHarness]:
    """A queue in which every walk counts as a long one, and none from the beginning is made again for its time."""
    monkeypatch.setattr(claiming, "LONG_WALK", 0.0)
    monkeypatch.setattr(claiming, "RESCAN_FACTOR", 1e9)
    monkeypatch.setattr(claiming, "RESCAN_LIMIT", 3600.0)
    harness = QueueHarness(emptied(session_postgres_url), tmp_path)
    yield harness
    harness.close()


def claimed(harness: QueueHarness, limit: int = 1, queues: Sequence[str] = ()) -> list[str]:
    return [run.job.id for run in harness.work.claim(Claim(harness.lease(), queues=queues, limit=limit, at=NOON))]


def add(harness: QueueHarness, number: int = 1, **overrides: object) -> list[str]:
    """A minute ago, unless said: long before the places where walks begin at the latest."""
    return [job.id for job in harness.add(number, **{"run_at": NOON - MINUTE} | overrides)]


def test_jobs_come_in_the_order_of_claims_each_once(harness: QueueHarness) -> None:
    low = add(harness, 3, priority=3)
    late = add(harness, 2, priority=7)
    early = add(harness, 2, priority=7, run_at=NOON - HOUR)
    assert [job_id for _ in range(7) for job_id in claimed(harness)] == early + late + low
    assert claimed(harness) == []


def test_many_at_once_are_taken_over_the_place_where_the_last_claim_left_off(harness: QueueHarness) -> None:
    first, others = add(harness), add(harness, 100)
    assert claimed(harness) == first
    assert claimed(harness, limit=70) == others[:70]
    assert claimed(harness, limit=70) == others[70:]


def test_a_job_that_comes_later_with_a_higher_priority_is_the_next_one(harness: QueueHarness) -> None:
    first, second = add(harness, 2, priority=3, run_at=NOON - HOUR)
    assert claimed(harness) == [first]
    urgent = add(harness, priority=8, run_at=NOON - SECOND / 2)
    assert claimed(harness) + claimed(harness) == [*urgent, second]


def test_one_of_the_same_moment_that_is_committed_late_is_not_passed_by_a_lower_priority(
    harness: QueueHarness,
) -> None:
    low = add(harness, priority=3)
    add(harness, priority=8, run_at=NOON - SECOND / 4)
    claimed(harness)
    late = add(harness, priority=8, run_at=NOON - SECOND / 2)
    assert claimed(harness) + claimed(harness) == late + low


def test_what_was_taken_beyond_the_place_is_not_the_place_of_the_walk_from_the_beginning(harness: QueueHarness) -> None:
    add(harness)
    claimed(harness)
    early, beyond = add(harness, 6, run_at=NOON - HOUR), add(harness)
    assert claimed(harness, limit=3) == early[:2] + beyond
    after = add(harness, 3)
    assert [job_id for _ in range(7) for job_id in claimed(harness)] == early[2:] + after


def test_a_job_before_the_place_is_found_at_once_where_there_is_nothing_else(harness: QueueHarness) -> None:
    add(harness, 2)
    claimed(harness, limit=2)
    before = add(harness, run_at=NOON - HOUR)
    assert claimed(harness) == before


def test_beside_others_it_is_found_by_the_next_walk_from_the_beginning(
    harness: QueueHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = add(harness, 3)
    assert claimed(harness) == [first]
    before = add(harness, run_at=NOON - HOUR)
    assert claimed(harness) == [second], "it walks from the beginning each time"
    monkeypatch.setattr(claiming.time, "monotonic", lambda now=claiming.time.monotonic: now() + 3601)
    assert claimed(harness) + claimed(harness) == [*before, third]


def test_it_is_found_at_once_where_walks_are_short(harness: QueueHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "LONG_WALK", 60.0)
    first, second = add(harness, 2)
    assert claimed(harness) == [first]
    before = add(harness, run_at=NOON - HOUR)
    assert claimed(harness) + claimed(harness) == [*before, second]


def test_queues_are_walked_apart(harness: QueueHarness) -> None:
    mail, reports = add(harness, 2, queue="mail"), add(harness, 2, queue="reports")
    assert claimed(harness, queues=["reports"]) == reports[:1]
    assert claimed(harness, queues=["mail"]) == mail[:1]
    assert claimed(harness, queues=["mail", "reports"]) == mail[1:]
    assert claimed(harness, queues=["reports", "mail"]) == reports[1:]


def test_what_was_not_committed_is_claimed_again(harness: QueueHarness, session_postgres_url: str) -> None:
    first, second = add(harness, 2)
    with psycopg.connect(session_postgres_url) as other:  # a claim of another worker's that comes to nothing
        other.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", [first])
        assert claimed(harness) == [second]
        other.rollback()
    assert claimed(harness) == [first]


def test_beside_a_snapshot_that_stays_open_a_claim_does_not_walk_over_what_was_claimed_since(
    harness: QueueHarness, session_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(harness, 310)
    with psycopg.connect(session_postgres_url) as snapshot:
        snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot.execute("SELECT count(*) FROM jobs")
        for _ in range(300):
            [run] = harness.work.claim(Claim(harness.lease(), queues=(), limit=1, at=NOON))
            harness.work.settle([run.ended(a_result(), NOON + SECOND)], settled)
        assert walked_over(harness) < 20  # what still waits may be sorted
        monkeypatch.setattr(claiming.time, "monotonic", lambda now=claiming.time.monotonic: now() + 3601)
        assert walked_over(harness) > 300, "a walk from the beginning is no longer than that"


def walked_over(harness: QueueHarness) -> int:
    """Entries of the index of due jobs, dead ones too, that a claim of one job reads."""
    count = "SELECT pg_stat_get_xact_tuples_returned('jobs_due'::regclass)"

    def work(connection: Connection) -> int:
        before = cast("int", connection.scalar(count))
        assert len(claim_due(connection, Claim(harness.lease(), limit=1, at=NOON), harness.claiming, lambda: NOON)) == 1
        return cast("int", connection.scalar(count)) - before

    return harness.database.write(work)
