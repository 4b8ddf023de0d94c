"""Workers in the foreground: this process becomes their supervisor."""

from dataclasses import replace

from queuectl.container import Container, load_for_workers
from queuectl.domain.worker import with_built_in
from queuectl.entrypoints.worker.deadlines import Deadlines
from queuectl.entrypoints.worker.process import WorkerOptions, rescue_once, run_worker
from queuectl.entrypoints.worker.readiness import report_to, report_to_systemd
from queuectl.entrypoints.worker.supervisor import Supervisor
from queuectl.settings import Settings


def supervise(
    settings: Settings,
    container: Container,
    count: int,
    options: WorkerOptions,
    *,
    ready_fd: int | None,
) -> int:
    """Supervise `count` workers until they have ended; the exit code. `ready_fd`: see `report_to`."""
    load_for_workers(settings)
    options = replace(options, labels=with_built_in(options.labels, container.machine_labels()))
    container.make_room_for(options.concurrency)
    container.take_over_logging()
    container.unblock_stderr()
    local, log = container.local_processes(), container.log_line()
    local.join(None)
    supervisor = Supervisor(
        count,
        lambda line: run_worker(settings, options, line),
        on_ready=report_to(ready_fd) if ready_fd is not None else report_to_systemd(count),
        log=log,
        kill_orphans=container.kill_orphans(),
        deadlines=Deadlines(local=local, elapsed=container.elapsed(), log=log),
        rescue=lambda: rescue_once(settings),
    )
    container.contain()
    return supervisor.run()
