"""`queuectl worker`: start and stop the workers of this machine."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import click

from queuectl.application.fleet import Ended, Known, LocalWorkers, known_workers
from queuectl.application.operate.configure import policy_of
from queuectl.application.operate.inspect import status_of
from queuectl.domain.errors import DatabaseUnavailable, QueueError
from queuectl.domain.ports.host import LocalProcess
from queuectl.domain.worker import JOB_MARK, WORKER_MARK, labels_of
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Duration, Group, QueueName, Whole
from queuectl.entrypoints.cli.status import tell_lost
from queuectl.presentation.columns import WORKER, worker_rows
from queuectl.presentation.formatting import counted
from queuectl.presentation.tables import worker_parts
from queuectl.presentation.views import plain_lines, view_of

if TYPE_CHECKING:
    from queuectl.entrypoints.worker.background import Started

ASKED = "they are asked to stop, and end when their jobs do, this one too"
T = TypeVar("T")

ANSWER_LIMIT = 2.0
"""Seconds that `worker stop` waits for what it would like to know of the database."""

RESCUE_LIMIT = 20.0
"""Seconds that it waits for the jobs of dead workers to be taken back."""

STILL_STOPPING = "they are still stopping; `queuectl worker stop --force` stops their commands as well"


@click.group("worker", cls=Group)
def worker() -> None:
    """Start and stop the workers that run jobs.

    Example:
      queuectl worker start --count 2
    """


def _labels(_ctx: click.Context, _param: click.Parameter, labels: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return labels_of(labels)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@worker.command("start", short_help="Start workers on this machine.")
@click.option("--count", type=Whole(1, 256), default=1, metavar="N", help="Worker processes, 1 to 256; else 1.")
@click.option(
    "--concurrency",
    type=Whole(1, 1024),
    default=1,
    metavar="N",
    help="Commands at once in each of them, 1 to 1,024; else 1.",
)
@click.option(
    "--queue",
    "queues",
    multiple=True,
    type=QueueName(),
    metavar="NAME",
    callback=lambda _ctx, _param, names: tuple(dict.fromkeys(names)),
    help="Only this queue, also if it is reserved. Repeatable.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="LABEL",
    callback=_labels,
    help="A label that jobs may need: gpu, zone=eu. Repeatable. [QUEUECTL_LABELS]",
)
@click.option("--foreground", is_flag=True, help="Stay, log to stderr, stop gracefully on Ctrl-C or SIGTERM.")
@click.option("--ready-fd", type=int, hidden=True)
@click.option("--secrets-fd", type=int, hidden=True)
@pass_app
def start(
    app: App,
    count: int,
    concurrency: int,
    queues: tuple[str, ...],
    labels: tuple[str, ...],
    foreground: bool,
    ready_fd: int | None,
    secrets_fd: int | None,
) -> None:
    """Start workers on this machine, in the background unless --foreground.

    Returns when they are ready. A worker process that crashes is replaced.
    `queuectl worker stop` stops them; in the foreground Ctrl-C does, and a
    second Ctrl-C stops the commands that run and gives their jobs back.

    Examples:
      queuectl worker start --count 2
      queuectl worker start --concurrency 8 --queue mail --queue reports
      queuectl worker start --label gpu --label zone=eu
      queuectl worker start --foreground

    Plain output: pid and id of each worker.
    """
    from queuectl.entrypoints.worker import background  # a command's entry: its help needs none of it

    _refuse_in_a_job()
    _guard_passwords(app, secrets_fd, foreground=foreground)
    policy_of(app.queue_made_if_absent)  # what is wrong with the database is told here, not in a log file
    app.storage.close()  # SQLite's locks would not survive the fork
    if foreground:
        from queuectl.entrypoints.worker.foreground import supervise  # loads all that workers need
        from queuectl.entrypoints.worker.process import WorkerOptions  # the same

        options = WorkerOptions(queues=queues, labels=labels or app.settings.labels, concurrency=concurrency)
        raise SystemExit(supervise(app.settings, app.container, count, options, ready_fd=ready_fd))
    numbers = [f"--count={count}", f"--concurrency={concurrency}"]
    names = [*(f"--queue={name}" for name in queues), *(f"--label={label}" for label in labels)]
    own = app.container.own_directory()
    _write_started(app, background.start_supervisor(app.settings, numbers + names, count=count, own_directory=own))


@worker.command("stop", short_help="Stop the workers of this machine when their jobs are done.")
@click.option("--force", is_flag=True, help="Stop the commands that run and give their jobs back to the queue.")
@click.option(
    "--timeout",
    type=Duration(zero=True),
    metavar="DURATION",
    help="Wait no longer than this: 90, 1m. Default: for ever.",
)
@pass_app
def stop(app: App, force: bool, timeout: timedelta | None) -> int:
    """Stop the workers of this machine: they claim no more, and finish the jobs in hand.

    Waits until they have ended. If --timeout passes first, they go on stopping
    and the exit code is 1. Works without the database too. In a job that one of
    them runs it only asks.

    Examples:
      queuectl worker stop
      queuectl worker stop --timeout 1m || queuectl worker stop --force

    Plain output: pid and id of each worker.
    """
    _ = app.out  # a bad output setting must be told before anything is done
    known = _known(app)
    local: LocalWorkers = app.container.local_workers(of=list(known.here))
    taken_back, unreachable = _look_after_missing(app, known, local)
    ended, own = Ended(all=True, killed=()), None
    if local.targets:
        _announce(app, known, local, force=force)
        local.ask_to_stop(force=force)
        own = _own_worker(app, local)
        wait = 0.0 if own else None if timeout is None else timeout.total_seconds()
        ended = local.wait(wait, force=force)
        taken_back += _clear_killed(app, known, ended.killed)
    if unreachable:
        app.note(
            f"{counted(unreachable, 'worker')} of this machine cannot be reached: "
            "started by another user, or with another spool-dir; stop them as they were started"
        )
    said = _stopped(local) if ended.all else ASKED if own else STILL_STOPPING
    _write_stopped(app, known, local, said, stopped=ended.all, forced=force, taken_back=taken_back)
    return 0 if (ended.all or own) and not unreachable else 1


@worker.command("status", short_help="Show the live workers, on all machines, and the lost ones.")
@pass_app
def status(app: App) -> None:
    """Show the live workers, on all machines, and those that are lost with their jobs.

    Example:
      queuectl worker status

    Plain output: id, host, pid, state, jobs, seconds since the heartbeat.
    """
    now = status_of(app.queue)
    rows = worker_rows(now)
    app.out.write(
        [view_of(WORKER, row) for row in rows],
        plain=plain_lines(WORKER, rows),
        table=lambda: worker_parts(now),
        ids=[each.id for each in now.workers],
    )
    tell_lost(app, now.lost)


def _guard_passwords(app: App, secrets_fd: int | None, *, foreground: bool) -> None:
    """Have passwords nowhere where the commands of jobs could read them."""
    from queuectl.entrypoints.worker import passwords  # a command's entry: its help needs none of it

    if secrets_fd is not None:
        passwords.take_secrets(secrets_fd)
    elif foreground:
        passwords.hide_secrets(app.args)


def _refuse_in_a_job() -> None:
    """Raise QueueError where this is a job's command: its workers would be part of the job, and end with it."""
    if job_id := os.environ.get(JOB_MARK):
        raise QueueError(
            f"this is a command of job {job_id}: workers that it starts would be killed when the job ends",
            hint="start workers from a shell or a service, or have the job ask for it there",
        )


