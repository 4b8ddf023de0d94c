"""The lines of a batch, taken apart quickly: no line means anything else than it does by itself."""

import json
from collections.abc import Mapping
from unittest.mock import Mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from queuectl.domain.document import FIELDS
from queuectl.domain.errors import InvalidJob
from queuectl.entrypoints.cli import batch
from queuectl.entrypoints.cli.batch import Line, requests_of

KEYS = st.sampled_from([*FIELDS, "", ":", "\\", '"', "\x00", "é", "\ud800", "\udce9"]) | st.text(max_size=3)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["12:30", "a:b"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=5
)
SPACE = st.sampled_from(["", " ", "\t", "\r", "\x0b", "\xa0"])


@st.composite
def objects(draw: st.DrawFn) -> str:
    """A JSON object in any spelling, its keys perhaps twice."""
    pairs = draw(st.lists(st.tuples(KEYS, VALUES), max_size=4))
    ascii_only = draw(st.booleans())
    written = [
        draw(SPACE).join([json.dumps(key, ensure_ascii=ascii_only), ":", json.dumps(value, ensure_ascii=ascii_only)])
        for key, value in pairs
    ]
    return "{" + ",".join(written) + "}"


TEXTS = (objects() | VALUES.map(json.dumps) | st.text()).map(lambda text: text.encode("utf-8", "surrogatepass"))


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A text with one byte changed, or left out, or put in."""
    text = draw(TEXTS)
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.binary(max_size=2)) + text[at + draw(st.integers(0, 1)) :]


def outcome(decoded: batch.Decode, line: bytes) -> str:
    try:
        return repr(decoded(line))  # as text: 1 is not True, and 0.0 not -0.0
    except InvalidJob as error:
        return f"{error.problems} {error.hint}"


@given(TEXTS | spoilt())
@example(b'{"command": "a", "command": "b"}')
@example(b'{"command":"a","command" :"b"}')
@example(rb'{"command":"a","comm\u0061nd":"b"}')
@example(rb'{"command":"a\u003ab","command":"b"}')
@example(b'{"env": {"A": "1", "A": "2"}, "command": "a"}')
@example(b'{"env": {"A": "1"}, "env": {"A": "2"}}')
@example(b'{"env": {"A": "1", "B": "2"}, "command": {"A": "1", "A": "2"}}')
@example(rb'{"command":"\":","command" :"b"}')
@example(b'{"delay": 1e400}')
@example(b'{"priority": ' + b"1" * 5000 + b"}")
@example(b"[" * 100_000)
@example(b'{"command": "\xff"}')
@example(b'{"command":"a"} {"command":"b"}')
@example(b"{}")
def test_a_line_is_the_same_document_in_a_long_batch(line: bytes) -> None:
    assert outcome(batch._quickly(batch._decoded), line) == outcome(batch._decoded, line)


@pytest.mark.parametrize(
    "document",
    [
        {"command": "make", "priority": 3},
        {"command": "curl http://localhost:8000", "run_at": "2030-01-31T08:00:00Z"},
        {"command": ["echo", "a: b", '"'], "env": {"TZ": "UTC", "LANG": "C"}, "timeout": None},
    ],
)
def test_a_usual_line_is_taken_apart_quickly(document: Mapping[str, object]) -> None:
    strictly = Mock()
    assert batch._quickly(strictly)(json.dumps(document).encode()) == document
    strictly.assert_not_called()


@pytest.mark.parametrize("count", [1, batch.LONG])
def test_a_mistake_in_a_batch_of_any_length_is_told_with_its_line(count: int) -> None:
    lines = [Line(number, b'{"command": "true"}') for number in range(1, count + 1)]
    lines[-1] = Line(count, b'{"command": "true", "command": "false"}')
    with pytest.raises(InvalidJob) as refused:
        requests_of(lines, {})
    assert list(refused.value.problems) == [f'line {count}: the same key twice: "command"']
