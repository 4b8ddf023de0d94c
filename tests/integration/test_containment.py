"""A job that ends or is stopped leaves no process: not those that left its group, its session or its parents either.

Each test has sleeps of lengths of its own: their command lines are how they are found in the process table.
"""

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.driver import Cli, is_running, kill, wait_until

LENGTHS = itertools.count(100_000 + os.getpid() % 10_000 * 100)


def sleeping(lengths: list[int]) -> list[int]:
    """Which of those sleeps run, whoever their parents are and whatever their environment is."""
    known = {str(length).encode(): length for length in lengths}
    found = []
    for entry in Path("/proc").iterdir():
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if arguments[:1] == [b"sleep"] and arguments[1] in known:
            found.append(known[arguments[1]])
    return sorted(found)


class Tree:
    """A command with a tree of processes: some in a session of their own, one without its parent, one in the group."""

    def __init__(self) -> None:
        self.lengths = [next(LENGTHS) for _ in range(4)]
        a, b, c, d = self.lengths
        self.command = f"setsid sh -c 'sleep {a} & sleep {b}' & (sleep {c} &) ; sleep {d}"

    @property
    def alive(self) -> list[int]:
        return sleeping(self.lengths)

    @property
    def is_complete(self) -> bool:
        return self.alive == self.lengths


@pytest.fixture
def tree() -> Tree:
    return Tree()


def last_attempt(cli: Cli, job_id: str) -> dict[str, Any]:
    return cli.job(job_id)["history"][-1]


def test_a_timeout_ends_the_whole_tree_before_it_is_recorded(working: Cli, tree: Tree) -> None:
    job_id = working.enqueue(tree.command, timeout=1, max_retries=0)
    wait_until(lambda: tree.is_complete)
    assert working.wait_for(job_id)["state"] == "dead"
    assert tree.alive == []
    assert last_attempt(working, job_id)["outcome"] == "timeout"


def test_what_a_finished_command_left_behind_is_killed_and_noted(working: Cli, tree: Tree) -> None:
    job = working.wait_for(working.enqueue(tree.command.rpartition(";")[0] + "; sleep 0.2; echo done", max_retries=0))
    assert tree.alive == []
    assert (job["state"], job["exit_code"], job["output"]) == ("completed", 0, "done\n")
    assert job["last_error"] == "left background processes, which were killed"


def test_a_daemon_without_any_mark_is_killed_all_the_same(cli: Cli) -> None:
    length = next(LENGTHS)
    daemon = f"env -i setsid sh -c 'sleep {length} &' </dev/null >/dev/null 2>&1"
    cli.start_workers()
    job = cli.wait_for(cli.enqueue(f"{daemon}; sleep 0.2"))
    assert (job["state"], sleeping([length])) == ("completed", [])


def test_a_neighbours_processes_are_left_alone(working: Cli, tmp_path: Path) -> None:
    length = next(LENGTHS)
    until_told = f"touch {tmp_path}/up; until [ -e {tmp_path}/go ]; do sleep 0.05; done"
    neighbour = working.enqueue(f"setsid sleep {length} & {until_told}")
    wait_until((tmp_path / "up").exists)
    wait_until(lambda: sleeping([length]) == [length])
    working.wait_for(working.enqueue(f"setsid sleep {next(LENGTHS)} & true"))
    assert sleeping([length]) == [length]
    (tmp_path / "go").touch()
    assert working.wait_for(neighbour)["state"] == "completed"
    assert sleeping([length]) == []


def test_a_forced_stop_ends_the_whole_tree(cli: Cli, tree: Tree) -> None:
    job_id = cli.enqueue(tree.command)
    cli.start_workers()
    wait_until(lambda: tree.is_complete)
    cli.run("worker", "stop", "--force")
    assert tree.alive == []
    assert last_attempt(cli, job_id)["outcome"] == "released"


def test_the_tree_of_a_killed_worker_dies_before_its_job_runs_again(cli: Cli, tmp_path: Path) -> None:
    trees = [Tree(), Tree()]
    escape = f"env -i setsid sleep {next(LENGTHS)} & "
    job_id = cli.enqueue(
        f"[ $QUEUECTL_ATTEMPT = 1 ] || exec sh {tmp_path}/second; {escape}{trees[0].command}", timeout=60
    )
    (tmp_path / "second").write_text(
        f"pgrep -x -f 'sleep ({'|'.join(map(str, trees[0].lengths))})'; {trees[1].command}"
    )
    workers = cli.start_workers()
    wait_until(lambda: trees[0].is_complete)
    kill(*workers.pids)
    wait_until(lambda: trees[1].is_complete)
    assert trees[0].alive == []
    assert is_running(workers.supervisor)
    cli.run("worker", "stop", "--force")
    assert trees[1].alive == []
    assert last_attempt(cli, job_id)["output"] == ""


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(working: Cli) -> None:
    length = next(LENGTHS)
    job = working.wait_for(
        working.enqueue(f"trap '' TERM INT HUP; setsid sleep {length} & sleep 60; sleep 60", timeout=1, max_retries=0)
    )
    assert (job["history"][0]["outcome"], job["history"][0]["signal"]) == ("timeout", 9)
    assert sleeping([length]) == []


def test_orphans_of_a_long_job_do_not_stay_zombies(cli: Cli, tmp_path: Path) -> None:
    workers = cli.start_workers()
    spawn = "for i in 1 2 3 4 5; do (sleep 0.01 &); done"
    cli.enqueue(f"{spawn}; touch {tmp_path}/spawned; until [ -e {tmp_path}/go ]; do sleep 0.05; done")
    wait_until((tmp_path / "spawned").exists)
    children = Path(f"/proc/{workers.pids[0]}/task/{workers.pids[0]}/children")
    wait_until(lambda: len(children.read_text().split()) == 1)
    (tmp_path / "go").touch()
