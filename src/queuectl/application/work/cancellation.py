"""Cancelling jobs that run: a worker stops the commands whose jobs an operator wants to be cancelled."""

from datetime import timedelta

from queuectl.application.work.context import Context
from queuectl.application.work.duty import NEVER
from queuectl.domain.attempt import Outcome
from queuectl.domain.events import CancelReceived
from queuectl.domain.job import Job

MIN_INTERVAL = timedelta(milliseconds=50)
"""The shortest time between two questions, however often the worker is woken."""


class Cancellations:
    """A duty: ask for such requests in every turn with a command that runs, for a wake-up may be about one."""

    def __init__(self, worker: Context) -> None:
        self._worker = worker
        self._ask_at = timedelta()
        self._was_too_soon = False

    @property
    def due_at(self) -> timedelta:
        """Soon after a turn that came too soon after a question; else it asks with whatever turn comes next."""
        return self._ask_at if self._was_too_soon and self._has_to_ask else NEVER

    @property
    def _has_to_ask(self) -> bool:
        return bool(self._worker.slots.running) and not self._worker.slots.is_lease_lost

    def run(self, now: timedelta) -> None:
        """Stop the commands of jobs of which a request is news. Raises DatabaseUnavailable."""
        if not self._has_to_ask:
            return
        self._was_too_soon = now < self._ask_at
        if self._was_too_soon:
            return
        self._ask_at = now + MIN_INTERVAL
        asked = self._worker.ports.work.cancel_requests(self._worker.id, self._worker.slots.running)
        news = [job for each in asked if (job := self._with_request(each))]
        if news:
            self._worker.refresh()  # whoever asks again may have changed the grace
        for job in news:
            self._stop(job)

    def _with_request(self, asked: Job) -> Job | None:
        """The job that runs, with what is asked of it now; None where that is no news."""
        run = self._worker.slots.running.get(asked.id)
        if run is None or run.job.is_to_be_killed:
            return None
        job = run.job._replace(
            updated_at=asked.updated_at,
            cancel_requested_at=asked.cancel_requested_at,
            cancel_requested_by=asked.cancel_requested_by,
        )
        return None if job == run.job else job

    def _stop(self, job: Job) -> None:
        running, ports = self._worker.slots.running, self._worker.ports
        running[job.id] = running[job.id]._replace(job=job)
        ports.events(CancelReceived(job=job))
        grace = timedelta() if job.is_to_be_killed else self._worker.policy.kill_grace
        ports.runner.stop(Outcome.CANCELLED, grace=grace, job_id=job.id)
