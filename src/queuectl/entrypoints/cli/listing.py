"""Jobs written: those that a command found, or changed."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice

from queuectl.application.operate.inspect import lost_holders, outputs_of, search_jobs
from queuectl.domain.job import Job, State
from queuectl.entrypoints.cli.app import App
from queuectl.presentation.formatting import DLQ_EMPTY, shown_command
from queuectl.presentation.tables import dead_grid, jobs_grid
from queuectl.presentation.views import View, job_view, timestamp

CHUNK = 100
"""Jobs whose output is in memory at a time: each may have megabytes of it."""


def list_matching(
    app: App, states: Sequence[State], queues: Sequence[str], limit: int, *, show_env: bool = False, dlq: bool = False
) -> None:
    """Write the jobs of those states and queues; a note on stderr says when there are more, or none.

    The plain lines of the dead letter queue, `dlq`, say of what each job died, and when.
    """
    found = search_jobs(
        app.queue, states=states, queues=list(dict.fromkeys(queues)), limit=limit + 1 if limit else None
    )
    jobs = found[:limit] if limit else found
    lost = lost_holders(app.queue, jobs)
    grid = dead_grid if list(states) == [State.DEAD] else jobs_grid
    row = _dead_row if dlq else _row
    app.out.write(
        _views(app, jobs, lost, show_env=show_env),
        plain=(row(job) for job in jobs),
        table=lambda: [grid(jobs, app.queue.clock(), lost)] if jobs else [],
        ids=(job.id for job in jobs),
    )
    if app.out.is_table and not jobs:
        app.note(_nothing_found(states, queues))
    app.tell_lost(lost)
    if len(found) > len(jobs) and not app.out.is_json:
        app.note(f"there are more: these are the newest {limit:,}; --limit 0 shows all")


def _nothing_found(states: Sequence[State], queues: Sequence[str]) -> str:
    if list(states) == [State.DEAD] and not queues:
        return DLQ_EMPTY
    return "no jobs match" if states or queues else "no jobs yet; `queuectl enqueue` adds one"


def write_changed(app: App, jobs: Sequence[Job], said: Callable[[], Sequence[str]]) -> None:
    """Write the jobs that a command changed: sentences for people, the ids in a pipe."""
    if jobs or app.out.is_json:
        app.out.done(_views(app, jobs), plain=None, said=said, ids=[job.id for job in jobs])


def _views(app: App, jobs: Sequence[Job], lost: Collection[str] = (), *, show_env: bool = False) -> Iterator[View]:
    remaining = iter(jobs)
    while chunk := list(islice(remaining, CHUNK)):
        outputs = outputs_of(app.queue, chunk)
        for job in chunk:
            yield job_view(job, outputs.get(job.id), lost=lost, show_env=show_env)


def _row(job: Job) -> Sequence[object]:
    moment = timestamp(job.run_at)
    return job.id, job.state, job.queue, job.priority, job.attempts, moment, shown_command(job.command)


def _dead_row(job: Job) -> Sequence[object]:
    return *_row(job), timestamp(job.finished_at), job.last_error
