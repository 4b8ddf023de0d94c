"""`queuectl worker`: start and stop the workers of this machine."""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import click

from queuectl.application.operate.configure import policy_of
from queuectl.application.operate.inspect import status_of
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Duration, Group, Whole
from queuectl.entrypoints.cli.status import tell_lost
from queuectl.presentation.formatting import counted

if TYPE_CHECKING:
    from queuectl.domain.job import Job
    from queuectl.domain.worker import Process, WorkerRecord
    from queuectl.entrypoints.worker.background import LocalWorkers, Started
    from queuectl.entrypoints.worker.process import WorkerOptions

ASKED = "they are asked to stop, and end when their jobs do, this one too"
T = TypeVar("T")

GONE_WITHIN = 1.0
"""Seconds that a killed process may take to be gone."""

DATABASE_ANSWERS = 2.0
"""Seconds that `worker stop` waits for what it would like to know of the database."""

RESCUED_WITHIN = 20.0
"""Seconds that it waits for the jobs of dead workers to be taken back."""

STILL_STOPPING = "they are still stopping; `queuectl worker stop --force` stops their commands as well"


class _Known(NamedTuple):
    """The workers that the database takes for alive: those of this machine by id, and how many there are elsewhere."""

    here: "Mapping[str, WorkerRecord]"
    elsewhere: int


@click.group("worker", cls=Group)
def worker() -> None:
    """Start and stop the workers that run jobs.

    Example:
      queuectl worker start --count 2
    """


