"""`queuectl cancel`: ask for it, and wait until what ran has ended."""

from collections.abc import Mapping, Sequence

import click

from queuectl.application.operate.cancel import cancel_job, ended_job, is_watched_by_others, silent_holder
from queuectl.application.operate.inspect import attempts_of
from queuectl.domain.attempt import Attempt, Outcome
from queuectl.domain.errors import DatabaseUnavailable, WrongState
from queuectl.domain.exit_codes import signal_name
from queuectl.domain.job import Job, State
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Command
from queuectl.entrypoints.cli.jobs import write_changed
from queuectl.presentation.formatting import counted, escaped, span

INITIAL_PAUSE, MAX_PAUSE = 0.02, 0.5
"""Seconds between two looks whether a job has ended; each is half as long again as the one before."""


@click.command("cancel", cls=Command)
@click.argument("job_ids", metavar="ID…", nargs=-1, required=True)
@click.option("--no-wait", is_flag=True, help="Only ask: do not wait until the commands that run have ended.")
@click.option("--now", is_flag=True, help="Kill the commands at once, without kill-grace.")
@pass_app
def cancel(app: App, job_ids: Sequence[str], no_wait: bool, now: bool) -> int:
    """Cancel jobs, whether they wait or run, on whatever host.

    A command that runs gets SIGTERM, and SIGKILL after kill-grace, or at once with --now or when the same job is
    cancelled again; this returns when nothing of it is left. All are asked first and waited for then. Ctrl-C ends
    only the waiting: what was asked for still happens. A job that
    ends by itself first stays as it ended, but does not run again. Each ID is tried; the exit code is that of the
    first failure: 3 for an unknown job, 4 for one that had ended or completed before it could be stopped.

    Examples:
      queuectl cancel nightly-backup
      queuectl cancel --no-wait nightly-backup
      queuectl list --state pending --limit 0 --output id |
        xargs -r queuectl cancel

    Plain output: the id of each job cancelled, or asked to stop with --no-wait.
    """
    asked, code = app.each(job_ids, lambda job_id: cancel_job(app.queue, job_id, now=now))
    running = {job.id: job for job in asked if job.state is State.PROCESSING}
    if no_wait:
        _write(app, asked, {})
        if running:
            app.note(f"did not wait: {counted(len(running), 'command')} may still run")
        return code
    later = _wait_for_ends(app, asked, running)
    return code or later


def _wait_for_ends(app: App, asked: Sequence[Job], running: Mapping[str, Job]) -> int:
    """Wait until those that run have ended, and write which are cancelled; the exit code of the first failure."""
    cancelled = {job.id: job for job in asked if job.id not in running}
    watch = _Watch(app)

    def see_end(job_id: str) -> None:
        job = watch.end_of(running[job_id])
        if job.state is not State.CANCELLED:
            raise WrongState(f"job {job_id} is {job.state}: it ended before it could be stopped")
        cancelled[job_id] = job

    def write() -> None:
        _write(app, [cancelled[job.id] for job in asked if job.id in cancelled], running)

    try:
        _, code = app.each(list(running), see_end)
    except (KeyboardInterrupt, DatabaseUnavailable) as error:
        app.note("no longer waiting; what was asked for stands: the jobs are cancelled when their workers hear of it")
        if isinstance(error, KeyboardInterrupt):
            write()
        raise
    write()
    return code


class _Watch:
    """Waits for the ends of jobs that are to be cancelled, and says on stderr why it takes so long, if it does."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._silent: set[str] = set()

    def end_of(self, asked: Job) -> Job:
        """The job when the attempt that ran is over. Raises JobNotFound when it has been removed meanwhile."""
        pause, waited = INITIAL_PAUSE, 0.0
        while (job := ended_job(self._app.queue, asked)) is None:
            self._app.pause(pause)
            waited += pause
            pause = min(pause * 1.5, MAX_PAUSE)
            if pause == MAX_PAUSE:
                self._look_after(asked)
        return job

    def _look_after(self, asked: Job) -> None:
        """See that somebody takes the job back if its worker is lost: where there is no other worker, this command."""
        worker = silent_holder(self._app.queue, asked)
        if worker is not None and worker.id not in self._silent:
            self._silent.add(worker.id)
            said = f"worker {worker.id} (pid {worker.process.pid} on {escaped(worker.host)}) does not renew its lease"
            within = (worker.lease_expires_at - worker.renewed_at) * 4 / 3  # it must be seen to be silent for a lease
            self._app.note(f"{said}: its jobs are taken back within {span(within)}")
        if not is_watched_by_others(self._app.queue, asked):
            self._app.rescue()


def _write(app: App, jobs: Sequence[Job], running: Mapping[str, Job]) -> None:
    """Write what became of the jobs; `running` are those whose attempt was waited for."""

    def sentences() -> Sequence[str]:
        return [_sentence(job, _attempt(app, running[job.id]) if job.id in running else None) for job in jobs]

    write_changed(app, jobs, sentences)


def _attempt(app: App, asked: Job) -> Attempt | None:
    return next((each for each in attempts_of(app.queue, asked.id) if each.number == asked.attempts), None)


def _sentence(job: Job, attempt: Attempt | None) -> str:
    if job.state is State.PROCESSING:
        return f"job {job.id} is asked to stop"
    said = f"cancelled job {job.id}"
    if attempt is None:
        return said
    if attempt.outcome is not Outcome.CANCELLED:
        return f"{said}, which will not run again; its attempt had ended otherwise: {escaped(attempt.error or '')}"
    if attempt.signal is not None:
        return f"{said}: its command was killed by {signal_name(attempt.signal)}{_left(attempt)}"
    if attempt.exit_code is not None:
        return f"{said}: its command ended on SIGTERM with exit code {attempt.exit_code}{_left(attempt)}"
    return f"{said}: its command had not been started"


def _left(attempt: Attempt) -> str:
    """The end of the attempt's error, which names the command's processes that live on."""
    note = (attempt.error or "").partition("); ")[2]
    return f"; {escaped(note)}" if note else ""
