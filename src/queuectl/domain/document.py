"""The job document: what `enqueue` takes, checked as a whole so that all mistakes are named at once."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import Any, NamedTuple, cast

from queuectl.domain.dependency import BATCH, MAX_PARENTS
from queuectl.domain.duration import format_duration, parse_duration
from queuectl.domain.errors import InvalidJob, nearest
from queuectl.domain.job import ENDED, STARTED, Command, Dependency, JobRequest, On, OnDuplicate
from queuectl.domain.worker import labels_of

MAX_ARGUMENT = 131_071
"""Bytes that Linux takes in one argument of a program: MAX_ARG_STRLEN less the closing NUL (execve(2))."""

MAX_ARGUMENTS = 1_048_576
"""Bytes of all arguments together; well under a quarter of the usual 8 MiB stack, the kernel's limit (execve(2))."""

MAX_PATH = 4095
"""Bytes of a path that Linux takes: PATH_MAX less the closing NUL."""

MAX_INPUT = 65_536
"""Bytes that a command may be given on its standard input; what is longer belongs into a file."""

MAX_KEY = 200
"""Bytes of a key, or of a unique key."""

MAX_TAGS, MAX_TAG = 20, 64
"""Tags of a job, and bytes of each."""

JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
QUEUE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def decode(text: str | bytes) -> dict[str, object]:
    """The JSON object in `text`. Raises InvalidJob for anything else.

    Stricter than the json module: no NaN or Infinity, no key twice, no depth that exhausts the parser.
    """
    try:
        document = _DECODER.decode(text if isinstance(text, str) else text.decode())
    except RecursionError:
        raise InvalidJob(["the document is nested too deeply"]) from None
    except UnicodeDecodeError as error:
        raise InvalidJob(
            [f"the document is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}"]
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidJob([f"not valid JSON: {_located(error)}"], hint=QUOTING) from None
    except ValueError:  # int() takes no more than 4300 digits
        raise InvalidJob(["a number has too many digits"]) from None
    if not isinstance(document, dict):
        hint = A_LIST if isinstance(document, list) else QUOTING
        raise InvalidJob([f"a job is a JSON object, not {_kind(document)}"], hint=hint)
    return document


QUOTING = """put JSON in single quotes: '{"command": "echo hello"}'; or leave JSON out: -c 'echo hello'"""


A_LIST = "a list of jobs is made lines, which are taken as one batch: jq -c '.[]' FILE | queuectl enqueue -"


def parse_request(document: Mapping[str, object], *, local: tzinfo) -> JobRequest:
    """The request that a document makes. Raises InvalidJob with every mistake in it.

    `local` is the time zone of a `run_at` without an offset.
    """
    fields: dict[str, Any] = {}
    unknown, problems = [], []
    for key, value in document.items():
        read = _READERS.get(key)
        if read is None:
            unknown.append(_unknown_field(key))
            continue
        try:
            fields[key] = read(value)
        except ValueError as error:
            problems.append(f"{key} {error}")
    if "command" not in document:
        unknown.append("command is missing")
    if "run_at" in document and "delay" in document:
        unknown.append("run_at and delay exclude each other")
    unknown += _pointless(document)
    if "key_limit" in document and "key" not in document:
        unknown.append("key_limit needs a key: it is the number of jobs with that key that run at a time")
    if unknown or problems:
        raise InvalidJob(unknown + problems)
    if "run_at" in fields:
        fields["run_at"] = _in_utc(fields["run_at"], local)
    return cast("JobRequest", fields)


def _pointless(document: Mapping[str, object]) -> list[str]:
    """Fields that say something about a unique key, where there is none."""
    if "unique" in document:
        return []
    replaces = document.get("on_duplicate") == OnDuplicate.REPLACE
    said = (["unique_until"] if "unique_until" in document else []) + (["on_duplicate replace"] if replaces else [])
    return [f"{each} is about the unique key, and there is none: give unique too" for each in said]


def _command(value: object) -> Command:
    match value:
        case str():
            if not value.strip():
                raise ValueError("must not be empty")
            return _argument(value)
        case [str(program), *rest] if program and all(isinstance(part, str) for part in rest):
            command = tuple(_argument(str(part)) for part in value)
            if sum(len(_bytes(part)) + 1 for part in command) > MAX_ARGUMENTS:
                raise ValueError(f"must not be longer than {MAX_ARGUMENTS:,} bytes in all")
            return command
    raise ValueError(f"must be text, or a list of texts that starts with a program, not {_kind(value)}")


def _argument(value: str) -> str:
    size = len(_bytes(value))
    if size > MAX_ARGUMENT:
        raise ValueError(
            f"must not be longer than {MAX_ARGUMENT:,} bytes, the most that one argument can have: {size:,}"
        )
    return value


def _id(value: object) -> str:
    return _matching(value, JOB_ID, "1 to 128 letters, digits and ._:- that start with a letter or digit")


def _queue(value: object) -> str:
    return _matching(value, QUEUE, "1 to 64 letters, digits and ._-")


def _timeout(value: object) -> timedelta | None:
    if value is None or (isinstance(value, str) and value.strip().lower() == "none"):
        return None
    span = parse_duration(value)
    if not span:
        raise ValueError("must be longer than 0 seconds; for no limit say none")
    return span


def _moment(value: object) -> datetime:
    """An ISO 8601 date and time; the years are those in which a time zone cannot push it off the calendar."""
    if not isinstance(value, str):
        raise ValueError(f'must be text such as "2030-01-31T08:00:00Z", not {_kind(value)}')
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f'must be an ISO 8601 time such as "2030-01-31T08:00:00Z", not {_shown(value)}') from None
    if not 1970 < moment.year < 9999:
        raise ValueError("must be in a year from 1971 to 9998")
    return moment


