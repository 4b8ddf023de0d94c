"""A job that ends or is stopped leaves no process: not those that left its group, its session or its parents either."""

from pathlib import Path
from typing import Any

import pytest

from tests.faults.probe import FaultProbe, Tree, a_length, sleeping
from tests.integration.driver import Cli, is_running, kill, wait_until


def last_attempt(cli: Cli, job_id: str) -> dict[str, Any]:
    return cli.job(job_id)["history"][-1]


@pytest.mark.fault("F15")
def test_a_timeout_ends_the_whole_tree_before_it_is_recorded(working: Cli, probe_at_work: FaultProbe) -> None:
    job_id, tree = probe_at_work.enqueue_tree(timeout=2, max_retries=0)
    wait_until(lambda: tree.is_complete)
    assert working.wait_for(job_id)["state"] == "dead"
    left = tree.alive
    probe_at_work.enqueue("true")  # the slot is free
    probe_at_work.check()
    assert left == []
    assert last_attempt(working, job_id)["outcome"] == "timeout"


@pytest.mark.fault("F14")
def test_a_background_child_that_keeps_the_pipe_does_not_hang_the_job(working: Cli, probe_at_work: FaultProbe) -> None:
    length = a_length()
    job_id = probe_at_work.enqueue_silent(f"sleep {length} & echo done", timeout="60s", max_retries=0)
    history = probe_at_work.check(within=20)
    assert history.jobs[job_id].state == "completed"
    job = working.job(job_id)
    assert (job["exit_code"], job["output"]) == (0, "done\n")
    assert "left background processes" in last_attempt(working, job_id)["error"]
    assert sleeping([length]) == []


@pytest.mark.fault("F14")
def test_what_a_finished_command_left_behind_is_killed_and_noted(working: Cli, probe_at_work: FaultProbe) -> None:
    tree = Tree()
    command = tree.command.rpartition(";")[0] + "; sleep 0.2; echo done"
    job_id = probe_at_work.enqueue_silent(command, max_retries=0)
    probe_at_work.watch_tree(job_id, tree)
    job = working.wait_for(job_id)
    assert tree.alive == []
    assert (job["state"], job["exit_code"], job["output"]) == ("completed", 0, "done\n")
    assert job["last_error"] == "left background processes, which were killed"
    probe_at_work.check()


@pytest.mark.fault("F16")
def test_a_daemon_without_any_mark_is_killed_all_the_same(cli: Cli, probe: FaultProbe) -> None:
    length = a_length()
    daemon = f"env -i setsid sh -c 'sleep {length} &' </dev/null >/dev/null 2>&1"
    cli.start_workers()
    job = cli.wait_for(probe.enqueue(f"{daemon}; sleep 0.2"))
    assert (job["state"], sleeping([length])) == ("completed", [])
    probe.check()


@pytest.mark.fault("F16")
def test_a_neighbours_processes_are_left_alone(working: Cli, probe_at_work: FaultProbe, tmp_path: Path) -> None:
    length = a_length()
    until_told = f"touch {tmp_path}/up; until [ -e {tmp_path}/go ]; do sleep 0.05; done"
    neighbour = probe_at_work.enqueue(f"setsid sleep {length} & {until_told}")
    wait_until((tmp_path / "up").exists)
    wait_until(lambda: sleeping([length]) == [length])
    working.wait_for(probe_at_work.enqueue(f"setsid sleep {a_length()} & true"))
    assert sleeping([length]) == [length]
    (tmp_path / "go").touch()
    assert working.wait_for(neighbour)["state"] == "completed"
    assert sleeping([length]) == []
    probe_at_work.check()


@pytest.mark.fault("F09")
def test_a_forced_stop_ends_the_whole_tree(cli: Cli, probe: FaultProbe) -> None:
    job_id, tree = probe.enqueue_tree()
    cli.start_workers()
    wait_until(lambda: tree.is_complete)
    cli.run("worker", "stop", "--force")
    assert tree.alive == []
    assert last_attempt(cli, job_id)["outcome"] == "released"
    probe.check(within=None, waiting=[job_id])


@pytest.mark.fault("F02")
def test_the_tree_of_a_killed_worker_dies_before_its_job_runs_again(
    cli: Cli, probe: FaultProbe, tmp_path: Path
) -> None:
    first, second = Tree(), Tree()
    escape = f"env -i setsid sleep {a_length()} & "
    job_id = probe.enqueue_silent(
        f"[ $QUEUECTL_ATTEMPT = 1 ] || exec sh {tmp_path}/second; {escape}{first.command}", timeout=60
    )
    look = "for at in /proc/[0-9]*; do tr '\\0' ' ' <$at/cmdline; echo; done 2>/dev/null"
    left = f"grep -xE 'sleep ({'|'.join(map(str, first.lengths))}) '"
    (tmp_path / "second").write_text(f"({look}) | {left}; {second.command}")
    workers = cli.start_workers()
    wait_until(lambda: first.is_complete)
    kill(*workers.pids)
    wait_until(lambda: second.is_complete)
    assert first.alive == []
    assert is_running(workers.supervisor)
    probe.watch_tree(job_id, second)
    cli.run("worker", "stop", "--force")
    assert second.alive == []
    assert last_attempt(cli, job_id)["output"] == ""
    probe.check(within=None, waiting=[job_id])


@pytest.mark.fault("F17")
def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(working: Cli, probe_at_work: FaultProbe) -> None:
    length = a_length()
    command = f"trap '' TERM INT HUP; setsid sleep {length} & sleep 60; sleep 60"
    job_id = probe_at_work.enqueue_silent(command, timeout=1, max_retries=0)
    job = working.wait_for(job_id)
    assert (job["history"][0]["outcome"], job["history"][0]["signal"]) == ("timeout", 9)
    assert sleeping([length]) == []
    probe_at_work.check()


@pytest.mark.fault("F17")
def test_a_process_that_stops_itself_is_ended_all_the_same(working: Cli, probe_at_work: FaultProbe) -> None:
    stopped = probe_at_work.enqueue_silent("kill -STOP $$", timeout=1, max_retries=0)
    assert working.wait_for(stopped)["history"][0]["outcome"] == "timeout"
    probe_at_work.check()


@pytest.mark.fault("F16")
def test_orphans_of_a_long_job_do_not_stay_zombies(cli: Cli, probe: FaultProbe, tmp_path: Path) -> None:
    workers = cli.start_workers()
    spawn = "for i in 1 2 3 4 5; do (sleep 0.01 &); done"
    probe.enqueue(f"{spawn}; touch {tmp_path}/spawned; until [ -e {tmp_path}/go ]; do sleep 0.05; done")
    wait_until((tmp_path / "spawned").exists)
    threads = Path(f"/proc/{workers.pids[0]}/task")
    wait_until(lambda: sum(len(children.read_text().split()) for children in threads.glob("*/children")) == 1)
    (tmp_path / "go").touch()
    probe.check()