def _known(app: App) -> Known:
    """The live workers that the database knows; none, and a line that says so, when it does not tell them soon."""

    def look() -> Known:
        app.storage.open(create=False)
        return known_workers(app.container.workers(), app.container.machine_id())

    return _in_time(app, look, "stopping this machine's workers without it", ANSWER_LIMIT) or Known()


def _look_after_missing(app: App, known: Known, local: LocalWorkers) -> tuple[list[str], int]:
    """Look after the workers that cannot be stopped from here: take back the jobs of those that have died.

    The ids of these jobs, and how many workers of this machine live and have not registered where we look.
    """
    missing = local.missing(known)
    unreachable = local.outliving(missing, app.container.is_alive())
    taken_back: list[str] = []
    if dead := len(missing) - unreachable:
        app.note(f"{counted(dead, 'worker')} of this machine died: taking their jobs back")
        taken_back += _taken_back(app)
    if known.elsewhere:
        app.note(f"{counted(known.elsewhere, 'worker')} on other machines: stop them there")
    return taken_back, unreachable


def _jobs(known: Known, local: LocalWorkers) -> Mapping[str, int]:
    """The number of jobs of each worker that was found, as far as the database has told."""
    return {it.worker: known.here[it.worker].jobs for it in local.alive if it.worker in known.here}


