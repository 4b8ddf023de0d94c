import io
import json
from collections.abc import Iterable
from datetime import timedelta

import pytest
from rich.cells import cell_len

from queuectl.domain.attempt import Attempt, Outcome, Output
from queuectl.domain.errors import InvalidSetting
from queuectl.domain.formats import is_coloured
from queuectl.domain.job import State
from queuectl.entrypoints.cli.output import Out, plain_line
from queuectl.entrypoints.cli.terminal import draw
from queuectl.presentation.columns import when
from queuectl.presentation.formatting import escaped, relative, shown_command, shown_output, span
from queuectl.presentation.tables import Grid, info_parts, jobs_grid
from queuectl.presentation.views import View
from queuectl.settings import load_settings
from tests.builders import ANN, DAY, HOUR, MINUTE, NOON, SECOND, a_job, a_job_that_is, a_lease


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("color", "environ", "terminal", "coloured"),
    [
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1", "TERM": "dumb"}, False, True),
        ("auto", {"FORCE_COLOR": "0"}, True, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("auto", {}, True, True),
        ("auto", {}, False, False),
    ],
)
def test_colour_is_decided_by_flag_then_variables_then_terminal(
    color: str, environ: dict[str, str], terminal: bool, coloured: bool
) -> None:
    assert is_coloured(color, environ, terminal=terminal) is coloured


def test_auto_is_a_table_on_a_terminal_and_plain_in_a_pipe() -> None:
    assert Out.chosen("auto", "auto", Terminal(), {}).format == "table"
    assert Out.chosen("auto", "auto", io.StringIO(), {}).format == "plain"


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="output must be one of"):
        load_settings({}, output="xml")


def written(format_: str, view: View | Iterable[View], **parts: object) -> str:
    stream = io.StringIO()
    Out(format=format_, colour=False, stream=stream).write(view, **{"plain": [], "table": list} | parts)
    return stream.getvalue()


@pytest.mark.parametrize("views", [[], [{"a": 1}], [{"a": "x\ny"}, {"b": [1, {"c": 2}]}]])
def test_a_list_is_one_json_document(views: list[View]) -> None:
    assert json.loads(written("json", iter(views))) == views


def test_a_list_is_indented_json_as_other_tools_write_it() -> None:
    views = [{"a": 1}, {"a": "x\ny", "b": {"c": [2]}}]
    assert written("json", views) == json.dumps(views, indent=2) + "\n"


def test_jsonl_is_one_object_per_line() -> None:
    assert written("jsonl", [{"a": 1}, {"a": "\n"}]) == '{"a": 1}\n{"a": "\\n"}\n'
    assert written("jsonl", {"a": 1}) == '{"a": 1}\n'


def test_what_has_no_ids_is_plain_where_ids_are_asked_for() -> None:
    assert written("id", {}, plain=[["a", 1]]) == "a\t1\n"
    assert written("id", {}, plain=[["a", 1]], ids=["x"]) == "x\n"


def test_a_plain_line_cannot_be_forged() -> None:
    assert plain_line(["a\tb", "c\nd", None, 5, True, "\x1b[31m"]) == "a\\tb\tc\\nd\t\t5\ttrue\t\\x1b[31m"


def test_characters_that_do_not_print_are_made_visible() -> None:
    assert escaped("red \x1b[31m, right-to-left \u202e, half \ud800, byte \udce9, é 漢") == (
        "red \\x1b[31m, right-to-left \\u202e, half \\ud800, byte \\xe9, é 漢"
    )


def test_output_keeps_its_lines_and_loses_its_power() -> None:
    assert shown_output(b"a\r\nb\tc\x1b[2J\rd\xff\n") == "a\nb\tc\\x1b[2J\\rd�\n"


