"""The queue's policy: settings that all hosts must agree on, so they live in the database.

`SETTINGS` is the one table of keys; each knows its range, its default and what it means.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple

from queuectl.domain.duration import format_duration, parse_duration
from queuectl.domain.errors import InvalidSetting, nearest
from queuectl.domain.retry import Backoff

StoredSettings = Mapping[str, Mapping[str, str]]
"""The stored texts by queue, `""` for all of them, and by key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings in force. Built from stored texts by `Policy.of`; what is not stored has its default."""

    max_retries: int
    backoff: Backoff
    default_timeout: timedelta | None
    output_limit: int
    max_losses: int
    lease: timedelta
    kill_grace: timedelta

    @classmethod
    def of(cls, stored: Mapping[str, str]) -> "Policy":
        """The policy that the stored texts (key to text, as `Setting.normal` wrote them) say.

        Another text, which no queuectl of this version has written, counts as none: see `unreadable_settings`.
        """
        return _policy(frozenset(stored.items()))

    @classmethod
    def of_queue(cls, queue: str, stored: StoredSettings) -> "Policy":
        """The policy of one queue: its own settings win over those of all queues."""
        return cls.of({**stored.get("", {}), **stored.get(queue, {})})


def unreadable_settings(stored: Mapping[str, str]) -> Mapping[str, str]:
    """The stored texts that count as none: by key, each with the reason."""
    return {key: problem for key, text in stored.items() if (problem := _problem(key, text))}


def _problem(key: str, text: str) -> str:
    if key not in SETTINGS:  # a newer version's
        return ""
    try:
        SETTINGS[key].normal(text)
    except (ValueError, AttributeError, TypeError) as error:
        said = str(error) if isinstance(error, ValueError) else "is no text"
        return f"the stored {key} {said}, not {text!a:.80}: the default {SETTINGS[key].default} is used"
    return ""


@functools.lru_cache(maxsize=256)  # a worker reads it with each claim, and it hardly ever changes
def _policy(stored: frozenset[tuple[str, str]]) -> Policy:
    texts = {key: setting.default for key, setting in SETTINGS.items()}
    texts |= {key: text for key, text in stored if not _problem(key, text)}
    return Policy(
        max_retries=int(texts["max-retries"]),
        backoff=Backoff(
            base=float(texts["backoff-base"]),
            ceiling=parse_duration(texts["backoff-max"]),
            jitter=float(texts["backoff-jitter"]),
        ),
        default_timeout=None if texts["default-timeout"] == NONE else parse_duration(texts["default-timeout"]),
        output_limit=int(texts["output-limit"]),
        max_losses=int(texts["max-losses"]),
        lease=parse_duration(texts["lease"]),
        kill_grace=parse_duration(texts["kill-grace"]),
    )


NONE = "none"
"""The text of a duration that is switched off."""


class Setting(NamedTuple):
    """One key of the policy. `normal` turns a user's text into the stored one, or raises ValueError saying why not.

    `for_all` says why it holds for all queues; empty: a queue may have its own.
    """

    default: str
    range: str
    meaning: str
    normal: Callable[[str], str]
    for_all: str = ""


NO_SETTINGS: Mapping[str, Setting] = MappingProxyType({})


def setting(key: str, others: Mapping[str, Setting] = NO_SETTINGS) -> Setting:
    """The setting of that key, or one of the others. Raises InvalidSetting, naming the key that was probably meant."""
    known = {**others, **SETTINGS}
    try:
        return known[key]
    except KeyError:
        near = nearest(key.lower().replace("_", "-"), known)
        hint = f"did you mean {near}?" if near else f"the keys are {', '.join(known)}"
        raise InvalidSetting(f"there is no setting {key}", hint=hint) from None


def setting_of(key: str, queue: str, others: Mapping[str, Setting] = NO_SETTINGS) -> Setting:
    """The same, of a queue (`""`: of all). Raises InvalidSetting for one that holds for all queues, with the reason."""
    chosen = setting(key, others)
    if queue and chosen.for_all:
        hint = f"`queuectl config set {key} VALUE` sets it for all"
        raise InvalidSetting(f"{key} holds for all queues: {chosen.for_all}", hint=hint)
    return chosen


def checked(key: str, value: str, queue: str = "", others: Mapping[str, Setting] = NO_SETTINGS) -> str:
    """The text to store for `key`, of a queue or of all. Raises InvalidSetting when key or value do not fit."""
    chosen = setting_of(key, queue, others)
    try:
        return chosen.normal(value.strip())
    except ValueError as error:
        raise InvalidSetting(f"{key} {error}, not {value!r}", hint=f"{key}: {chosen.meaning}") from None


def _integer(low: int, high: int, *, default: str, meaning: str) -> Setting:
    def normal(value: str) -> str:
        if not (value.isascii() and value.isdigit() and len(value) <= 20 and low <= int(value) <= high):
            raise ValueError(f"must be an integer from {low} to {high}")
        return str(int(value))

    return Setting(default, f"{low}-{high}", meaning, normal)


def _number(low: float, high: float, *, default: str, meaning: str) -> Setting:
    def normal(value: str) -> str:
        try:
            number = float(value) if value.isascii() and "_" not in value else math.nan
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return f"{number + 0:.15g}"  # + 0: no "-0"

    return Setting(default, f"{low:g}-{high:g}", meaning, normal)


def _duration(low: str, high: str, *, default: str, meaning: str, for_all: str = "") -> Setting:
    """One whose default is `none` can be switched off."""
    or_none = f", or {NONE}" if default == NONE else ""

    def normal(value: str) -> str:
        if or_none and value.lower() in (NONE, "null"):
            return NONE
        span = parse_duration(value)
        if not parse_duration(low) <= span <= parse_duration(high):
            raise ValueError(f"must be a duration from {low} to {high}{or_none}")
        return format_duration(span)

    return Setting(default, f"{low}-{high}{or_none}", meaning, normal, for_all)


SETTINGS: Mapping[str, Setting] = {
    "max-retries": _integer(
        0, 1000, default="3", meaning="retries after the first attempt, for jobs that do not say; taken at enqueue"
    ),
    "backoff-base": _number(
        1, 1000, default="2", meaning="the wait after the n-th failure is this to the power of n, in seconds"
    ),
    "backoff-max": _duration("0s", "365d", default="1h", meaning="the longest wait between two attempts"),
    "backoff-jitter": _number(
        0, 1, default="0", meaning="stretches each wait by a random part of this fraction, so that retries spread out"
    ),
    "default-timeout": _duration(
        "1ms", "365d", default=NONE, meaning="how long a command may run, for jobs that do not say; taken at enqueue"
    ),
    "output-limit": _integer(
        0,
        64 * 1024 * 1024,
        default="1048576",
        meaning="bytes of output kept of each attempt: the head and the tail of what is more",
    ),
    "max-losses": _integer(
        1, 1000, default="3", meaning="how often a job that runs alone may lose its worker before it is dead"
    ),
    "lease": _duration(
        "2s",
        "1h",
        default="30s",
        meaning="how long a worker that falls silent keeps its jobs",
        for_all="a worker has one lease, whatever its jobs",
    ),
    "kill-grace": _duration(
        "0s",
        "1h",
        default="5s",
        meaning="the time between SIGTERM and SIGKILL when a command is stopped",
        for_all="a worker that is stopped waits once for all of its commands",
    ),
}
