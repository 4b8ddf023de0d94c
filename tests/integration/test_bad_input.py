"""What the queue refuses: told in one line per mistake, with the exit code of its kind, and nothing is stored."""

import json

import pytest

from tests.integration.driver import Cli, Result, json_lines

DEEP = '{"command": "true", "env": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}"

BAD_DOCUMENTS = [
    ("", "not valid JSON"),
    ("{'command': 'echo'}", "not valid JSON"),
    ("[1, 2]", "a job is a JSON object, not a list"),
    ('"echo"', "a job is a JSON object, not text"),
    ("{}", "command is missing"),
    ('{"command": ""}', "command must not be empty"),
    ('{"command": 7}', "command must be text, or a list of texts"),
    ('{"command": []}', "command must be text, or a list of texts"),
    ('{"command": ["echo", 1]}', "command must be text, or a list of texts"),
    (r'{"command": "a\u0000b"}', "command must not contain a NUL character"),
    (r'{"command": "\ud800"}', r"command must not contain \ud800, which is half a character"),
    ('{"command": "true", "comand": "x"}', 'unknown field "comand": did you mean command?'),
    ('{"command": "true", "command": "false"}', 'the same key twice: "command"'),
    ('{"command": "true", "timeout": NaN}', "NaN is not a JSON number"),
    ('{"command": "true", "timeout": Infinity}', "Infinity is not a JSON number"),
    ('{"command": "true", "timeout": 1e999}', "timeout must be between"),
    ('{"command": "true", "timeout": 0}', "timeout must be longer than 0 seconds"),
    ('{"command": "true", "timeout": true}', "timeout must be seconds or a duration"),
    ('{"command": "true", "priority": true}', "priority must be an integer from 1 to 10, not true"),
    ('{"command": "true", "priority": 11}', "priority must be an integer from 1 to 10, not 11"),
    ('{"command": "true", "priority": 5.5}', "priority must be an integer from 1 to 10, not 5.5"),
    ('{"command": "true", "priority": ' + "9" * 5000 + "}", "a number has too many digits"),
    ('{"command": "true", "max_retries": -1}', "max_retries must be an integer from 0 to 1000, not -1"),
    ('{"command": "true", "delay": "soon"}', "delay must be seconds or a duration"),
    ('{"command": "true", "run_at": "tomorrow"}', "run_at must be an ISO 8601 time"),
    ('{"command": "true", "run_at": "2030-01-31T08:00:00Z", "delay": 5}', "run_at and delay exclude each other"),
    ('{"command": "true", "id": "-rf"}', "id must be 1 to 128 letters, digits and ._:-"),
    ('{"command": "true", "queue": "a b"}', "queue must be 1 to 64 letters, digits and ._-"),
    ('{"command": "true", "cwd": "here"}', 'cwd must be an absolute path, not "here"'),
    ('{"command": "true", "env": {"A": 1}}', 'env must be an object of texts: "A" is a number'),
    ('{"command": "true", "env": {"A=B": "1"}}', 'env has a name that no variable can have: "A=B"'),
    (json.dumps({"command": "x" * 131_072}), "command must not be longer than 131,071 bytes"),
    (DEEP, "the document is nested too deeply"),
]
"""Documents with one mistake each, and how its line begins."""


def is_empty(cli: Cli) -> bool:
    jobs = cli.json("status")["jobs"]
    return not any(jobs.values())


def test_every_mistake_is_told_in_one_clear_line_and_nothing_is_stored(cli: Cli) -> None:
    # Through @FILE: some of the documents are too long for the kernel as an argument.
    for document, message in BAD_DOCUMENTS:
        (cli.directory / "job.json").write_text(document)
        result = cli.run("enqueue", "@job.json", check=False)
        (error,) = result.errors
        assert (result.code, result.stdout) == (5, ""), document[:80]
        assert message in (error if document else "not valid JSON"), error
        assert len(result.stderr) < 600
    assert is_empty(cli)


@pytest.mark.sqlite_only  # refused before any database is opened
def test_all_mistakes_of_a_document_are_told_at_once(cli: Cli) -> None:
    result = cli.run(
        "enqueue", '{"comand": "true", "priority": 0, "max_retries": "3", "delay": 1, "run_at": "x"}', check=False
    )
    assert result.code == 5
    assert [error.split()[0] for error in result.errors] == [
        "unknown",
        "command",
        "run_at",
        "priority",
        "max_retries",
        "run_at",
    ]


def test_a_batch_with_bad_lines_names_each_of_them_and_stores_nothing(cli: Cli) -> None:
    lines = [
        b'{"command": "true"}',
        b'{"command": "true", "priority": 99, "queue": ""}',
        b"",
        b'{"command": "true"',
        b'{"command": "\xff"}',
        b'{"command": "true"}',
    ]
    result = cli.run("enqueue", "-", stdin=b"\n".join(lines), check=False)
    assert (result.code, result.stdout) == (5, "")
    assert [error.split(":")[0] for error in result.errors] == ["line 2", "line 2", "line 4", "line 5"]
    assert is_empty(cli)


