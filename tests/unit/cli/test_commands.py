import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from _pytest.mark import ParameterSet

from queuectl.application.operate.inspect import find_job
from queuectl.domain.ports.storage import Finding, Grade
from queuectl.entrypoints.cli.program import program
from queuectl.entrypoints.cli.reference import reference
from tests.builders import a_failure, a_job, a_result, a_worker
from tests.unit.cli.conftest import CommandLine


def every_command(group: click.Group = program, path: tuple[str, ...] = ()) -> Iterator[ParameterSet]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        yield pytest.param((*path, name), command, id=" ".join((*path, name)))
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))


def enqueue(queuectl: CommandLine, *ids: str, **fields: str) -> None:
    for job_id in ids:
        text = "".join(f', "{key}": "{value}"' for key, value in fields.items())
        assert queuectl("enqueue", f'{{"command": "true", "id": "{job_id}", "max_retries": 0{text}}}').code == 0


def dead(queuectl: CommandLine, *ids: str) -> None:
    enqueue(queuectl, *ids)
    for _ in ids:
        queuectl.run_next(a_failure(output=b"it broke"))


@pytest.mark.parametrize(("path", "command"), list(every_command()))
def test_every_command_has_help_with_an_example(
    queuectl: CommandLine, path: tuple[str, ...], command: click.Command
) -> None:
    answer = queuectl(*path, "--help")
    assert answer.code == 0
    assert (
        f"  queuectl {' '.join(path)}".replace("show ", "info ").replace(" show", " info", path == ("show",))
        in answer.out
    )
    assert queuectl(*path, "-h").out == answer.out


REFERENCE = Path(__file__).parents[3] / "docs" / "reference.md"
WORDS = REFERENCE.with_name("reference.in.md")


@pytest.mark.parametrize(("path", "command"), list(every_command()))
def test_every_command_is_in_the_reference_with_all_its_options(path: tuple[str, ...], command: click.Command) -> None:
    text = REFERENCE.read_text()
    command_name = "info" if path == ("show",) else path[0]
    assert f"queuectl {' '.join(path)}" in text
    sections = [section for section in text.split("\n### ") if section.startswith(f"queuectl {command_name}")]
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    missing = [
        name
        for option in options
        for name in option.opts
        if not any(re.search(rf"{name}(?![\w-])", section) for section in sections)
    ]
    assert missing == []


def test_the_reference_is_made_of_the_commands() -> None:
    assert REFERENCE.read_text() == reference(WORDS.read_text()), "`make reference` makes it anew"


@pytest.mark.parametrize("wrong", ["", "{{queuectl lsit}}"])
def test_each_command_has_its_place_in_the_reference(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"queuectl list"):
        reference(WORDS.read_text().replace("{{queuectl list}}", wrong))


def test_global_options_stand_before_or_after_the_command(queuectl: CommandLine) -> None:
    assert queuectl("--output", "json", "list").document == []
    assert queuectl("list", "--output", "json").document == []
    assert queuectl("--output", "json", "dlq", "list").document == []
    assert queuectl("dlq", "--output", "plain", "list", "--output", "json").document == []


def test_an_unknown_command_is_a_usage_error_that_knows_better(queuectl: CommandLine) -> None:
    answer = queuectl("lst")
    assert answer.code == 2
    assert "did you mean 'list'?" in answer.err


def test_usage_errors_are_json_where_json_was_asked_for(queuectl: CommandLine) -> None:
    for args in (("list", "--bogus", "--output", "json"), ("list", "--output=jsonl", "--limit", "x"), ("lst",)):
        answer = queuectl(*(("--output", "json", *args) if args == ("lst",) else args))
        assert (answer.code, answer.error["code"]) == (2, "usage")


def test_an_error_of_the_queue_is_one_json_object_on_stderr(queuectl: CommandLine) -> None:
    answer = queuectl("info", "nope", "--output", "json")
    assert (answer.code, answer.out) == (3, "")
    assert answer.error == {
        "code": "not_found",
        "message": "there is no job nope",
        "hint": "`queuectl list` shows the jobs there are",
    }


