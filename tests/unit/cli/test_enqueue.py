import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.application.operate.inspect import find_job
from queuectl.domain.document import FIELDS
from queuectl.domain.errors import InvalidJob
from queuectl.domain.worker import WorkerRecord, WorkerState
from queuectl.entrypoints.cli.batch import LocalTime, lines_of, requests_of
from tests.builders import NOON, SECOND, a_failure, a_worker
from tests.unit.cli.conftest import CommandLine

PRETTY = b'{\n  "command": "true",\n  "env": {\n    "A": "b"\n  }\n}\n'


def problems_of(content: bytes) -> tuple[str, ...]:
    with pytest.raises(InvalidJob) as caught:
        requests_of(lines_of(content), {})
    return caught.value.problems


def commands_of(content: bytes) -> list[object]:
    return [request["command"] for request in requests_of(lines_of(content), {})]


def test_json_lines_are_one_job_each() -> None:
    assert commands_of(b'{"command": "a"}\n\n  \n{"command": "b"}') == ["a", "b"]


def test_a_document_may_be_spread_over_lines() -> None:
    assert commands_of(PRETTY) == ["true"]
    assert commands_of(b"\n\n" + PRETTY) == ["true"]


def test_a_byte_order_mark_and_windows_line_ends_are_tolerated() -> None:
    assert commands_of(b'\xef\xbb\xbf{"command": "a"}\r\n{"command": "b"}\r\n') == ["a", "b"]


def test_every_bad_line_is_told_with_its_number() -> None:
    content = b'{"command": 1}\n\n{"command": "a"\n{"command": "a", "queu": "q"}\n[]\n\xff\n{"command": "ok"}\n'
    assert [problem.split(":")[0] for problem in problems_of(content)] == [
        "line 1",
        "line 3",
        "line 4",
        "line 5",
        "line 6",
    ]


def test_a_bad_first_line_does_not_hide_the_others() -> None:
    assert len(problems_of(b'{"command": "a"\n{"command": 1}\n')) == 2


def test_a_broken_document_over_several_lines_is_told_once_with_the_parsers_line() -> None:
    assert problems_of(b'{\n  "command": "true",\n}\n') == (
        "not valid JSON: expecting property name enclosed in double quotes at line 3, column 1",
    )


def test_a_list_of_jobs_is_refused_as_a_whole() -> None:
    assert problems_of(b'[\n{"command": "a"}\n]\n') == ("a job is a JSON object, not a list",)


def test_a_great_many_mistakes_are_counted_instead_of_listed() -> None:
    problems = problems_of(b"{}\n" * 30)
    assert len(problems) == 21
    assert problems[-1] == "and 10 more mistakes"


DOCUMENT = '{"command": "true"}\n'


def the_mistake(content: bytes) -> tuple[str, str]:
    """The one mistake of an input, and the next step."""
    with pytest.raises(InvalidJob) as refused:
        requests_of(lines_of(content), {})
    [problem] = refused.value.problems
    return problem, refused.value.hint or ""


@pytest.mark.parametrize(
    ("encoding", "name", "iconvs"),
    [
        ("utf-16", "UTF-16", "UTF-16"),
        ("utf-16-le", "UTF-16", "UTF-16LE"),
        ("utf-16-be", "UTF-16", "UTF-16BE"),
        ("utf-32", "UTF-32", "UTF-32"),
        ("utf-32-le", "UTF-32", "UTF-32LE"),
        ("utf-32-be", "UTF-32", "UTF-32BE"),
    ],
)
@pytest.mark.parametrize(
    "text", [DOCUMENT, "\n" + DOCUMENT, DOCUMENT * 3, DOCUMENT.replace("true", "gr\xfc\xdfe \u2028")]
)
def test_text_in_another_encoding_is_told_with_what_converts_it(
    encoding: str, name: str, iconvs: str, text: str
) -> None:
    problem, hint = the_mistake(text.encode(encoding))
    assert problem == f"the input is {name} text, and JSON is UTF-8"
    assert hint == f"convert it with iconv -f {iconvs} -t UTF-8"


