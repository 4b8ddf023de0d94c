"""One worker process: registers, works until it is asked to stop, retires."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from queuectl.application.fleet import FORCE_SIGNAL
from queuectl.application.operate.configure import policy_of
from queuectl.application.work.lease import Heartbeat, LeaseTerm
from queuectl.application.work.worker import Worker
from queuectl.container import Container
from queuectl.domain.attempt import Outcome
from queuectl.domain.errors import DatabaseUnavailable
from queuectl.domain.events import WorkerSignalled, WorkerStarted, WorkerStopped
from queuectl.domain.exit_codes import LEASE_LOST, SIGNALLED, signal_name
from queuectl.domain.ports.host import LocalProcesses
from queuectl.domain.worker import WorkerRecord, WorkerState
from queuectl.entrypoints.worker.signals import ENDING
from queuectl.entrypoints.worker.slot import Order
from queuectl.settings import Settings

PATIENCE = timedelta(seconds=1)
"""The time for which one transaction is tried: short, for the loop that tries again also watches the lease."""

MIN_RESPONSE_TIMEOUT = timedelta(seconds=1)
"""The time that the database may take for an answer however short the lease is."""

SIGN_OF_LIFE_LIMIT = timedelta(seconds=10)
"""The delay of a sign of life, beyond half of a lease after the one before: each asks the database first."""

STOPPING_RESPONSE_TIMEOUT = timedelta(seconds=5)
"""The time that it may take however long the lease is, when the worker is to stop."""

RETIRE_LIMIT, RETIRE_LIMIT_CUT_OFF = 10.0, 1.0
"""Seconds that a worker which holds nothing more has to retire from the database; where that did not answer."""

ORPHANED_LIMIT = 0.2
"""Seconds after which a process knows that its parent, which somebody has just killed, is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """The options that the workers of one `worker start` have in common; no queues means every queue."""

    queues: Sequence[str] = ()
    labels: Sequence[str] = ()
    """Those of the machine included."""
    concurrency: int = 1


def run_worker(settings: Settings, options: WorkerOptions, line: socket.socket) -> int:
    """Work until the supervisor, at the other end of the line, orders to stop or is gone.

    A signal that would end this process, which anybody may send and a command by mistake, stops it gracefully and has
    it replaced. Writes the worker's id to the line once it may claim. The exit code: 0, LEASE_LOST, or SIGNALLED and
    the signal. Raises DatabaseUnavailable when the queue cannot be used at the start.
    """
    container = Container(settings=settings, patience=PATIENCE)
    supervisor = os.getppid()
    worker_id = container.new_worker_id()
    local = container.local_processes()
    local.join(container.find_process()(supervisor) or container.current_process(), worker=worker_id)
    lease = _registered(settings, options, worker_id, local)
    # A connection of the pool's from now on, and so a log for the wake-ups to watch.
    container.storage().open(create=False)
    # So that on a connection that hangs, one renewal may be waited for in vain and sent again while there is a lease.
    container.database().expect_answers_within(max(MIN_RESPONSE_TIMEOUT, lease.interval))
    worker, heartbeat = _worker(container, options, worker_id, lease)
    stops = _Stops(worker, container, supervisor)
    renewing = _start_threads(container, heartbeat, stops, line)
    container.events()(WorkerStarted(worker=worker_id, queues=tuple(options.queues), concurrency=options.concurrency))
    with contextlib.suppress(OSError):  # the supervisor is gone
        line.sendall(worker_id.encode())
    in_good_order = worker.run()
    heartbeat.close()
    _retire(container, worker, renewing)
    if not in_good_order:
        return LEASE_LOST
    return SIGNALLED + stops.signal if stops.signal else 0


def _worker(container: Container, options: WorkerOptions, worker_id: str, lease: LeaseTerm) -> tuple[Worker, Heartbeat]:
    """The worker, and its heartbeat, which notes on this machine too how long the lease lasts."""
    local: LocalProcesses = container.local_processes()

    def sign_of_life(lease_ends: timedelta) -> None:
        fit_until = lease.elapsed() + lease.length / 2 + SIGN_OF_LIFE_LIMIT
        local.renew(lease_ends, kill_grace=worker.kill_grace, fit_until=fit_until)

    heartbeat: Heartbeat = container.heartbeat(worker_id, lease=lease, sign_of_life=sign_of_life)
    worker: Worker = container.worker(
        worker_id,
        queues=options.queues,
        labels=options.labels,
        concurrency=options.concurrency,
        heartbeat=heartbeat,
    )
    sign_of_life(lease.ends_at)
    return worker, heartbeat


