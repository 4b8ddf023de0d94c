"""Rows and files that no queuectl of this version has written: each holds up nobody but itself."""

import os
import sqlite3
from pathlib import Path

import psycopg
import pytest

from queuectl.adapters.sql import schema
from tests.faults import reading
from tests.faults.probe import FaultProbe
from tests.integration.driver import Cli, wait_until

pytestmark = pytest.mark.fault("F43")

DEEP = "[" * 100_000

SPOILT = {
    "command": ["'{broken'", "'5'", "'[]'", "'[\"true\", 1]'", "'\"\\ud800\"'", "'\"a\\u0000b\"'", f"'{DEEP}'", "''"],
    "env": ["'[1]'", "'{\"A\": 1}'", '\'{"": "x"}\'', '\'{"A=B": "x"}\'', "'{'"],
    "cwd": ["'\"broken'"],
    "attempts": ["-3", "2147483647"],
    "failures": ["-1", "2147483647"],
    "losses": ["2147483647"],
    "max_retries": ["-1"],
    "timeout": ["-5", "0", "9223372036854775807"],
    "run_at": ["-9223372036854775807"],
    "created_at": ["9223372036854775807"],
    "cancel_requested_at": ["9223372036854775807"],
}
"""Columns of a waiting job, and values in them for which it cannot be run."""

SPOILT_IN_SQLITE = {
    "command": ["CAST(x'22ff' AS TEXT)", "x'ff'"],
    "queue": ["CAST(x'ff' AS TEXT)", "x'00'"],
    "attempts": ["'abc'", "1.5", "x'01'"],
    "timeout": ["'soon'"],
    "env": ["CAST(x'ff' AS TEXT)"],
}
"""What its columns take whatever their types are."""