def test_a_nul_is_told_by_its_place() -> None:
    content = DOCUMENT.encode() * 2 + b'{"command": "\0"}\n'
    assert the_mistake(content)[0] == "line 3: byte 14 is NUL, which no JSON has"
    assert the_mistake(DOCUMENT.encode() + bytes(4096))[0] == "line 2: byte 1 is NUL, which no JSON has"
    assert the_mistake(bytes(4096))[0] == "line 1: byte 1 is NUL, which no JSON has"


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"\x1f\x8b", "gzip"),
        (b"BZh9", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PK\x03\x04", "zip"),
    ],
)
def test_a_compressed_file_is_told_by_its_kind(start: bytes, said: str) -> None:
    problem, hint = the_mistake(start + bytes(range(256)))
    assert problem == f"the input is compressed by {said}"
    assert hint.endswith(" FILE | queuectl enqueue -")


@pytest.mark.parametrize(
    ("content", "said", "advised"),
    [
        (b"command: echo hi\npriority: 3\n", "looks like YAML", "yq"),
        (b"---\n- command: echo hi\n", "looks like YAML", "yq"),
        (b"- command: echo hi\n", "looks like YAML", "yq"),
        (b"id,command\n1,echo hi\n", "looks like CSV", "mlr"),
        (b'"id";"command"\n1;echo hi\n', "looks like CSV", "mlr"),
        (b"<!DOCTYPE html>\n<html>", "looks like HTML or XML", "one JSON document"),
        (b"echo hi\nmake -C /srv\n", 'is no JSON, which begins with {; it begins with "echo hi"', "jq -Rc"),
        (b"caf\xe9\x1b" + b"x" * 100, 'is no JSON, which begins with {; it begins with "caf\\ufffd\\u001b', "jq -Rc"),
    ],
)
def test_another_kind_of_text_is_told_once_with_what_makes_json_of_it(content: bytes, said: str, advised: str) -> None:
    problem, hint = the_mistake(content)
    assert problem.startswith(f"the input {said}")
    assert advised in hint


def test_a_list_of_jobs_is_told_with_what_makes_lines_of_it() -> None:
    for content in (b'[{"command": "a"}]', b'[\n{"command": "a"}\n]\n'):
        assert "jq -c '.[]'" in the_mistake(content)[1]


def test_byte_order_marks_of_joined_files_are_tolerated_where_a_line_begins() -> None:
    assert commands_of(b'{"command": "a"}\n\xef\xbb\xbf{"command": "b"}\n') == ["a", "b"]
    problem, _ = the_mistake(b'{"command": "a"}\xef\xbb\xbf{"command": "b"}\n')
    assert problem == (
        "line 1: a byte order mark (BOM) is in the middle: files were joined without a line end between them"
    )
    assert commands_of('{"command": "a\ufeffb"}'.encode()) == ["a\ufeffb"]


def test_text_that_is_no_utf_8_is_told_with_what_converts_it() -> None:
    problem, hint = the_mistake(b'{"command": "caf\xe9"}')
    assert problem == "line 1: the document is not UTF-8: byte 17 is 0xe9"
    assert "iconv -f LATIN1" in hint
    assert r"\udce9" in hint


@given(st.binary() | st.text().map(str.encode) | st.text().map(lambda text: text.encode("utf-16")))
def test_any_input_is_taken_or_told_to_be_wrong(content: bytes) -> None:
    with suppress(InvalidJob):
        requests_of(lines_of(content), {})


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_input_without_a_job_is_a_mistake(content: bytes) -> None:
    with pytest.raises(InvalidJob, match="there is no job in the input"):
        lines_of(content)


def test_local_time_has_the_offset_of_its_own_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        summer, winter = (datetime(2030, month, 1, 12, tzinfo=LocalTime()) for month in (7, 1))
        assert summer.astimezone(UTC).hour == 10
        assert winter.astimezone(UTC).hour == 11
        assert winter.utcoffset() == timedelta(hours=1)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_in_a_pipe_the_id_and_only_the_id_is_printed(queuectl: CommandLine) -> None:
    queuectl.workers.register(a_worker())
    answer = queuectl("enqueue", '{"command": "true", "id": "a"}')
    assert (answer.code, answer.out, answer.err) == (0, "a\n", "")


