"""Classes of commands and of their parameters.

Each command takes the global options. The program imports the module of a group when one of its commands is called.
"""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from datetime import timedelta

import click

from queuectl.domain.duration import parse_duration
from queuectl.domain.errors import nearest
from queuectl.domain.formats import COLORS, FORMATS
from queuectl.entrypoints.cli.app import App
from queuectl.entrypoints.cli.failures import WrongUsage
from queuectl.entrypoints.cli.foreign_words import command_for, hint_for_argument, option_for


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and param.name:
        ctx.ensure_object(App).flags[param.name] = value


def _global(name: str, help_: str, values: Sequence[str] = ()) -> click.Option:
    kind = click.Choice(values) if values else None
    metavar = None if values else "URL"
    return click.Option([name], type=kind, metavar=metavar, expose_value=False, callback=_remember, help=help_)


GLOBAL_OPTIONS: list[click.Parameter] = [
    _global(
        "--database-url",
        "The queue: sqlite:///PATH or postgresql://… [QUEUECTL_DATABASE_URL, which keeps a password out of `ps`]",
    ),
    _global(
        "--output", "auto is a table on a terminal and plain (tab-separated) in a pipe. [QUEUECTL_OUTPUT]", FORMATS
    ),
    _global("--color", "When to colour. [QUEUECTL_COLOR, NO_COLOR, FORCE_COLOR]", COLORS),
]


class Whole(click.ParamType[int]):
    """A whole number on the command line, from `least` to `most`."""

    name = "number"

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or a usage error."""
        try:
            number = int(str(value))
        except ValueError:  # also of thousands of digits
            number = self._least - 1
        if not self._least <= number <= self._most:
            self.fail(f"must be a whole number from {self._least:,} to {self._most:,}, not '{value}'", param, ctx)
        return number


class Duration(click.ParamType[timedelta]):
    """A duration on the command line: `90`, `"1h30m"`; longer than zero unless `zero` says that it may be that."""

    name = "duration"

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The span that the text says, or a usage error."""
        try:
            span = value if isinstance(value, timedelta) else parse_duration(value)
        except ValueError as error:
            self.fail(f"{error}, not '{value}'", param, ctx)
        if not (span or self._zero):
            self.fail("must be longer than 0 seconds", param, ctx)
        return span


class QueueName(click.ParamType[str]):
    """The name of a queue on the command line."""

    name = "queue"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, or a usage error for what cannot be one."""
        from queuectl.domain.document import QUEUE  # the command's entry: its help needs no documents

        if not QUEUE.fullmatch(str(value)):
            self.fail(f"a queue is 1 to 64 letters, digits and ._-, not '{value}'", param, ctx)
        return str(value)


class Command(click.Command):
    """A command that takes the global options too, so that they may stand before or after its name."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own parameters, then the global ones."""
        return super().get_params(ctx) + GLOBAL_OPTIONS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; what the command does not take is a usage error that knows what was probably meant."""
        ctx.allow_extra_args = True  # click would refuse them without a hint
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise self.wrong_option(ctx, error) from None
        if rest and not isinstance(self, click.Group) and not ctx.resilient_parsing:
            raise _too_many(ctx, rest)
        return rest

    def wrong_option(self, ctx: click.Context, error: click.NoSuchOption) -> click.UsageError:
        """The usage error for an option that the command does not have."""
        meant = self.meant_by(ctx, error.option_name)
        said = f"no such option '{error.option_name}'" + (f": did you mean '{meant}'?" if meant else "")
        return click.UsageError(said, ctx)

    def meant_by(self, ctx: click.Context, option: str) -> str | None:
        """The option of ours that somebody meant by one that the command does not have."""
        known = [name for param in self.get_params(ctx) if isinstance(param, click.Option) for name in param.opts]
        return option_for(option, path_of(ctx), known)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """The help, its paragraphs filled; but those with indented lines, the examples, are kept as they are."""
        paragraphs = inspect.cleandoc(self.help or "").split("\n\n")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text("\n\n".join(f"\b\n{text}" if "\n  " in text else text for text in paragraphs))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help of its own options; the global ones stand once, in the help of the program."""
        own = [param for param in super().get_params(ctx) if isinstance(param, click.Option)]
        write_options(ctx, formatter, "Options", own)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        if ctx.parent is None:
            write_options(ctx, formatter, "Global options", GLOBAL_OPTIONS)
        else:
            formatter.write_paragraph()
            formatter.write_text("Global options, such as --output json: queuectl help global-options")


class Group(Command, click.Group):
    """A group of such commands.

    `lazy` has by name what is imported when it is called: its module and name, and its line of help.
    """

    command_class = Command
    lazy: Mapping[str, tuple[str, str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """The names, in the order of their definition."""
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported if need be."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, name = self.lazy[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f"{__package__}.{module}"), name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name, or a usage error that knows what was probably meant."""
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            raise self.wrong_command(ctx, name)
        return super().resolve_command(ctx, args)

    def wrong_command(self, ctx: click.Context, name: str) -> click.UsageError:
        """The usage error for a command that the group does not have."""
        said, group = f"no such command '{name}'", path_of(ctx)
        if meant := command_for(name, group):
            command, does = meant
            return WrongUsage(f"{said}: did you mean '{command}'?", hint=f"`queuectl {command}` {does}", ctx=ctx)
        known = self.list_commands(ctx)
        begun = [command for command in known if command.startswith(name)]
        if near := begun[0] if len(begun) == 1 else nearest(name, known, likeness=0.65):
            said += f": did you mean '{group} {near}'?" if group else f": did you mean '{near}'?"
        return click.UsageError(said, ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """The list of commands, without importing one of them for it."""
        lines = [(name, line) for name, (_, line) in self.lazy.items() if line]
        lines += [(name, command.get_short_help_str(formatter.width)) for name, command in self.commands.items()]
        if not lines:
            return
        with formatter.section("Commands"):
            formatter.write_dl(lines)


def _too_many(ctx: click.Context, arguments: Sequence[str]) -> click.UsageError:
    """The usage error for arguments that the command does not take."""
    said = f"unexpected argument{'s'[: len(arguments) - 1]} '{' '.join(arguments)}'"
    hint = hint_for_argument(arguments[0], path_of(ctx))
    return WrongUsage(said, hint=hint, ctx=ctx) if hint else click.UsageError(said, ctx)


def path_of(ctx: click.Context) -> str:
    """The command's name without the program's: `worker start`; empty for the program itself."""
    return ctx.command_path.partition(" ")[2]


def write_options(
    ctx: click.Context, formatter: click.HelpFormatter, title: str, params: Sequence[click.Parameter]
) -> None:
    """Write a section with the help of these options, if there is any."""
    records = [record for param in params if (record := param.get_help_record(ctx))]
    if records:
        with formatter.section(title):
            formatter.write_dl(records)
