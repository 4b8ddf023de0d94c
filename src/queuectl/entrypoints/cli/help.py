"""`queuectl help`: the help of a command, or of what concerns all commands."""

from collections.abc import Sequence

import click

from queuectl.domain.exit_codes import EXIT_CODES
from queuectl.entrypoints.cli.commands import GLOBAL_OPTIONS, Command, Group, write_options
from queuectl.entrypoints.cli.failures import WrongUsage

GLOBAL_OPTIONS_TOPIC = "global-options"

SEVERAL = """A command that does several things does each that it can; its exit code is that
of the first failure. When something was done but could not be told (a full
disk, a closed pipe), the exit code is still 0, and stderr says what was done.
"""

TOPICS = (GLOBAL_OPTIONS_TOPIC, "exit-codes")


def _begun(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Sequence[str]:
    """The commands, after a group its own, and the topics that begin so, for completion in a shell."""
    root = ctx.find_root()
    words: Sequence[str] = ctx.params.get("words") or ()
    group: click.Command | None = root.command
    for word in words:
        group = group.get_command(root, word) if isinstance(group, Group) else None
    known = group.list_commands(root) if isinstance(group, Group) else []
    return [name for name in (*known, *(() if words else TOPICS)) if name.startswith(incomplete)]


@click.command("help", cls=Command)
@click.argument("words", metavar="[COMMAND | TOPIC]", nargs=-1, shell_complete=_begun)
@click.pass_context
def help_(ctx: click.Context, words: Sequence[str]) -> None:
    """Show the help of a command, or of a topic: global-options, exit-codes.

    Examples:
      queuectl help enqueue
      queuectl help worker start
      queuectl help global-options
    """
    root = ctx.find_root()
    if (topic := _topic_of(words)) in TOPICS:
        click.echo(_topic(root, topic), nl=False)
    else:
        click.echo(_help_of(root, words))


def _topic_of(words: Sequence[str]) -> str:
    """The topic that the words name: also `exit codes`, and the singular."""
    topic = "-".join(words)
    return f"{topic}s" if f"{topic}s" in TOPICS else topic


def _help_of(root: click.Context, words: Sequence[str]) -> str:
    """The help of the command with that name. Raises UsageError."""
    ctx = root
    for word in words:
        group = ctx.command
        if not isinstance(group, Group):
            raise WrongUsage(f"`{ctx.command_path}` has no commands", hint=f"`queuectl help {' '.join(words[:1])}`")
        command = group.get_command(ctx, word)
        if command is None:
            raise group.wrong_command(ctx, word)
        ctx = click.Context(command, info_name=word, parent=ctx)
    return ctx.get_help()


def _topic(root: click.Context, topic: str) -> str:
    if topic != GLOBAL_OPTIONS_TOPIC:
        return _exit_codes()
    formatter = root.make_formatter()
    formatter.write_text("Every command takes these options, before or after its name.")
    write_options(root, formatter, "Global options", GLOBAL_OPTIONS)
    formatter.write_paragraph()
    formatter.write_text("A flag wins over a variable, a variable over the config file: queuectl config show")
    return formatter.getvalue()


def _exit_codes() -> str:
    rows = "".join(f"  {row.code:<5}{row.meaning}".replace("\n", f"\n{'':7}") + "\n" for row in EXIT_CODES)
    return f"Exit codes:\n\n{rows}\n{SEVERAL}"
