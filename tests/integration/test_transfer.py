"""`queuectl transfer` as a user runs it: from the backend of the test to the other one."""

import json
from pathlib import Path

import pytest

from tests.integration.driver import Cli, wait_until


@pytest.fixture
def other(backend: str, empty_postgres_url: str, tmp_path: Path) -> str:
    """The URL of an empty database of the other backend."""
    return empty_postgres_url if backend == "sqlite" else f"sqlite:///{tmp_path / 'elsewhere' / 'queue.db'}"


def source_of(cli: Cli) -> str:
    return cli.environ["QUEUECTL_DATABASE_URL"]


def test_the_queue_goes_on_in_the_other_database(cli: Cli, other: str) -> None:
    ended = cli.enqueue("echo over")
    cli.start_workers()
    cli.wait_for(ended)
    cli.run("worker", "stop")
    waiting = cli.enqueue("echo here", delay="1s")
    cli.run("config", "set", "max-retries", "7")
    before = cli.jobs()

    told = cli.json("transfer", "--from", source_of(cli), "--to", other)
    assert {it["table"]: it["rows"] for it in told["tables"] if it["rows"]} == {"jobs": 2, "attempts": 1, "config": 1}
    assert cli.jobs() == before
    there = {"QUEUECTL_DATABASE_URL": other}
    assert cli.json("info", ended, env=there)["history"][0]["output"] == "over\n"
    assert cli.run("config", "get", "max-retries", env=there).stdout.split()[-1] == "7"
    cli.start_workers(env=there)
    wait_until(lambda: cli.json("info", waiting, env=there)["state"] == "completed")
    assert cli.json("info", waiting)["state"] == "pending"
    cli.run("worker", "stop", env=there)


def test_it_is_refused_while_a_worker_is_alive_unless_it_may_drain(cli: Cli, other: str, tmp_path: Path) -> None:
    job_id = cli.enqueue(f"touch {tmp_path}/begun; sleep 1")
    cli.start_workers()
    wait_until((tmp_path / "begun").exists)
    refused = cli.run("transfer", "--from", source_of(cli), "--to", other, check=False)
    assert (refused.code, refused.stdout) == (4, "")
    assert "1 worker is alive in" in refused.stderr
    drained = cli.run("transfer", "--drain", "--from", source_of(cli), "--to", other)
    assert "stopping 1 worker" in drained.stderr
    assert cli.json("status")["workers"] == []
    assert cli.json("info", job_id, env={"QUEUECTL_DATABASE_URL": other})["state"] == "completed"


def test_a_source_that_does_not_exist_is_not_created(cli: Cli, other: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    result = cli.run("transfer", "--from", f"sqlite:///{missing}", "--to", other, check=False)
    assert result.code == 6
    assert "there is no queue at" in result.stderr
    assert not missing.exists()


def test_a_target_in_use_is_refused_and_left_as_it_is(cli: Cli, other: str) -> None:
    cli.enqueue("echo here")
    there = {"QUEUECTL_DATABASE_URL": other}
    cli.run("init", env=there)
    own = cli.run("enqueue", "--", "true", env=there).stdout.strip()
    result = cli.run("--output", "json", "transfer", "--from", source_of(cli), "--to", other, check=False)
    assert (result.code, json.loads(result.stderr)["error"]["code"]) == (4, "conflict")
    assert [job["id"] for job in cli.json("list", env=there)] == [own]