def tell(url: str, *statements: str) -> None:
    """Run these statements, as somebody does who knows better."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(reading.path_of(url), isolation_level=None, timeout=20)
        try:
            for statement in statements:
                connection.execute(statement)
        finally:
            connection.close()
    else:
        with psycopg.connect(url, autocommit=True) as session:
            for statement in statements:
                session.execute(statement)  # type: ignore[call-overload]


def spoil(cli: Cli, url: str) -> list[str]:
    """Jobs that wait first in line, each with another value that cannot be read; their ids."""
    spoilt = [(column, value) for column, values in SPOILT.items() for value in values]
    if url.startswith("sqlite"):
        spoilt += [(column, value) for column, values in SPOILT_IN_SQLITE.items() for value in values]
    ids = [f"bad-{number}" for number in range(len(spoilt))]
    cli.enqueue_all([{"id": job_id, "command": "echo never", "priority": 10} for job_id in ids])
    updates = zip(ids, spoilt, strict=True)
    tell(url, *(f"UPDATE jobs SET {column} = {value} WHERE id = '{job_id}'" for job_id, (column, value) in updates))
    return ids


def test_jobs_whose_rows_cannot_be_read_are_set_aside_and_all_others_run(cli: Cli, probe: FaultProbe) -> None:
    bad = spoil(cli, probe.url)
    good = probe.enqueue_some(5)
    cli.enqueue_all([{"id": "again", "command": "true", "priority": 10}])
    cli.start_workers(concurrency=4)
    cli.wait_for("again")
    tell(probe.url, "UPDATE jobs SET attempts = 0, state = 'pending', finished_at = NULL WHERE id = 'again'")
    for job_id in good:
        cli.wait_for(job_id)

    def not_set_aside() -> set[str]:
        return {*bad, "again"} ^ {job["id"] for job in cli.json("dlq", "list", "--limit", "0")}

    wait_until(lambda: not not_set_aside(), every=0.2)
    jobs = cli.jobs()
    for job_id in [*bad, "again"]:
        assert jobs[job_id]["state"] == "dead"
        assert jobs[job_id]["last_error"].startswith("this row cannot be read: ")
        assert cli.job(job_id)["last_error"] == jobs[job_id]["last_error"]
        if job_id != "again":  # which could be read
            assert "cannot be read" in cli.error("dlq", "retry", job_id)["message"]
    for output in ("table", "plain", "jsonl"):
        cli.run("--output", output, "list")
        cli.run("--output", output, "dlq", "list")
        cli.run("--output", output, "info", bad[0])
    cli.run("dlq", "remove", bad[0])
    cli.run("dlq", "remove", "--all", "--yes")
    assert cli.jobs().keys() == set(good)
    cli.log.assert_without("Traceback", "crashed", "cannot use the database")
    probe.healed()
    probe.check(faultless=True)


def test_a_job_that_is_set_aside_gives_its_unique_key_up(cli: Cli, probe: FaultProbe) -> None:
    cli.enqueue_all([{"id": "bad", "command": "echo never", "unique": "k"}])
    tell(probe.url, "UPDATE jobs SET env = '[1]'")
    cli.start_workers()
    wait_until(lambda: [job["id"] for job in cli.json("dlq", "list")] == ["bad"], every=0.2)
    assert cli.json("enqueue", "--unique", "k", "--", "true")["enqueued"] == "new"
    probe.enqueue()
    cli.run("dlq", "remove", "bad")
    probe.healed()
    probe.check(faultless=True)


def test_a_row_in_a_state_that_is_none_is_shown_and_can_be_removed(cli: Cli, probe: FaultProbe) -> None:
    [job_id] = cli.enqueue_all([{"id": "paused", "command": "true"}])
    tell(probe.url, "UPDATE jobs SET state = 'paused'")
    cli.start_workers()
    probe.enqueue()
    assert cli.jobs()[job_id]["last_error"] == "this row cannot be read: state is 'paused'"
    assert cli.json("status")["jobs"]["dead"] == 1
    assert cli.run("cancel", job_id, check=False).code == 4
    cli.run("dlq", "remove", job_id)
    probe.healed()
    probe.check(faultless=True)


def test_texts_of_rows_move_no_cursor(cli: Cli, probe: FaultProbe) -> None:
    evil = "a\x1b]0;owned\x07\u202eb\nc"
    no = "false" if probe.url.startswith("postgresql") else "0"
    same = ", ".join(column.name for column in schema.jobs.columns if column.name not in {"seq", "id"})
    probe.enqueue()
    cli.enqueue_all([{"id": name, "command": "true"} for name in ("x", "y")])
    cli.start_workers(2, concurrency=2)
    cli.wait_for_all()
    tell(
        probe.url,
        *(f"UPDATE jobs SET {column} = '{evil}' WHERE id = 'x'" for column in ("queue", "cancel_requested_by")),
        f"UPDATE attempts SET host = '{evil}', worker = '{evil}'",
        f"UPDATE workers SET host = '{evil}', queues = '[\"a\\u001b[2J\"]'",
        f"INSERT INTO config VALUES ('', 'max-losses', '{evil}'), ('{evil}', 'max-retries', '{evil}')",
        f"INSERT INTO queues VALUES ('{evil}', 0, NULL, NULL, {no}, 1, NULL, '{evil}', '{evil}')",
        "UPDATE jobs SET state = 'dead' WHERE id = 'y'",
        f"INSERT INTO jobs (seq, id, {same}) SELECT 1000, '{evil}', {same} FROM jobs WHERE id = 'y'",
    )
    for output in ("table", "plain", "id"):
        for command in (
            "list",
            "info x",
            f"info {evil}",
            "status",
            "queue list",
            f"queue show {evil}",
            "worker status",
            "dlq list",
            "config show",
            "doctor",
        ):
            words = [*command.partition(evil)[0].split(), evil] if evil in command else command.split()
            said = cli.run("--output", output, *words, check=False)
            for text in (said.stdout, said.stderr):
                assert {character for character in text if not character.isprintable()} <= {"\n", "\t"}, command
    for words in (["cancel", evil], ["dlq", "retry", evil], ["--output", "table", "dlq", "retry", "--all"]):
        said = cli.run(*words, check=False)
        assert "\x1b" not in said.stdout + said.stderr
    tell(probe.url, "DELETE FROM queues", "DELETE FROM config")
    gone = "id IN ('x', 'y') OR seq = 1000"
    tell(
        probe.url,
        f"DELETE FROM attempts WHERE job_id IN (SELECT id FROM jobs WHERE {gone})",
        f"DELETE FROM jobs WHERE {gone}",
    )
    probe.healed()
    probe.check(faultless=True)


def test_workers_and_settings_that_cannot_be_read_are_no_reason_to_stop(cli: Cli, probe: FaultProbe) -> None:
    cli.run("config", "set", "max-losses", "3")
    tell(
        probe.url,
        "UPDATE config SET value = 'many'",
        "INSERT INTO config VALUES ('', 'lease', ''), ('api', 'max-retries', '-1')",
    )
    workers = cli.start_workers()
    tell(
        probe.url,
        "INSERT INTO workers SELECT 'other', host, machine, -7, 0, 0, 0, '{', 1, 'running', -9223372036854775807,"
        " 9223372036854775807, 9223372036854775807, NULL, '[]' FROM workers",
        "INSERT INTO workers SELECT 'older', host, machine, 1, 0, 0, 0, '5', 1, 'running', 0, 0, 0, NULL, '[]'"
        " FROM workers WHERE id <> 'other'",
    )
    probe.enqueue()
    assert {worker["id"] for worker in cli.json("status")["workers"]} >= {"other"}
    for line in ("the stored max-losses must be an integer", "the stored lease "):
        workers.log.wait_for(line)
        assert line in cli.run("doctor", check=False).stdout
    found = {finding["message"]: finding["hint"] for finding in cli.json("doctor")["findings"]}
    problem = "queue api: the stored max-retries must be an integer from 0 to 1000, not '-1': the default 3 is used"
    assert found[problem] == "queuectl config set --queue api max-retries VALUE"
    assert "worker other" in cli.run("doctor", check=False).stdout
    workers.log.wait_for("attempt 1 succeeded")
    cli.log.assert_without("Traceback", "crashed")
    probe.healed()
    probe.check(faultless=True)


def test_files_of_the_spool_that_are_no_outcomes_hold_up_nobody(cli: Cli, probe: FaultProbe, tmp_path: Path) -> None:
    cli.environ["QUEUECTL_SPOOL_DIR"] = str(tmp_path / "spool")
    job_id = probe.enqueue()
    cli.start_workers()
    cli.wait_for(job_id)
    cli.run("worker", "stop")
    directory = _spool(cli, tmp_path)
    header = (
        '{"version": 1, "job": "j", "attempt": %s, "lease": "l", "worker": "w", "ended_at": %s, "outcome": "failed"'
    )
    rest = ', "exit_code": %s, "output_bytes": 0}\n'
    (directory / "deep.outcome").write_text(DEEP)
    (directory / "long.outcome").write_text("9" * 10_000)
    (directory / "far.outcome").write_text(header % (1, 2**53 - 1) + rest % 1)
    (directory / "many.outcome").write_text((header % (2**40, 1) + rest % 1).replace('"j"', f'"{job_id}"'))
    (directory / "code.outcome").write_text((header % (1, 1) + rest % 2**40).replace('"j"', f'"{job_id}"'))
    (directory / "directory.outcome").mkdir()
    os.mkfifo(directory / "fifo.outcome")
    with (directory / "large.outcome").open("wb") as large:
        large.truncate(2**40)
    cli.start_workers()
    probe.enqueue()
    probe.healed()
    probe.check(faultless=True)
    cli.log.wait_for("is no outcome that could be understood", 7)
    cli.log.assert_without("Traceback", "crashed")


def _spool(cli: Cli, tmp_path: Path) -> Path:
    from queuectl.adapters.spool import directory_for

    url = cli.environ["QUEUECTL_DATABASE_URL"]
    if url.startswith("sqlite"):
        name = str(Path(reading.path_of(url)).resolve())
    else:
        from queuectl.adapters.sql.postgresql.connection import display_name

        name = display_name(url)
    directory = directory_for(tmp_path / "spool", name)
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    return directory