def test_a_list_command_is_shown_as_a_shell_would_need_it() -> None:
    assert shown_command(("rm", "-f", "a b", "it's")) == """rm -f 'a b' 'it'"'"'s'"""
    assert shown_command("a\nb") == "a\\nb"


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (0 * SECOND, "now"),
        (59 * SECOND, "in 59 s"),
        (59.9 * SECOND, "in 59 s"),
        (100 * SECOND, "in 1 min 40 s"),
        (90 * MINUTE, "in 1 h 30 min"),
        (90 * MINUTE - SECOND, "in 1 h 29 min"),
        (-3 * HOUR, "3 h ago"),
        (-2000 * DAY, "2,000 d ago"),
    ],
)
def test_moments_are_told_from_now(ahead: timedelta, text: str) -> None:
    assert relative(NOON + ahead, NOON) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (SECOND / 4, "250 ms"),
        (4.256 * SECOND, "4.26 s"),
        (200 * SECOND, "3 min 20 s"),
        (3 * MINUTE, "3 min"),
        (2 * HOUR + 5 * MINUTE, "2 h 5 min"),
        (53 * HOUR, "2 d 5 h"),
    ],
)
def test_spans_have_about_three_digits(length: timedelta, text: str) -> None:
    assert span(length) == text


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (State.PENDING, "due now"),
        (State.PROCESSING, "started 1 h ago"),
        (State.COMPLETED, "ended 1 h ago"),
        (State.FAILED, "due now"),
        (State.CANCELLED, "ended 1 h ago"),
    ],
)
def test_each_state_shows_the_moment_that_matters(state: State, text: str) -> None:
    assert when(a_job_that_is(state), NOON + HOUR) == text


def test_a_job_that_is_to_be_cancelled_shows_that_while_it_runs() -> None:
    asked = a_job_that_is(State.PROCESSING).cancelled(NOON + MINUTE, ANN)
    assert when(asked, NOON + HOUR) == "started 1 h ago, to be cancelled"
    [facts, *_] = info_parts(asked, [], NOON + HOUR, show_env=False)
    assert isinstance(facts, Grid)
    assert ("cancel", f"asked for by {ANN}, 59 min ago") in facts.rows


def an_attempt_that_wrote(content: bytes, *, truncated: bool = False) -> Attempt:
    output = Output(content=content, truncated=truncated)
    running = Attempt(job_id="job-1", number=1, lease=a_lease(), host="host-1", started_at=NOON)
    return running._replace(outcome=Outcome.SUCCEEDED, output=output)


@pytest.mark.parametrize(
    ("output", "title", "shown"),
    [
        (b"a\nb\n", "output of the last attempt:", "a\nb"),
        (b"".join(b"%d\n" % number for number in range(1, 51)), "output of the last attempt:", None),
        (b"".join(b"%d\n" % number for number in range(60)), "(its end: --raw shows all):", None),
        (b"x" * 20_000 + "é\nlast\n".encode(), "(its end: --raw shows all):", "last"),
        (b"x" * 20_000, "(its end: --raw shows all):", "x" * 10_000),
    ],
    ids=["short", "50 lines", "60 lines", "long lines", "one line"],
)
def test_a_long_output_does_not_push_all_else_out_of_sight(output: bytes, title: str, shown: str | None) -> None:
    *_, said, end = info_parts(a_job(), [an_attempt_that_wrote(output)], NOON, show_env=False)
    assert str(said).endswith(title)
    assert str(end) == shown if shown else str(end).split("\n") == output.decode().split()[-50:]


def test_the_end_of_an_output_whose_middle_was_not_kept_says_both() -> None:
    parts = info_parts(a_job(), [an_attempt_that_wrote(b"x\n" * 60, truncated=True)], NOON, show_env=False)
    assert "output of the last attempt (its end: --raw shows all; its middle was not kept):" in parts


def test_queue_and_priority_are_columns_only_when_they_differ() -> None:
    assert "QUEUE" not in jobs_grid([a_job()], NOON).columns
    assert "PRI" not in jobs_grid([a_job()], NOON).columns
    assert {"QUEUE", "PRI"} < set(jobs_grid([a_job(queue="mail", priority=9)], NOON).columns)


