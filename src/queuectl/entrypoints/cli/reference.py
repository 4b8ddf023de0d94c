"""Makes docs/reference.md of the commands and of the words in docs/reference.in.md: `make reference`.

There, a line `{{queuectl list}}` stands for what the command itself says.
"""

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import click

from queuectl.domain import errors
from queuectl.domain.errors import QueueError
from queuectl.domain.exit_codes import EXIT_CODES, FAILED, USAGE, exit_code_of
from queuectl.domain.policy import SETTINGS
from queuectl.entrypoints.cli.commands import GLOBAL_OPTIONS, Group
from queuectl.entrypoints.cli.help import SEVERAL
from queuectl.entrypoints.cli.program import program
from queuectl.presentation.columns import (
    ATTEMPT,
    BATCH,
    FINDING,
    JOB,
    METRICS,
    QUEUE,
    SETTING,
    TOTALS,
    WORKER,
    Result,
)
from queuectl.settings import LOCAL

Row = TypeVar("Row")

WIDTH = 120


def reference(page: str) -> str:
    """The page in Markdown, its lines `{{…}}` replaced. Raises ValueError unless it has a line for every part."""
    parts = _parts()
    named = re.findall(r"^{{(.+)}}$", page, re.MULTILINE)
    if wrong := parts.keys() ^ named:
        raise ValueError(f"docs/reference.in.md has a line too few, or too many: {', '.join(sorted(wrong))}")
    return re.sub(r"^{{(.+)}}$", lambda line: parts[line[1]], page, flags=re.MULTILINE)


def _parts() -> Mapping[str, str]:
    """The parts of the page that the program says itself, by name."""
    # A command keeps the names of the help option from the first context that it meets.
    ctx = click.Context(program, info_name="queuectl", **program.context_settings)
    local = ((key, ", ".join(f"`{name}`" for name in it.winners), it) for key, it in LOCAL.items())
    return {
        "global options": _options(ctx, GLOBAL_OPTIONS),
        "completion": _filled(program.epilog or ""),
        **dict(_commands(ctx)),
        "settings of the queue": _table(
            ("key", "default", "range", "means"),
            [(f"`{key}`", f"`{it.default}`", it.range, it.meaning) for key, it in SETTINGS.items()],
        ),
        "local settings": _table(
            ("key", "flag, variable", "range", "means"),
            [(f"`{key}`", winners, it.range, it.meaning) for key, winners, it in local],
        ),
        "keys of a job": _keys(JOB),
        "keys of a batch": _keys(BATCH),
        "keys of an attempt": _keys(ATTEMPT),
        "keys of a worker": _keys(WORKER),
        "keys of a queue": _keys(QUEUE),
        "keys of metrics": _keys(METRICS),
        "keys of totals": _keys(TOTALS),
        "keys of a setting": _keys(SETTING),
        "keys of a finding": _keys(FINDING),
        "exit codes": _exit_codes(),
        "several": _filled(SEVERAL),
    }


def _commands(ctx: click.Context) -> Iterator[tuple[str, str]]:
    """The section of each command of a group, and of those of the groups in it; an alias is named, not repeated."""
    group, names = ctx.command, dict[int, list[str]]()
    if not isinstance(group, Group):
        return
    commands = {name: command for name in group.list_commands(ctx) if (command := group.get_command(ctx, name))}
    for name, command in commands.items():
        names.setdefault(id(command), []).append(name)
    for name, *aliases in names.values():
        below = click.Context(commands[name], info_name=name, parent=ctx)
        section = _command(below, [f"{ctx.command_path} {alias}" for alias in aliases])
        yield below.command_path, "\n\n".join(filter(None, section))
        yield from _commands(below)


def _command(ctx: click.Context, aliases: Sequence[str]) -> Iterator[str]:
    command = ctx.command
    yield f"### {ctx.command_path}"
    yield f"```\n{' '.join([ctx.command_path, *command.collect_usage_pieces(ctx)])}\n```"
    if aliases:
        yield f"Also: {', '.join(f'`{alias}`' for alias in aliases)}."
    yield from _paragraphs(inspect.cleandoc(command.help or ""))
    yield _options(ctx, [param for param in command.params if isinstance(param, click.Option)])


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs, filled; those with indented lines are examples."""
    for paragraph in text.split("\n\n"):
        first, _, rest = paragraph.partition("\n")
        if rest.startswith("  "):
            yield f"{first}\n\n```sh\n{textwrap.dedent(rest)}\n```"
        else:
            yield _filled(paragraph)


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def _options(ctx: click.Context, options: Sequence[click.Parameter]) -> str:
    records = [record for option in options if (record := option.get_help_record(ctx))]
    return _table(("option", "means"), [(f"`{flags}`", " ".join(means.split())) for flags, means in records])


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, or nothing where it has no rows."""
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def _keys(result: Result[Row]) -> str:
    return _filled(", ".join(f"`{column.key}`" for column in result.columns if not column.for_people) + ".")


def _exit_codes() -> str:
    codes: dict[int, dict[str, None]] = {USAGE: {"usage": None}, FAILED: {"failed": None}}
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, QueueError):
            codes.setdefault(exit_code_of(kind), {})[kind.code] = None
    rows = [
        (str(row.code), " ".join(row.meaning.split()), ", ".join(f"`{code}`" for code in codes.get(row.code, ())))
        for row in EXIT_CODES
    ]
    return _table(("exit code", "means", "code in JSON"), rows)


if __name__ == "__main__":
    page, made = map(Path, sys.argv[1:])
    made.write_text(reference(page.read_text()))
