"""`queuectl transfer`: moving a queue from one database to another."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from queuectl.application.transfer import refuse_if_working
from queuectl.application.transfer import transfer as copy_all
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Command
from queuectl.presentation.formatting import counted
from queuectl.settings import checked_url

if TYPE_CHECKING:
    from queuectl.container import Container

POLL_INTERVAL = 0.5
"""Seconds between two looks whether the last worker has ended."""


@click.command("transfer", cls=Command)
@click.option("--from", "source_url", required=True, metavar="URL", help="The database to copy; it is not changed.")
@click.option("--to", "target_url", required=True, metavar="URL", help="The database to copy into: new, or begun.")
@click.option("--drain", is_flag=True, help="Stop the source's workers of this machine, wait for those elsewhere.")
@pass_app
def transfer(app: App, source_url: str, target_url: str, drain: bool) -> None:
    """Copy jobs with their history, and the settings, from one database to another, and verify every value.

    For moving from SQLite to PostgreSQL, or back. It goes on where an earlier
    transfer was interrupted, and does nothing but verify when all is there.
    Refused while workers are alive on either side; until it has ended, nobody
    can write to the source. Passwords belong in
    ~/.pgpass or PGPASSWORD: everybody may see the arguments of a command.

    Examples:
      queuectl transfer --from sqlite:////srv/q.db --to postgresql://me@db/queue
      queuectl transfer --drain --from sqlite:////srv/q.db --to postgresql:///jobs

    Plain output: table, rows, checksum (SHA-256) of each table.
    """
    _ = app.out
    if source_url == target_url:
        raise click.UsageError("--from and --to are the same database")
    source, target = _opened(app, source_url), _opened(app, target_url, new=True)
    if drain:
        _drain(app, source)
    with source.archive().held():  # from the first look to the last: what is verified is what there is
        for side in (source, target):
            refuse_if_working(side.storage().name, side.workers().live(), side.clock()())
        total = 2 * source.archive().size()
        with app.progress(f"transferring {counted(total // 2, 'job')}", total) as advance:
            done = copy_all(source.archive(), target.archive(), copied=advance)
    tables = [{"table": table, "rows": each.rows, "checksum": each.checksum} for table, each in done.digests.items()]
    view = {"from": source.storage().name, "to": target.storage().name, "jobs": done.jobs, "tables": tables}
    plain = [list(row.values()) for row in tables]
    rows = ", ".join(f"{row['rows']:,} {row['table']}" for row in tables if row["rows"])
    app.out.done(view, plain=plain, said=lambda: [f"{target.storage().name} has it all, verified: {rows}"])
    for side in (source, target):
        side.storage().close()


def _opened(app: App, url: str, *, new: bool = False) -> "Container":
    from queuectl.container import Container  # which help does without: all adapters

    container = Container(settings=replace(app.settings, database_url=checked_url(url)))
    if new:
        container.storage().initialise()
    else:
        container.storage().open()
    return container


def _drain(app: App, source: "Container") -> None:
    local = source.local_workers(of=[worker.id for worker in source.workers().live()])
    if local.alive:
        app.note(f"stopping {counted(len(local.alive), 'worker')} of {source.storage().name}")
        local.ask_to_stop()
        local.wait(None)
    told: set[str] = set()
    while waiting := [each for each in source.workers().live() if each.lease_expires_at > source.clock()()]:
        if told.isdisjoint(each.id for each in waiting):
            app.note(f"waiting for {counted(len(waiting), 'worker')} on {', '.join(sorted({w.host for w in waiting}))}")
            told = {each.id for each in waiting}
        time.sleep(POLL_INTERVAL)
