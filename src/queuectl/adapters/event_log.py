"""The log: one line for each event of a worker. The only place that words them."""

import logging
import sys
import time
from typing import TextIO, assert_never

from queuectl.domain import events
from queuectl.domain.duration import format_duration
from queuectl.domain.outcome import Outcome
from queuectl.domain.state import State

_log = logging.getLogger("queuectl")


def log_to_stderr() -> None:
    """Have the log's lines written to stderr, times in UTC."""
    # What no line shows is not looked for ("Optimization" in Python's Logging HOWTO): half of what a line costs.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    _log.addHandler(_Lines(sys.stderr))
    _log.setLevel(logging.INFO)


class _Lines(logging.StreamHandler[TextIO]):
    """Writes a line at a time. A formatter would take longer for it than all the rest: a worker logs two for a job."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            self.stream.write(f"{second}.{int(record.msecs):03}Z {record.levelname} {record.getMessage()}\n")
            self.stream.flush()
        except Exception:  # noqa: BLE001 - as of every handler of logging's: a full disk must not end the worker
            self.handleError(record)


def log_line(line: str) -> None:
    """Write one line that is no worker's event: the supervisor's own."""
    _log.warning("%s", line)


def log_event(event: events.Event) -> None:  # noqa: C901 - one case for each event
    """`EventSink` that writes to the log."""
    match event:
        case events.WorkerStarted():
            queues = ", ".join(event.queues) or "all"
            _log.info("worker %s started: queues %s, %d at a time", event.worker, queues, event.concurrency)
        case events.WorkerStopping():
            how = "forced: stopping and releasing" if event.forced else "finishing"
            _log.info("worker %s stopping, %s %d jobs", event.worker, how, event.jobs)
        case events.WorkerStopped():
            _log.info("worker %s stopped", event.worker)
        case events.JobStarted():
            _log.info("job %s attempt %d started", event.job.id, event.job.attempts)
        case events.CancelHeard():
            _log.info("job %s is to be cancelled, says %s: stopping it", event.job.id, event.job.cancel_requested_by)
        case events.JobSettled():
            _log_settled(event)
        case events.OutcomeKept():
            message = "job %s attempt %d ended (%s); kept on disk until the database takes it"
            _log.warning(message, event.job.id, event.job.attempts, event.result.outcome)
        case events.ResultLate():
            message = "job %s attempt %d ended (%s) after the job had been taken away: kept as a late result"
            _log.warning(message, event.job.id, event.job.attempts, event.result.outcome)
        case events.JobRescued():
            _log.warning("job %s taken back, now %s: %s", event.job.id, event.job.state, _shown(event.job.last_error))
        case events.LeaseLost():
            _log.error("worker %s lost its lease and stops its jobs: %s", event.worker, event.reason)
        case events.DatabaseLost():
            _log.error("worker %s cannot use the database, trying on: %s", event.worker, event.error)
        case events.DatabaseBack():
            _log.info("worker %s can use the database again", event.worker)
        case _:
            assert_never(event)


def _log_settled(event: events.JobSettled) -> None:
    job, result = event.job, event.result
    said = f"job {job.id} attempt {job.attempts} {result.outcome} after {event.ran.total_seconds():.3f} s"
    if result.error:
        said += f": {_shown(result.error)}"
    if job.state is State.FAILED:
        said += f"; again in {format_duration(job.run_at - job.updated_at)}"
    elif job.state is State.DEAD:
        said += "; no retries left, in the dead letter queue"
    elif job.state is State.CANCELLED and result.outcome is not Outcome.CANCELLED:
        said += "; not again: a cancel was asked for"
    _log.log(logging.INFO if job.state is State.COMPLETED else logging.WARNING, "%s", said)


def _shown(text: str | None) -> str:
    """A command's own words on one line, control characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text or "")
