"""What a command meets: its environment, descriptors and directory; and what becomes of its output and its end."""

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.integration.driver import QUEUECTL, Cli, wait_until


def run(cli: Cli, command: str | list[str], **fields: object) -> dict[str, Any]:
    """The job, once it has ended; one attempt unless said."""
    return cli.wait_for(cli.enqueue(command, **{"max_retries": 0, **fields}))


def test_a_command_has_the_jobs_own_variables_and_none_of_the_workers_secrets(working: Cli) -> None:
    job = run(working, "env", env={"FROM_THE_JOB": "two words"}, queue="lane-1")
    environ = dict(line.split("=", 1) for line in job["output"].splitlines())
    assert environ["QUEUECTL_JOB_ID"] == job["id"]
    assert (environ["QUEUECTL_ATTEMPT"], environ["QUEUECTL_QUEUE"]) == ("1", "lane-1")
    assert len(environ["QUEUECTL_LEASE_ID"]) == 32
    assert (environ["FROM_THE_JOB"], environ["FROM_THE_WORKER"]) == ("two words", "yes")
    assert not environ.keys() & {"QUEUECTL_DATABASE_URL", "QUEUECTL_LOG_DIR", "PGPASSWORD"}
    assert job["env"] == {"FROM_THE_JOB": "***"}
    assert working.json("info", job["id"], "--show-env")["env"] == {"FROM_THE_JOB": "two words"}


def test_a_command_has_an_empty_stdin_no_terminal_and_three_descriptors(working: Cli) -> None:
    job = run(working, "wc -c; ls /proc/$$/fd; (: </dev/tty) 2>/dev/null || echo no terminal")
    assert job["output"].split() == ["0", "0", "1", "2", "no", "terminal"]


def test_a_command_runs_where_it_was_enqueued_or_where_it_says(working: Cli, tmp_path: Path) -> None:
    assert run(working, "pwd")["output"] == f"{working.directory}\n"
    assert run(working, "pwd", cwd=str(tmp_path))["output"] == f"{tmp_path}\n"


def test_a_directory_that_is_missing_is_the_jobs_failure(working: Cli) -> None:
    job = run(working, "true", cwd="/nonexistent/directory")
    assert (job["state"], job["exit_code"]) == ("dead", None)
    assert job["last_error"] == (
        "the working directory /nonexistent/directory cannot be entered: no such file or directory"
    )


def test_a_file_that_is_not_executable_fails_with_126(working: Cli, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    by_shell, by_itself = run(working, str(script)), run(working, [str(script)])
    assert (by_shell["state"], by_shell["exit_code"]) == (by_itself["state"], by_itself["exit_code"]) == ("dead", 126)
    assert by_itself["last_error"] == f"exit code 126 (cannot be executed): {script}: permission denied"


def test_a_list_is_executed_as_it_is_without_a_shell(working: Cli) -> None:
    arguments = ["printf", "%s\n", "two words", "$HOME", "a;b", "*", "'\"", ""]
    job = working.wait_for(working.run("enqueue", "--", *arguments).stdout.strip())
    assert job["command"] == arguments
    assert job["output"] == "two words\n$HOME\na;b\n*\n'\"\n\n"


def test_signals_have_their_default_meaning_in_a_command(working: Cli) -> None:
    job = run(working, "grep -E '^Sig(Ign|Blk)' /proc/self/status; kill -PIPE $$")
    # Two are the C library's own (nptl(7)), which no program of it can put back when its parent ignored them.
    of_the_c_library = 1 << 31 | 1 << 32
    assert [int(line.split()[1], 16) & ~of_the_c_library for line in job["output"].splitlines()] == [0, 0]
    (attempt,) = job["history"]
    assert (attempt["exit_code"], attempt["signal"], job["last_error"]) == (None, 13, "killed by SIGPIPE")


def test_a_background_child_that_keeps_the_pipe_does_not_hang_the_job(working: Cli) -> None:
    job = run(working, "sleep 9775 & echo done")
    (attempt,) = job["history"]
    assert (job["state"], job["output"], attempt["outcome"]) == ("completed", "done\n", "succeeded")
    assert "left background processes" in attempt["error"]
    assert not [command for command in working.processes().values() if "sleep 9775" in command]


def test_output_keeps_every_byte_and_the_order_of_both_streams(working: Cli) -> None:
    job = run(working, r"printf 'a\000b'; printf '\033[31mred' >&2; printf 'é\r\n'")
    assert job["output"] == "a\0b\x1b[31mredé\r\n"
    assert r"\x1b[31mred" in working.run("info", job["id"]).stdout
    assert "\x1b" not in working.run("info", job["id"], "--output", "table").stdout


def test_output_that_is_not_utf_8_is_given_back_exactly_and_shown_replaced(working: Cli) -> None:
    job = run(working, r"printf '\377\376\000ok\r\n'")
    assert job["output"] == "\ufffd\ufffd\0ok\r\n"
    raw = [QUEUECTL, "info", job["id"], "--raw"]
    given = subprocess.run(raw, env=working.environ, cwd=working.directory, capture_output=True, check=True)
    assert given.stdout == b"\xff\xfe\0ok\r\n"
    missing = working.run("info", job["id"], "--raw", "--attempt", "2", check=False)
    assert (missing.code, missing.stdout) == (4, "")
    assert "has no ended attempt 2" in missing.stderr


def test_output_beyond_the_limit_is_cut_in_the_middle_and_the_command_goes_on(working: Cli) -> None:
    job = run(working, "echo first; yes | head -c 5000000; echo last")
    (attempt,) = job["history"]
    assert (job["state"], attempt["output_truncated"]) == ("completed", True)
    assert job["output"].startswith("first\ny\n")
    assert job["output"].endswith("y\nlast\n")
    assert "bytes dropped" in job["output"]
    assert len(job["output"]) < 2100


def test_the_last_line_of_a_failed_command_is_its_error(working: Cli) -> None:
    job = run(working, "echo trying; echo 'disk on fire' >&2; exit 3")
    assert (job["exit_code"], job["last_error"]) == (3, "exit code 3: disk on fire")


def test_ctrl_c_at_the_worker_does_not_reach_the_command(cli: Cli, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job_id = cli.enqueue(f"touch {tmp_path}/begun; until [ -e {go} ]; do sleep 0.05; done; echo untouched")
    foreground = cli.start_in_foreground()
    wait_until((tmp_path / "begun").exists)
    os.killpg(foreground.pid, 2)  # what the terminal does on Ctrl-C
    wait_until(lambda: "stopping" in cli.log())
    go.touch()
    assert foreground.wait(10) == 0
    job = cli.job(job_id)
    assert (job["state"], job["output"]) == ("completed", "untouched\n")
