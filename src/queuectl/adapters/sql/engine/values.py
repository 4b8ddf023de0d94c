"""How the core's values are written in columns. A kind names a way; the schema gives each column one.

Moments are integer microseconds since 1970 in UTC and spans integer microseconds, on every backend: exact, ordered
and subtracted alike.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from queuectl.adapters.host.clock import EPOCH, MICROSECOND
from queuectl.domain.attempt import Outcome
from queuectl.domain.job import Command, State
from queuectl.domain.worker import WorkerState

Codec = Callable[..., object]


class Kind(NamedTuple):
    """To the database, and from it. None is neither's business: it is NULL.

    `decode` raises one of UNREADABLE for what `encode` has not written; then `instead` gives what stands for it.
    """

    encode: Codec
    decode: Codec
    instead: Codec


UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)

EARLIEST, LATEST = datetime(1000, 1, 1, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""The moments that every time zone has; others cannot be shown, nor be counted with."""

LONGEST_SPAN = LATEST - EARLIEST

FIRST, LAST = (EARLIEST - EPOCH) // MICROSECOND, (LATEST - EPOCH) // MICROSECOND


# The moments of a job are often the same, and those of a batch always.
@functools.lru_cache(maxsize=16)
def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


@functools.lru_cache(maxsize=16)
def _moment(number: int) -> datetime:
    if not FIRST <= number <= LAST:
        raise ValueError("no moment of the calendar")
    return EPOCH + timedelta(microseconds=number)


def _nearest(number: object) -> datetime:
    return EARLIEST if isinstance(number, int) and number < FIRST else LATEST


def _span(number: int) -> timedelta:
    span = timedelta(microseconds=int(number))  # a sum is a Decimal on PostgreSQL
    if abs(span) > LONGEST_SPAN:
        raise ValueError("longer than any span")
    return span


_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes an encoder for each value


def as_json(value: object) -> str:
    r"""The value as JSON: text as it is, but for bytes that are no UTF-8, which no driver takes, as `\udce9`."""
    text = _encode(value)
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _command(text: str) -> Command:
    command = json.loads(text)
    if isinstance(command, list):
        return tuple(command)
    if not isinstance(command, str):
        raise TypeError("neither text nor a list")
    return command


def _as_text_map(value: Mapping[str, str]) -> str:
    return as_json(dict(value)) if value else "{}"


def _text_map(text: str) -> object:
    if text == "{}":
        return {}
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError("no object")
    return found


def _as_path(value: str) -> str:
    """The path as it is; as JSON, which begins with a quote as no absolute path does, if bytes of it are no UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return as_json(value)
    return as_json(value) if value.startswith('"') else value


def _path(text: str) -> object:
    return json.loads(text) if text.startswith('"') else text


def _texts(value: Sequence[str]) -> str:
    return as_json(list(value))


def _list_of_texts(text: str) -> Sequence[str]:
    texts = json.loads(text)
    if not (isinstance(texts, list) and all(isinstance(each, str) for each in texts)):
        raise TypeError("no list of texts")
    return texts


def _word(words: type[StrEnum], instead: StrEnum) -> Kind:
    return Kind(str, words, lambda _: instead)


KINDS: Mapping[str, Kind] = {
    "moment": Kind(_microseconds, _moment, _nearest),
    "span": Kind(lambda span: span // MICROSECOND, _span, lambda _: timedelta()),
    "command": Kind(as_json, _command, str),
    "text map": Kind(_as_text_map, _text_map, lambda _: {}),
    "path": Kind(_as_path, _path, lambda _: None),
    "texts": Kind(_texts, _list_of_texts, lambda _: []),
    "flag": Kind(bool, bool, bool),  # SQLite gives 0 and 1
    "state": _word(State, State.DEAD),
    "outcome": _word(Outcome, Outcome.LOST),
    "worker state": _word(WorkerState, WorkerState.LOST),
}
"""The values that a driver does not take and give as they are."""
