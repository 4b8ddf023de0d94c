"""The text that `enqueue` reads, taken apart: one JSON document, perhaps on several lines, or one on each line."""

import codecs
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple, TypeAlias

from queuectl.domain.document import QUOTING, decode, parse_request
from queuectl.domain.errors import InvalidJob
from queuectl.domain.job import JobRequest
from queuectl.entrypoints.cli.other_formats import refuse_other_formats

MAX_PROBLEMS = 20
"""Mistakes of a batch that are listed; more would only scroll the first ones away."""

LONG = 1000
"""Lines from which on loading msgspec takes less time than it saves."""

END_OF_KEY = re.compile(rb'"[ \t\n\r]*:')
"""An escaped quote before a colon within a text looks the same; such a line takes the longer way."""

ONE_PER_LINE = "a file has one JSON document, or one on each line; `jq -c '.[]'` makes such lines of a list"


NOT_UTF8 = r"iconv -f LATIN1 -t UTF-8 would convert it; in JSON a byte of a file name is written like \udce9 for 0xe9"

BYTE_ORDER_MARK = "\ufeff"

MAX_START = 1000
"""Bytes in which the first document is expected to begin."""

Decode: TypeAlias = Callable[[str | bytes], dict[str, object]]


class Line(NamedTuple):
    """One job as written: its text, or its document already; and the number of its line, None on the command line."""

    number: int | None
    content: str | bytes | dict[str, object]


class LocalTime(tzinfo):
    """The system's time zone, which has another offset in summer: asked anew for each moment."""

    def utcoffset(self, moment: datetime | None, /) -> timedelta | None:
        """The offset in force at that local time."""
        return None if moment is None else moment.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, _moment: datetime | None, /) -> timedelta | None:
        """Not known apart from the offset."""
        return None

    def tzname(self, _moment: datetime | None, /) -> str | None:
        """The name that messages would use."""
        return "local time"


LOCAL_TIME = LocalTime()


def lines_of(content: bytes) -> Sequence[Line]:
    """The jobs of a file or a pipe, blank lines left out. Raises InvalidJob when there is none."""
    content = content.removeprefix(codecs.BOM_UTF8)
    if b"\0" in content or not content[:MAX_START].lstrip().startswith((b"{", b"[")):
        refuse_other_formats(content)
    # A mark at the start of a line was at the start of a file that was joined to another.
    lines = (line.removeprefix(codecs.BOM_UTF8) for line in content.split(b"\n"))
    texts = {number: text for number, text in enumerate(lines, start=1) if text.strip()}
    if not texts:
        raise InvalidJob(["there is no job in the input"], hint=ONE_PER_LINE)
    first, *others = texts.values()
    if others and not _is_json(first) and (_is_json(content) or not any(_is_json(text) for text in others)):
        return [_whole(content, min(texts))]
    return [Line(number, text) for number, text in texts.items()]


def requests_of(lines: Sequence[Line], fields: Mapping[str, object]) -> Sequence[JobRequest]:
    """The request of each line, with `fields` instead of its own. Raises InvalidJob with the mistakes of all lines."""
    requests: list[JobRequest] = []
    problems: list[str] = []
    hint = None
    decoded = _quickly(_decoded) if len(lines) >= LONG else _decoded
    for line in lines:
        try:
            document = line.content if isinstance(line.content, dict) else decoded(line.content)
            requests.append(parse_request({**document, **fields} if fields else document, local=LOCAL_TIME))
        except InvalidJob as error:
            where = "" if line.number is None else f"line {line.number}: "
            problems += [where + problem for problem in error.problems]
            hint = ONE_PER_LINE if error.hint == QUOTING and line.number is not None else error.hint or hint
    if problems:
        more = len(problems) - MAX_PROBLEMS
        listed = problems[:MAX_PROBLEMS] + ([f"and {more:,} more mistakes"] if more > 0 else [])
        raise InvalidJob(listed, hint=hint)
    return requests


def _decoded(content: str | bytes) -> dict[str, object]:
    text = _text(content)
    try:
        return decode(text)
    except InvalidJob as error:
        if BYTE_ORDER_MARK in text and error.problems[0].startswith("not valid JSON"):
            problem = "a byte order mark (BOM) is in the middle: files were joined without a line end between them"
            raise InvalidJob([problem]) from None
        raise


def _quickly(strictly: Decode) -> Decode:
    """Decode by msgspec, in a third of the time, wherever the result is sure to be the same."""
    from msgspec import MsgspecError  # a library that pays off from a thousand lines on
    from msgspec.json import Decoder  # the same

    quick = Decoder().decode

    def decoded(content: str | bytes) -> dict[str, object]:
        if isinstance(content, str):
            return strictly(content)
        try:
            document = quick(content)
        except (MsgspecError, ValueError, RecursionError):
            return strictly(content)
        # It does not see that a key is there twice; but none is where there are no more colons than keys.
        is_sure = isinstance(document, dict) and (
            content.count(b":") == len(document) or _has_no_key_twice(document, content)
        )
        return document if is_sure else strictly(content)

    return decoded


def _has_no_key_twice(document: Mapping[str, object], content: bytes) -> bool:
    """Say whether that is sure: no more keys end in the text than the document and its `env` have."""
    env = document.get("env")
    return len(END_OF_KEY.findall(content)) == len(document) + (len(env) if isinstance(env, dict) else 0)


def _whole(content: bytes, number: int | None) -> Line:
    """The input as one document on several lines. Raises InvalidJob, with the parser's own line number."""
    try:
        return Line(number, _decoded(content))
    except InvalidJob as error:
        raise InvalidJob(error.problems, hint=ONE_PER_LINE if error.hint == QUOTING else error.hint) from None


def _is_json(content: bytes) -> bool:
    """Say whether it is an object or a list by itself, be it a bad one; the first line of a longer document is not."""
    if not content.lstrip().startswith((b"{", b"[")):
        return False
    try:
        decode(_text(content))
    except InvalidJob as error:
        return not error.problems[0].startswith("not valid JSON")
    return True


def _text(content: str | bytes) -> str:
    """The text, always as UTF-8: the json module would guess at UTF-16 and UTF-32."""
    if isinstance(content, str):
        return content
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        problem = f"the document is not UTF-8: byte {error.start + 1} is {content[error.start]:#04x}"
        raise InvalidJob([problem], hint=NOT_UTF8) from None
