"""What a command meets: its environment, descriptors and directory; and what becomes of its output and its end."""

from pathlib import Path
from typing import Any

from tests.integration.driver import Cli


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
    assert not environ.keys() & {"QUEUECTL_LOG_DIR", "PGPASSWORD"}
    assert job["env"] == {"FROM_THE_JOB": "***"}
    assert working.json("info", job["id"], "--show-env")["env"] == {"FROM_THE_JOB": "two words"}


def test_a_command_runs_where_it_was_enqueued_or_where_it_says(working: Cli, tmp_path: Path) -> None:
    assert run(working, "pwd")["output"] == f"{working.directory}\n"
    assert run(working, "pwd", cwd=str(tmp_path))["output"] == f"{tmp_path}\n"


def test_pwd_is_the_jobs_directory_as_it_was_said(cli: Cli, tmp_path: Path) -> None:
    cli.start_workers(env={"PWD": "/nowhere", "OLDPWD": "/tmp"})
    (tmp_path / "link").symlink_to(tmp_path)

    def variables(**fields: object) -> list[str]:
        return str(run(cli, "printenv PWD; printenv OLDPWD; :", **fields)["output"]).splitlines()

    assert variables() == [str(cli.directory)]
    assert variables(cwd=f"{tmp_path}/link") == [f"{tmp_path}/link"]
    assert variables(cwd=None) == [str(cli.directory)]
    assert variables(cwd="/", env={"PWD": "/", "OLDPWD": "/usr"}) == ["/", "/usr"]
    assert run(cli, ["printenv", "PWD"], env={"PWD": "mine"})["output"] == "mine\n"


def test_pwd_of_a_worker_that_was_reached_through_a_link_says_so(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(cli.directory)
    cli.start_workers(env={"PWD": f"{tmp_path}/link"})
    assert run(cli, ["printenv", "PWD"], cwd=None)["output"] == f"{tmp_path}/link\n"


def test_a_list_is_executed_as_it_is_without_a_shell(working: Cli) -> None:
    arguments = ["printf", "%s\n", "two words", "$HOME", "a;b", "*", "'\"", ""]
    job = working.wait_for(working.run("enqueue", "--", *arguments).stdout.strip())
    assert job["command"] == arguments
    assert job["output"] == "two words\n$HOME\na;b\n*\n'\"\n\n"


def test_a_program_that_does_not_start_is_told_with_why(working: Cli, tmp_path: Path) -> None:
    def error(command: str | list[str]) -> str:
        return str(run(working, command, cwd=str(tmp_path))["last_error"])

    for name, content in {"gone": "#!/bin/nosuch\n", "windows": "#!/bin/sh\r\n", "none": "echo hi\n"}.items():
        (tmp_path / name).write_text(content, newline="")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "env").write_text("#!/usr/bin/env sh\r\necho hi\r\n", newline="")
    (tmp_path / "env").chmod(0o755)

    assert error(["./gone"]) == "exit code 127 (the interpreter of ./gone is missing): /bin/nosuch"
    assert "ends in CR LF" in error(["./windows"])
    assert "ends in CR LF" in error(["./env"])
    assert "it has no #! line" in error(["./none"])
    assert error("./gone").endswith("; the interpreter of ./gone is missing: /bin/nosuch")
    assert "ends in CR LF" in error("./windows")
    assert error("gone").endswith("; it lies in the job's directory: call it ./gone")
    assert error(["gone"]).endswith("; it lies in the job's directory: call it ./gone")
    assert "enqueue it with -c 'echo hi | wc -c'" in error(["echo hi | wc -c"])
    assert error([str(tmp_path)]).endswith("; it is a directory")


def test_signals_have_their_default_meaning_in_a_command(working: Cli) -> None:
    job = run(working, "grep -E '^Sig(Ign|Blk)' /proc/self/status; kill -PIPE $$")
    # Two are the C library's own (nptl(7)), which no program of it can put back when its parent ignored them.
    of_the_c_library = 1 << 31 | 1 << 32
    assert [int(line.split()[1], 16) & ~of_the_c_library for line in job["output"].splitlines()] == [0, 0]
    (attempt,) = job["history"]
    assert (attempt["exit_code"], attempt["signal"], job["last_error"]) == (None, 13, "killed by SIGPIPE")


def test_the_last_line_of_a_failed_command_is_its_error(working: Cli) -> None:
    job = run(working, "echo trying; echo 'disk on fire' >&2; exit 3")
    assert (job["exit_code"], job["last_error"]) == (3, "exit code 3: disk on fire")
