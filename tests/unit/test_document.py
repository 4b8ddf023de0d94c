import json
import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.document import FIELDS, MAX_ARGUMENT, MAX_ARGUMENTS, MAX_INPUT, decode, parse_request
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
            stdin="in\n",
            key="db main",
            key_limit=3,
            needs=["zone=eu", "gpu"],
            tags=["nightly", "ü:42"],
        )
        [job] = jobs_of([asked], ["new"], policy_of=lambda _: a_policy(), cwd="/here", at=NOON)
        assert (job.id, job.command, job.queue, job.priority) == ("A.b_c:d-1", ("printf", "", "ü"), "mail-1", 10)
        assert (job.max_retries, job.timeout, job.run_at) == (0, 90 * SECOND, datetime(2031, 1, 1, tzinfo=UTC))
        assert (job.env, job.cwd) == ({"NAME": "", "Ü": "ü"}, "/tmp")
        assert (job.stdin, job.key, job.key_limit) == ("in\n", "db main", 3)
        assert (job.needs, job.tags) == (("gpu", "zone=eu"), ("nightly", "ü:42"))

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


class TestKey:
    def test_one_job_of_a_key_runs_at_a_time_unless_it_says_more(self) -> None:
        asked = [request(key="db"), request(key="db", key_limit=100), request()]
        jobs = jobs_of(asked, "abc", policy_of=lambda _: a_policy(), cwd="/", at=NOON)
        assert [(job.key, job.key_limit) for job in jobs] == [("db", 1), ("db", 100), (None, None)]

    @pytest.mark.parametrize("limit", [0, 101, "2", True])
    def test_a_limit_is_a_number_from_1_to_100(self, limit: object) -> None:
        assert the_problem(key="db", key_limit=limit).startswith("key_limit must be an integer from 1 to 100, not")

    def test_a_limit_without_a_key_is_refused(self) -> None:
        assert the_problem(key_limit=2).startswith("key_limit needs a key: ")

    def test_a_key_has_as_many_bytes_as_fit(self) -> None:
        assert request(key="é" * 100)["key"] == "é" * 100
        assert the_problem(key="é" * 100 + "x") == "key must have 1 to 200 bytes, not 201"
        assert the_problem(key="") == "key must have 1 to 200 bytes, not 0"

    @given(st.text(min_size=1, max_size=50))
    def test_a_key_is_taken_as_it_is_or_refused_for_a_character_that_nobody_could_read(self, key: str) -> None:
        if any(character < " " or "\x7f" <= character < "\xa0" for character in key):
            assert re.match("key must not contain (a NUL|control) character", the_problem(key=key))
        else:
            assert request(key=key)["key"] == key


class TestNeeds:
    LABELS = st.from_regex(r"[A-Za-z0-9._-]{1,64}(=[A-Za-z0-9._-]{1,64})?", fullmatch=True)

    @given(st.lists(LABELS, max_size=20))
    def test_labels_come_in_one_order_and_once(self, labels: list[str]) -> None:
        asked = request(needs=labels)["needs"]
        assert asked == request(needs=[*reversed(labels), *labels])["needs"] == tuple(sorted(set(labels)))

    @given(st.text(max_size=150).filter(lambda it: not re.fullmatch(r"[A-Za-z0-9._-]+(=[A-Za-z0-9._-]+)?", it)))
    def test_what_is_no_label_is_refused_on_one_line(self, text: str) -> None:
        problem = the_problem(needs=["gpu", text])
        assert problem.startswith("needs must be labels such as gpu or zone=eu, of letters, digits and ._-, not ")
        assert problem.isprintable()

    def test_there_are_at_most_twenty(self) -> None:
        assert the_problem(needs=[str(number) for number in range(21)]) == "needs must be at most 20, not 21"

    @pytest.mark.parametrize("value", ["gpu", None, {"gpu": 1}, [1], [["gpu"]]])
    def test_they_are_a_list_of_texts(self, value: object) -> None:
        assert the_problem(needs=value).startswith('needs must be a list of labels such as ["gpu", "zone=eu"], not ')


