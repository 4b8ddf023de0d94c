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
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from queuectl.domain.attempt import Outcome
from queuectl.domain.job import State
from queuectl.domain.ports.storage import Grade
from queuectl.presentation.formatting import LINES, Mark, escaped
from queuectl.presentation.tables import Grid

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
"""The colour of each mark that has one."""

PIPE_WIDTH = 160
"""Columns of a table that is not written to a terminal, unless COLUMNS says otherwise."""

GAP, INDENT = 2, 2
NARROWEST = 10
"""An elastic column is never narrower: rather than that, the terminal may wrap the line."""


def draw(parts: Sequence[Grid | str], stream: TextIO, *, colour: bool) -> None:
    """Draw tables and paragraphs one below the other; what would move the cursor in them is made visible."""
    width = shutil.get_terminal_size((PIPE_WIDTH, 0)).columns
    for part in parts:
        if isinstance(part, Grid):
            _draw(_safe(part), stream, width, colour=colour)
        else:  # past rich, which would wrap and pad lines that a user may want to copy
            stream.write(f"{escaped(part, keep=LINES)}\n")


def _safe(grid: Grid) -> Grid:
    """A cell can hold any text of a row, whoever has written that."""
    rows = [
        [cell if cell.isprintable() else type(cell)(escaped(cell, keep=LINES)) for cell in row] for row in grid.rows
    ]
    return grid._replace(rows=rows, below=[escaped(text, keep=LINES) for text in grid.below])


def spinner(text: str) -> AbstractContextManager[object]:
    """A spinner on stderr while the body runs."""
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
    console = _Drawing(
        file=stream,
        width=max(width, sum(widths) + GAP * (len(widths) - 1)),
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
    )
    if not grid.below:
        console.print(_table(grid, grid.rows, widths, header=grid.header))
    for number, (row, text) in enumerate(zip(grid.rows, grid.below, strict=False)):
        console.print(_table(grid, [row], widths, header=grid.header and number == 0))
        console.print(Padding(Text(text, style="dim"), (0, 0, 0, INDENT), expand=False))


def _table(grid: Grid, rows: Sequence[Sequence[str]], widths: Sequence[int], *, header: bool) -> Table:
    table = Table(box=None, show_header=header, header_style="bold", padding=(0, GAP, 0, 0), pad_edge=False)
    for name, column in zip(grid.columns, widths, strict=True):
        table.add_column(Text(name), width=column, no_wrap=not grid.wrap, overflow="fold" if grid.wrap else "ellipsis")
    for row in rows:
        table.add_row(*(_styled(cell) for cell in row))
    return table


def _styled(cell: str) -> Text:
    return Text(str(cell), style=STYLES.get(cell, "") if isinstance(cell, Mark) else "")


def _widths(grid: Grid, width: int) -> list[int]:
    """As wide as the widest cell, but for the elastic columns, the last ones: they share what is left of the line.

    When they are wrapped, no word is broken as long as the longest words of all of them fit beside each other.
    """
    columns = list(zip(grid.columns, *grid.rows, strict=True))
    natural = [max(cell_len(cell) for cell in column) for column in columns]
    fixed, elastic = natural[: -grid.elastic], natural[-grid.elastic :]
    left = width - sum(fixed) - GAP * (len(natural) - 1)
    narrowest = [min(size, NARROWEST) for size in elastic]
    words = [_longest_word(column) for column in columns[-grid.elastic :]]
    shares = words if grid.wrap and sum(words) <= left else narrowest
    wants = [size - share for size, share in zip(elastic, shares, strict=True)]
    left -= sum(shares)
    for done, column in enumerate(sorted(range(len(wants)), key=wants.__getitem__)):
        given = min(wants[column], max(0, left) // (len(wants) - done))
        shares[column] += given
        left -= given
    return fixed + shares


def _longest_word(cells: Sequence[str]) -> int:
    return max((cell_len(word) for cell in cells for word in cell.split()), default=0)