def parse_moment(text: str, local: tzinfo) -> datetime:
    """The moment that a text says, in UTC. Raises ValueError, with words that fit after a name."""
    return _in_utc(_moment(text), local)


def _in_utc(moment: datetime, local: tzinfo) -> datetime:
    return (moment if moment.tzinfo else moment.replace(tzinfo=local)).astimezone(UTC)


def _env(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"must be an object of texts, not {_kind(value)}")
    for name, text in value.items():
        if not name or "=" in name:
            raise ValueError(f"has a name that no variable can have: {_shown(name)}")
        if not isinstance(text, str):
            raise ValueError(f"must be an object of texts: {_shown(name)} is {_kind(text)}")
        if len(_bytes(name)) + len(_bytes(text)) + 1 > MAX_ARGUMENT:
            raise ValueError(f"has a variable longer than {MAX_ARGUMENT:,} bytes: {_shown(name)}")
    return value


def _batch(value: object) -> str:
    return _matching(value, QUEUE, "1 to 64 letters, digits and ._-")


def _after(value: object) -> tuple[Dependency, ...]:
    """The parents, each once."""
    if not isinstance(value, list):
        raise ValueError(f'must be a list such as ["ID", {{"job": "ID", "on": "end"}}], not {_kind(value)}')
    after = tuple(dict.fromkeys(map(_dependency, value)))
    if len(after) > MAX_PARENTS:
        raise ValueError(f"must be at most {MAX_PARENTS} jobs, not {len(after):,}: a batch stands for any number")
    parents = Counter(it.parent for it in after)
    if twice := [parent for parent, count in parents.items() if count > 1]:
        raise ValueError(f"names {_shown(twice[0])} for two ends: give one of them")
    return after


def _dependency(value: object) -> Dependency:
    match value:
        case str():
            return Dependency(_parent_id(value))
        case {"job": job, **rest} if not rest.keys() - {"on"}:
            return Dependency(_parent_id(job), _on(rest.get("on", On.SUCCESS)))
        case {"batch": batch, **rest} if not rest.keys() - {"on"}:
            return Dependency(f"{BATCH}{_batch(batch)}", _on(rest.get("on", On.SUCCESS)))
    example = '"ID", {"job": "ID", "on": "end"} or {"batch": "NAME", "on": "end"}'
    raise ValueError(f"must have only {example}, not {_shown(json.dumps(value))}")


def _parent_id(value: object) -> str:
    if (job_id := _id(value)).startswith(BATCH):
        raise ValueError(f'must say a batch as {{"batch": "{job_id.removeprefix(BATCH)}"}}, not {_shown(job_id)}')
    return job_id


def _on(value: object) -> On:
    if value not in tuple(On):
        raise ValueError(f"must have success, end or failure as its on, not {_shown(json.dumps(value))}")
    return On(str(value))