class TestTags:
    @given(st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=16), max_size=20))
    def test_they_stay_as_they_are_each_once(self, tags: list[str]) -> None:
        assert request(tags=[*tags, *tags])["tags"] == tuple(dict.fromkeys(tags))

    def test_each_has_64_bytes_and_there_are_20_at_most(self) -> None:
        assert request(tags=["é" * 32])
        assert the_problem(tags=["é" * 32 + "x"]) == "tags must have 1 to 64 bytes, not 65"
        assert the_problem(tags=[str(number) for number in range(21)]) == "tags must be at most 20, not 21"
        assert the_problem(tags=["a\nb"]) == r'tags must not contain control characters: "a\nb"'


class TestInput:
    @given(st.text(max_size=100))
    def test_any_text_is_taken_but_a_nul(self, text: str) -> None:
        if "\0" in text:
            assert the_problem(stdin=text) == "stdin must not contain a NUL character"
        else:
            assert request(stdin=text)["stdin"] == text

    def test_it_has_64_kib_at_most(self) -> None:
        assert request(stdin="é" * (MAX_INPUT // 2))
        problem = "stdin must not be longer than 65,536 bytes: 65,537; a command can read more from a file"
        assert the_problem(stdin="é" * (MAX_INPUT // 2) + "x") == problem

    def test_none_at_all_differs_from_an_empty_one(self) -> None:
        jobs = jobs_of([request(), request(stdin="")], "ab", policy_of=lambda _: a_policy(), cwd="/", at=NOON)
        assert [job.stdin for job in jobs] == [None, ""]


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

    @pytest.mark.parametrize(("field", "value"), [("key", "\udce9"), ("stdin", "\udce9"), ("tags", ["\udce9"])])
    def test_text_has_none(self, field: str, value: object) -> None:
        assert the_problem(**{field: value}) == f"{field} must be UTF-8: it has the byte 0xe9"

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


class TestUnique:
    """`unique`, `unique_until` and `on_duplicate`."""

    @pytest.mark.parametrize("said", ["k", "sync:42", "ü" * 100, "a b", True])
    def test_a_key_is_text_or_the_command_itself(self, said: object) -> None:
        assert request(unique=said)["unique"] == said

    @pytest.mark.parametrize("said", ["", "x" * 201, "ü" * 101, "a\nb", "a\0b", "\udce9", False, 1, None, ["k"]])
    def test_anything_else_is_no_key(self, said: object) -> None:
        assert the_problem(unique=said).startswith("unique must ")

    @given(st.one_of(st.text(), st.integers(), st.booleans(), st.none()))
    def test_a_key_that_is_taken_can_be_stored(self, said: object) -> None:
        with suppress(InvalidJob):
            key = request(unique=said)["unique"]
            assert key is True or (isinstance(key, str) and 1 <= len(key.encode()) <= 200 and "\0" not in key)

    @pytest.mark.parametrize(
        ("said", "taken"), [("ended", "ended"), ("started", "started"), ("60m", "1h"), (90, "1m30s"), ("1.5", "1.5s")]
    )
    def test_it_is_held_until_a_moment_of_the_job_or_for_a_span(self, said: object, taken: str) -> None:
        assert request(unique="k", unique_until=said)["unique_until"] == taken

    @pytest.mark.parametrize("said", ["end", "", 0, "0s", -1, None, True])
    def test_no_other_word_and_no_empty_span_is_an_end(self, said: object) -> None:
        assert the_problem(unique="k", unique_until=said).startswith("unique_until must be ")

    def test_a_rule_is_one_of_three_words(self) -> None:
        assert [request(unique="k", on_duplicate=said)["on_duplicate"] for said in ("skip", "replace", "reject")]
        assert the_problem(on_duplicate="ignore") == 'on_duplicate must be skip, replace, reject, not "ignore"'

    def test_what_is_about_a_key_needs_one(self) -> None:
        for said in ({"unique_until": "1h"}, {"on_duplicate": "replace"}):
            assert the_problem(**said).endswith("is about the unique key, and there is none: give unique too")
        assert request(id="a", on_duplicate="skip")["on_duplicate"] == "skip"