def test_an_id_that_is_taken_is_a_conflict_and_nothing_of_its_batch_is_stored(cli: Cli) -> None:
    cli.enqueue("true", id="taken")
    again = cli.run("enqueue", '{"id": "taken", "command": "false"}', check=False)
    assert (again.code, again.errors) == (4, ["there is already a job taken"])
    documents = [{"id": job_id, "command": "true"} for job_id in ("new", "taken", "twice", "twice")]
    batch = cli.run("enqueue", "-", stdin=json_lines(documents), check=False)
    assert (batch.code, batch.stdout) == (5, "")
    assert batch.errors == ["id twice is given twice: lines 3 and 4", "there is already a job taken (line 2)"]
    batch = cli.run("enqueue", "-", stdin=json_lines(documents[:3]), check=False)
    assert (batch.code, batch.errors) == (4, ["there is already a job taken (line 2)"])
    assert [(job["id"], job["command"]) for job in cli.jobs().values()] == [("taken", "true")]


@pytest.mark.parametrize("args", [("info",), ("cancel",), ("dlq", "retry")], ids=" ".join)
def test_a_job_that_is_not_there_is_not_found(working: Cli, args: tuple[str, ...]) -> None:
    result = working.run(*args, "nope", check=False)
    assert (result.code, result.stdout, result.errors) == (3, "", ["there is no job nope"])


def test_what_a_jobs_state_forbids_is_a_conflict(working: Cli) -> None:
    job_id = working.enqueue("true")
    working.wait_for(job_id)
    for args in (("cancel",), ("dlq", "retry"), ("dlq", "remove")):
        result = working.run(*args, job_id, check=False)
        assert result.code == 4
        assert result.errors[0].startswith(f"job {job_id} is completed")
    assert working.job(job_id)["state"] == "completed"


def test_a_setting_that_does_not_exist_or_fit_is_told_with_the_right_one(cli: Cli) -> None:
    def refused(key: str, value: str) -> str:
        result = cli.run("config", "set", key, value, check=False)
        assert result.code == 5
        return " ".join(result.stderr.splitlines())

    assert "max-retries" in refused("max_retries", "5")
    assert "integer from 0 to 1000" in refused("max-retries", "-1")
    assert "2s" in refused("lease", "1s")
    assert cli.run("config", "get", "max-retries").stdout == "3\n"


@pytest.mark.sqlite_only  # none of these opens a database
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("enqueu",), "no such command 'enqueu': did you mean 'enqueue'?"),
        (("enqueue",), "nothing to enqueue: give -c and a command, -- and a program, a JSON document, @FILE or -"),
        (("enqueue", "{}", "extra"), "'extra' is one too many: quote a JSON document as a whole"),
        (("enqueue", "ls", "-la"), "'ls' is neither JSON nor @FILE nor -"),
        (("enqueue", "@missing.json"), "cannot read the file 'missing.json': No such file or directory"),
        (("list", "--state", "sleeping"), "invalid value for '--state'"),
        (("list", "--limit", "-1"), "invalid value for '--limit'"),
        (("worker", "start", "--count", "0"), "invalid value for '--count'"),
        (("dlq", "retry"), "give the ids of the jobs, or --all"),
        (("dlq", "remove", "--all"), "--all deletes every dead job: without a terminal to ask on, give --yes too"),
        (("info",), "missing argument 'ID'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_command_line_that_makes_no_sense_is_a_usage_error(
    newcomer: Cli, args: tuple[str, ...], message: str
) -> None:
    result = newcomer.run(*args, check=False)
    assert (result.code, result.stdout) == (2, "")
    assert result.errors[0].startswith(message)
    assert not list(newcomer.home.iterdir())


@pytest.mark.sqlite_only  # none of these opens a database
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://root@localhost/queue", "must begin with sqlite:/// or postgresql://"),
        ("queue.db", "must begin with sqlite:/// or postgresql://"),
    ],
)
def test_a_database_url_of_no_known_kind_is_not_valid(newcomer: Cli, url: str, message: str) -> None:
    result = newcomer.run("list", env={"QUEUECTL_DATABASE_URL": url}, check=False)
    assert result.code == 6
    assert message in result.stderr


def test_errors_are_one_json_object_in_json_mode(cli: Cli) -> None:
    def code_of(result: Result) -> object:
        assert result.stdout == ""
        error = json.loads(result.stderr)["error"]
        assert {"code", "message", "hint"} <= error.keys() <= {"code", "message", "hint", "problems"}
        return error["code"]

    cli.enqueue("true", id="taken")
    json_mode = {"QUEUECTL_OUTPUT": "json"}
    assert code_of(cli.run("enqueue", "{}", check=False, env=json_mode)) == "invalid_job"
    assert code_of(cli.run("enqueue", check=False, env=json_mode)) == "usage"
    assert code_of(cli.run("info", "nope", "--output", "json", check=False)) == "not_found"
    assert code_of(cli.run("enqueue", "--output=json", "--id", "taken", "--", "true", check=False)) == "duplicate_id"
    assert code_of(cli.run("--output", "json", "config", "set", "a", "b", check=False)) == "invalid_setting"
    assert cli.error("enqueue", '{"priority": 0}')["problems"] == [
        "command is missing",
        "priority must be an integer from 1 to 10, not 0",
    ]
