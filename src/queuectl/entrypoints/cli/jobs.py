"""`queuectl list`, `info` and `retry`: jobs, one by one or many."""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice

import click

from queuectl.application.operate.batches import parents_of
from queuectl.application.operate.explain import explain, first_reasons, waits
from queuectl.application.operate.inspect import attempts_of, find_job, lost_holders, outputs_of, search_jobs
from queuectl.application.operate.retry import retry_job
from queuectl.domain.attempt import Attempt
from queuectl.domain.errors import WrongState
from queuectl.domain.job import Job, State
from queuectl.domain.reasons import Reason
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Command, Whole
from queuectl.entrypoints.cli.status import tell_lost
from queuectl.presentation.columns import DEAD_JOB, JOB, WIDE_JOB, JobRow
from queuectl.presentation.formatting import DLQ_EMPTY
from queuectl.presentation.tables import info_parts, jobs_grid
from queuectl.presentation.views import View, flat, info_view, plain_lines, view_of, wide_view

DEFAULT_LIMIT = 50
MAX_LIMIT = 1_000_000_000

CHUNK = 100
"""Jobs whose output is in memory at a time: each may have megabytes of it."""

queues_option = click.option(
    "--queue", "queues", multiple=True, metavar="QUEUE", help="Only the jobs of this queue. Repeatable."
)
limit_option = click.option(
    "--limit",
    type=Whole(0, MAX_LIMIT),
    default=DEFAULT_LIMIT,
    metavar="N",
    help=f"At most so many, else {DEFAULT_LIMIT}; 0 for all.",
)


@click.command("list", cls=Command)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([str(state) for state in State], case_sensitive=False),
    help="Only the jobs in this state. Repeatable.",
)
@queues_option
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only the jobs with this tag. Repeatable.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Only the jobs with this key. Repeatable.")
@limit_option
@click.option("--show-env", is_flag=True, help="Show in JSON the values of env, and stdin, which may be secrets.")
@click.option("--wide", is_flag=True, help="Say too why each job waits: the first reason of `queuectl why`.")
@pass_app
def list_jobs(
    app: App,
    states: Sequence[str],
    queues: Sequence[str],
    tags: Sequence[str],
    keys: Sequence[str],
    limit: int,
    show_env: bool,
    wide: bool,
) -> None:
    """List jobs, the newest first.

    Examples:
      queuectl list --state failed --state dead
      queuectl list --queue mail --queue reports
      queuectl list --tag nightly --key db-main
      queuectl list --state pending --wide
      queuectl list --queue mail --limit 0 --output jsonl | jq .last_error

    Columns of the plain output: id, state, queue, priority, attempts, run_at, command;
    with --wide, why.
    """
    chosen = [State(state) for state in dict.fromkeys(states)]
    list_matching(app, chosen, queues, limit, keys=keys, tags=tags, show_env=show_env, wide=wide)


@click.command("info", cls=Command)
@click.argument("job_id", metavar="ID")
@click.option("--show-env", is_flag=True, help="Show the values of env, and stdin, which may be secrets.")
@click.option("--raw", is_flag=True, help="Only what the last ended attempt wrote, byte for byte.")
@click.option("--attempt", type=Whole(1, MAX_LIMIT), metavar="N", help="Only what that attempt wrote, as with --raw.")
@pass_app
def info(app: App, job_id: str, show_env: bool, raw: bool, attempt: int | None) -> None:
    """Everything about one job: its settings, its attempts, and the output of the last one.

    Examples:
      queuectl info nightly-backup
      queuectl info nightly-backup --output json | jq -r .output
      queuectl info make-thumbnail --raw > thumbnail.png

    Plain output has a name and a value on each line. JSON has every attempt's output.
    """
    job = find_job(app.queue, job_id)
    history = attempts_of(app.queue, job_id)
    if raw or attempt is not None:
        return _write_raw(job, history, attempt)
    lost, why = lost_holders(app.queue, [job]), explain(app.queue, job_id).first if waits(job) else None
    after = parents_of(app.queue, [job]).get(job.id, ())
    view = info_view(job, history, after=after, lost=lost, show_env=show_env, why=why)
    app.out.write(
        view,
        plain=flat(view),
        table=lambda: info_parts(job, history, app.queue.clock(), after=after, lost=lost, show_env=show_env, why=why),
        ids=[job.id],
    )
    tell_lost(app, lost)
    return None


