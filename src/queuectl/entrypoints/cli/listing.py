"""Jobs written: those that a command found, or changed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from queuectl.domain.job import Job
from queuectl.domain.state import State
from queuectl.entrypoints.cli.app import App
from queuectl.entrypoints.cli.tables import Grid, dead_grid, jobs_grid
from queuectl.entrypoints.cli.views import View, job_view, timestamp
from queuectl.entrypoints.cli.wording import shown_command

CHUNK = 100
"""Jobs whose output is in memory at a time: each may have megabytes of it."""


def list_matching(app: App, states: Sequence[State], queue: str | None, limit: int, *, show_env: bool = False) -> None:
    """Write the jobs of those states and that queue; a note on stderr says when there are more, or none."""
    found = app.queue.search(states=states, queue=queue, limit=limit + 1 if limit else None)
    jobs = found[:limit] if limit else found
    grid = dead_grid if list(states) == [State.DEAD] else jobs_grid
    write_jobs(app, jobs, table=lambda: [grid(jobs, app.queue.now())] if jobs else [], show_env=show_env)
    if app.out.is_table and not jobs:
        app.note(_nothing_found(states, queue))
    if len(found) > len(jobs) and not app.out.is_json:
        app.note(f"there are more: these are the newest {limit:,}; --limit 0 shows all")


def _nothing_found(states: Sequence[State], queue: str | None) -> str:
    if list(states) == [State.DEAD] and not queue:
        return "the dead letter queue is empty"
    return "no jobs match" if states or queue else "no jobs yet; `queuectl enqueue` adds one"


def write_changed(app: App, jobs: Sequence[Job], said: str) -> None:
    """Write the jobs that a command changed: a sentence for each on a terminal, its id in a pipe."""
    if jobs or app.out.is_json:
        write_jobs(app, jobs, table=lambda: [f"{said} job {job.id}" for job in jobs], plain=([job.id] for job in jobs))


def write_jobs(
    app: App,
    jobs: Sequence[Job],
    *,
    table: Callable[[], Sequence[Grid | str]],
    plain: Iterable[Sequence[object]] | None = None,
    show_env: bool = False,
) -> None:
    """Write jobs in the chosen format."""
    app.out.write(
        _views(app, jobs, show_env=show_env),
        plain=(_row(job) for job in jobs) if plain is None else plain,
        table=table,
        ids=(job.id for job in jobs),
    )


def _views(app: App, jobs: Sequence[Job], *, show_env: bool) -> Iterator[View]:
    remaining = iter(jobs)
    while chunk := list(islice(remaining, CHUNK)):
        outputs = app.queue.outputs(chunk)
        for job in chunk:
            yield job_view(job, outputs.get(job.id), show_env=show_env)


def _row(job: Job) -> Sequence[object]:
    moment = timestamp(job.run_at)
    return job.id, job.state, job.queue, job.priority, job.attempts, moment, shown_command(job.command)
