"""`queuectl drill` as a user runs it: it passes, it finds a broken program out, and it leaves nothing behind."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.integration.driver import PATIENCE, QUEUECTL, Cli, Result, wait_until

KILLS_THEN_FREEZES = 43
"""A seed: its first fault is a killed worker, its second a frozen one."""

TIMEOUT = 8 * PATIENCE
"""Seconds for a short drill: many calls of the program, each of which a busy machine may slow down."""


LEAVES_PROCESSES = """
from queuectl.adapters.processes import marks, tree
tree.children = list
marks.kill_commands_of = lambda *_: None
"""
"""The module that Python imports when it starts: with it, queuectl kills nothing that a command has left."""


def drill(cli: Cli, *args: str, env: dict[str, str] | None = None) -> Result:
    done = subprocess.run(
        [QUEUECTL, "drill", "--workers", "2", *args],
        capture_output=True,
        text=True,
        env=cli.environ | (env or {}),
        cwd=cli.directory,
        timeout=TIMEOUT,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Result(done.stdout, done.stderr, done.returncode)


@pytest.fixture
def directory(cli: Cli, tmp_path: Path) -> Iterator[Path]:
    """The directory of scratch queues; none of them is left there when the test is over."""
    cli.environ["TMPDIR"] = str(tmp_path)
    yield tmp_path
    assert list(tmp_path.glob("queuectl-drill-*")) == []
    url = cli.environ["QUEUECTL_DATABASE_URL"]
    if url.startswith("postgres"):
        with psycopg.connect(url) as connection:
            schemas = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'queuectl%'").fetchall()
        assert schemas == []


@pytest.mark.timeout(TIMEOUT)
def test_workers_are_killed_and_frozen_and_every_promise_is_kept(cli: Cli, directory: Path) -> None:
    own = cli.enqueue("echo mine")
    done = drill(cli, "--for", "9s", "--seed", str(KILLS_THEN_FREEZES), "--output", "json")
    assert done.code == 0, done
    report = json.loads(done.stdout)
    assert (report["jobs"], report["lost"], report["overlaps"], report["orphans"], report["unexplained"]) == (
        18,
        0,
        0,
        0,
        0,
    )
    assert report["attempts"] >= report["runs"] >= report["jobs"]
    assert (report["faults"]["worker killed"], report["faults"]["worker frozen"]) >= (1, 1)
    assert report["broken"] == []
    assert [job["id"] for job in cli.json("list")] == [own]
    assert cli.job(own)["state"] == "pending"


@pytest.mark.timeout(TIMEOUT)
def test_ctrl_c_ends_a_drill_and_leaves_nothing(cli: Cli, directory: Path) -> None:
    with subprocess.Popen(
        [QUEUECTL, "drill", "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=cli.environ,
        cwd=cli.directory,
    ) as running:
        wait_until(lambda: any("sleep" in command for command in cli.processes().values()), TIMEOUT / 2)
        running.send_signal(signal.SIGINT)
        assert running.wait(TIMEOUT / 2) == 130
    assert cli.processes() == {}


@pytest.mark.sqlite_only
@pytest.mark.timeout(TIMEOUT)
def test_a_program_that_leaves_processes_behind_is_found_out(cli: Cli, directory: Path, tmp_path: Path) -> None:
    mutant = tmp_path / "mutant"
    mutant.mkdir()
    (mutant / "sitecustomize.py").write_text(LEAVES_PROCESSES)
    done = drill(cli, "--for", "3s", "--jobs", "12", "--seed", "1", "--output", "json", env={"PYTHONPATH": str(mutant)})
    assert done.code == 1
    report, error = json.loads(done.stdout), json.loads(done.stderr.splitlines()[-1])["error"]
    assert report["orphans"] > 0
    assert report["broken"][0]["message"] in error["message"]
    assert error["message"].startswith("a promise was broken, no ")
    assert "(seed 1;" in error["message"]
    assert cli.processes() == {}


@pytest.mark.sqlite_only
@pytest.mark.timeout(TIMEOUT)
def test_what_is_kept_can_be_looked_at(cli: Cli, tmp_path: Path) -> None:
    report = json.loads(drill(cli, "--for", "1s", "--jobs", "3", "--keep", "--output", "json").stdout)
    kept = Path(report["kept"])
    assert kept.stat().st_dev == tmp_path.stat().st_dev
    assert "drill-0001 1 start\n" in (kept / "ledger").read_text()
    there = {"QUEUECTL_DATABASE_URL": f"sqlite:///{kept / 'queue.db'}"}
    assert sorted(job["id"] for job in cli.json("list", env=there)) == ["drill-0001", "drill-0002", "drill-0003"]