def _start_threads(
    container: Container, heartbeat: Heartbeat, stops: "_Stops", line: socket.socket
) -> threading.Thread:
    """Start what goes on beside the worker's loop; the thread that renews the lease."""
    container.listen()(container.runner().wake)
    renewing = _thread("heartbeat", heartbeat.run)
    _thread("fence", lambda: heartbeat.watch(lambda grace: container.runner().stop(Outcome.LOST, grace=grace)))
    _thread("orders", lambda: stops.handle_orders(line))
    _thread("signals", stops.handle_signals)
    return renewing


def _retire(container: Container, worker: Worker, renewing: threading.Thread) -> None:
    """Mark the worker as stopped in the database, if that answers in time."""

    def retire() -> None:
        renewing.join()
        with contextlib.suppress(DatabaseUnavailable):  # others will see that it is gone, and what it held
            container.workers().retire(worker.id, at=container.clock()())
        container.storage().close()

    _thread("retire", retire).join(RETIRE_LIMIT_CUT_OFF if worker.is_cut_off else RETIRE_LIMIT)
    container.events()(WorkerStopped(worker=worker.id))


def rescue_once(settings: Settings) -> None:
    """Take back the jobs of dead workers, as a worker would. Raises DatabaseUnavailable."""
    container = Container(settings=settings)
    container.storage().open(create=False)
    container.rescue()(policy_of(container.queue()))
    container.storage().close()


def _registered(settings: Settings, options: WorkerOptions, worker_id: str, local: LocalProcesses) -> LeaseTerm:
    """The first lease of the new worker, which is in the database now.

    With a user's patience, not a worker's, and after all that takes a while: there is no lease yet to be watched.
    """
    container = Container(settings=settings, local_processes=local)
    container.storage().open(create=False)  # whoever started the workers has made it; it may have been removed since
    container.contain()
    container.clear_leftovers()
    lease = policy_of(container.queue()).lease
    sent_at, now = container.elapsed()(), container.clock()()
    record = WorkerRecord(
        id=worker_id,
        host=container.host_name(),
        process=container.current_process(),
        supervisor=container.find_process()(os.getppid()) or container.current_process(),
        queues=tuple(options.queues),
        concurrency=options.concurrency,
        state=WorkerState.RUNNING,
        started_at=now,
        renewed_at=now,
        lease_expires_at=now + lease,
        labels=tuple(options.labels),
    )
    container.workers().register(record)
    container.storage().close()
    return LeaseTerm(lease, elapsed=container.elapsed(), sent_at=sent_at)


def _thread(name: str, work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


class _Stops:
    """The stops of a worker: by the orders and the end of its supervisor, or by a signal from anybody else."""

    def __init__(self, worker: Worker, container: Container, supervisor: int) -> None:
        """`supervisor` is the pid of this process's parent."""
        self.signal = 0
        """The first signal that came although the supervisor was there."""
        self._worker = worker
        self._container = container
        self._supervisor = supervisor

    def handle_orders(self, line: socket.socket) -> None:
        """Carry out the supervisor's orders; stop when it is gone."""
        orders = {Order.STOP: self._stop, Order.FORCE: self._force, Order.RESCUE: self._worker.rescue_soon}
        with contextlib.suppress(OSError):
            while order := line.recv(1):
                orders[Order(order)]()
        self._stop()

    def handle_signals(self) -> None:
        """Wait for the signals that would end this process, and stop."""
        while True:
            number = signal.sigwait(ENDING)
            if _is_orphan(self._supervisor, within=ORPHANED_LIMIT if number == FORCE_SIGNAL else 0.0):
                self._force() if number == FORCE_SIGNAL else self._stop()
                continue
            if not self.signal:
                self._container.events()(WorkerSignalled(worker=self._worker.id, signal=signal_name(number)))
            self.signal = self.signal or number
            self._stop()

    def _stop(self) -> None:
        self._worker.stop()
        self._container.database().expect_answers_within(STOPPING_RESPONSE_TIMEOUT)

    def _force(self) -> None:
        self._worker.stop(force=True)
        self._container.database().expect_answers_within(STOPPING_RESPONSE_TIMEOUT)
        # From here, for the main thread may be waiting for the database.
        runner, grace = self._container.runner(), self._worker.kill_grace
        runner.stop(Outcome.RELEASED, grace=grace)
        time.sleep(grace.total_seconds())
        runner.stop(Outcome.RELEASED, grace=timedelta())


def _is_orphan(supervisor: int, *, within: float) -> bool:
    """Tell whether the supervisor is gone: then anybody may stop this worker."""
    give_up_at = time.monotonic() + within
    while os.getppid() == supervisor:
        if time.monotonic() >= give_up_at:
            return False
        time.sleep(within / 20)
    return True
