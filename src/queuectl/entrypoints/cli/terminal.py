"""Draws tables on a terminal with rich: the only module that imports it, late, and never for its markup."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from queuectl.domain.findings import Grade
from queuectl.domain.outcome import Outcome
from queuectl.domain.state import State
from queuectl.entrypoints.cli.tables import Grid

STYLES: Mapping[str, str] = {
    State.PENDING: "cyan",
    State.PROCESSING: "blue",
    State.COMPLETED: "green",
    State.FAILED: "yellow",
    State.DEAD: "red",
    State.CANCELLED: "bright_black",
    Outcome.SUCCEEDED: "green",
    Outcome.TIMEOUT: "yellow",
    Outcome.LOST: "magenta",
    Outcome.RELEASED: "cyan",
    Grade.OK: "green",
    Grade.WARN: "yellow",
    Grade.FAIL: "red",
    "running": "green",
    "stopping": "yellow",
}
"""The colour of each word that has one."""

PIPE_WIDTH = 160
"""Columns of a table that is not written to a terminal, unless COLUMNS says otherwise."""

WORDS = {"STATE", "OUTCOME", "JOBS", "ATTEMPTS", ""}
"""The columns in which a state's or outcome's name is that, and not a user's own word: these are coloured."""

GAP = 2
NARROWEST = 10
"""An elastic column is never narrower: rather than that, the terminal may wrap the line."""


def draw(parts: Sequence[Grid | str], stream: TextIO, *, colour: bool) -> None:
    """Draw tables and paragraphs one below the other. Texts are taken as they are: they must be escaped already."""
    width = shutil.get_terminal_size((PIPE_WIDTH, 0)).columns
    for part in parts:
        if isinstance(part, Grid):
            _draw(part, stream, width, colour=colour)
        else:
            stream.write(f"{part}\n")  # past rich, which would wrap and pad lines that a user may want to copy


def spinner(text: str) -> AbstractContextManager[object]:
    """Something that moves on stderr while the body runs."""
    return Console(stderr=True, highlight=False).status(Text(f"{text} …"))


@contextmanager
def progress_bar(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while the body runs, gone afterwards; the body calls what it is given with each step's size."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(escape(text), total=total)
        yield lambda steps: progress.advance(task, steps)


class _Drawing(Console):
    """A console that leaves it to the program what a closed pipe means; its own would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Raise what rich has caught."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _draw(grid: Grid, stream: TextIO, width: int, *, colour: bool) -> None:
    widths = _widths(grid, width)
    table = Table(box=None, show_header=grid.header, header_style="bold", padding=(0, GAP, 0, 0), pad_edge=False)
    for name, column in zip(grid.columns, widths, strict=True):
        table.add_column(Text(name), width=column, no_wrap=not grid.wrap, overflow="fold" if grid.wrap else "ellipsis")
    for row in grid.rows:
        table.add_row(*(_styled(name, cell) for name, cell in zip(grid.columns, row, strict=True)))
    _Drawing(
        file=stream,
        width=sum(widths) + GAP * (len(widths) - 1),
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
    ).print(table)


def _styled(column: str, cell: str) -> Text:
    return Text(cell, style=STYLES.get(cell, "") if column in WORDS else "")


def _widths(grid: Grid, width: int) -> list[int]:
    """As wide as the widest cell, but for the elastic columns, the last ones: they share what is left of the line."""
    natural = [max(cell_len(cell) for cell in column) for column in zip(grid.columns, *grid.rows, strict=True)]
    left = width - sum(natural[: -grid.elastic]) - GAP * (len(natural) - 1)
    shares = {}
    for rest, (size, place) in enumerate(sorted((size, place) for place, size in enumerate(natural[-grid.elastic :]))):
        shares[place] = min(size, max(NARROWEST, left // (grid.elastic - rest)))
        left -= shares[place]
    return natural[: -grid.elastic] + [shares[place] for place in sorted(shares)]