def drawn(*parts: Grid | str, columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = io.StringIO()
    draw(parts, stream, colour=False)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_long_command_is_cut_to_the_width_of_the_terminal_and_an_id_never(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [a_job("x" * 30, command="漢字" * 100)]
    lines = drawn(jobs_grid(jobs, NOON), columns=80, monkeypatch=monkeypatch)
    assert len(lines) == 2
    assert max(cell_len(line) for line in lines) <= 80
    assert lines[1].startswith("x" * 30)
    assert lines[1].endswith("…")


def test_a_dead_job_shows_both_its_error_and_its_command_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    job = a_job_that_is(State.DEAD, command="command " * 20)
    lines = drawn(
        jobs_grid([job._replace(last_error="error " * 20)], NOON, dead=True), columns=80, monkeypatch=monkeypatch
    )
    assert max(cell_len(line) for line in lines) <= 80
    assert "error error" in lines[1]
    assert "command command" in lines[1]


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_text_is_wrapped_between_words(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    sentence = "a sentence of ordinary words that no terminal needs to break in two anywhere"
    words = sentence.split()
    rows = [("label", " ".join(words[::step])) for step in (1, -1)]
    lines = drawn(Grid(columns=["", ""], rows=rows, wrap=True), columns=columns, monkeypatch=monkeypatch)
    assert max(len(line) for line in lines) <= columns
    assert " ".join(lines).split() == ["label", *words, "label", *words[::-1]]


def test_a_column_is_as_wide_as_its_longest_word_where_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["key", "/a/path/without/any/space/in/it", "--database-url, QUEUECTL_DATABASE_URL"]]
    grid = Grid(columns=["KEY", "VALUE", "FROM"], rows=rows, elastic=2, wrap=True)
    assert drawn(grid, columns=60, monkeypatch=monkeypatch) == [
        "KEY  VALUE                            FROM",
        "key  /a/path/without/any/space/in/it  --database-url,",
        "                                      QUEUECTL_DATABASE_URL",
    ]
    narrow = drawn(grid, columns=40, monkeypatch=monkeypatch)
    assert max(len(line) for line in narrow) <= 40
    assert "".join(narrow).count("QUEUECTL_") == 1


def test_the_text_below_a_row_is_indented_on_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid(columns=["A", "B"], rows=[["a", "1"], ["aa", "2"]], below=["one two three four", "[red]five"])
    assert drawn(grid, columns=12, monkeypatch=monkeypatch) == [
        "A   B",
        "a   1",
        "  one two",
        "  three four",
        "aa  2",
        "  [red]five",
    ]


def coloured(*parts: Grid | str) -> str:
    stream = io.StringIO()
    draw(parts, stream, colour=True)
    return stream.getvalue()


def test_a_users_word_has_no_colour_and_the_name_of_a_state_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    job = a_job_that_is(State.DEAD, id="failed", command="timeout", queue="running")
    attempt = Attempt(job_id=job.id, number=1, lease=a_lease(), host="dead", started_at=NOON)
    facts, _, history, *_ = info_parts(job, [attempt], NOON, show_env=False)
    text = coloured(facts)
    assert "\x1b[31mdead " in text
    assert text.count("\x1b[3") == 1
    text = coloured(history)
    assert "\x1b[32mrunning" in text
    assert text.count("\x1b[3") == 1
    assert coloured(jobs_grid([job], NOON)).count("\x1b[3") == 1


def test_markup_in_a_users_text_is_only_text(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [a_job(command="[red]x[/red] :smile: [/]")]
    assert "[red]x[/red] :smile: [/]" in drawn(jobs_grid(jobs, NOON), columns=120, monkeypatch=monkeypatch)[1]


def test_no_escape_sequence_of_a_user_reaches_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    job = a_job_that_is(State.DEAD, command="printf '\x1b[2J'", cwd="/\x1b", env={"\x1b": "\x1b"})
    parts = [
        *info_parts(job, [], NOON, show_env=True),
        jobs_grid([job], NOON, dead=True),
        Grid(columns=["A"], rows=[["b"]]),
    ]
    assert "\x1b" not in "\n".join(drawn(*parts, columns=80, monkeypatch=monkeypatch))