@click.command("retry", cls=Command)
@click.argument("job_ids", metavar="ID…", nargs=-1, required=True)
@pass_app
def retry(app: App, job_ids: Sequence[str]) -> int:
    """Run jobs again that have ended: completed, dead or cancelled.

    They are due at once, with all their retries; their history stays. They do not
    wait any more for other jobs. One whose unique key another job holds by now is
    refused.

    Examples:
      queuectl retry nightly-backup
      queuectl list --state cancelled --output id | xargs -r queuectl retry
    """
    retried, code = app.each(job_ids, lambda job_id: retry_job(app.queue, job_id))
    write_changed(app, [it.job for it in retried], lambda: [f"will run again: job {it.job.id}" for it in retried])
    for it in retried:
        if it.dropped:
            what = "an end that has" if it.dropped == 1 else f"{it.dropped} ends that have"
            app.note(f"job {it.job.id} does not wait any more for {what} not come")
    return code


def list_matching(
    app: App,
    states: Sequence[State],
    queues: Sequence[str],
    limit: int,
    *,
    keys: Sequence[str] = (),
    tags: Sequence[str] = (),
    show_env: bool = False,
    wide: bool = False,
    dlq: bool = False,
) -> None:
    """Write the jobs of those states, queues, keys and tags; a note on stderr says when there are more, or none.

    The plain lines of the dead letter queue, `dlq`, say of what each job died, and when.
    """
    one_more = limit + 1 if limit else None
    found = search_jobs(
        app.queue, states=states, queues=list(dict.fromkeys(queues)), keys=keys, tags=tags, limit=one_more
    )
    jobs = found[:limit] if limit else found
    lost = lost_holders(app.queue, jobs)
    why = first_reasons(app.queue, jobs) if wide else None
    is_dead = list(states) == [State.DEAD]
    rows = (JobRow(job, why=why.get(job.id) if why else None) for job in jobs)
    app.out.write(
        _views(app, jobs, lost, show_env=show_env, why=why),
        plain=plain_lines(DEAD_JOB if dlq else WIDE_JOB if wide else JOB, rows),
        table=lambda: [jobs_grid(jobs, app.queue.clock(), lost, dead=is_dead, why=why)] if jobs else [],
        ids=(job.id for job in jobs),
    )
    if app.out.is_table and not jobs:
        app.note(_nothing_found(states, is_narrow=bool(queues or keys or tags)))
    tell_lost(app, lost)
    if len(found) > len(jobs) and not app.out.is_json:
        app.note(f"there are more: these are the newest {limit:,}; --limit 0 shows all")


def write_changed(app: App, jobs: Sequence[Job], said: Callable[[], Sequence[str]]) -> None:
    """Write the jobs that a command changed: sentences for people, the ids in a pipe."""
    if jobs or app.out.is_json:
        app.out.done(_views(app, jobs), said=said, ids=[job.id for job in jobs])


def _nothing_found(states: Sequence[State], *, is_narrow: bool) -> str:
    if list(states) == [State.DEAD] and not is_narrow:
        return DLQ_EMPTY
    return "no jobs match" if states or is_narrow else "no jobs yet; `queuectl enqueue` adds one"


def _views(
    app: App,
    jobs: Sequence[Job],
    lost: Collection[str] = (),
    *,
    show_env: bool = False,
    why: Mapping[str, Reason] | None = None,
) -> Iterator[View]:
    remaining = iter(jobs)
    while chunk := list(islice(remaining, CHUNK)):
        outputs, parents = outputs_of(app.queue, chunk), parents_of(app.queue, chunk)
        for job in chunk:
            after = parents.get(job.id, ())
            row = JobRow(job, output=outputs.get(job.id), lost=lost, show_env=show_env, after=after)
            yield view_of(JOB, row) if why is None else wide_view(row._replace(why=why.get(job.id)))


def _write_raw(job: Job, history: Sequence[Attempt], number: int | None) -> None:
    """The bytes of one attempt, as they came: no text stream would leave them as they are."""
    ended = [attempt for attempt in history if attempt.outcome and number in (None, attempt.number)]
    if not ended:
        which = "ended attempt yet" if number is None else f"ended attempt {number}"
        raise WrongState(f"job {job.id} has no {which}", hint=f"`queuectl info {job.id}` shows its attempts")
    sys.stdout.buffer.write(ended[-1].output.content)
