"""What an operation costs does not grow with what the queue holds: told by plans and by steps, not by time."""

import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import pytest

from queuectl.adapters.sql.engine import transactions as database
from queuectl.adapters.sql.engine.transactions import Dialect, Driver
from queuectl.adapters.sql.postgresql.claim import PostgresClaiming
from queuectl.adapters.sql.stores.claims import claim_due
from queuectl.domain.ports.work import Claim
from queuectl.domain.queues import Pause
from tests.builders import ANN, NOON, a_result, settled
from tests.contracts.filling import fill, looked_over
from tests.contracts.operations import OPERATIONS, QueueHarness
from tests.contracts.plans import DECIDED, Finding, findings

OF_QUEUE = "an index for what an operator asks now and then would be written with every job"
OF_TAGS = "all jobs with the tag are found first, by its index"
OF_STATES = "the newest are at the end of the walk, which stops at the limit"

LEGITIMATE = {
    Finding("counts", "walks jobs"): "it counts every job, when somebody looks",
    Finding("search 0 0 False", "walks jobs"): "the newest jobs are at the end of the walk, which stops at the limit",
    Finding("search 0 1 False", "walks jobs"): OF_QUEUE,
    Finding("search 0 2 False", "walks jobs"): OF_QUEUE,
    Finding("search 1 1 False", "walks jobs"): OF_QUEUE,
    Finding("search 2 1 False", "walks jobs"): OF_QUEUE,
    Finding("search 2 0 False", "walks jobs"): OF_STATES,
    Finding("search 0 0 False key", "walks jobs"): OF_QUEUE,
    Finding("claim_jobs", "sorts"): "of each queue there are no more jobs to merge than are to be claimed",
    Finding("first_suspects", "sorts"): "suspects are few",
    Finding("jobs_to_settle", "sorts"): "as many as a worker has slots",
    Finding("waiting_elsewhere", "walks jobs"): "once, when a queue gets lanes of its own",
    Finding("oldest_dead", "sorts"): "where PostgreSQL knows that there are not many more than the limit",
    Finding("search 2 0 False", "sorts"): "SQLite leaves a state for the next one when its page is full",
    Finding("search 2 1 False", "sorts"): "likewise",
    Finding("search 1 0 True", "sorts"): "the dead by the time of their death, when somebody looks",
    Finding("live_workers", "sorts"): "workers are few",
    Finding("queues_set", "sorts"): "queues are few",
    Finding("expired_or_local_workers", "sorts"): "workers are few",
    Finding("backlog", "sorts"): "it counts all jobs that wait, when somebody looks",
    Finding("backlog", "walks jobs"): "likewise",
    Finding("starts_used", "walks slots"): "limits are few",
    Finding("starts_used", "walks slots_free"): "likewise",
    Finding("take_chosen", "walks slots_free"): "likewise",
    Finding("waiting_elsewhere", "walks jobs"): "it looks through all that waits, when an operator sets up a queue",
    Finding("lane_readers", "walks pg_database"): "a server has few databases",
    Finding("ended_since", "sorts"): "only the attempts that ended in the window",
    Finding("ranked_wait", "sorts"): "only the attempts that ended in the window",
    Finding("ranked_run", "sorts"): "only the attempts that ended in the window",
    Finding("totals_by_worker", "sorts"): "only the attempts that ended in the window",
    Finding("totals_by_queue", "sorts"): "only the attempts that ended in the window",
}
"""What looks bad in a plan and is not, and why."""

MORE_TO_DO = {
    "status": "it counts every job, when somebody looks",
    "queue list": "it counts all jobs that wait, when somebody looks",
    "queue pause": "it looks through all jobs that wait, to move those of the queue to its lane",
    "suspects": "it counts what each worker holds",
    "why": "it counts up to 10,000 jobs that go before it, and looks at as many of the last attempts",
    "list --wide, besides": "it counts what each worker holds",
    "dlq retry --all": "there are more dead jobs",
    "dlq list": "it sorts the dead jobs by the time of their death",
    "list --queue": OF_QUEUE,
    "list --key": OF_QUEUE,
    "list --queue --queue": OF_QUEUE,
    "list --state --queue": OF_QUEUE,
    "list --state --state --queue": OF_QUEUE,
}
"""Operations that take more steps where the queue holds more, and why they may."""

