"""What a database is asked for, by each operation in the life of a job: counted, not timed."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.contracts.operations import OPERATIONS, READING, QueueHarness
from tests.contracts.recording import COMMIT, ROLLBACK, Call
from tests.postgres.plugin import emptied

BACKENDS = ("sqlite", "postgresql")

COSTS = """
                                   SQLite          PostgreSQL
enqueue 1 job                    2   7      3      2   8      4
enqueue 1000 jobs                2  46     42      2   8   1003
enqueue 20000 jobs               2 806    802      2   9  20003
enqueue a unique job             2   8      4      2  10      6
enqueue one whose key is held    2   6      2      2   7      3
enqueue one that replaces        2   9      5      2  11      7
enqueue 1000 unique jobs         2  27     23      2  10    505
claim 1 job                      1   6      4      1   3      1
claim 10 jobs                    1   6      4      1   3      1
claim, nothing due               1  13     11      1   3      1
claim of a queue                 1   6      4      1   3      1
claim of two queues              1   7      5      1   3      1
claim, from where it left off    1   6      4      1   3      1
claim a suspect                  1   6      4      1   3      1
claim a suspect of a queue       1   6      4      1   3      1
claim a suspect of two queues    1   6      4      1   3      1
claim beside suspects            1   6      4      1   3      1
settle                           1   5      3      1   5      3
settle 1 and claim 1             1   9      7      1   6      4
settle 10 and claim 10           1   9     25      1   6      4
settle 1, nothing due            1  16     14      1   6      4
settle 1 and claim 1 of a queue  1   9      7      1   6      4
settle 1 and claim 1, limited    1  11      9      1  10      8
settle 1 and claim 1, rated      1  11      9      1   8      6
settle 1 and claim 1, keyed      1  11      9      1  11      9
renew                            1   3      1      1   3      1
rescue 1 job                     1  10      8      1  11      9
rescue 10 jobs                   1   9     25      1  10      8
cancel                           1   4      2      1   6      4
queue pause                      6  23     11      6  26     14
dlq retry                        1   5      3      1   7      5
dlq retry --all                  1   5     12      1   6     13
dlq remove                       1   4      2      1   4      2
dlq remove --all                 1   4      2      1   4      2
first due                        1   5      3      1   3      1
first due of a queue             1   5      3      1   3      1
first due of two queues          1   6      4      1   3      1
asked to cancel                  1   3      1      1   3      1
held by a worker                 1   3      1      1   3      1
suspects                         1   3      1      1   3      1
status                           2   6      2      2   6      2
queue list                       5  15      5      5  15      5
list                             2   6      2      2   6      2
list --state                     2   6      2      2   6      2
list --state --state             2   6      2      2   6      2
list --queue                     2   6      2      2   6      2
list --state --queue             2   6      2      2   6      2
list --state --state --queue     2   6      2      2   6      2
list --queue --queue             2   6      2      2   6      2
list --key                       2   6      2      2   6      2
list --tag                       2   6      2      2   6      2
list --tag --tag                 2   6      2      2   6      2
list --state --tag               2   6      2      2   6      2
dlq list                         2   6      2      2   6      2
info                             2   6      2      2   6      2
why                              4  25     17      4  25     17
list --wide, besides             3  11      5      3  11      5
metrics                          1   8      6      1   8      6
metrics --detailed               1  10      8      1  10      8
"""
"""Transactions; round trips, with BEGIN and COMMIT, a batch being one, but of several groups on SQLite; and runs of
statements, a batch being many."""

WORKERS = ("claim", "settle", "rescue", "renew")
"""The beginnings of the names of what workers do."""

WRITERS_EXCLUDED = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "BEGIN; LOCK TABLE jobs, attempts, workers, config IN EXCLUSIVE MODE",
}


@pytest.fixture(params=BACKENDS)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QueueHarness]:
    """An empty queue."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_sqlite_file"), tmp_path / "queue.db")
        url = f"sqlite:///{tmp_path / 'queue.db'}"
    else:
        url = emptied(request.getfixturevalue("session_postgres_url"))
    harness = QueueHarness(url, tmp_path)
    yield harness
    harness.close()


def table(backend: str) -> dict[str, tuple[int, ...]]:
    """The costs on one backend."""
    rows = [line.rsplit(maxsplit=6) for line in COSTS.splitlines()[2:]]
    return {name: tuple(map(int, numbers[:3] if backend == "sqlite" else numbers[3:])) for name, *numbers in rows}


def cost(harness: QueueHarness, calls: Sequence[Call]) -> tuple[int, ...]:
    texts = [each.text for each in calls]
    frame = {harness.dialect.begin_reading, harness.dialect.begin_writing, COMMIT, ROLLBACK}
    runs = sum(len(each.values) for each in calls if each.text not in frame)
    return texts.count(COMMIT) + texts.count(ROLLBACK), len(texts), runs


def test_an_operation_costs_what_the_table_says(harness: QueueHarness) -> None:
    expected = table(harness.dialect.language)
    costs = {}
    for name in sorted(OPERATIONS, key=harness.needs_lanes):
        if harness.needs_lanes(name):
            harness.make_lanes()
        costs[name] = cost(harness, harness.calls_of(OPERATIONS[name](harness)))
    changed = [f"{name:<30}" + "{:4}{:4}{:7}".format(*now) for name, now in costs.items() if now != expected.get(name)]
    assert not changed, "\n".join(["these differ from the table:", *changed])
    assert costs.keys() == expected.keys()


@pytest.mark.parametrize("backend", BACKENDS)
def test_whatever_a_worker_does_is_one_transaction(backend: str) -> None:
    """Each is a sync of the disk: with one for the end of a job and one for the next claim, half as many jobs run."""
    transactions = {name: transactions for name, (transactions, _, _) in table(backend).items()}
    assert {transactions[name] for name in OPERATIONS if name.startswith(WORKERS)} == {1}


def test_each_call_of_a_worker_reaches_postgresql_whole() -> None:
    """A batch is sent run by run. When its worker stands still meanwhile, no timeout of the server's frees the jobs."""
    costs = {name: cost for name, cost in table("postgresql").items() if name.startswith(WORKERS)}
    sent_in_parts = {name for name, (transactions, calls, runs) in costs.items() if runs != calls - 2 * transactions}
    assert sent_in_parts == set()


def test_a_batch_of_a_thousand_jobs_takes_as_many_round_trips_as_one_job() -> None:
    costs = table("postgresql")  # SQLite is no trip away; it is called for each group
    assert costs["enqueue 1000 jobs"][:2] == costs["enqueue 1 job"][:2]


def test_who_only_reads_waits_for_no_writer_and_writes_nothing(harness: QueueHarness) -> None:
    harness.make_lanes()
    asks = [prepare(harness) for prepare in READING.values()]
    writer = harness.dialect.connect()
    writer.cursor().execute(WRITERS_EXCLUDED[harness.dialect.language])
    try:
        for ask in asks:
            assert harness.dialect.begin_writing not in {each.text for each in harness.calls_of(ask)}
    finally:
        writer.close()
