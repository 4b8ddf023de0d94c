"""Results written: as one document, one object per line, tab-separated lines, ids, or a table for people."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TextIO

import click

from queuectl.domain.errors import reason_of
from queuectl.domain.formats import is_coloured
from queuectl.entrypoints.cli.failures import discard, say
from queuectl.presentation.formatting import LINES, escaped
from queuectl.presentation.tables import Grid
from queuectl.presentation.views import View


class Out(NamedTuple):
    """The stream of results, and their look. `format` is one of `FORMATS`, but never `auto`."""

    format: str
    colour: bool
    stream: TextIO

    @classmethod
    def chosen(cls, output: str, color: str, stream: TextIO, environ: Mapping[str, str] = os.environ) -> "Out":
        """The output that the settings ask for, which have been checked."""
        terminal = stream.isatty()
        format_ = ("table" if terminal else "plain") if output == "auto" else output
        return cls(format=format_, colour=is_coloured(color, environ, terminal=terminal), stream=stream)

    @property
    def is_json(self) -> bool:
        """True when a program reads it as JSON, one document or many."""
        return self.format in ("json", "jsonl")

    @property
    def is_table(self) -> bool:
        """True when a person reads it."""
        return self.format == "table"

    def write(
        self,
        view: View | Iterable[View],
        *,
        plain: Iterable[Sequence[object]] | None = None,
        table: Callable[[], Sequence[Grid | str]],
        ids: Iterable[str] | None = None,
    ) -> None:
        """Write one result in the chosen format; `plain` stands in for absent `ids`, and the other way round."""
        # What the stream cannot say is escaped in JSON itself; a stream's own escapes would not be JSON.
        plain_ascii = (self.stream.encoding or "utf-8").lower().replace("_", "-") not in ("utf-8", "utf8")
        match self.format:
            case "json":
                lines = _document(view, plain_ascii)
            case "jsonl":
                lines = (_json(each, plain_ascii) for each in ([view] if isinstance(view, Mapping) else view))
            case "table":
                return self._draw(table())
            case "id" if ids is not None:
                lines = map(escaped, ids)
            case _ if plain is None:
                lines = map(escaped, ids or ())
            case _:
                lines = (plain_line(row) for row in plain)
        self.stream.writelines(f"{line}\n" for line in lines)  # click's echo would flush each
        return None

    def done(
        self,
        view: View | Iterable[View],
        *,
        plain: Iterable[Sequence[object]] | None = None,
        said: Callable[[], Sequence[str]],
        ids: Iterable[str] | None = None,
    ) -> None:
        """Write what a command has done: `said` are the sentences for people.

        Raises no OSError. What cannot be written is said on stderr: a script that takes it for a failure would do it
        again.
        """
        try:
            self.write(view, plain=plain, table=said, ids=ids)
            self.stream.flush()
        except BrokenPipeError:
            discard(self.stream)
        except OSError as error:
            discard(self.stream)
            say(f"warning: the output cannot be written ({reason_of(error)}), but this was done:")
            for sentence in said():
                say(escaped(sentence, keep=LINES))

    def _draw(self, parts: Sequence[Grid | str]) -> None:
        if all(isinstance(part, str) for part in parts):
            for part in parts:
                click.echo(escaped(str(part), keep=LINES), file=self.stream)
            return
        from queuectl.entrypoints.cli.terminal import draw  # rich, which only a table needs

        draw(parts, self.stream, colour=self.colour)


def plain_line(cells: Sequence[object]) -> str:
    """The cells of one line, tab-separated; absent values are empty, and no cell can contain a tab or a line end."""
    return "\t".join(_cell(cell) for cell in cells)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case _:
            return escaped(str(value))


def _document(view: View | Iterable[View], plain_ascii: bool) -> Iterator[str]:
    if isinstance(view, Mapping):
        yield _json(view, plain_ascii, indent=2)
        return
    # One element at a time: a list of many jobs with their output need not be in memory as text at once.
    last = "["
    for each in view:
        yield last if last == "[" else f"{last},"
        last = ("  " + _json(each, plain_ascii, indent=2)).replace("\n", "\n  ")
    if last == "[":
        yield "[]"
    else:
        yield last
        yield "]"


def _json(view: View, plain_ascii: bool, indent: int | None = None) -> str:
    return json.dumps(view, indent=indent, ensure_ascii=plain_ascii, allow_nan=False)
