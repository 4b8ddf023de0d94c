"""One worker process: registers, works until it is told to stop, retires."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from queuectl.application.heartbeat import BEATS_PER_LEASE
from queuectl.application.worker import Worker
from queuectl.domain.errors import DatabaseUnavailable
from queuectl.domain.events import WorkerStarted, WorkerStopped
from queuectl.domain.outcome import Outcome
from queuectl.domain.ports import WorkerRecord, WorkerState
from queuectl.entrypoints.supervisor import FORCE_SIGNAL, GRACEFUL_SIGNAL, RESCUE_SIGNAL, is_forced
from queuectl.settings import Settings
from queuectl.worker_container import WorkerContainer

PATIENCE = timedelta(seconds=1)
"""How long one transaction is tried: short, for the loop that tries again also watches the lease."""

SHORTEST_SILENCE = timedelta(seconds=1)
"""How long the database may take for an answer however short the lease is."""

LEASE_LOST = 75
"""The exit code of a worker that lost its lease: temporary failure (sysexits.h), a new worker takes its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What the workers of one `worker start` have in common; no queues means every queue."""

    queues: Sequence[str] = ()
    concurrency: int = 1


def run_worker(settings: Settings, options: WorkerOptions, *, lifeline: int, ready: Callable[[str], None]) -> int:
    """Work until a stop signal, or until `lifeline`, a pipe from the supervisor, closes.

    A second SIGTERM or SIGINT, or `FORCE_SIGNAL`, forces. `ready` is called with the worker's id once it may claim. The
    exit code: 0, or LEASE_LOST. Raises DatabaseUnavailable when the queue cannot be used at the start.
    """
    record, sent_at = _registered(settings, options)
    container = WorkerContainer(settings=settings, patience=PATIENCE)
    # A connection of the pool's from now on, and so a log for the wake-ups to watch.
    container.storage().open(create=False)
    lease = record.lease_expires_at - record.started_at
    # So that on a connection that hangs, one renewal may be waited for in vain and sent again while there is a lease.
    container.database().expect_answers_within(max(SHORTEST_SILENCE, lease / BEATS_PER_LEASE))
    heartbeat = container.heartbeat(record.id, lease=lease, sent_at=sent_at)
    worker: Worker = container.worker(
        record.id, queues=options.queues, concurrency=options.concurrency, heartbeat=heartbeat
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, GRACEFUL_SIGNAL, FORCE_SIGNAL):
        signal.signal(number, lambda number, _frame: worker.stop(force=is_forced(number, worker.is_stopping)))
    signal.signal(RESCUE_SIGNAL, lambda _number, _frame: worker.rescue_soon())
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the supervisor held signals back until there are handlers
    container.wake_ups()(container.runner().wake)
    beating = _thread("heartbeat", heartbeat.run)
    _thread("fence", lambda: heartbeat.watch(lambda grace: container.runner().stop(Outcome.LOST, grace=grace)))
    _thread("lifeline", lambda: _stop_with_supervisor(lifeline, worker))
    container.events()(WorkerStarted(worker=record.id, queues=tuple(options.queues), concurrency=options.concurrency))
    ready(record.id)

    in_good_order = worker.run()
    heartbeat.close()
    beating.join()
    with contextlib.suppress(DatabaseUnavailable):  # others will see that the process is gone, and that it held nothing
        container.workers().retire(record.id, at=container.clock()())
    container.events()(WorkerStopped(worker=record.id))
    container.storage().close()
    return 0 if in_good_order else LEASE_LOST


def _registered(settings: Settings, options: WorkerOptions) -> tuple[WorkerRecord, timedelta]:
    """The new worker, in the registry with its first lease; and when that was sent, in time since boot.

    With a user's patience, not a worker's, and after all that takes a while: there is no lease yet to be watched.
    """
    container = WorkerContainer(settings=settings)
    container.storage().open(create=False)  # whoever started the workers has made it; it may have been removed since
    container.contain()
    container.clear_leftovers()
    lease = container.queue().policy().lease
    sent_at, now = container.elapsed()(), container.clock()()
    record = WorkerRecord(
        id=container.new_worker_id(),
        host=container.host_name(),
        process=container.current_process(),
        supervisor=container.find_process()(os.getppid()) or container.current_process(),
        queues=tuple(options.queues),
        concurrency=options.concurrency,
        state=WorkerState.RUNNING,
        started_at=now,
        renewed_at=now,
        lease_expires_at=now + lease,
    )
    container.workers().register(record)
    container.storage().close()
    return record, sent_at


def _thread(name: str, work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def _stop_with_supervisor(lifeline: int, worker: Worker) -> None:
    """Nobody writes to the lifeline: a read returns when its other end, the supervisor, is gone."""
    os.read(lifeline, 1)
    worker.stop()
