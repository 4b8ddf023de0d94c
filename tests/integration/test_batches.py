"""Big batches, and clients that are killed while they enqueue one: all of it or nothing."""

import random
import signal
import sqlite3
import struct
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.driver import QUEUECTL, Cli, json_lines

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


def test_a_client_killed_while_it_enqueues_has_stored_all_or_nothing(cli: Cli) -> None:
    batches = [[f"{number}-{each}" for each in range(100)] for number in range(ROUNDS)]
    begun = time.monotonic()
    cli.enqueue("true")
    usual = time.monotonic() - begun

    printed = [_enqueue_and_be_killed(cli, ids, after=random.uniform(0.4, 1.3) * usual) for ids in batches]

    stored = set(cli.run("list", "--limit", "0", "--output", "id").stdout.split())
    committed = []
    for ids, (said, code) in zip(batches, printed, strict=True):
        found = stored.intersection(ids)
        assert found in (set(), set(ids)), "a part of a batch was stored"
        assert not said or found, "ids were printed of what is not stored"
        assert code != 0 or said == ids, "exit code 0 without all ids"
        committed.append(bool(found))
    # Enqueueing again with the same ids settles what became of a batch, and doubles nothing.
    for was_stored in {True, False}.intersection(committed):
        ids = batches[committed.index(was_stored)]
        again = cli.run("enqueue", "-", stdin=_lines(ids), check=False)
        assert again.code == (4 if was_stored else 0)


def _enqueue_and_be_killed(cli: Cli, ids: list[str], *, after: float) -> tuple[list[str], int]:
    """The ids that were printed whole, and the exit code."""
    client = subprocess.Popen(
        [QUEUECTL, "enqueue", "-"],
        env=cli.environ,
        cwd=cli.directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        stdout, _ = client.communicate(_lines(ids), timeout=after)
    except subprocess.TimeoutExpired:
        client.send_signal(signal.SIGKILL)
        stdout, _ = client.communicate()
    return [line.strip() for line in stdout.splitlines(keepends=True) if line.endswith("\n")], client.returncode


def _lines(ids: list[str]) -> str:
    return json_lines([{"id": job_id, "command": "true"} for job_id in ids])
