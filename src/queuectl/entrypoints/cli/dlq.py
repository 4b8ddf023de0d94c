"""`queuectl dlq`: the dead letter queue, where jobs are that used up their retries."""

import sys
from collections.abc import Sequence

import click

from queuectl.application.operate.inspect import status_of
from queuectl.application.operate.retry import (
    remove_all_dead,
    remove_dead_job,
    retry_all_dead,
    retry_dead_job,
    waiting_for_dead,
)
from queuectl.domain.job import State
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Group
from queuectl.entrypoints.cli.jobs import limit_option, list_matching, queues_option, write_changed
from queuectl.presentation.formatting import DLQ_EMPTY, counted

MAX_NAMED = 5
"""Jobs that are named in the sentence about those that stay dead."""


@click.group("dlq", cls=Group)
def dlq() -> None:
    """The dead letter queue: jobs that used up their retries, or lost their worker too often.

    Examples:
      queuectl dlq list
      queuectl dlq retry --all
    """


@dlq.command("list")
@queues_option
@limit_option
@pass_app
def list_dead(app: App, queues: Sequence[str], limit: int) -> None:
    """List the dead jobs, the latest death first.

    Examples:
      queuectl dlq list
      queuectl dlq list --limit 0 --output jsonl | jq .last_error | sort | uniq -c

    Columns of the plain output: id, state, queue, priority, attempts, run_at, command, finished_at, last_error.
    """
    list_matching(app, [State.DEAD], queues, limit, dlq=True)


@dlq.command("retry")
@click.argument("job_ids", metavar="[ID…]", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every dead job.")
@pass_app
def retry_dead(app: App, job_ids: Sequence[str], all_: bool) -> int:
    """Run dead jobs again.

    They are due at once, with all their retries; their history stays. One whose
    unique key another job holds by now stays dead, and is named.

    Examples:
      queuectl dlq retry nightly-backup
      queuectl dlq retry --all
    """
    _either(job_ids, all_)
    if all_:
        all_dead = [job for some in retry_all_dead(app.queue) for job in some]
        retried = [job for job in all_dead if job.state is not State.DEAD]
        write_changed(app, retried, lambda: [f"{counted(len(retried), 'dead job')} will run again"])
        _tell_if_empty(app, all_dead)
        _tell_if_refused(app, [job.id for job in all_dead if job.state is State.DEAD])
        return 0
    jobs, code = app.each(job_ids, lambda job_id: retry_dead_job(app.queue, job_id))
    write_changed(app, jobs, lambda: [f"will run again: job {job.id}" for job in jobs])
    return code


@dlq.command("remove")
@click.argument("job_ids", metavar="[ID…]", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every dead job.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before --all.")
@pass_app
def remove_dead(app: App, job_ids: Sequence[str], all_: bool, yes: bool) -> int:
    """Delete dead jobs with their history, for good. Jobs that wait for their success are cancelled.

    Examples:
      queuectl dlq remove nightly-backup
      queuectl dlq remove --all --yes
    """
    _either(job_ids, all_)
    if all_:
        if not yes:
            _confirm(app)
        removed = [job_id for some in remove_all_dead(app.queue) for job_id in some]
        _write_removed(app, removed, [f"removed {counted(len(removed), 'dead job')}"])
        _tell_if_empty(app, removed)
        return 0
    removed, code = app.each(job_ids, lambda job_id: _remove(app, job_id))
    _write_removed(app, removed, [f"removed job {job_id}" for job_id in removed])
    return code


def _either(job_ids: Sequence[str], all_: bool) -> None:
    if bool(job_ids) == all_:
        raise click.UsageError("give the ids of the jobs, or --all")


def _confirm(app: App) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError("--all deletes every dead job: without a terminal to ask on, give --yes too")
    count = status_of(app.queue).jobs[State.DEAD]
    if not count:
        return
    waiting = waiting_for_dead(app.queue)
    children = f", and cancel {counted(waiting, 'job')} that wait{'s' * (waiting == 1)} for them" if waiting else ""
    said = f"Delete {counted(count, 'dead job')} and their history from {app.storage.name}{children}?"
    click.confirm(said, abort=True, err=True)


def _remove(app: App, job_id: str) -> str:
    remove_dead_job(app.queue, job_id)
    return job_id


def _write_removed(app: App, removed: Sequence[str], said: Sequence[str]) -> None:
    if removed or app.out.is_json:
        app.out.done([{"id": job_id} for job_id in removed], said=lambda: said, ids=removed)


def _tell_if_refused(app: App, job_ids: Sequence[str]) -> None:
    """Name the jobs that stay dead."""
    if job_ids:
        others = f" and {len(job_ids) - MAX_NAMED:,} more" if len(job_ids) > MAX_NAMED else ""
        stay = "1 job stays" if len(job_ids) == 1 else f"{len(job_ids):,} jobs stay"
        app.note(f"{stay} dead, as others hold their unique keys: {', '.join(job_ids[:MAX_NAMED])}{others}")


def _tell_if_empty(app: App, changed: Sequence[object]) -> None:
    if not changed:
        app.note(DLQ_EMPTY)
