"""Help, and the words by which people who come from other tools ask for things."""

import re

import click
import pytest
from click.shell_completion import ShellComplete

from queuectl.entrypoints.cli.foreign_words import COMMANDS, OPTIONS
from queuectl.entrypoints.cli.help import TOPICS
from queuectl.entrypoints.cli.program import program
from tests.unit.cli.conftest import CommandLine


def test_the_bare_program_says_what_it_is_how_to_begin_and_where_help_is(queuectl: CommandLine) -> None:
    answer = queuectl()
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("queuectl is a job queue for shell commands")
    assert len(re.findall(r"^  queuectl ", answer.out, re.MULTILINE)) == 5
    assert "`queuectl --help`" in answer.out
    assert max(map(len, answer.lines)) <= 80


def test_the_global_options_stand_once_and_not_on_every_page(queuectl: CommandLine) -> None:
    for page in (("--help",), ("help",), ("help", "global-options")):
        assert "--database-url URL" in queuectl(*page).out
    for page in (("list", "--help"), ("help", "worker", "start"), ("help", "worker")):
        out = queuectl(*page).out
        assert "--database-url" not in out
        assert "queuectl help global-options" in out


def test_help_of_a_command_is_what_the_command_says_itself(queuectl: CommandLine) -> None:
    for words in ((), ("enqueue",), ("worker",), ("worker", "start"), ("help",)):
        assert queuectl("help", *words).out == queuectl(*words, "--help").out


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_has_a_page(queuectl: CommandLine, topic: str) -> None:
    assert len(queuectl("help", topic).lines) > 5
    assert topic in queuectl("help", "--help").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("wroker",), "did you mean 'worker'?"),
        (("kill",), "did you mean 'cancel ID'?"),
        (("worker", "list"), "did you mean 'worker status'?"),
        (("list", "jobs"), "`queuectl list` has no commands"),
    ],
)
def test_help_of_a_wrong_word_knows_the_right_one(queuectl: CommandLine, words: tuple[str, ...], said: str) -> None:
    answer = queuectl("help", *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("kill x", "cancel ID"),
        ("rm x", "cancel ID"),
        ("ls", "list"),
        ("ps", "status"),
        ("logs x", "info ID"),
        ("add x", "enqueue"),
        ("LS", "list"),
        ("worker list", "worker status"),
        ("dlq purge", "dlq remove ID"),
        ("config list", "config show"),
        ("lst", "list"),
        ("worker statsu", "worker status"),
        ("list --json", "--output json"),
        ("--json list", "--output json"),
        ("status -o json", "--output"),
        ("list --jsn", "--output json"),
        ("enqueue -p 3 -c true", "--priority"),
        ("enqueue --retries 3 -c true", "--max-retries"),
        ("worker start -j 3", "--concurrency"),
        ("worker start --workers 3", "--count"),
        ("list --all", "--limit 0"),
        ("list --dead", "--state dead"),
        ("list --stat dead", "--state"),
        ("dlq count", "status"),
        ("suspend", "pause QUEUE"),
        ("enq", "enqueue"),
        ("config max-retries 5", "config set max-retries VALUE"),
        ("config db_path", "config set db-path VALUE"),
    ],
)
def test_a_word_of_another_tool_gets_the_right_one(queuectl: CommandLine, line: str, meant: str) -> None:
    answer = queuectl(*line.split())
    assert (answer.code, answer.out) == (2, "")
    assert f": did you mean '{meant}'?\n" in answer.err


@pytest.mark.parametrize(
    "line", ["dlq list --state dead", "doctor --fix", "init --force", "info --follow x", "wait x", "list --bogus"]
)
def test_a_word_that_is_like_nothing_gets_no_wrong_advice(queuectl: CommandLine, line: str) -> None:
    answer = queuectl(*line.split())
    assert (answer.code, answer.out) == (2, "")
    assert "did you mean" not in answer.err


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("status hello", "`queuectl info hello` shows a job with that id"),
        ("list hello", "`queuectl info hello` shows a job with that id"),
        ("list DEAD", "`queuectl list --state dead` lists those jobs"),
        ("worker start 2", "`queuectl worker start --count 2` starts that many"),
        ("info a b", "`queuectl list` shows many"),
        ("worker stop help", "`queuectl help worker stop` shows its help"),
        ("worker status x y", "`queuectl worker status --help` shows how it is used"),
    ],
)
def test_an_argument_too_many_gets_the_command_that_takes_it(queuectl: CommandLine, line: str, hint: str) -> None:
    answer = queuectl(*line.split())
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: unexpected argument")
    assert f"{hint}\n" in answer.err


@pytest.mark.parametrize("words", ["exit-codes", "exit codes", "exit-code", "global options"])
def test_a_topic_is_found_by_its_words(queuectl: CommandLine, words: str) -> None:
    assert queuectl("help", *words.split()).code == 0


@pytest.mark.parametrize("limit", ["-1", "x", "9" * 30, "9" * 5000])
@pytest.mark.parametrize("command", ["list", "dlq list"])
def test_a_number_out_of_range_is_told_in_plain_words(queuectl: CommandLine, command: str, limit: str) -> None:
    answer = queuectl(*command.split(), "--limit", limit)
    assert answer.code == 2
    assert f"must be a whole number from 0 to 1,000,000,000, not '{limit}'\n" in answer.err


@pytest.mark.parametrize(
    ("words", "begun", "completed"),
    [
        (("config", "set"), "backoff-", ["backoff-base", "backoff-max", "backoff-jitter"]),
        (("config", "get"), "db", ["db-path"]),
        (("help",), "e", ["enqueue", "exit-codes"]),
        (("help", "worker"), "st", ["start", "stop", "status"]),
        (("help", "list"), "", []),
    ],
)
def test_a_shell_completes_keys_commands_and_topics(words: tuple[str, ...], begun: str, completed: list[str]) -> None:
    complete = ShellComplete(program, {}, "queuectl", "_QUEUECTL_COMPLETE")
    assert [each.value for each in complete.get_completions(list(words), begun)] == completed


def commands_of(group: click.Group, path: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {path: group}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        full = f"{path} {name}".strip()
        found |= commands_of(command, full) if isinstance(command, click.Group) else {full: command}
    return found


def test_what_the_table_of_words_recommends_is_there() -> None:
    known = commands_of(program)
    for group, rows in COMMANDS.items():
        theirs = [word for words, _, _ in rows for word in words.split()]
        assert len(theirs) == len(set(theirs)), f"a word of {group or 'the program'} has two meanings"
        own = known[group]
        assert isinstance(own, click.Group)
        assert not set(theirs) & set(own.list_commands(click.Context(own)))
        for _, command, _ in rows:
            path = re.sub(r" [A-Z-].*", "", command)
            assert command.startswith("-") or path in known, command
    for command, options in OPTIONS.items():
        # With the program's own names of the help option, which a command keeps from the first context that it meets.
        ctx = click.Context(known[command], help_option_names=program.context_settings["help_option_names"])
        has = {name for param in known[command].get_params(ctx) for name in param.opts}
        for ours in options.values():
            assert not command or ours.split()[0] in has | {"@FILE"}, (command, ours)