def _cwd(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"must be an absolute path, not {_said(value)}")
    if len(_bytes(value)) > MAX_PATH:
        raise ValueError(f"must not be longer than {MAX_PATH:,} bytes")
    return value


def _unique(value: object) -> str | bool:
    if value is True:
        return True
    if not isinstance(value, str):
        raise ValueError(f"must be text, or true for the command itself, not {_kind(value)}")
    return _line(value, MAX_KEY)


def _unique_until(value: object) -> str:
    if value in (ENDED, STARTED):
        return str(value)
    try:
        span = parse_duration(value)
    except ValueError:
        raise ValueError(f'must be {ENDED}, {STARTED}, or a duration such as "1h", not {_said(value)}') from None
    if not span:
        raise ValueError("must be longer than 0 seconds")
    return format_duration(span)


def _on_duplicate(value: object) -> OnDuplicate:
    if not isinstance(value, str) or value not in list(OnDuplicate):
        raise ValueError(f"must be {', '.join(OnDuplicate)}, not {_said(value)}")
    return OnDuplicate(value)


def _key(value: object) -> str:
    return _line(value, MAX_KEY)


def _needs(value: object) -> tuple[str, ...]:
    return labels_of(_texts(value, 'of labels such as ["gpu", "zone=eu"]'))


def _tags(value: object) -> tuple[str, ...]:
    tags = tuple(dict.fromkeys(_line(tag, MAX_TAG) for tag in _texts(value, 'of texts such as ["nightly"]')))
    if len(tags) > MAX_TAGS:
        raise ValueError(f"must be at most {MAX_TAGS}, not {len(tags):,}")
    return tags


