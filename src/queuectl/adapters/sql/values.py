"""How the core's values are written in columns. A kind names a way; the schema gives each column one.

Moments are integer microseconds since 1970 in UTC and spans integer microseconds, on every backend: exact, ordered
and subtracted alike.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from queuectl.adapters.system import EPOCH, MICROSECOND
from queuectl.domain.job import Command
from queuectl.domain.outcome import Outcome
from queuectl.domain.ports import WorkerState
from queuectl.domain.state import State

Codec = Callable[..., object]


class Kind(NamedTuple):
    """To the database, and from it. None is neither's business: it is NULL."""

    encode: Codec
    decode: Codec


# The moments of a job are often the same, and those of a batch always.
@functools.lru_cache(maxsize=16)
def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


@functools.lru_cache(maxsize=16)
def _moment(number: int) -> datetime:
    return EPOCH + timedelta(microseconds=number)


def _span(number: int) -> timedelta:
    return timedelta(microseconds=int(number))  # a sum is a Decimal on PostgreSQL


_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes an encoder for each value


def as_json(value: object) -> str:
    r"""The value as JSON: text as it is, but for bytes that are no UTF-8, which no driver takes, as `\udce9`."""
    text = _encode(value)
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _command(text: str) -> Command:
    command = json.loads(text)
    return command if isinstance(command, str) else tuple(command)


def _as_text_map(value: Mapping[str, str]) -> str:
    return as_json(dict(value)) if value else "{}"


def _text_map(text: str) -> object:
    return {} if text == "{}" else json.loads(text)


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


def _word(words: type[StrEnum]) -> Kind:
    return Kind(str, words)


KINDS: Mapping[str, Kind] = {
    "moment": Kind(_microseconds, _moment),
    "span": Kind(lambda span: span // MICROSECOND, _span),
    "command": Kind(as_json, _command),
    "text map": Kind(_as_text_map, _text_map),
    "path": Kind(_as_path, _path),
    "texts": Kind(_texts, json.loads),
    "flag": Kind(bool, bool),  # SQLite gives 0 and 1
    "state": _word(State),
    "outcome": _word(Outcome),
    "worker state": _word(WorkerState),
}
"""The values that a driver does not take and give as they are."""
