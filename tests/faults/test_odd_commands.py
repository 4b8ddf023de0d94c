"""Commands that cannot be started, that look for a terminal, that say strange things, that never stop talking."""

import itertools
import os
import resource
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.probe import MEMORY, FaultProbe
from tests.integration.driver import QUEUECTL, Cli, wait_until
from tests.integration.ledger import Ledger


def run(probe: FaultProbe, command: str | list[str], **fields: object) -> dict[str, Any]:
    """The job, once it has ended; one attempt unless said."""
    return probe.cli.wait_for(probe.enqueue_silent(command, **{"max_retries": 0, **fields}))


@pytest.mark.fault("F22")
def test_a_program_that_is_missing_fails_with_127(probe_at_work: FaultProbe) -> None:
    for command in ("nonexistent_command_xyz", ["nonexistent_command_xyz"]):
        job = run(probe_at_work, command)
        assert (job["state"], job["exit_code"]) == ("dead", 127)
        assert job["last_error"].startswith("exit code 127 (command not found)")
    probe_at_work.check(faultless=True)


@pytest.mark.fault("F22")
def test_a_directory_that_is_missing_is_the_jobs_failure(probe_at_work: FaultProbe) -> None:
    job = run(probe_at_work, "true", cwd="/nonexistent/directory")
    assert (job["state"], job["exit_code"]) == ("dead", None)
    assert job["last_error"] == (
        "the working directory /nonexistent/directory cannot be entered: no such file or directory"
    )
    probe_at_work.check(faultless=True)


