"""The ways between the core's values and columns. Each column and each parameter has a kind of value.

Moments are integer microseconds since 1970 in UTC and spans integer microseconds, on every database: exact, ordered
and subtracted alike.

A row may come from a newer version, from a role that may only insert, or from somebody's editor. One such row must hold
up nobody: reading raises one of `UNREADABLE` for what is no value of the kind, and then a substitute stands for it.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from queuectl.adapters.host.clock import EPOCH, MICROSECOND, microseconds
from queuectl.adapters.host.files import printable
from queuectl.domain.attempt import Outcome
from queuectl.domain.job import Command, On, State, WaitsFor
from queuectl.domain.limits import SlotKind
from queuectl.domain.policy import StoredSettings
from queuectl.domain.worker import WorkerState

UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError, AttributeError)

EARLIEST, LATEST = datetime(1000, 1, 1, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""The moments that every time zone has; others cannot be shown, nor be counted with."""

MAX_SPAN = LATEST - EARLIEST

FIRST, LAST = microseconds(EARLIEST), microseconds(LATEST)

MAX_COUNT = 10**9
"""The greatest number of runs, failures or losses that is believed: well below the end of PostgreSQL's INTEGER."""


class Kind(NamedTuple):
    """A kind of value. NULL is no matter of its: that is None.

    `type` is the Python type in the generated code. `write` gives what a driver takes; None: the value as it is. `read`
    makes the value of what a driver gives, or raises one of UNREADABLE; `substitute` makes what then stands for it.
    """

    type: str
    write: Callable[..., object] | None
    read: Callable[..., object]
    substitute: Callable[..., object]


# The moments of a job are often the same, and those of a batch always.
_microseconds = functools.lru_cache(maxsize=16)(microseconds)


@functools.lru_cache(maxsize=16)
def _moment(number: int) -> datetime:
    if not FIRST <= number <= LAST:
        raise ValueError("no moment of the calendar")
    return EPOCH + timedelta(microseconds=number)


def _nearest_moment(number: object) -> datetime:
    return EARLIEST if isinstance(number, int) and number < FIRST else LATEST


def _span(number: int) -> timedelta:
    span = timedelta(microseconds=int(number))  # a sum is a Decimal on PostgreSQL
    if abs(span) > MAX_SPAN:
        raise ValueError("longer than any span")
    return span


def _limit(number: int) -> timedelta:
    if (span := _span(number)) <= timedelta():
        raise ValueError("no length of time")
    return span


_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes an encoder for each value


def as_json(value: object) -> str:
    r"""The value as JSON: text as it is, but for bytes that are no UTF-8, which no driver takes, as `\udce9`."""
    text = _encode(value)
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("no number")
    return value


def _count(value: object) -> int:
    if not 0 <= (number := _number(value)) <= MAX_COUNT:
        raise ValueError("no count")
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    if not value.isascii():
        value.encode()
    return value


def _name(value: object) -> str:
    if not (name := _text(value)):
        raise ValueError("empty")
    return name


def shown(value: object) -> str:
    """The text that stands for a value that is none."""
    text = value if isinstance(value, str) else repr(value)
    return printable(text) if _is_argument(text) else ascii(text)


def shortened(text: str) -> str:
    """At most 80 characters of it."""
    return text if len(text) <= 80 else f"{text[:79]}…"


def _is_argument(value: object) -> bool:
    """True if a program can be given it: bytes that are no UTF-8 are fine, see `Command`."""
    try:
        return isinstance(value, str) and b"\0" not in value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False


def _command(text: str) -> Command:
    command = json.loads(text)
    if isinstance(command, list) and command and command[0] != "" and all(map(_is_argument, command)):
        return tuple(command)
    if not (isinstance(command, str) and _is_argument(command)):
        raise TypeError("neither text nor a list")
    return command


def _as_environment(value: Mapping[str, str]) -> str:
    return as_json(dict(value)) if value else "{}"


def _environment(text: str) -> Mapping[str, str]:
    if text == "{}":
        return {}
    found = json.loads(text)
    if not all(_is_argument(name) and name and "=" not in name and _is_argument(it) for name, it in found.items()):
        raise ValueError("no variables")
    return dict(found)


def _settings(text: str) -> StoredSettings:
    """As the databases make it of all rows of `config`; None where there are none."""
    found: dict[str, dict[str, str]] = {}
    for queue, key, value in json.loads(text):
        found.setdefault(queue, {})[key] = value
    return found


def _as_path(value: str) -> str:
    """The path as it is; as JSON, which begins with a quote as no absolute path does, if bytes of it are no UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return as_json(value)
    return as_json(value) if value.startswith('"') else value


def _path(text: str) -> str:
    path = json.loads(text) if text.startswith('"') else text
    if not (isinstance(path, str) and _is_argument(path)):
        raise TypeError("no path")
    return path


def _as_texts(texts: Sequence[str]) -> str:
    return as_json(texts) if texts else "[]"


def _texts(text: str) -> Sequence[str]:
    if text == "[]":
        return ()
    texts = json.loads(text)
    if not (isinstance(texts, list) and all(isinstance(each, str) for each in texts)):
        raise TypeError("no list of texts")
    return tuple(texts)


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("no bytes")
    return value


def _any_bytes(value: object) -> bytes:
    return str(value or "").encode(errors="replace")


def _word(words: type[StrEnum], substitute: StrEnum) -> Kind:
    return Kind(words.__name__, str, words, lambda _: substitute)


def _list_of(kind: Kind) -> Kind:
    """Parameters only: a list, which SQLite takes as JSON and PostgreSQL as an array."""
    write = kind.write or (lambda value: value)
    return Kind(
        f"Sequence[{kind.type} | None]", lambda values: [None if it is None else write(it) for it in values], list, list
    )


KINDS: dict[str, Kind] = {
    "moment": Kind("datetime", _microseconds, _moment, _nearest_moment),
    "span": Kind("timedelta", lambda span: span // MICROSECOND, _span, lambda _: timedelta()),
    "limit": Kind("timedelta", lambda span: span // MICROSECOND, _limit, lambda _: None),
    "number": Kind("int", None, _number, lambda _: 0),
    "count": Kind("int", None, _count, lambda _: 0),
    "text": Kind("str", None, _text, shown),
    "name": Kind("str", None, _name, shown),
    "command": Kind("Command", as_json, _command, shown),
    "environment": Kind("Mapping[str, str]", _as_environment, _environment, lambda _: {}),
    "settings": Kind("StoredSettings", None, _settings, lambda _: {}),
    "path": Kind("str", _as_path, _path, lambda _: None),
    "texts": Kind("Sequence[str]", _as_texts, _texts, lambda _: ()),
    "flag": Kind("bool", bool, bool, bool),  # SQLite gives 0 and 1
    "content": Kind("bytes", None, _bytes, _any_bytes),
    "state": _word(State, State.DEAD),
    "outcome": _word(Outcome, Outcome.LOST),
    "worker state": _word(WorkerState, WorkerState.LOST),
    "waits for": _word(WaitsFor, WaitsFor.JOBS),
    "end": _word(On, On.SUCCESS),
    "slot kind": _word(SlotKind, SlotKind.RUN),
}
KINDS |= {f"list of {name}s": _list_of(kind) for name, kind in KINDS.items()}


def writer(kind: str) -> Callable[..., object]:
    """The function that writes values of that kind, where they are not written as they are."""
    write = KINDS[kind].write
    if write is None:
        raise ValueError(f"a {kind} is written as it is")
    return write
