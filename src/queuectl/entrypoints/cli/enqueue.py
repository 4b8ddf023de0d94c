"""`queuectl enqueue` as it is called; `enqueuing` does it."""

import shlex
from collections.abc import Sequence
from itertools import takewhile

import click

from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Command
from queuectl.entrypoints.cli.failures import WrongUsage

COMMAND_OPTION = ("-c", "--command")


class EnqueueCommand(Command):
    """Tells the forms apart: what comes after `--` is a program and its arguments, whatever it looks like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the program aside before click, which would drop the `--`, sees it."""
        if "--" in args:
            place = args.index("--")
            args, ctx.meta["queuectl.program"] = args[:place], args[place + 1 :]
        ctx.meta["queuectl.words"] = self._words(ctx, args)
        ctx.meta["queuectl.unquoted"] = self._unquoted(ctx, args)
        return super().parse_args(ctx, args)

    def wrong_option(self, ctx: click.Context, error: click.NoSuchOption) -> click.UsageError:
        """An option of a program that should stand after `--`, or one that nobody has."""
        words: Sequence[str] = ctx.meta["queuectl.words"]
        unquoted: Sequence[str] = ctx.meta["queuectl.unquoted"]
        if unquoted and not self.meant_by(ctx, error.option_name):
            return command_without_quotes(unquoted, ctx)
        if words and not looks_like_a_document(words[0]):
            return program_without_dashes(words, ctx)
        return super().wrong_option(ctx, error)

    def _words(self, ctx: click.Context, args: list[str]) -> Sequence[str]:
        """The arguments from the first on that is no option: a program's, if somebody forgot the `--`."""
        parser = self.make_parser(ctx)
        parser.allow_interspersed_args = False
        try:
            words = parser.parse_args(list(args))[0]["documents"]
        except click.UsageError:
            return []
        return words if isinstance(words, tuple) else []  # click has a mark of its own for none

    def _unquoted(self, ctx: click.Context, args: list[str]) -> Sequence[str]:
        """What follows -c up to an option of ours: a command line, if somebody forgot the quotes; else nothing."""
        if not set(COMMAND_OPTION).isdisjoint(ctx.meta["queuectl.words"]):
            return []  # the -c is an option of a program whose -- is missing
        own = {name for param in self.get_params(ctx) for name in param.opts}
        place = next((place for place, arg in enumerate(args) if arg in COMMAND_OPTION), len(args))
        words = list(takewhile(lambda word: word.partition("=")[0] not in own, args[place + 1 :]))
        return words if len(words) > 1 else []


def looks_like_a_document(word: str) -> bool:
    """Whether the word is meant to be JSON, @FILE or -, be it a bad one."""
    return word.lstrip()[:1] in ("{", "[", '"') or word.startswith("@") or word == "-"


def program_without_dashes(words: Sequence[str], ctx: click.Context) -> WrongUsage:
    """What to say of a program whose `--` is missing."""
    command = shlex.join(words)
    return WrongUsage(
        f"'{words[0]}' is neither JSON nor @FILE nor -",
        hint=f"a program comes after --: queuectl enqueue -- {command}; a shell command after -c: "
        f"queuectl enqueue -c {shlex.quote(' '.join(words))}",
        ctx=ctx,
    )


def command_without_quotes(words: Sequence[str], ctx: click.Context) -> WrongUsage:
    """What to say of a command after -c that is not one argument."""
    return WrongUsage(
        f"-c takes one argument, '{words[0]}', and '{words[1]}' is one too many",
        hint=f"quote the command as a whole: queuectl enqueue -c {shlex.quote(' '.join(words))}",
        ctx=ctx,
    )


def _given_once(_ctx: click.Context, _param: click.Parameter, commands: tuple[str, ...]) -> str | None:
    if len(commands) > 1:
        raise click.UsageError("-c is given twice: a job has one command; several jobs are a batch, @FILE or -")
    return next(iter(commands), None)


@click.command("enqueue", cls=EnqueueCommand, options_metavar="[OPTIONS]")
@click.argument("documents", metavar="-c COMMAND | -- PROG ARG… | JSON | @FILE | -", nargs=-1)
@click.option(
    *COMMAND_OPTION, multiple=True, metavar="COMMAND", callback=_given_once, help="A command line for /bin/sh, quoted."
)
@click.option("--id", "id_", metavar="ID", help="The job's id; else one is made.")
@click.option("--queue", metavar="QUEUE", help="The queue it waits in; else default.")
@click.option("--priority", type=int, metavar="N", help="1 (low) to 10 (high, runs first); else 5.")
@click.option("--delay", metavar="DURATION", help='Not before this time has passed: "30s", "1h30m".')
@click.option("--run-at", metavar="TIME", help="Not before this moment: ISO 8601; without an offset, local time.")
@click.option("--max-retries", type=int, metavar="N", help="Retries after the first attempt; else max-retries.")
@click.option("--timeout", metavar="DURATION", help="How long it may run: 90, 1h30m, or none; else default-timeout.")
@click.option("--env", "env", multiple=True, metavar="NAME=VALUE", help="A variable for the command; repeatable.")
@click.option("--cwd", metavar="DIR", help="Where it runs; else the present directory.")
@pass_app
@click.pass_context
def enqueue(
    ctx: click.Context, app: App, /, documents: Sequence[str], env: Sequence[str], **options: str | int | None
) -> None:
    """Add jobs to the queue.

    One job as a command line for the shell after -c, as a program and its arguments after `--`, which no shell will
    touch, or as a JSON document. A batch comes from @FILE or - (stdin), one document per line: all of it is stored,
    or nothing. An option wins over the field of the same name.

    Examples:
      queuectl enqueue -c 'zcat access.log.gz | wc -l'
      queuectl enqueue --timeout 1h -- rsync -a "My Files/" host:/backup
      queuectl enqueue --priority 9 --delay 30m '{"command": "make backup"}'
      queuectl enqueue @jobs.jsonl
      ls *.gz | jq -Rc '{command: ["gunzip", .]}' | queuectl enqueue -

    Fields: id, command (text for /bin/sh, or a list of texts), queue, priority,
    max_retries, timeout, run_at, delay, env, cwd.

    In a pipe it prints the ids, one per line. JSON is an object for one job, and
    an array for a batch, @FILE or -, also where that has one line only.
    """
    from queuectl.entrypoints.cli.enqueuing import add_jobs

    add_jobs(app, documents, ctx.meta.get("queuectl.program"), ctx.meta["queuectl.words"], options, env)