def test_a_bad_output_setting_is_told_before_anything_is_done(
    queuectl: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_OUTPUT", "xml")
    answer = queuectl("init")
    assert answer.code == 5
    assert "QUEUECTL_OUTPUT must be one of" in answer.err
    assert "initialise" not in queuectl.storage.calls


def test_list_filters_and_says_when_there_is_more(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a", "b")
    enqueue(queuectl, "c", queue="mail")
    assert queuectl("list", "--output", "id").lines == ["c", "b", "a"]
    assert queuectl("list", "--queue", "mail", "--state", "pending", "--output", "id").lines == ["c"]
    answer = queuectl("list", "--limit", "2", "--output", "id")
    assert answer.lines == ["c", "b"]
    assert "--limit 0 shows all" in answer.err
    assert queuectl("list", "--limit", "3").err == ""


def test_a_state_may_be_written_in_capitals(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a")
    assert queuectl("list", "--state", "PENDING", "--output", "id").lines == ["a"]


def test_plain_lines_of_list_have_documented_columns(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a")
    assert queuectl("list").out == "a\tpending\tdefault\t5\t0\t2030-01-31T12:00:00.000000Z\ttrue\n"


def test_info_shows_history_and_output(queuectl: CommandLine) -> None:
    dead(queuectl, "a")
    document = queuectl("info", "a", "--output", "json").document
    assert (document["state"], document["output"], len(document["history"])) == ("dead", "it broke", 1)
    table = queuectl("show", "a", "--output", "table").out
    assert "ATTEMPT" in table
    assert table.endswith("output of the last attempt:\nit broke\n")
    assert "history.1.outcome\tfailed\n" in queuectl("info", "a").out


def test_info_says_of_a_job_that_was_lost_that_it_runs_apart(queuectl: CommandLine) -> None:
    queuectl.jobs.add([a_job("a", attempts=2, losses=1, suspect=True)])
    table = queuectl("info", "a", "--output", "table").out
    assert "1 of the runs, alone with their worker " in table
    assert "it runs apart from other jobs: its worker was lost\n" in table
    assert queuectl("info", "a", "--output", "json").document["suspect"] is True


def test_retry_runs_a_job_again_that_has_ended(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a")
    assert queuectl("retry", "a").code == 4
    queuectl.run_next(a_result())
    assert queuectl("retry", "a", "--output", "table").out == "will run again: job a\n"
    assert find_job(queuectl.queue, "a").state == "pending"


def test_the_dead_letter_queue_lists_retries_and_removes(queuectl: CommandLine) -> None:
    dead(queuectl, "a", "b", "c")
    enqueue(queuectl, "d")
    assert queuectl("dlq", "list", "--output", "id").lines == ["c", "b", "a"]
    assert queuectl("dlq", "retry", "a", "d").code == 4
    assert queuectl("dlq", "remove", "b").lines == ["b"]
    assert [job["id"] for job in queuectl("dlq", "retry", "--all", "--output", "json").document] == ["c"]
    assert queuectl("dlq", "list").out == ""


def test_removing_all_asks_first_and_without_a_terminal_needs_yes(queuectl: CommandLine) -> None:
    dead(queuectl, "a")
    answer = queuectl("dlq", "remove", "--all")
    assert answer.code == 2
    assert "--yes" in answer.err
    assert queuectl("dlq", "remove", "--all", "--yes", "--output", "table").out == "removed 1 dead job\n"


@pytest.mark.parametrize("command", ["retry", "remove"])
def test_dead_jobs_are_named_or_all_of_them_meant(queuectl: CommandLine, command: str) -> None:
    assert queuectl("dlq", command).code == 2
    assert queuectl("dlq", command, "a", "--all").code == 2


def test_config_sets_gets_and_unsets(queuectl: CommandLine) -> None:
    assert queuectl("config", "set", "default-timeout", "90m").out == "default-timeout\t1h30m\n"
    assert queuectl("config", "get", "default-timeout").out == "1h30m\n"
    assert "default-timeout\t1h30m\n" in queuectl("config", "get").out
    assert queuectl("config", "unset", "default-timeout").out == "default-timeout\tnone\n"


def test_config_names_the_key_that_was_meant_and_the_range(queuectl: CommandLine) -> None:
    wrong_key = queuectl("config", "set", "max_retries", "5")
    assert (wrong_key.code, "did you mean max-retries?" in wrong_key.err) == (5, True)
    wrong_value = queuectl("config", "set", "max-retries", "-1")
    assert (wrong_value.code, "from 0 to 1000" in wrong_value.err) == (5, True)


def test_config_show_says_where_values_are_from(queuectl: CommandLine) -> None:
    queuectl("config", "set", "lease", "1m")
    document = queuectl("config", "show", "--output", "json").document
    origins = {view["key"]: view["from"] for view in document["policy"]}
    assert (origins["lease"], origins["max-retries"]) == ("database", "default")
    local = {view["key"]: view["value"] for view in document["local"]}
    assert {"database-url", "log-dir", "spool-dir"} <= local.keys()


def test_status_counts_jobs_and_shows_workers(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a")
    queuectl.workers.register(a_worker())
    document = queuectl("status", "--output", "json").document
    assert document["jobs"]["pending"] == 1
    assert document["workers"][0]["id"] == "w-1"
    assert queuectl("status").lines[-1] == "worker\tw-1\thost-1\t100\trunning\t0\t0"
    assert "w-1" in queuectl("status", "--output", "table").out


def test_metrics_measure_a_window(queuectl: CommandLine) -> None:
    dead(queuectl, "a")
    assert queuectl("metrics", "--since", "1h", "--output", "json").document["dead"] == 1
    assert "success rate" in queuectl("metrics", "--output", "table", "--detailed").out
    assert queuectl("metrics", "--since", "soon").code == 2
    assert queuectl("metrics", "--since", "0").code == 2


def test_init_says_what_it_did(queuectl: CommandLine) -> None:
    assert queuectl("init").out == "created the queue\n"
    assert "up to date" in queuectl("init").out


def test_doctor_fails_when_something_is_broken(queuectl: CommandLine) -> None:
    assert queuectl("doctor").code == 0
    queuectl.storage.findings = [Finding(subject="disk", grade=Grade.FAIL, message="full", hint="free some")]
    answer = queuectl("doctor", "--output", "json")
    assert (answer.code, answer.document["ok"]) == (1, False)


def test_a_full_disk_is_told_in_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "queuectl", "--version"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: cannot write the output: No space left on device\n"


def test_a_reader_that_goes_away_is_no_error_to_tell() -> None:
    command = f"{sys.executable} -m queuectl enqueue --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_the_database_is_closed_also_after_an_error(queuectl: CommandLine) -> None:
    queuectl("info", "nope")
    assert queuectl.storage.calls[-1] == "close"