def test_for_people_a_sentence_is_printed(queuectl: CommandLine) -> None:
    answer = queuectl("enqueue", "--output", "table", '{"command": "true", "id": "a"}')
    assert answer.out == "enqueued job a (queue default, priority 5, due now)\n"
    answer = queuectl(
        "enqueue", "--output", "table", "-", stdin=b'{"command": "x", "id": "b"}\n' + b'{"command": "y", "id": "c"}'
    )
    assert answer.out == "enqueued 2 jobs: b, c\n"


@pytest.mark.parametrize("option", ["--delay=90m", "--run-at=2030-01-31T13:30:00Z", "--run-at=2030-01-31T14:30:00"])
def test_a_job_for_later_is_told_with_its_moment_and_its_zone(
    queuectl: CommandLine, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        answer = queuectl("enqueue", "--output", "table", option, "--id", "a", "-c", "true")
    finally:
        monkeypatch.undo()
        time.tzset()
    due = "due in 1 h 30 min, at 2030-01-31 14:30:00 CET"
    assert answer.out == f"enqueued job a (queue default, priority 5, {due})\n"


def test_the_time_limit_that_the_policy_gives_is_told(queuectl: CommandLine) -> None:
    queuectl("config", "set", "default-timeout", "5m")
    said = "timeout 5m, from default-timeout"
    assert said in queuectl("enqueue", "--output", "table", "--id", "a", "-c", "x").out
    assert f"b: {said}\n" in queuectl("enqueue", "--id", "b", "-c", "x").err
    for own in ("--timeout=5m", "--timeout=none"):
        assert "default-timeout" not in queuectl("enqueue", own, "-c", "x").err
    batch = queuectl("enqueue", "-", "--output", "table", stdin=b'{"command": "x"}\n{"command": "y", "timeout": 9}')
    assert f"; 1 job: {said}" in batch.out


@pytest.mark.parametrize(
    ("worker", "is_served"),
    [
        (None, False),
        (a_worker(), True),
        (a_worker(queues=("mail", "reports")), True),
        (a_worker(queues=("reports",)), False),
        (a_worker(state=WorkerState.STOPPING), False),
        (a_worker(lease_expires_at=NOON), False),
    ],
)
def test_a_queue_that_no_live_worker_serves_is_told(
    queuectl: CommandLine, worker: WorkerRecord | None, is_served: bool
) -> None:
    if worker:
        queuectl.workers.register(worker)
    answer = queuectl("enqueue", "--queue", "mail", "-c", "true")
    said = "no live worker serves queue mail: `queuectl worker start --queue mail` starts one\n"
    assert answer.err == ("" if is_served else said)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--needs", "gpu"], "has gpu: `queuectl worker start --label gpu` starts one"),
        (["--on", "db-1"], "has host=db-1: `queuectl worker start` on such a machine starts one"),
        (["--needs", "zone=eu", "--needs", "fast"], ""),
    ],
)
def test_needs_that_no_live_worker_of_the_queue_meets_are_told(
    queuectl: CommandLine, args: list[str], said: str
) -> None:
    queuectl.workers.register(a_worker(labels=("fast", "host=web-1", "zone=eu")))
    assert queuectl("enqueue", *args, "-c", "true").err == (f"no live worker of queue default {said}\n" if said else "")


def test_the_options_of_lists_replace_those_of_the_document(queuectl: CommandLine) -> None:
    document = '{"command": "true", "needs": ["slow"], "tags": ["old"], "key": "other"}'
    options = ["--needs", "gpu", "--on", "web-1", "--tag", "b", "--tag", "a", "--key", "db", "--key-limit", "2"]
    queuectl("enqueue", "--id", "j", *options, document)
    job = find_job(queuectl.queue, "j")
    assert (job.needs, job.tags, job.key, job.key_limit) == (("gpu", "host=web-1"), ("b", "a"), "db", 2)


def test_a_job_on_a_host_needs_no_other_option(queuectl: CommandLine) -> None:
    queuectl("enqueue", "--id", "j", "--on", "web-1", "-c", "true")
    assert find_job(queuectl.queue, "j").needs == ("host=web-1",)