def _queue_names(_ctx: click.Context, _param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    from queuectl.domain.document import QUEUE

    for name in names:
        if not QUEUE.fullmatch(name):
            raise click.BadParameter(f"a queue is 1 to 64 letters, digits and ._-, not '{name}'")
    return tuple(dict.fromkeys(names))


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
    "--queue", "queues", multiple=True, metavar="NAME", callback=_queue_names, help="Only this queue. Repeatable."
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
      queuectl worker start --foreground

    Plain output: pid and id of each worker.
    """
    from queuectl.entrypoints.worker.background import hide_secrets, start_supervisor, take_secrets

    _refuse_in_a_job()
    if secrets_fd is not None:
        take_secrets(secrets_fd)
    elif foreground:
        hide_secrets(app.args)
    policy_of(app.queue_made_if_absent)  # what is wrong with the database is told here, not in a log file
    app.storage.close()  # SQLite's locks would not survive the fork
    if foreground:
        from queuectl.entrypoints.worker.process import WorkerOptions

        raise SystemExit(_supervise(app, count, WorkerOptions(queues=queues, concurrency=concurrency), ready_fd))
    arguments = [f"--count={count}", f"--concurrency={concurrency}", *(f"--queue={name}" for name in queues)]
    _tell_started(
        app, start_supervisor(app.settings, arguments, count=count, own_directory=app.container.own_directory())
    )


@worker.command("stop", short_help="Stop the workers of this machine when their jobs are done.")
@click.option("--force", is_flag=True, help="Stop the commands that run and give their jobs back to the queue.")
@click.option(
    "--timeout",
    type=Duration(zero=True),
    metavar="DURATION",
    help="Wait no longer than this: 90, 1m. Default: for ever.",
)
@pass_app
@click.pass_context
def stop(ctx: click.Context, app: App, force: bool, timeout: timedelta | None) -> None:
    """Stop the workers of this machine: they claim no more, and finish the jobs in hand.

    Waits until they have ended. If --timeout passes first, they go on stopping
    and the exit code is 1. Works without the database too. In a job that one of
    them runs it only asks.

    Examples:
      queuectl worker stop
      queuectl worker stop --timeout 1m || queuectl worker stop --force

    Plain output: pid and id of each worker.
    """
    from queuectl.entrypoints.worker.background import local_workers

    _ = app.out  # a bad output setting must be told before anything is done
    known = _known(app)
    local = local_workers(app.container, of=[] if known is None else list(known.here))
    taken_back, unregistered = ([], 0) if known is None else _beside(app, known, local)
    workers = counted(len(local.alive), "worker")
    jobs = {it.worker: known.here[it.worker].jobs for it in local.alive if known and it.worker in known.here}
    has_stopped, own = True, None
    wait = None if timeout is None else timeout.total_seconds()
    if local.targets:
        with_jobs = "" if known is None else f" with {counted(sum(jobs.values()), 'job')}"
        how = f"{' by force' if force else ''}{with_jobs}"
        app.note(f"stopping {f'{workers}{how}' if local.alive else 'the processes of ended workers'}")
        for each in [] if force else local.frozen:
            what = f"worker {each.worker}" if each.worker else "the supervisor"
            app.note(
                f"{what} (pid {each.process.pid}) was frozen by a signal: `worker stop --force` ends it all the same"
            )
        local.ask_to_stop(force=force)
        if own := _own_worker(local):
            job_id = os.environ.get("QUEUECTL_JOB_ID")
            app.note(f"this is a command of job {job_id}, which worker {own} runs: not waiting")
            wait = 0.0
        has_stopped = local.wait(wait, force=force)
        for killed in local.killed:
            app.note(f"worker {killed.worker} (pid {killed.process.pid}) did not stop, and was killed")
            app.container.kill_commands()(killed.worker, killed.commands)
        if local.killed and known is not None:
            taken_back += _taken_back(app)
    if unregistered:
        app.note(
            f"{counted(unregistered, 'worker')} of this machine cannot be reached: "
            "started by another user, or with another spool-dir; stop them as they were started"
        )
    stopped = {worker.process.pid: worker.worker for worker in local.alive} if has_stopped else {}
    said = [_stopped(local, workers)] if has_stopped else [ASKED if own else STILL_STOPPING]
    if not app.out.is_table:
        app.note(said[0])
    app.out.done(
        {
            "stopped": has_stopped,
            "forced": force,
            "workers": [{"pid": it.process.pid, "id": it.worker, "jobs": jobs.get(it.worker)} for it in local.alive],
            "taken_back": [job.id for job in taken_back],
            "elsewhere": None if known is None else known.elsewhere,
        },
        plain=stopped.items(),
        said=lambda: said,
        ids=stopped.values(),
    )
    ctx.exit(0 if (has_stopped or own) and not unregistered else 1)


@worker.command("status", short_help="Show the live workers, on all machines, and the lost ones.")
@pass_app
def status(app: App) -> None:
    """Show the live workers, on all machines, and those that are lost with their jobs.

    Example:
      queuectl worker status

    Plain output: id, host, pid, state, jobs, seconds since the heartbeat.
    """
    from queuectl.presentation.tables import worker_parts
    from queuectl.presentation.views import worker_lines, worker_views

    now = status_of(app.queue)
    app.out.write(
        worker_views(now),
        plain=worker_lines(now),
        table=lambda: worker_parts(now),
        ids=[each.id for each in now.workers],
    )
    tell_lost(app, now.lost)


def _refuse_in_a_job() -> None:
    """Raise QueueError where this is a job's command: its workers would be part of the job, and end with it."""
    if job_id := os.environ.get("QUEUECTL_JOB_ID"):
        from queuectl.domain.errors import QueueError

        raise QueueError(
            f"this is a command of job {job_id}: workers that it starts would be killed when the job ends",
            hint="start workers from a shell or a service, or have the job ask for it there",
        )


def _supervise(app: App, count: int, options: "WorkerOptions", ready_fd: int | None) -> int:
    from queuectl.container import load_for_workers
    from queuectl.entrypoints.worker.background import TellSystemd, told_to
    from queuectl.entrypoints.worker.process import rescue_once, run_worker
    from queuectl.entrypoints.worker.supervisor import Supervisor

    load_for_workers(app.settings)
    container = app.container
    container.make_room_for(options.concurrency)
    container.take_over_logging()
    container.unblock_stderr()
    container.local_processes().join(None)
    supervisor = Supervisor(
        count,
        lambda line: run_worker(app.settings, options, line),
        tell=told_to(ready_fd) if ready_fd is not None else TellSystemd(count),
        log=container.log_line(),
        kill_orphans=container.kill_orphans(),
        local=container.local_processes(),
        elapsed=container.elapsed(),
        rescue=lambda: rescue_once(app.settings),
    )
    container.contain()
    return supervisor.run()


def _known(app: App) -> "_Known | None":
    """The live workers that the database knows; None, and a line that says so, when it does not tell them soon."""
    machine = app.container.machine_id()

    def look() -> _Known:
        app.storage.open(create=False)
        live = app.container.workers().live()
        here = {worker.id: worker for worker in live if worker.process.machine == machine}
        return _Known(here, len(live) - len(here))

    return _soon(app, look, "stopping this machine's workers without it", DATABASE_ANSWERS)


def _beside(app: App, known: _Known, local: "LocalWorkers") -> "tuple[list[Job], int]":
    """Look after the workers that cannot be stopped from here: take back the jobs of those that have died.

    These jobs, and how many workers of this machine live and have not registered where we look.
    """
    others = [it for it in known.here.values() if it.id not in {each.worker for each in local.alive}]
    unregistered = _outliving(others, app.container.is_alive())
    dead, taken_back = len(others) - unregistered, cast("list[Job]", [])
    if dead:
        app.note(f"{counted(dead, 'worker')} of this machine died: taking their jobs back")
        taken_back += _taken_back(app)
    if known.elsewhere:
        app.note(f"{counted(known.elsewhere, 'worker')} on other machines: stop them there")
    return taken_back, unregistered


def _outliving(workers: "Sequence[WorkerRecord]", is_alive: "Callable[[Process], bool]") -> int:
    """How many of them live on; one that was killed lets go of its registration a moment before it is gone."""
    give_up_at = time.monotonic() + GONE_WITHIN
    while (alive := sum(is_alive(it.process) for it in workers)) and time.monotonic() < give_up_at:
        time.sleep(GONE_WITHIN / 20)
    return alive


def _taken_back(app: App) -> "Sequence[Job]":
    """Take back the jobs of workers of this machine that have died, and say so."""
    jobs = _soon(app, app.rescue, "the next worker takes the jobs back", RESCUED_WITHIN) or ()
    for job in jobs:
        app.note(f"job {job.id}: taken back, now {job.state}")
    return jobs


def _soon(app: App, ask: Callable[[], T], what_if_not: str, seconds: float) -> T | None:
    """What the database answers, if it does so in time; else None and a note. Workers are stopped without it too.

    In a thread, which is left behind: a call may hang for as long as it likes.
    """
    from queuectl.domain.errors import DatabaseUnavailable

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


def _own_worker(local: "LocalWorkers") -> str | None:
    """The id of the worker that runs this very command, if it is one of those: to wait for it would be for ever."""
    own = os.environ.get("QUEUECTL_WORKER_ID")
    return own if own in [worker.worker for worker in local.alive] else None


def _stopped(local: "LocalWorkers", workers: str) -> str:
    if local.alive:
        return f"stopped {workers}"
    return "stopped them" if local.targets else "no workers are running on this machine"


def _tell_started(app: App, started: "Started") -> None:
    running = _running_here(app, started)
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


def _running_here(app: App, started: "Started") -> int:
    """The workers of the queue that run on this machine now, those just started at least."""
    from queuectl.entrypoints.worker.background import local_workers

    return max(len(local_workers(app.container).alive), len(started.workers))
