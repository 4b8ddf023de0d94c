"""`queuectl batch`: jobs that were enqueued under one name, and how far they have come."""

import click

from queuectl.application.operate.batches import find_batch, newest_batches
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Group
from queuectl.entrypoints.cli.jobs import limit_option
from queuectl.presentation.columns import BATCH, BatchRow
from queuectl.presentation.tables import grid_of
from queuectl.presentation.views import flat, plain_lines, view_of


class BatchGroup(Group):
    """A group whose argument, where it is no command, is the name of a batch."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; `batch NAME` shows that batch."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            return show.name, show, args
        return super().resolve_command(ctx, args)


@click.group("batch", cls=BatchGroup, subcommand_metavar="NAME | list")
def batch() -> None:
    """Jobs that were enqueued under one name with --batch, and how far they have come.

    A batch is finished when none of its jobs waits or runs. What comes --after-batch is run then.

    Examples:
      queuectl enqueue --batch thumbs @jobs.jsonl
      queuectl enqueue --after-batch-end thumbs -- ./report thumbs
      queuectl batch thumbs
      queuectl batch list
    """


@click.command("show", cls=Group.command_class)
@click.argument("name", metavar="NAME")
@pass_app
def show(app: App, name: str) -> None:
    """Show how far a batch has come.

    Examples:
      queuectl batch thumbs
      queuectl batch thumbs --output json | jq .progress
    """
    row = BatchRow(find_batch(app.queue, name), app.queue.clock())
    view = view_of(BATCH, row)
    app.out.write(view, plain=flat(view), table=lambda: [row.sentence], ids=[name])


@batch.command("list")
@limit_option
@pass_app
def list_batches(app: App, limit: int) -> None:
    """List the batches, the newest first.

    Examples:
      queuectl batch list
      queuectl batch list --output jsonl | jq -r 'select(.dead > 0).batch'

    Columns of the plain output: batch, total, completed, dead, cancelled, processing, pending, failed, finished_at.
    """
    now = app.queue.clock()
    found = newest_batches(app.queue, limit=limit + 1 if limit else None)
    rows = [BatchRow(it, now) for it in (found[:limit] if limit else found)]
    app.out.write(
        (view_of(BATCH, row) for row in rows),
        plain=plain_lines(BATCH, rows),
        table=lambda: [grid_of(BATCH, rows)] if rows else [],
        ids=(row.batch.name for row in rows),
    )
    if app.out.is_table and not rows:
        app.note("no batches yet; `queuectl enqueue --batch NAME` makes one")
    if len(found) > len(rows) and not app.out.is_json:
        app.note(f"there are more: these are the newest {limit:,}; --limit 0 shows all")
