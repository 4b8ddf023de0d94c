"""The log: one line for each event of a worker, worded here alone."""

import functools
import logging
import sys
import time
from typing import assert_never

from queuectl.adapters.host.files import escaped
from queuectl.domain import events
from queuectl.domain.attempt import AttemptEnd, Outcome
from queuectl.domain.duration import format_duration
from queuectl.domain.job import State

INFO, WARNING, ERROR = "INFO", "WARNING", "ERROR"


def take_over_logging() -> None:
    """Write what libraries and other adapters send to `logging` as lines of the log."""
    logger = logging.getLogger("queuectl")
    logger.addHandler(_Lines())
    logger.setLevel(logging.INFO)


class _Lines(logging.Handler):
    """A handler that makes lines of the log."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _write(record.levelname, record.getMessage())
        except Exception:  # noqa: BLE001 - as of every handler: a message that cannot be put together
            self.handleError(record)


def log_line(line: str) -> None:
    """Write one line that is no worker's event: the supervisor's own."""
    _write(WARNING, line)


def _write(level: str, line: str) -> None:
    """Write a line to stderr, the time in UTC. Raises nothing: a full disk must not end the worker.

    Not by `logging`, which takes more than twice as long, and a worker writes two lines for each job.
    """
    milliseconds = time.time_ns() // 1_000_000
    try:
        sys.stderr.write(f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z {level} {line}\n")
    except (OSError, ValueError, RuntimeError, AttributeError):
        # A full disk; a closed stream; no thread to be had for `log_stream`; no stderr from the beginning.
        return


@functools.lru_cache(maxsize=1)
def _second(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))


def log_event(event: events.Event) -> None:  # noqa: C901 - one case for each event
    """Write the event to the log: an `EventSink`."""
    match event:
        case events.JobStarted():
            _write(INFO, f"job {event.job.id} attempt {event.job.attempts} started")
        case events.JobSettled():
            _log_settled(event)
        case events.WorkerStarted():
            queues = ", ".join(event.queues) or "all"
            _write(INFO, f"worker {event.worker} started: queues {queues}, {event.concurrency} at a time")
        case events.WorkerStopping():
            how = "forced: stopping and releasing" if event.forced else "finishing"
            _write(INFO, f"worker {event.worker} stopping, {how} {event.jobs} job{'' if event.jobs == 1 else 's'}")
        case events.WorkerSignalled():
            _write(WARNING, f"worker {event.worker} was sent {event.signal}, not by its supervisor: it is replaced")
        case events.WorkerStopped():
            _write(INFO, f"worker {event.worker} stopped")
        case events.CancelReceived():
            _write(INFO, f"job {event.job.id} is to be cancelled, says {event.job.cancel_requested_by}: stopping it")
        case events.EndSpooled():
            _write(WARNING, f"{_ended(event.end)}; kept on disk until the database takes it")
        case events.EndRefused():
            _write(ERROR, f"{_ended(event.end)} and cannot be recorded, kept on disk: {escaped(event.error)}")
        case events.EndLate():
            _write(WARNING, f"{_ended(event.end)} after the job had been taken away: kept as a late result")
        case events.JobRescued():
            _write(WARNING, f"job {event.job.id} taken back, now {event.job.state}: {escaped(event.job.last_error)}")
        case events.LeaseLost():
            _write(ERROR, f"worker {event.worker} lost its lease and stops its jobs: {event.reason}")
        case events.DatabaseLost():
            _write(ERROR, f"worker {event.worker} cannot use the database, trying on: {event.error}")
        case events.DatabaseBack():
            _write(INFO, f"worker {event.worker} can use the database again")
        case events.WorkerInTrouble():
            _write(ERROR, f"worker {event.worker} gives jobs back, and claims more rarely: {event.error}")
        case events.KeysRepaired():
            _write(
                WARNING, f"jobs waited for keys that were free, and go on now: {', '.join(map(escaped, event.keys))}"
            )
        case _:
            assert_never(event)


def _ended(end: AttemptEnd) -> str:
    return f"job {end.job_id} attempt {end.number} ended ({end.result.outcome})"


def _log_settled(event: events.JobSettled) -> None:
    job, result = event.job, event.end.result
    said = f"job {job.id} attempt {event.end.number} {result.outcome} after {event.ran.total_seconds():.3f} s"
    if result.error:
        said += f": {escaped(result.error)}"
    if job.state is State.FAILED:
        said += f"; again in {format_duration(job.run_at - job.updated_at)}"
    elif job.state is State.DEAD:
        said += "; no retries left, in the dead letter queue"
    elif job.state is State.CANCELLED and result.outcome is not Outcome.CANCELLED:
        said += "; not again: a cancel was asked for"
    _write(INFO if job.state is State.COMPLETED else WARNING, said)
