"""Durations as people write them: `90`, `1.5`, `"5m"`, `"1h30m"`, `"250ms"`."""

import re
from datetime import timedelta

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
MAX_DURATION = timedelta(days=3650)
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_PART = re.compile(rf"({_NUMBER})(ms|[smhdw])")
_WHOLE = re.compile(rf"(?:{_NUMBER}(?:ms|[smhdw]))+")


def parse_duration(value: object) -> timedelta:
    """The span that `value` says: a number of seconds, or text such as `"1h30m"`; zero to ten years.

    Raises ValueError, with a message that fits after a field's name, for everything else (booleans, NaN, negative).
    """
    seconds = _seconds(value)
    if not 0 <= seconds <= MAX_DURATION.total_seconds():  # NaN fails this comparison too
        raise ValueError("must be between 0 seconds and 3650 days")
    return timedelta(seconds=seconds)


def format_duration(span: timedelta) -> str:
    """The shortest text that `parse_duration` turns back into `span`: `5m`, `1h30m`, `2.5s`, `0s`."""
    seconds, parts = span.total_seconds(), []
    for unit in ("d", "h", "m"):
        count, seconds = divmod(seconds, UNITS[unit])
        if count:
            parts.append(f"{int(count)}{unit}")
    if seconds or not parts:
        parts.append(f"{round(seconds, 6):f}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)


def _seconds(value: object) -> float:
    match value:
        case bool():
            pass
        case int() | float():
            try:
                return float(value)
            except OverflowError:
                return float("inf")
        case str() if re.fullmatch(_NUMBER, value.strip()):
            return float(value)
        case str() if _WHOLE.fullmatch(value.strip()):
            return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(value))
    raise ValueError('must be seconds or a duration such as "30s", "5m" or "1h30m"')
