import json
import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.document import FIELDS, MAX_ARGUMENT, MAX_ARGUMENTS, decode, parse_request
from queuectl.domain.errors import InvalidJob
from queuectl.domain.job import JobRequest, jobs_of
from tests.builders import HOUR, MINUTE, NOON, SECOND, a_policy

INDIA = timezone(timedelta(hours=5, minutes=30))


def parsed(text: str | bytes) -> JobRequest:
    return parse_request(decode(text), local=INDIA)


def request(**fields: object) -> JobRequest:
    return parsed(json.dumps({"command": "true"} | fields))


def problems(**fields: object) -> tuple[str, ...]:
    with pytest.raises(InvalidJob) as refused:
        request(**fields)
    return refused.value.problems


def the_problem(**fields: object) -> str:
    [problem] = problems(**fields)
    return problem


def undecodable(text: str | bytes) -> str:
    with pytest.raises(InvalidJob) as refused:
        decode(text)
    [problem] = refused.value.problems
    return problem


class TestWhatIsAskedFor:
    def test_a_command_is_enough(self) -> None:
        [job] = jobs_of([request()], ["new"], policy_of=lambda _: a_policy(), cwd="/here", at=NOON)
        assert (job.id, job.command, job.queue, job.priority, job.max_retries) == ("new", "true", "default", 5, 3)
        assert (job.timeout, job.run_at, job.created_at, job.cwd, job.env) == (None, NOON, NOON, "/here", {})

    def test_every_field_is_taken(self) -> None:
        asked = request(
            id="A.b_c:d-1",
            command=["printf", "", "ü"],
            queue="mail-1",
            priority=10,
            max_retries=0,
            timeout="1m30s",
            run_at="2031-01-01T00:00:00Z",
            env={"NAME": "", "Ü": "ü"},
            cwd="/tmp",
        )
        [job] = jobs_of([asked], ["new"], policy_of=lambda _: a_policy(), cwd="/here", at=NOON)
        assert (job.id, job.command, job.queue, job.priority) == ("A.b_c:d-1", ("printf", "", "ü"), "mail-1", 10)
        assert (job.max_retries, job.timeout, job.run_at) == (0, 90 * SECOND, datetime(2031, 1, 1, tzinfo=UTC))
        assert (job.env, job.cwd) == ({"NAME": "", "Ü": "ü"}, "/tmp")

    def test_null_is_no_timeout_and_the_workers_own_directory(self) -> None:
        [job] = jobs_of(
            [request(timeout=None, cwd=None)], ["new"], policy_of=lambda _: a_policy(), cwd="/here", at=NOON
        )
        assert (job.timeout, job.cwd) == (None, None)

    @pytest.mark.parametrize("said", [None, "none", " None "])
    def test_no_timeout_is_said_in_words_too(self, said: object) -> None:
        assert request(timeout=said)["timeout"] is None

    def test_a_run_at_with_an_offset_is_that_moment(self) -> None:
        assert request(run_at="2030-06-01T08:00:00.5-04:00")["run_at"] == datetime(2030, 6, 1, 12, 0, 0, 500_000, UTC)

    def test_a_run_at_without_an_offset_is_local(self) -> None:
        assert request(run_at="2030-06-01T08:00")["run_at"] == datetime(2030, 6, 1, 2, 30, tzinfo=UTC)

    @pytest.mark.parametrize(("delay", "span"), [("1h30m", 90 * MINUTE), (1.5, 1.5 * SECOND), (0, 0 * SECOND)])
    def test_a_delay_counts_from_the_enqueueing(self, delay: object, span: timedelta) -> None:
        [job] = jobs_of([request(delay=delay)], ["new"], policy_of=lambda _: a_policy(), cwd="/", at=NOON + HOUR)
        assert job.run_at == NOON + HOUR + span

    def test_a_command_as_long_as_the_kernel_takes_is_taken(self) -> None:
        assert request(command="é" * (MAX_ARGUMENT // 2) + "x")

    def test_bytes_are_read_as_utf_8(self) -> None:
        assert parsed('{"command": "ü"}'.encode())["command"] == "ü"


class TestBytesThatAreNoText:
    """U+DC80 to U+DCFF are the bytes 0x80 to 0xFF, as Python escapes them (PEP 383)."""

    def test_they_are_taken_in_a_command_a_variable_and_a_directory(self) -> None:
        escaped = "caf\udce9"
        asked = request(command=escaped, env={escaped: escaped}, cwd=f"/{escaped}")
        assert (asked["command"], asked["env"], asked["cwd"]) == (escaped, {escaped: escaped}, f"/{escaped}")
        assert request(command=[escaped])["command"] == (escaped,)

    def test_they_are_taken_as_json_escapes_them(self) -> None:
        assert parsed(rb'{"command": "caf\udce9 \udcc3\udca9"}')["command"] == "caf\udce9 \udcc3\udca9"

    def test_each_counts_as_one_byte(self) -> None:
        assert request(command="\udce9" * MAX_ARGUMENT)
        assert request(cwd="/" + "\udce9" * 4094)
        assert the_problem(command="\udce9" * (MAX_ARGUMENT + 1)).endswith(": 131,072")
        assert the_problem(cwd="/" + "\udce9" * 4095) == "cwd must not be longer than 4,095 bytes"
        assert the_problem(env={"A": "\udce9" * (MAX_ARGUMENT - 1)}).startswith("env has a variable longer than")

    @pytest.mark.parametrize("field", ["id", "queue"])
    def test_a_name_has_none(self, field: str) -> None:
        assert the_problem(**{field: "caf\udce9"}).endswith(r', not "caf\udce9"')


class TestWhatIsNoDocument:
    @pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
    def test_what_is_no_number_in_json_is_refused(self, constant: str) -> None:
        assert undecodable(f'{{"command": "true", "timeout": {constant}}}') == f"{constant} is not a JSON number"

    def test_a_key_that_comes_twice_is_refused(self) -> None:
        assert undecodable('{"command": "a", "id": "x", "command": "b"}') == 'the same key twice: "command"'
        assert undecodable('{"command": "a", "env": {"A": "1", "A": "2"}}') == 'the same key twice: "A"'

    def test_very_many_keys_are_searched_for_duplicates_quickly(self) -> None:
        started = time.process_time()
        undecodable("{" + ",".join(f'"{number}": 0' for number in range(50_000)) + ', "1": 0}')
        assert time.process_time() - started < 5

    @pytest.mark.parametrize("opening", ["[", '{"a":'])
    def test_nesting_that_would_break_a_parser_is_refused(self, opening: str) -> None:
        assert undecodable('{"command": ' + opening * 100_000) == "the document is nested too deeply"

    @pytest.mark.parametrize("sign", ["", "-"])
    def test_an_integer_of_thousands_of_digits_is_refused(self, sign: str) -> None:
        problem = undecodable(f'{{"command": "true", "priority": {sign}{"9" * 5000}}}')
        assert problem == "a number has too many digits"

    def test_invalid_utf_8_is_refused_by_its_place(self) -> None:
        assert undecodable(b'{"command": "\xff"}') == "the document is not UTF-8: byte 13 is 0xff"

    def test_a_syntax_error_is_told_by_its_place_with_the_usual_cause(self) -> None:
        with pytest.raises(InvalidJob, match=r"not valid JSON: .* at character 2") as refused:
            decode("{command: echo}")
        assert "single quotes" in (refused.value.hint or "")

    def test_an_error_further_down_is_told_by_line_and_column(self) -> None:
        assert undecodable('{\n"command": }').endswith("at line 2, column 12")

    @pytest.mark.parametrize(
        ("text", "kind"), [("[]", "a list"), ("null", "null"), ("1", "a number"), ('"x"', "text"), ("true", "true")]
    )
    def test_other_json_is_refused(self, text: str, kind: str) -> None:
        assert undecodable(text) == f"a job is a JSON object, not {kind}"

    def test_of_a_list_the_next_step_is_told(self) -> None:
        with pytest.raises(InvalidJob) as refused:
            decode('[{"command": "true"}]')
        assert "jq -c '.[]' FILE | queuectl enqueue -" in (refused.value.hint or "")


class TestWhatIsWrong:
    @pytest.mark.parametrize("field", ["priority", "max_retries"])
    @pytest.mark.parametrize("value", [True, False, None, "5", 5.0, -1, 1001, 10**30, [5], 1e300])
    def test_an_integer_out_of_its_range_or_of_another_kind(self, field: str, value: object) -> None:
        assert the_problem(**{field: value}).startswith(f"{field} must be an integer from ")

    @pytest.mark.parametrize(("field", "value"), [("priority", 0), ("priority", 11), ("max_retries", 1001)])
    def test_the_ends_of_a_range_are_told(self, field: str, value: int) -> None:
        assert the_problem(**{field: value}).endswith(f", not {value}")

    @pytest.mark.parametrize("field", ["timeout", "delay"])
    @pytest.mark.parametrize("value", [True, False, -1, "soon", 1e300, 10**30, [], {}, "9" * 5000])
    def test_a_span_that_is_none(self, field: str, value: object) -> None:
        assert the_problem(**{field: value}).startswith(f"{field} must be ")

    @pytest.mark.parametrize("value", [0, 0.0, "0s", 1e-9])
    def test_a_timeout_of_nothing(self, value: object) -> None:
        assert the_problem(timeout=value) == "timeout must be longer than 0 seconds; for no limit say none"

    def test_a_delay_of_null(self) -> None:
        assert the_problem(delay=None).startswith("delay must be")

    @pytest.mark.parametrize("value", [None, True, 5, "", " \n", [], [""], ["", "x"], ["a", 1], [["a"]], {}])
    def test_a_command_that_is_none(self, value: object) -> None:
        assert the_problem(command=value).startswith("command must")

    def test_a_command_longer_than_the_kernel_takes(self) -> None:
        assert the_problem(command="x" * (MAX_ARGUMENT + 1)) == (
            "command must not be longer than 131,071 bytes, the most that one argument can have: 131,072"
        )
        assert the_problem(command=["printf", "é" * 65_536]).endswith(": 131,072")

    def test_arguments_longer_than_the_kernel_takes_in_all(self) -> None:
        problem = the_problem(command=["x" * 100_000] * (MAX_ARGUMENTS // 100_000 + 1))
        assert problem == "command must not be longer than 1,048,576 bytes in all"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("command", "a\0b"),
            ("command", ["a", "b\0"]),
            ("env", {"A": "\0"}),
            ("env", {"A\0": ""}),
            ("cwd", "/\0"),
        ],
    )
    def test_a_nul_in_text(self, field: str, value: object) -> None:
        assert the_problem(**{field: value}) == f"{field} must not contain a NUL character"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("command", "\ud800"),
            ("command", ["a", "\udf00"]),
            ("env", {"A": "\ud800"}),
            ("env", {"\ud800": ""}),
            ("cwd", "/\udc00"),
        ],
    )
    def test_half_of_a_surrogate_pair(self, field: str, value: object) -> None:
        assert re.match(
            rf"{field} must not contain \\ud[8cf][0f][0f], which is half a character", the_problem(**{field: value})
        )

    @pytest.mark.parametrize("value", ["", "-a", "a b", "a/b", "ä", "x" * 129, "a\n", "a\0", "\ud800", 1, None, True])
    def test_an_id_that_is_none(self, value: object) -> None:
        assert the_problem(id=value).startswith("id must be 1 to 128 ")

    @pytest.mark.parametrize("value", ["", "a b", "a:b", "ä", "x" * 65, "a\n", 1, None])
    def test_a_queue_that_is_none(self, value: object) -> None:
        assert the_problem(queue=value).startswith("queue must be 1 to 64 ")

    @pytest.mark.parametrize(
        "value",
        [
            *(None, 1, True, "", "tomorrow", "2030-13-01", "2030-02-30T00:00:00Z", "2030-01-01T25:00"),
            *("1970-01-01", "9999-01-01T00:00:00-12:00"),
        ],
    )
    def test_a_moment_that_is_none(self, value: object) -> None:
        assert the_problem(run_at=value).startswith("run_at must be ")

    def test_a_moment_and_a_delay_together(self) -> None:
        assert the_problem(run_at="2030-01-01", delay=1) == "run_at and delay exclude each other"

    @pytest.mark.parametrize(
        "value", [None, [], "A=1", {"A": 1}, {"A": None}, {"": "x"}, {"A=B": "x"}, {"A": "x" * MAX_ARGUMENT}]
    )
    def test_an_environment_that_is_none(self, value: object) -> None:
        assert the_problem(env=value).startswith("env ")

    @pytest.mark.parametrize("value", ["", "here", "./x", "~", 1, [], "/" + "x" * 4095])
    def test_a_directory_that_is_none(self, value: object) -> None:
        assert the_problem(cwd=value).startswith("cwd must ")

    def test_a_field_that_does_not_exist_names_the_one_that_was_meant(self) -> None:
        assert the_problem(priorty=1) == 'unknown field "priorty": did you mean priority?'

    def test_a_word_of_another_tool_gets_the_field(self) -> None:
        assert the_problem(cmd="ls") == 'unknown field "cmd": did you mean command?'
        assert the_problem(retries=1) == 'unknown field "retries": did you mean max_retries?'

    def test_a_field_like_no_other_names_them_all(self) -> None:
        assert the_problem(colour="red") == f'unknown field "colour"; the fields are {", ".join(FIELDS)}'

    def test_all_mistakes_are_told_at_once(self) -> None:
        with pytest.raises(InvalidJob) as refused:
            parsed('{"priority": 11, "queue": "a b", "retries": 1, "timeout": 0, "run_at": "x", "delay": -1}')
        told = " | ".join(refused.value.problems)
        for word in ("command is missing", "priority", "queue", "retries", "timeout", "run_at must", "delay must"):
            assert word in told
        assert "exclude each other" in told

    def test_a_long_text_is_cut_in_the_message(self) -> None:
        assert len(the_problem(id="x" * 100_000)) < 300


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from(list(FIELDS)) | st.text(st.characters()), values, max_size=6)


@given(documents | values)
def test_any_json_is_a_request_or_told_to_be_none(document: object) -> None:
    with suppress(InvalidJob):
        jobs_of([parsed(json.dumps(document))], ["new"], policy_of=lambda _: a_policy(), cwd="/", at=NOON)


@given(st.binary() | st.text(st.characters()))
def test_any_text_is_a_document_or_told_to_be_none(text: str | bytes) -> None:
    with suppress(InvalidJob):
        assert isinstance(decode(text), dict)


@given(st.text(st.characters()))
def test_any_run_at_is_a_moment_or_told_to_be_none(text: str) -> None:
    with suppress(InvalidJob):
        moment = parse_request({"command": "true", "run_at": text}, local=INDIA)["run_at"]
        assert moment.tzinfo is UTC
