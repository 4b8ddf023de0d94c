"""File names that are no UTF-8, from the command line to the command and back, on a real disk."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.driver import QUEUECTL, Cli

ESCAPED = os.fsdecode(b"caf\xe9.txt")
IN_HEX = "63 61 66 e9 2e 74 78 74"
SHOW = 'cat "$1" "$NAME"; echo $(printf %s "$1" | od -An -tx1), $(basename "$PWD" | od -An -tx1)'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory in Latin-1 with a file in Latin-1."""
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/gr\xfcn"))
    directory.mkdir()
    (directory / ESCAPED).write_text("coffee\n")
    return directory


def test_a_file_in_latin_1_is_an_argument_a_variable_and_a_directory(cli: Cli, directory: Path) -> None:
    command = ["sh", "-c", SHOW, "sh", ESCAPED]
    given = ["--max-retries", "0", "--cwd", str(directory), "--env", f"NAME={ESCAPED}", "--", *command]
    job_id = cli.run("enqueue", *given).stdout.strip()
    cli.start_workers()
    job = cli.wait_for(job_id)
    assert (job["state"], job["output"]) == ("completed", f"coffee\ncoffee\n{IN_HEX}, 67 72 fc 6e 0a\n")
    assert (job["command"], job["cwd"]) == (command, str(directory))
    assert r"caf\xe9.txt" in cli.run("list").stdout
    assert r"gr\xfcn" in cli.run("info", job_id, "--output", "table").stdout

    shown = cli.json("info", job_id, "--show-env")
    again = json.dumps({key: shown[key] for key in ("command", "cwd", "env", "max_retries")})
    job = cli.wait_for(cli.run("enqueue", "-", stdin=again).stdout.strip())
    assert (job["state"], job["output"]) == ("completed", f"coffee\ncoffee\n{IN_HEX}, 67 72 fc 6e 0a\n")


def test_a_failure_that_names_such_a_program_or_directory_is_recorded(working: Cli, directory: Path) -> None:
    programs = [{"command": [f"./{ESCAPED}-not"], "max_retries": 0}, {"command": ESCAPED, "max_retries": 0}]
    programs.append({"command": "true", "cwd": f"{directory}-not", "max_retries": 0})
    errors = [working.wait_for(job_id)["last_error"] for job_id in working.enqueue_all(programs)]
    assert errors[0] == r"exit code 127 (command not found): ./caf\xe9.txt-not"
    assert errors[1].startswith("exit code 127 (command not found)")
    assert r"gr\xfcn-not cannot be entered" in errors[2]


def test_a_job_or_a_queue_of_such_a_name_is_not_there(cli: Cli) -> None:
    for command in ("info", "cancel", "retry", "dlq retry", "dlq remove"):
        result = cli.run(*command.split(), ESCAPED, check=False)
        assert (result.code, result.errors) == (3, [r"there is no job caf\xe9.txt"])
    for command in ("list", "dlq list"):
        assert cli.run(*command.split(), "--queue", ESCAPED).stdout == ""


def test_a_job_is_enqueued_from_such_a_directory(cli: Cli, directory: Path) -> None:
    cli.directory = directory
    assert cli.job(cli.run("enqueue", "--", "true").stdout.strip())["cwd"] == str(directory)


@pytest.mark.sqlite_only
def test_a_queue_is_in_such_a_directory(newcomer: Cli, directory: Path) -> None:
    quoted = os.fsencode(directory / "queue.db").replace(b"\xfc", b"%FC").decode()
    newcomer.environ["QUEUECTL_DATABASE_URL"] = f"sqlite:///{quoted}"
    job_id = newcomer.enqueue("echo here")
    newcomer.start_workers()
    assert newcomer.wait_for(job_id)["output"] == "here\n"
    assert (directory / "queue.db").exists()


@pytest.mark.sqlite_only
@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_the_bytes_are_those_of_the_command_line_in_every_locale(cli: Cli, locale: str, tmp_path: Path) -> None:
    env = {"LC_ALL": locale, "LOCPATH": str(tmp_path), "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    if "ISO" in locale:
        made = subprocess.run(
            ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / locale)], check=False, capture_output=True
        )
        if made.returncode:
            pytest.skip(f"this machine cannot make the locale {locale}: {made.stderr.decode()}")
    told = cli.run("enqueue", "--env", f"NAME={ESCAPED}", "--", "echo", ESCAPED, "é", env=env).stdout.strip()
    for output in ("json", "jsonl"):
        shown = json.loads(cli.run("info", told, "--show-env", "--output", output, env=env).stdout)
        assert (shown["command"], shown["env"]) == (["echo", ESCAPED, "é"], {"NAME": ESCAPED})
    document = json.dumps({"command": f"echo {ESCAPED} é"}, ensure_ascii=False)
    told = cli.run("enqueue", document, env=env).stdout.strip()
    assert cli.job(told)["command"] == f"echo {ESCAPED} é"


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "encoding", ["utf-8:strict", "utf-8:surrogateescape", "ascii", "latin-1", "utf-16", "utf-8-sig"]
)
def test_json_is_json_on_a_stream_of_any_encoding(cli: Cli, encoding: str) -> None:
    job_id = cli.run("enqueue", "--", "echo", "é", ESCAPED).stdout.strip()
    for output in ("json", "jsonl"):
        done = subprocess.run(
            [QUEUECTL, "info", job_id, "--output", output],
            env=cli.environ | {"PYTHONIOENCODING": encoding},
            capture_output=True,
            check=True,
        )
        assert json.loads(done.stdout.decode(encoding.partition(":")[0]))["command"] == ["echo", "é", ESCAPED]