A_LITTLE = 10_000
"""Steps: for a page of jobs or an hour's attempts, which an empty queue does not have. A walk over all takes ten times
as many."""

PREPARED = 5
"""The uses of a statement after which psycopg prepares it."""

Found: TypeAlias = Callable[[str], set[Finding]]


@pytest.fixture(scope="session")
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, empty_sqlite_file: Path) -> Found:
    """What is questionable on a backend in the plans of all that is asked of a filled queue."""

    @cache
    def found_on(backend: str) -> set[Finding]:
        directory = tmp_path_factory.mktemp("filled")
        if backend == "sqlite":
            url = copied(empty_sqlite_file, directory)
        else:
            url = request.getfixturevalue("new_postgres_url")(directory)
        harness = QueueHarness(url, directory)
        fill(harness.database)
        harness.make_lanes()
        calls = [each for prepare in OPERATIONS.values() for each in harness.calls_of(prepare(harness))]
        looked_over(
            harness.database
        )  # as in a queue that has been at work for a while: the costs are steady from then on
        harness.close()
        return findings(harness.dialect, calls)

    return found_on


def copied(file: Path, directory: Path) -> str:
    shutil.copy(file, directory / "queue.db")
    return f"sqlite:///{directory / 'queue.db'}"


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_no_statement_walks_over_jobs_that_it_does_not_want_or_sorts_them(found: Found, backend: str) -> None:
    assert found(backend) <= LEGITIMATE.keys()
    assert Finding("counts", "walks jobs") in found(backend), "a walk that is there is not seen"


def test_a_workers_statements_walk_over_no_jobs_of_a_young_queue_of_which_nothing_is_known_yet(
    new_postgres_url: Callable[[Path], str], tmp_path: Path
) -> None:
    harness = QueueHarness(new_postgres_url(tmp_path), tmp_path)
    harness.add(10_000, priority=5)  # a few thousand are read as quickly as ten are looked up
    names = [name for name in OPERATIONS if name.startswith(("claim", "settle", "rescue", "first due", "held"))]
    calls = [each for name in names for each in harness.calls_of(OPERATIONS[name](harness))]
    questionable = findings(harness.dialect, calls)
    harness.close()
    assert {each for each in questionable if each.plan == "walks jobs"} == set()


