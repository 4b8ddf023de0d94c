"""Values as people read them: text made safe to print, commands, moments and spans."""

import shlex
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.domain.job import Command

LINES = "\n\t"
"""Characters that `escaped` keeps in a paragraph."""

DLQ_EMPTY = "the dead letter queue is empty"


class Mark(str):
    """The name of a state, an outcome or a grade, which has a colour; the same word of a user's own has none."""

    __slots__ = ()


def escaped(text: str, *, keep: str = "") -> str:
    r"""The text with what would not print as itself made visible, except characters to `keep`.

    ESC is `\x1b`; a byte that is no UTF-8, which Python escapes by U+DC80 to U+DCFF (PEP 383), is itself: `\xe9`.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _visible(character) for character in text
    )


def _visible(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return ascii(character)[1:-1]


def shown_command(command: "Command") -> str:
    """The command on one line; a list of arguments quoted as a shell would need it."""
    return escaped(command if isinstance(command, str) else shlex.join(command))


def shown_output(content: bytes) -> str:
    """The output of a command, its lines kept, everything else that could move the cursor made visible."""
    return escaped(content.decode(errors="replace").replace("\r\n", "\n"), keep=LINES)


def local_time(moment: datetime) -> str:
    """The moment in the local time zone, to the second."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def relative(moment: datetime, now: datetime) -> str:
    """The moment as seen from `now`, in two units: `in 1 h 30 min`, `now`, `3 min 20 s ago`."""
    ahead = moment - now
    if abs(ahead) < timedelta(seconds=1):
        return "now"
    return f"in {_rough(ahead)}" if ahead > timedelta() else f"{_rough(-ahead)} ago"


def local_moment(moment: datetime) -> str:
    """The moment in the local time zone, with the zone's name or offset: `2030-01-31 13:00:00 CET`."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def span(length: timedelta) -> str:
    """A length of time with about three digits: `350 ms`, `4.25 s`, `3 min 20 s`, `2 d 5 h`."""
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    for name, size, part, part_size in (("min", 60, "s", 1), ("h", 3600, "min", 60), ("d", 86400, "h", 3600)):
        if seconds < size * (24 if name == "h" else 60) or name == "d":
            whole, rest = divmod(int(seconds), size)
            return f"{whole:,} {name}" + (f" {rest // part_size} {part}" if rest >= part_size else "")
    raise AssertionError(seconds)


def counted(number: int, noun: str) -> str:
    """`1 job`, `2,000 jobs`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _rough(length: timedelta) -> str:
    return f"{length.seconds} s" if length < timedelta(minutes=1) else span(length)