@pytest.mark.fault("F22")
def test_a_file_that_is_not_executable_fails_with_126(probe_at_work: FaultProbe, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    by_shell, by_itself = run(probe_at_work, str(script)), run(probe_at_work, [str(script)])
    assert (by_shell["state"], by_shell["exit_code"]) == (by_itself["state"], by_itself["exit_code"]) == ("dead", 126)
    assert (
        by_itself["last_error"]
        == f"exit code 126 (cannot be executed): {script}: permission denied; mend it with chmod +x {script}"
    )
    probe_at_work.check(faultless=True)


@pytest.mark.fault("F22")
def test_arguments_that_are_too_long_together_are_the_jobs_failure(cli: Cli, probe: FaultProbe) -> None:
    """Each is short enough for the kernel, and all together are longer than a quarter of the stack (execve(2))."""
    [worker] = cli.start_workers().pids
    _, most = resource.prlimit(worker, resource.RLIMIT_STACK)
    resource.prlimit(worker, resource.RLIMIT_STACK, (1024 * 1024, most))
    [job_id] = probe.enqueue_all([{"command": ["true", *["x" * 100_000] * 4], "max_retries": 0}])
    history = probe.check(faultless=True)
    assert history.jobs[job_id].state == "dead"
    job = cli.job(job_id)
    assert job["exit_code"] == 126
    assert "argument list too long" in job["last_error"]


def _limit_that_leaves_one_descriptor(pid: int) -> int:
    """RLIMIT_NOFILE is above the highest number that a descriptor may have, and those in use may leave gaps."""
    looks = []
    for _ in range(20):
        time.sleep(0.05)
        looks.append({int(number) for number in os.listdir(f"/proc/{pid}/fd")})  # noqa: PTH208 - one call
    in_use = set.intersection(*looks)
    free = (number for number in itertools.count() if number not in in_use)
    return [next(free), next(free)][1]


@pytest.mark.fault("F22")
def test_a_worker_without_descriptors_gives_the_job_back_and_tries_again(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    [worker] = cli.start_workers().pids
    cli.wait_for(probe.enqueue("true"))  # so that it has all its connections
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    limit = _limit_that_leaves_one_descriptor(worker)  # enough for the database
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (limit, before[1]))
    job_id = probe.enqueue("true", max_retries=0)
    wait_until(lambda: "released" in probe.outcomes(job_id))
    resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
    probe.healed()
    history = probe.check()
    assert (history.jobs[job_id].state, history.jobs[job_id].failures) == ("completed", 0)
    assert len(ledger.entries("start", job=job_id)) == 1
    assert "the worker could not start the command" in cli.job(job_id)["history"][0]["error"]


@pytest.mark.fault("F23")
def test_a_command_has_an_empty_stdin_no_terminal_and_three_descriptors(probe_at_work: FaultProbe) -> None:
    job = run(probe_at_work, "wc -c; ls /proc/$$/fd; (: </dev/tty) 2>/dev/null || echo no terminal")
    assert job["output"].split() == ["0", "0", "1", "2", "no", "terminal"]
    probe_at_work.check(faultless=True)


@pytest.mark.fault("F23")
def test_a_command_does_not_have_the_descriptors_that_its_worker_was_started_with(cli: Cli, probe: FaultProbe) -> None:
    with (cli.directory / "lock").open("w") as lock:  # as `flock 9` in a script would leave it
        cli.start_in_foreground(pass_fds=[lock.fileno()])
        job = run(probe, "ls -l /proc/$$/fd")
    assert "lock" not in job["output"]
    assert len(job["output"].splitlines()) == 4  # with the total
    probe.check(faultless=True)


@pytest.mark.fault("F23")
def test_ctrl_c_at_the_worker_does_not_reach_the_command(cli: Cli, probe: FaultProbe, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job_id = probe.enqueue(f"touch {tmp_path}/begun; until [ -e {go} ]; do sleep 0.05; done; echo untouched")
    foreground = cli.start_in_foreground()
    wait_until((tmp_path / "begun").exists)
    os.killpg(foreground.pid, 2)  # what the terminal does on Ctrl-C
    cli.log.wait_for("stopping")
    go.touch()
    assert foreground.wait(30) == 0
    job = cli.job(job_id)
    assert (job["state"], job["output"]) == ("completed", "untouched\n")
    probe.check(faultless=True)


@pytest.mark.fault("F66")
def test_output_keeps_every_byte_and_the_order_of_both_streams(working: Cli, probe_at_work: FaultProbe) -> None:
    job = run(probe_at_work, r"printf 'a\000b'; printf '\033[31mred' >&2; printf '\033]0;title\007é\r\n'")
    assert job["output"] == "a\0b\x1b[31mred\x1b]0;title\x07é\r\n"
    assert r"\x1b[31mred" in working.run("info", job["id"]).stdout
    for view in ("table", "plain"):
        shown = working.run("info", job["id"], "--output", view).stdout
        assert not {"\x1b", "\x07", "\0"} & set(shown)
    probe_at_work.check(faultless=True)


@pytest.mark.fault("F66")
def test_output_that_is_not_utf_8_is_given_back_exactly_and_shown_replaced(
    working: Cli, probe_at_work: FaultProbe
) -> None:
    job = run(probe_at_work, r"printf '\377\376\000ok\r\n'")
    assert job["output"] == "\ufffd\ufffd\0ok\r\n"
    raw = [QUEUECTL, "info", job["id"], "--raw"]
    given = subprocess.run(raw, env=working.environ, cwd=working.directory, capture_output=True, check=True)
    assert given.stdout == b"\xff\xfe\0ok\r\n"
    missing = working.run("info", job["id"], "--raw", "--attempt", "2", check=False)
    assert (missing.code, missing.stdout) == (4, "")
    assert "has no ended attempt 2" in missing.stderr
    probe_at_work.check(faultless=True)


@pytest.mark.fault("F66")
def test_a_listing_shows_what_a_failed_command_said_escaped(working: Cli, probe_at_work: FaultProbe) -> None:
    job = run(probe_at_work, r"printf '\033]0;owned\007\033[2J' >&2; exit 3")
    assert job["exit_code"] == 3
    for command in (["list", "--limit", "0"], ["dlq", "list"], ["info", job["id"]]):
        for view in ("table", "plain"):
            assert "\x1b" not in working.run(*command, "--output", view).stdout
    working.log.assert_without("\x1b")
    probe_at_work.check(faultless=True)


@pytest.mark.fault("F67")
def test_output_beyond_the_limit_is_cut_in_the_middle_and_the_command_goes_on(probe_at_work: FaultProbe) -> None:
    job = run(probe_at_work, "echo first; yes | head -c 5000000; echo last")
    (attempt,) = job["history"]
    assert (job["state"], attempt["output_truncated"]) == ("completed", True)
    assert job["output"].startswith("first\ny\n")
    assert job["output"].endswith("y\nlast\n")
    assert "bytes dropped" in job["output"]
    assert len(job["output"]) < 2100
    probe_at_work.check(faultless=True)


@pytest.mark.fault("F67")
@pytest.mark.parametrize(
    ("seconds", "mebibytes"),
    [(2, 128), pytest.param(30, 2048, marks=pytest.mark.slow)],
)
def test_endless_output_takes_no_memory_and_does_not_block_the_command(
    cli: Cli, probe: FaultProbe, seconds: int, mebibytes: int
) -> None:
    cli.start_workers(concurrency=2)
    talker = probe.enqueue(f"timeout {seconds} yes; echo the end", timeout="300s")
    one_line = probe.enqueue(f"head -c {mebibytes}M /dev/zero | tr '\\0' x; echo; echo the end", timeout="300s")
    probe.check(within=seconds + 120, faultless=True, caps={MEMORY: 100})
    for job_id in (talker, one_line):
        (attempt,) = cli.job(job_id)["history"]
        assert attempt["output_truncated"] is True
        assert attempt["output"].endswith("\nthe end\n")
        assert len(attempt["output"]) < 1.1 * 1024 * 1024
