"""Big batches, and clients that are killed while they enqueue one: all of it or nothing."""

import sqlite3
import struct
from pathlib import Path

import pytest

from tests.integration.driver import Cli

ROUNDS = 15


def test_ten_thousand_lines_are_enqueued_as_one_batch(cli: Cli) -> None:
    documents = [{"id": f"job-{number}", "command": f"echo {number}"} for number in range(10_000)]
    ids = cli.enqueue_all(documents)
    assert ids == [document["id"] for document in documents]
    assert cli.json("status")["jobs"]["pending"] == 10_000
    newest_first = cli.run("list", "--limit", "0", "--output", "id").stdout.split()
    assert newest_first == ids[::-1]
    stored = {job["created_at"] for job in cli.json("list", "--limit", "100")}
    assert len(stored) == 1


@pytest.mark.sqlite_only  # counts in the write-ahead log
def test_a_batch_is_one_transaction(cli: Cli) -> None:
    path = Path(cli.environ["QUEUECTL_DATABASE_URL"].removeprefix("sqlite:///"))
    connection = sqlite3.connect(path)  # as long as it is open, the log stays
    try:
        connection.execute("SELECT count(*) FROM jobs").fetchone()
        cli.enqueue_all([{"command": "true"}] * 3000)
        assert _commits(path.with_name(path.name + "-wal").read_bytes()) == 1
    finally:
        connection.close()


def _commits(log: bytes) -> int:
    """The frames of a write-ahead log that end a transaction: https://sqlite.org/fileformat2.html#the_write_ahead_log."""
    (page_size,) = struct.unpack_from(">I", log, 8)
    sizes = [struct.unpack_from(">I", log, start + 4)[0] for start in range(32, len(log), 24 + page_size)]
    return sum(size != 0 for size in sizes)
