"""`queuectl enqueue` as it is called; `enqueuing` does it."""

from collections.abc import Sequence

import click

from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Command


class EnqueueCommand(Command):
    """Tells the two forms apart: what comes after `--` is a program and its arguments, whatever it looks like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the program aside before click, which would drop the `--`, sees it."""
        if "--" in args:
            place = args.index("--")
            args, ctx.meta["queuectl.program"] = args[:place], args[place + 1 :]
        return super().parse_args(ctx, args)


@click.command("enqueue", cls=EnqueueCommand, options_metavar="[OPTIONS]")
@click.argument("documents", metavar="JSON | @FILE | - | -- PROG ARG…", nargs=-1)
@click.option("--id", "id_", metavar="ID", help="The job's id; else one is made.")
@click.option("--queue", metavar="QUEUE", help="The queue it waits in; else default.")
@click.option("--priority", type=int, metavar="N", help="1 (low) to 10 (high, runs first); else 5.")
@click.option("--delay", metavar="DURATION", help='Not before this time has passed: "30s", "1h30m".')
@click.option("--run-at", metavar="TIME", help="Not before this moment: ISO 8601; without an offset, local time.")
@click.option("--max-retries", type=int, metavar="N", help="Retries after the first attempt; else max-retries.")
@click.option("--timeout", metavar="DURATION", help="How long it may run, or none; else default-timeout.")
@click.option("--env", "env", multiple=True, metavar="NAME=VALUE", help="A variable for the command; repeatable.")
@click.option("--cwd", metavar="DIR", help="Where it runs; else the present directory.")
@pass_app
@click.pass_context
def enqueue(
    ctx: click.Context, app: App, /, documents: Sequence[str], env: Sequence[str], **options: str | int | None
) -> None:
    """Add jobs to the queue.

    One job as a JSON document, or as a program and its arguments after `--`, which no shell will touch. A batch
    comes from @FILE or - (stdin), one document per line: all of it is stored, or nothing. An option wins over
    the field of the same name.

    Examples:
      queuectl enqueue '{"command": "sleep 2 && echo done"}'
      queuectl enqueue --priority 9 --delay 30m '{"command": "make backup"}'
      queuectl enqueue --timeout 1h -- rsync -a "My Files/" host:/backup
      queuectl enqueue @jobs.jsonl
      ls *.svg | jq -Rc '{command: ["convert", ., . + ".png"]}' | queuectl enqueue -

    Fields: id, command (text for /bin/sh, or a list of texts), queue, priority,
    max_retries, timeout, run_at, delay, env, cwd.

    In a pipe it prints the ids, one per line.
    """
    from queuectl.entrypoints.cli.enqueuing import add_jobs

    add_jobs(app, documents, ctx.meta.get("queuectl.program"), options, env)