def test_a_worker_does_not_keep_the_plans_that_it_made_when_the_queue_was_small(
    new_postgres_url: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PLANS_LAST", 3600)
    harness = QueueHarness(new_postgres_url(tmp_path), tmp_path)
    harness.add(30)
    harness.database.outside_transactions(lambda it: it.execute("VACUUM (ANALYZE) jobs, attempts"))
    for _ in range(PREPARED + DECIDED):
        claim_and_settle(harness)
    harness.add(10_000)
    by_the_old_plan = jobs_walked_over(harness)
    monkeypatch.setattr(database, "PLANS_LAST", 0)
    by_a_new_one = jobs_walked_over(harness)
    harness.close()
    assert by_a_new_one == 0
    assert by_the_old_plan > 10_000, "otherwise nothing is shown"


def claim_and_settle(harness: QueueHarness) -> None:
    [run] = harness.work.claim(Claim(harness.lease(), queues=(), limit=1, at=NOON))
    result = a_result()
    harness.work.settle([run.ended(result, NOON)], settled)


def jobs_walked_over(harness: QueueHarness) -> int:
    """By a claim of one job: as PostgreSQL counts them, which may still have those of earlier transactions at hand."""
    count = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'jobs'"

    def claim(connection: database.Connection) -> int:
        before = cast("int", connection.scalar(count))
        claimed = claim_due(connection, Claim(harness.lease(), limit=1, at=NOON), PostgresClaiming(), lambda: NOON)
        assert len(claimed) == 1
        return cast("int", connection.scalar(count)) - before

    return harness.database.write(claim)


class Watched(Protocol):
    """What SQLite's drivers have beyond what we use: they call back every so many steps of SQLite's machine."""

    def set_progress_handler(self, call: Callable[[], int], every: int) -> object: ...


class Steps:
    """How many steps SQLite's own machine has taken for us: its work, the same at each run."""

    EVERY = 10

    def __init__(self) -> None:
        self.taken = 0

    def of(self, dialect: Dialect) -> Dialect:
        """The same backend, its steps counted."""

        def connect() -> Driver:
            driver = dialect.connect()
            cast("Watched", driver).set_progress_handler(self._count, self.EVERY)
            return driver

        return dialect._replace(connect=connect)

    def _count(self) -> int:
        self.taken += self.EVERY
        return 0  # go on


@pytest.fixture(scope="session")
def more_steps(tmp_path_factory: pytest.TempPathFactory, empty_sqlite_file: Path) -> Mapping[str, int]:
    """How many steps more each operation takes on a filled queue than on an empty one."""
    empty, filled = (
        steps_of_all(empty_sqlite_file, tmp_path_factory.mktemp("steps"), filled=filled) for filled in (False, True)
    )
    return {name: filled[name] - empty[name] for name in OPERATIONS}


def steps_of_all(file: Path, directory: Path, *, filled: bool) -> Mapping[str, int]:
    steps = Steps()
    harness = QueueHarness(copied(file, directory), directory, through=steps.of)
    if filled:
        fill(harness.database)
    harness.make_lanes()

    def taken_by(ask: Callable[[], object]) -> int:
        before = steps.taken
        ask()
        return steps.taken - before

    taken = {name: taken_by(prepare(harness)) for name, prepare in OPERATIONS.items()}
    harness.close()
    return taken


def test_no_operation_takes_more_steps_where_the_queue_holds_more(more_steps: Mapping[str, int]) -> None:
    assert {name: more for name, more in more_steps.items() if more > A_LITTLE and name not in MORE_TO_DO} == {}


HELD = 25_000
"""Jobs that each thing holds: a key, a full queue, a paused one, a label that nobody has."""


def hold(harness: QueueHarness, number: int) -> None:
    """Add so many jobs for each thing that holds jobs, of the highest priority; one job of that key and queue runs."""
    harness.queues.change("full", lambda before: before._replace(concurrency=1))
    harness.add(1, queue="full")
    harness.add(1, key="k", key_limit=1)
    assert len(harness.work.claim(Claim(harness.lease(), 2, NOON))) == 2
    harness.queues.change("paused", lambda before: before.paused(Pause(NOON, ANN)))
    harness.add(number, queue="full")
    harness.add(number, queue="paused")
    harness.add(number, needs=("gpu",))
    harness.add(number, key="k", key_limit=1)
    looked_over(harness.database)
    assert not harness.work.claim(Claim(harness.lease(), 1, NOON)), "they are held"


def test_a_claim_takes_no_more_steps_where_much_is_held(empty_sqlite_file: Path, tmp_path: Path) -> None:
    def steps_of_a_claim(number: int) -> int:
        directory = tmp_path / str(number)
        directory.mkdir()
        steps = Steps()
        harness = QueueHarness(copied(empty_sqlite_file, directory), directory, through=steps.of)
        hold(harness, number)
        harness.add(1, priority=1)
        before = steps.taken
        assert len(harness.work.claim(Claim(harness.lease(), 1, NOON))) == 1
        harness.close()
        return steps.taken - before

    assert steps_of_a_claim(HELD) <= steps_of_a_claim(1) + 100


def test_a_claim_reads_no_more_where_much_is_held(new_postgres_url: Callable[[Path], str], tmp_path: Path) -> None:
    read = """
        SELECT coalesce(sum(seq_tup_read), 0) + (
            SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(indexrelid)), 0) FROM pg_index
            WHERE indrelid = 'jobs'::regclass
        ) FROM pg_stat_xact_user_tables WHERE relname = 'jobs'
    """

    def read_by_a_claim(number: int) -> int:
        harness = QueueHarness(new_postgres_url(tmp_path), tmp_path)
        hold(harness, number)
        harness.add(1, priority=1)

        def claim(connection: database.Connection) -> int:
            before = cast("int", connection.scalar(read))
            claim = Claim(harness.lease(), 1, NOON)
            assert len(claim_due(connection, claim, PostgresClaiming(), lambda: NOON)) == 1
            return cast("int", connection.scalar(read)) - before

        rows = harness.database.write(claim)
        harness.close()
        return rows

    assert read_by_a_claim(HELD) <= read_by_a_claim(1) + 10
