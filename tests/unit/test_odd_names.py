"""File names that are no UTF-8: the bytes that a user gave are the bytes that run, whatever is between."""

import json

from hypothesis import given
from hypothesis import strategies as st

from queuectl.adapters.host.files import printable
from queuectl.adapters.sql.engine.values import KINDS, writer
from queuectl.domain.document import decode, parse_request
from queuectl.domain.job import Job, jobs_of
from tests.builders import NOON, a_policy
from tests.unit.test_document import INDIA

NAMES = st.binary(min_size=1, max_size=20).map(lambda name: name.replace(b"\0", b"\xe9"))


def stored(kind: str, value: object) -> object:
    """The value, from a column back; what is in the column is text that every driver takes."""
    text = writer(kind)(value)
    assert isinstance(text, str)
    text.encode()
    return KINDS[kind].read(text)


def enqueued(document: dict[str, object]) -> Job:
    """The job of a document that went through JSON, as the queue gives it back."""
    request = parse_request(decode(json.dumps(document)), local=INDIA)
    [job] = jobs_of([request], ["new"], policy_of=lambda _: a_policy(), cwd="/", at=NOON)
    kept = {"command": stored("command", job.command), "env": stored("environment", job.env)}
    return job._replace(spec=job.spec._replace(**kept, cwd=stored("path", job.cwd)))  # type: ignore[arg-type]


def escaped(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def raw(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


@given(NAMES, NAMES)
def test_any_bytes_come_back_from_document_and_row(name: bytes, other: bytes) -> None:
    document = {"command": ["cat", escaped(name)], "env": {"NAME": escaped(other)}, "cwd": escaped(b"/" + other)}
    job = enqueued(document)
    assert list(map(raw, job.command)) == [b"cat", name]
    assert (raw(job.env["NAME"]), raw(job.cwd or "")) == (other, b"/" + other)
    assert raw(str(enqueued({"command": escaped(b"cat " + name)}).command)) == b"cat " + name


def test_bytes_that_are_a_character_together_come_back_apart() -> None:
    assert enqueued({"command": "\udcc3\udca9"}).command == "\udcc3\udca9"


def test_a_path_that_was_stored_before_is_read_as_it_is() -> None:
    assert KINDS["path"].read("/srv/\\udce9/é") == "/srv/\\udce9/é"


def test_what_is_only_read_shows_such_bytes() -> None:
    assert printable("caf\udce9 é \udcc3\udca9") == "caf\\xe9 é é"