def _announce(app: App, known: Known, local: LocalWorkers, *, force: bool) -> None:
    with_jobs = "" if known.elsewhere is None else f" with {counted(sum(_jobs(known, local).values()), 'job')}"
    how = f"{' by force' if force else ''}{with_jobs}"
    workers = counted(len(local.alive), "worker")
    app.note(f"stopping {f'{workers}{how}' if local.alive else 'the processes of ended workers'}")
    for each in [] if force else local.frozen:
        what = f"worker {each.worker}" if each.worker else "the supervisor"
        app.note(f"{what} (pid {each.process.pid}) was frozen by a signal: `worker stop --force` ends it all the same")


def _own_worker(app: App, local: LocalWorkers) -> str | None:
    """The id of the worker that runs this very command, if it is one of those: to wait for it would be for ever."""
    own = os.environ.get(WORKER_MARK)
    if own not in [worker.worker for worker in local.alive]:
        return None
    app.note(f"this is a command of job {os.environ.get(JOB_MARK)}, which worker {own} runs: not waiting")
    return own


def _clear_killed(app: App, known: Known, killed: Sequence[LocalProcess]) -> Sequence[str]:
    """End what the killed workers have left, and take back their jobs; the ids of these."""
    for each in killed:
        app.note(f"worker {each.worker} (pid {each.process.pid}) did not stop, and was killed")
        app.container.kill_commands()(each.worker, each.commands)
    return _taken_back(app) if killed and known.elsewhere is not None else []


def _taken_back(app: App) -> Sequence[str]:
    """Take back the jobs of workers of this machine that have died, and say so; their ids."""
    jobs = _in_time(app, app.rescue, "the next worker takes the jobs back", RESCUE_LIMIT) or ()
    for job in jobs:
        app.note(f"job {job.id}: taken back, now {job.state}")
    return [job.id for job in jobs]


def _in_time(app: App, ask: Callable[[], T], what_if_not: str, seconds: float) -> T | None:
    """Ask the database; None and a note if it does not answer in time. Workers are stopped without it too.

    In a thread, which is left behind: a call may hang for as long as it likes.
    """
    answers: list[T] = []
    troubles = []

    def work() -> None:
        try:
            answers.append(ask())
        except DatabaseUnavailable as error:
            troubles.append(error.message)

    asking = threading.Thread(target=work, daemon=True)
    asking.start()
    asking.join(seconds)
    if answers:
        return answers[0]
    trouble = troubles[0] if troubles else f"the database has not answered within {seconds:g} s"
    app.note(f"{trouble}: {what_if_not}")
    return None


def _stopped(local: LocalWorkers) -> str:
    if local.alive:
        return f"stopped {counted(len(local.alive), 'worker')}"
    return "stopped them" if local.targets else "no workers are running on this machine"


def _write_stopped(
    app: App,
    known: Known,
    local: LocalWorkers,
    said: str,
    *,
    stopped: bool,
    forced: bool,
    taken_back: Sequence[str],
) -> None:
    jobs = _jobs(known, local)
    ended = {it.process.pid: it.worker for it in local.alive} if stopped else {}
    if not app.out.is_table:
        app.note(said)
    app.out.done(
        {
            "stopped": stopped,
            "forced": forced,
            "workers": [{"pid": it.process.pid, "id": it.worker, "jobs": jobs.get(it.worker)} for it in local.alive],
            "taken_back": taken_back,
            "elsewhere": known.elsewhere,
        },
        plain=ended.items(),
        said=lambda: [said],
        ids=ended.values(),
    )


def _write_started(app: App, started: "Started") -> None:
    running = max(len(app.container.local_workers().alive), len(started.workers))  # those just started at least
    view = {
        "supervisor_pid": started.supervisor_pid,
        "log": str(started.log),
        "workers": [{"pid": pid, "id": worker_id} for pid, worker_id in started.workers.items()],
        "running": running,
    }
    pids = ", ".join(map(str, sorted(started.workers)))
    more = f"; {counted(running, 'worker')} run here now" if running > len(started.workers) else ""
    app.out.done(
        view,
        plain=started.workers.items(),
        said=lambda: [f"started {counted(len(started.workers), 'worker')}: pid {pids}{more}"],
        ids=started.workers.values(),
    )
    app.note(f"log: {started.log}")