def _input(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {_kind(value)}")
    if (size := len(_utf8(value))) > MAX_INPUT:
        raise ValueError(f"must not be longer than {MAX_INPUT:,} bytes: {size:,}; a command can read more from a file")
    return value


def _texts(value: object, which: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"must be a list {which}, not {_kind(value)}" + " of others" * isinstance(value, list))
    return value


def _line(value: object, limit: int) -> str:
    """Text to name a thing by: short, and on one line."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {_kind(value)}")
    if not 1 <= (size := len(_utf8(value))) <= limit:
        raise ValueError(f"must have 1 to {limit} bytes, not {size:,}")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError(f"must not contain control characters: {_shown(value)}")
    return value


def _utf8(value: str) -> bytes:
    """The bytes of text that is no name of a file, and so has no bytes but those of UTF-8."""
    _bytes(value)
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"must be UTF-8: it has the byte {ord(value[error.start]) - 0xDC00:#04x}") from None


def _matching(value: object, pattern: re.Pattern[str], meaning: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"must be {meaning}, not {_said(value)}")
    return value


def _integer(low: int, high: int, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        is_short = isinstance(value, float) or (type(value) is int and abs(value) < 10**20)
        raise ValueError(f"must be an integer from {low} to {high}, not {value if is_short else _kind(value)}")
    return value


def _bytes(value: str) -> bytes:
    """The bytes that a program is given: UTF-8, and the raw bytes 0x80 to 0xFF for U+DC80 to U+DCFF (PEP 383)."""
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    try:
        return value.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        half = ascii(value[error.start])[1:-1]
        raise ValueError(
            f"must not contain {half}, which is half a character: write both \\u of its pair, or the character itself"
        ) from None


class Field(NamedTuple):
    """A field of the document, and the option of `enqueue` that stands for it."""

    read: Callable[[object], object]
    """Checks and reads the value. Raises ValueError, with words that fit after the field's name."""
    help: str
    metavar: str
    """The value in the help: `N`."""
    is_number: bool = False
    is_many: bool = False
    """The option may be given more than once."""
    option: str = ""
    """The option's name, if it is not the field's."""
    remark: str = ""
    """Words beside the field's name in the help."""


FIELDS: Mapping[str, Field] = {
    "id": Field(_id, "The job's id; else one is made.", "ID"),
    "command": Field(
        _command,
        "A command line for /bin/sh, quoted.",
        "COMMAND",
        is_many=True,
        remark="text for /bin/sh, or a list of texts",
    ),
    "queue": Field(_queue, "The queue it waits in; else default.", "QUEUE"),
    "priority": Field(partial(_integer, 1, 10), "1 (low) to 10 (high, runs first); else 5.", "N", is_number=True),
    "max_retries": Field(
        partial(_integer, 0, 1000), "Retries after the first attempt; else max-retries.", "N", is_number=True
    ),
    "timeout": Field(_timeout, "How long it may run: 90, 1h30m, or none; else default-timeout.", "DURATION"),
    "run_at": Field(_moment, "Not before this moment: ISO 8601; without an offset, local time.", "TIME"),
    "delay": Field(parse_duration, 'Not before this time has passed: "30s", "1h30m".', "DURATION"),
    "env": Field(_env, "A variable for the command; repeatable.", "NAME=VALUE", is_many=True),
    "cwd": Field(_cwd, "Where it runs; else the present directory.", "DIR"),
    "stdin": Field(_input, "What the command reads from its standard input: a text, or a file's.", "TEXT|@FILE"),
    "key": Field(_key, "Jobs with this key never run at the same time, whatever their queue.", "KEY"),
    "key_limit": Field(partial(_integer, 1, 100), "Jobs with its key that run at a time; else 1.", "N", is_number=True),
    "needs": Field(_needs, "A label that its worker must have: gpu, zone=eu; repeatable.", "LABEL", is_many=True),
    "tags": Field(_tags, "A word to find it by; repeatable.", "TAG", is_many=True, option="--tag"),
    "unique": Field(
        _unique,
        "A key that one job at a time holds: while another one has it, nothing is added.",
        "TEXT",
        remark="text, or true for the command itself",
    ),
    "unique_until": Field(
        _unique_until, "It holds the key until it has ended, which is usual, has started, or for so long.", "WHEN"
    ),
    "on_duplicate": Field(
        _on_duplicate,
        "Where the key is held: skip the new job, which is usual, replace one that has not run yet, or reject.",
        "RULE",
    ),
    "batch": Field(_batch, "The batch that it belongs to, which the first job of it makes.", "NAME"),
    "after": Field(
        _after,
        "Runs after that job has completed; repeatable.",
        "ID",
        is_many=True,
        remark="list of ids, or of objects with job or batch, and on: success, end, failure",
    ),
}
"""The one table of fields: `enqueue` declares its options by it."""

_READERS = {name: field.read for name, field in FIELDS.items()}


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) < len(pairs):
        twice = sorted(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise InvalidJob([f"the same key twice: {', '.join(_shown(key) for key in twice)}"])
    return document


def _refused_constant(name: str) -> object:
    raise InvalidJob([f"{name} is not a JSON number"])


# One for all: json.loads makes one for each document that it is to be strict with.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refused_constant)


MEANT = {
    **dict.fromkeys(("cmd", "args", "argv", "exec", "run", "script", "shell"), "command"),
    **dict.fromkeys(("name", "job_id"), "id"),
    **dict.fromkeys(("retries", "max_attempts", "attempts"), "max_retries"),
    **dict.fromkeys(("at", "when", "eta", "scheduled_at"), "run_at"),
    **dict.fromkeys(("unique_key", "job_key", "dedup_key", "deduplication_id", "singleton_key"), "unique"),
    **dict.fromkeys(("input",), "stdin"),
    **dict.fromkeys(("mutex", "lock", "concurrency_key"), "key"),
    **dict.fromkeys(("label", "labels", "requires", "host"), "needs"),
    **dict.fromkeys(("dir", "directory", "workdir", "working_dir"), "cwd"),
}
"""Words of other tools for a field, which are too unlike it to be found by likeness."""


def _unknown_field(key: str) -> str:
    near = MEANT.get(key.lower()) or nearest(key, FIELDS, likeness=0.6)
    hint = f": did you mean {near}?" if near else f"; the fields are {', '.join(FIELDS)}"
    return f"unknown field {_shown(key)}{hint}"


def _located(error: json.JSONDecodeError) -> str:
    where = f"character {error.pos + 1}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
    return f"{error.msg[:1].lower()}{error.msg[1:]} at {where}"


def _shown(text: str) -> str:
    """A user's text inside a message: quoted, on one line, never long."""
    return json.dumps(text if len(text) <= 60 else text[:59] + "…", ensure_ascii=not text.isprintable())


def _said(value: object) -> str:
    return _shown(value) if isinstance(value, str) else _kind(value)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"