def test_what_a_command_reads_is_a_text_or_a_files(queuectl: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_text("a\nü")
    for job_id, said in (("text", "one line"), ("file", f"@{file}"), ("empty", "")):
        queuectl("enqueue", "--id", job_id, "--stdin", said, "--", "cat")
    assert [find_job(queuectl.queue, it).stdin for it in ("text", "file", "empty")] == ["one line", "a\nü", ""]
    file.write_bytes(b"caf\xe9")
    refused = queuectl("enqueue", "--stdin", f"@{file}", "--", "cat")
    assert (refused.err, refused.code) == ("error: stdin must be UTF-8: it has the byte 0xe9\n", 5)
    assert f"cannot read the file '{file}x'" in queuectl("enqueue", "--stdin", f"@{file}x", "--", "cat").err


def test_a_command_line_for_the_shell_needs_no_json(queuectl: CommandLine) -> None:
    queuectl("enqueue", "-c", "zcat x | wc -l", "--id", "a")
    queuectl("enqueue", "--command=echo {}", "--id", "b", "--priority", "9")
    assert [find_job(queuectl.queue, job_id).command for job_id in "ab"] == ["zcat x | wc -l", "echo {}"]
    assert queuectl("enqueue", "-c", " ").err == "error: command must not be empty\n"


@pytest.mark.parametrize(
    ("args", "program"),
    [
        (("ls", "-la"), "ls -la"),
        (("echo", "hi there"), "echo 'hi there'"),
        (("ls",), "ls"),
        (("--priority", "3", "grep", "-c", "x", "file"), "grep -c x file"),
        (("rsync", "--delay", "5s"), "rsync --delay 5s"),
    ],
)
def test_a_program_without_dashes_gets_the_hint_that_it_needs(
    queuectl: CommandLine, args: tuple[str, ...], program: str
) -> None:
    answer = queuectl("enqueue", *args)
    assert (answer.code, answer.out) == (2, "")
    assert f"queuectl enqueue -- {program};" in answer.err


def test_a_command_line_given_as_a_program_is_stored_with_a_warning(queuectl: CommandLine) -> None:
    answer = queuectl("enqueue", "--id", "a", "--", "echo hi | wc -c")
    assert "a shell command is -c 'echo hi | wc -c'\n" in answer.err
    assert find_job(queuectl.queue, "a").command == ("echo hi | wc -c",)


def test_options_win_over_the_fields_of_the_document(queuectl: CommandLine) -> None:
    options = ("--id", "b", "--queue", "mail", "--priority", "9", "--max-retries", "0", "--timeout", "none")
    queuectl("enqueue", *options, "--run-at", "2031-01-01T00:00Z", '{"command": "true", "id": "a", "priority": 1}')
    job = find_job(queuectl.queue, "b")
    assert (job.queue, job.priority, job.max_retries, job.timeout) == ("mail", 9, 0, None)
    assert job.run_at == datetime(2031, 1, 1, tzinfo=UTC)


def test_what_follows_two_dashes_is_a_program_whatever_it_looks_like(queuectl: CommandLine) -> None:
    queuectl("enqueue", "--id", "a", "--", "echo", "--output", "json", "--", "a b")
    assert find_job(queuectl.queue, "a").command == ("echo", "--output", "json", "--", "a b")


def test_variables_and_a_directory_can_be_given(queuectl: CommandLine) -> None:
    queuectl("enqueue", "--id", "a", "--env", "A=b=c", "--env", "D=", "--cwd", "sub", "--", "true")
    job = find_job(queuectl.queue, "a")
    assert job.env == {"A": "b=c", "D": ""}
    assert job.cwd == str(Path.cwd() / "sub")


def test_a_job_runs_where_it_was_enqueued(
    queuectl: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PWD", "/")  # which is wrong
    queuectl("enqueue", '{"command": "true", "id": "a"}')
    assert find_job(queuectl.queue, "a").cwd == str(tmp_path)


def test_a_directory_keeps_the_name_by_which_the_shell_knows_it(
    queuectl: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "releases/7").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/7")
    monkeypatch.chdir("current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    queuectl("enqueue", "--id", "a", "-c", "true")
    queuectl("enqueue", "--id", "b", "--cwd", "sub", "-c", "true")
    assert [find_job(queuectl.queue, job_id).cwd for job_id in "ab"] == [
        f"{tmp_path}/current",
        f"{tmp_path}/current/sub",
    ]
    for wrong in ("current", f"{tmp_path}/gone", f"{tmp_path}/releases"):
        monkeypatch.setenv("PWD", wrong)
        queuectl("enqueue", "--id", wrong.rpartition("/")[2], "-c", "true")
        assert find_job(queuectl.queue, wrong.rpartition("/")[2]).cwd == f"{tmp_path}/releases/7"


def test_a_present_directory_that_is_gone_is_told(queuectl: CommandLine, tmp_path: Path) -> None:
    tmp_path.rmdir()
    for args in (("--", "true"), ("--cwd", "sub", "--", "true")):
        answer = queuectl("enqueue", *args)
        assert answer.code == 5
        assert "the present directory does not exist any more" in answer.err
    assert queuectl("enqueue", "--cwd", "/", "--", "true").code == 0


def test_a_batch_comes_from_a_file_or_from_stdin(queuectl: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "jobs.jsonl").write_text('{"command": "true", "id": "a"}\n{"command": "true", "id": "b"}\n')
    assert queuectl("enqueue", "@jobs.jsonl").lines == ["a", "b"]
    assert queuectl("enqueue", "-", stdin=b'{"command": "true", "id": "c"}').lines == ["c"]


def test_a_bad_batch_stores_nothing(queuectl: CommandLine) -> None:
    answer = queuectl("enqueue", "-", stdin=b'{"command": "true"}\n{"command": ""}\n')
    assert answer.code == 5
    assert answer.err.startswith("error: line 2: command must not be empty\n")
    assert queuectl("list").out == ""


def test_ids_that_are_taken_are_told_with_their_lines(queuectl: CommandLine) -> None:
    queuectl("enqueue", '{"command": "true", "id": "a"}')
    stdin = b'{"command": "x", "id": "z"}\n{"command": "x", "id": "a"}\n{"command": "x", "id": "z"}\n'
    answer = queuectl("enqueue", "-", stdin=stdin)
    assert answer.code == 5
    assert answer.err.splitlines() == [
        "error: id z is given twice: lines 1 and 3",
        "error: there is already a job a (line 2)",
        "hint: choose another id, or leave it out to get one",
    ]
    answer = queuectl("enqueue", "-", stdin=b"\n".join(stdin.splitlines()[:2]))
    assert (answer.code, answer.err.splitlines()[0]) == (4, "error: there is already a job a (line 2)")


def test_an_id_that_is_only_given_twice_is_no_jobs_that_is_there(queuectl: CommandLine) -> None:
    answer = queuectl("enqueue", "-", stdin=b'{"command": "x", "id": "z"}\n' * 2)
    assert (answer.code, answer.err.splitlines()[0]) == (5, "error: id z is given twice: lines 1 and 2")
    answer = queuectl("enqueue", "-", stdin=b'{"command": "x", "id": "z"}\n' * 1000)
    assert answer.err.splitlines()[0] == "error: id z is given 1,000 times: lines 1, 2, 3 and 997 more"
    assert queuectl("list").out == ""


def test_one_job_is_one_json_object_and_a_batch_is_a_list(queuectl: CommandLine) -> None:
    one = queuectl("enqueue", "--output", "json", '{"command": "true"}').document
    assert (one["id"], one["state"], one["output"]) == ("made-1", "pending", None)
    assert [job["id"] for job in queuectl("enqueue", "-", "--output", "json", stdin=b'{"command": "x"}').document] == [
        "made-2"
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "nothing to enqueue"),
        (("--",), "after -- comes the program"),
        (("--", '{"command": "x"}'), "leave the -- out"),
        (('{"command": "x"}', "--", "x"), "not both"),
        (('{"command": "x"}', "-c", "x"), "not both"),
        (("-c", "x", "--", "x"), "not both"),
        (('{"command":', '"x"}'), "quote a JSON document as a whole"),
        (("@nowhere",), "cannot read the file 'nowhere'"),
        (("--env", "A", "--", "x"), "--env takes NAME=VALUE"),
    ],
)
def test_a_command_line_that_makes_no_sense_says_what_would(
    queuectl: CommandLine, args: tuple[str, ...], said: str
) -> None:
    answer = queuectl("enqueue", *args)
    assert answer.code == 2
    assert said in answer.err


def test_one_id_cannot_be_given_to_many_jobs(queuectl: CommandLine) -> None:
    answer = queuectl("enqueue", "--id", "a", "-", stdin=b'{"command": "x"}\n{"command": "y"}')
    assert (answer.code, queuectl("list").out) == (2, "")


def test_a_delay_and_a_documents_own_moment_exclude_each_other(queuectl: CommandLine) -> None:
    answer = queuectl("enqueue", "--delay", "5m", '{"command": "x", "run_at": "2031-01-01T00:00Z"}')
    assert answer.code == 5
    assert "run_at and delay exclude each other" in answer.err


@pytest.mark.parametrize(
    ("args", "command"),
    [
        (("-c", "echo", "hi"), "'echo hi'"),
        (("--command", "ls", "-la"), "'ls -la'"),
        (("--id", "x", "-c", "echo", "a b", "--priority", "3"), "'echo a b'"),
    ],
)
def test_a_shell_command_without_quotes_gets_the_quotes(
    queuectl: CommandLine, args: tuple[str, ...], command: str
) -> None:
    answer = queuectl("enqueue", *args)
    assert (answer.code, answer.out) == (2, "")
    assert f"quote the command as a whole: queuectl enqueue -c {command}\n" in answer.err
    assert not queuectl.jobs.search(limit=None)


def test_of_two_shell_commands_none_is_dropped_unsaid(queuectl: CommandLine) -> None:
    answer = queuectl("enqueue", "-c", "make", "-c", "make install")
    assert (answer.code, answer.out) == (2, "")
    assert "-c is given twice" in answer.err


def test_a_home_directory_that_the_shell_has_not_expanded_is_expanded(
    queuectl: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "jobs.jsonl").write_text('{"command": "true"}')
    [job_id] = queuectl("enqueue", "@~/jobs.jsonl", "--cwd=~/site").lines
    assert find_job(queuectl.queue, job_id).cwd == f"{tmp_path}/site"


def test_every_field_of_the_document_has_an_option(queuectl: CommandLine) -> None:
    page = queuectl("enqueue", "--help").out
    options = {name: field.option or f"--{name.replace('_', '-')}" for name, field in FIELDS.items()}
    assert [name for name, option in options.items() if f"{option} " not in page] == []
    assert [name for name in FIELDS if not re.search(rf"\b{name}\b", page[page.index("Fields: ") :])] == []


def said(queuectl: CommandLine, *args: str, stdin: bytes = b"") -> str:
    answer = queuectl("enqueue", "--output", "table", *args, stdin=stdin)
    assert answer.code == 0, answer.err
    return answer.out.strip()


class TestUnique:
    """What people and programs hear of a unique key."""

    def test_the_holder_is_named_with_what_it_does_and_nothing_is_added(self, queuectl: CommandLine) -> None:
        assert said(queuectl, "--unique", "sync:42", "--id", "a", "-c", "x").startswith("enqueued job a ")
        assert said(queuectl, "--unique", "sync:42", "-c", "x") == (
            "job a has the unique key sync:42 and waits: nothing was added"
        )
        queuectl.start_next()
        assert said(queuectl, "--unique", "sync:42", "--on-duplicate", "replace", "-c", "y") == (
            "job a has the unique key sync:42 and runs: nothing was added"
        )
        assert len(queuectl.jobs.search()) == 1

    def test_a_pipe_gets_the_id_of_the_holder(self, queuectl: CommandLine) -> None:
        for _ in range(2):
            assert queuectl("enqueue", "--unique", "k", "-c", "x").lines == ["made-1"]

    def test_json_says_what_became_of_each_job(self, queuectl: CommandLine) -> None:
        first = queuectl("enqueue", "--unique", "k", "--unique-until", "60m", "-c", "x", "--output", "json").document
        assert [first[key] for key in ("id", "unique", "unique_until", "enqueued")] == ["made-1", "k", "1h", "new"]
        batch = b"""{"command": "y", "unique": "k", "on_duplicate": "replace"}
            {"command": "z", "unique": "k"}
            {"command": "z"}"""
        answer = queuectl("enqueue", "-", "--output", "json", stdin=batch)
        assert [(job["id"], job["enqueued"], job["command"]) for job in answer.document] == [
            ("made-1", "replaced", "y"),
            ("made-1", "existing", "y"),
            ("made-4", "new", "z"),
        ]

    def test_a_replaced_job_is_told_as_it_is_now(self, queuectl: CommandLine) -> None:
        queuectl("enqueue", "--unique", "build", "-c", "make")
        queuectl.clock.advance(SECOND)
        answer = said(
            queuectl, *("--unique", "build", "--on-duplicate", "replace", "--priority", "9", "-c", "make all")
        )
        assert answer == (
            "job made-1 has the unique key build and waits: it is now as this one (queue default, priority 9, due now)"
        )

    def test_a_batch_is_told_in_numbers(self, queuectl: CommandLine) -> None:
        queuectl("enqueue", "--unique", "a", "-c", "x")
        batch = b"""{"command": "x", "unique": "a"}
            {"command": "y", "unique": "a", "on_duplicate": "replace"}
            {"command": "z", "unique": "b"}
            {"command": "z", "unique": "b"}"""
        assert said(queuectl, "-", stdin=batch) == (
            "enqueued 1 job: made-4; replaced 1 job, which waited: made-1; "
            "2 jobs were not added: others have the same unique key or id"
        )

    def test_a_rejected_job_is_a_conflict_that_names_the_holder(self, queuectl: CommandLine) -> None:
        queuectl("enqueue", "--unique", "k", "-c", "x")
        answer = queuectl("enqueue", "--unique", "k", "--on-duplicate", "reject", "-c", "x", "--output", "json")
        assert (answer.code, answer.error["code"]) == (4, "unique_key_taken")
        assert answer.error["message"] == "job made-1 has the unique key k and waits"
        batch = b'{"command": "y"}\n{"command": "z", "unique": "k"}'
        answer = queuectl("enqueue", "--on-duplicate", "reject", "-", stdin=batch)
        assert (answer.code, answer.err.splitlines()[0]) == (
            4,
            "error: line 2: job made-1 has the unique key k and waits",
        )
        assert len(queuectl.jobs.search()) == 1

    def test_the_command_itself_may_be_the_key(self, queuectl: CommandLine) -> None:
        ids = [queuectl("enqueue", "--unique-command", *more, "--", "sync").out for more in ([], [], ["--queue", "b"])]
        assert ids == ["made-1\n", "made-1\n", "made-3\n"]
        answer = queuectl("enqueue", "--unique-command", "--unique", "k", "-c", "x")
        assert (answer.code, "two ways to say the key" in answer.err) == (2, True)

    def test_a_script_may_enqueue_the_same_id_again(self, queuectl: CommandLine) -> None:
        again = ("--id", "import", "--on-duplicate", "skip", "-c", "x")
        assert said(queuectl, *again).startswith("enqueued job import")
        assert said(queuectl, *again) == "job import is there already: nothing was added"
        assert queuectl("enqueue", *again[:4], "-c", "another").code == 4
        assert queuectl("enqueue", "--id", "import", "-c", "x").code == 4

    def test_info_says_what_the_key_is_and_whether_it_is_held(self, queuectl: CommandLine) -> None:
        queuectl("enqueue", "--unique", "k", "-c", "x", "--id", "a")
        assert re.search(
            "unique +k, until it has ended *$", queuectl("info", "a", "--output", "table").out, re.MULTILINE
        )
        queuectl("cancel", "a")
        assert "k, until it has ended, given up" in queuectl("info", "a", "--output", "table").out

    def test_a_retry_that_meets_the_key_is_refused_and_of_all_dead_jobs_passed_over(
        self, queuectl: CommandLine
    ) -> None:
        for job_id in ("old", "free"):
            queuectl("enqueue", "--unique", job_id, "--max-retries", "0", "--id", job_id, "-c", "x")
            queuectl.run_next(a_failure())
        queuectl("enqueue", "--unique", "old", "--id", "new", "-c", "x")
        for command in (["retry"], ["dlq", "retry"]):
            answer = queuectl(*command, "old")
            assert answer.code == 4
            assert answer.err.startswith("error: job old cannot run again: job new has its unique key old and waits")
        answer = queuectl("dlq", "retry", "--all", "--output", "table")
        assert (answer.code, answer.out) == (0, "1 dead job will run again\n")
        assert answer.err == "1 job stays dead, as others hold their unique keys: old\n"
