"""One run of a command: how it ended, and what it wrote."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from queuectl.domain.worker import Lease


class Outcome(StrEnum):
    """The way in which an attempt ended. The job's next state follows from it: see `Job.settled`."""

    SUCCEEDED = "succeeded"
    """The command ended with exit code 0."""
    FAILED = "failed"
    """The command ended with another exit code or by a signal, or could not be started through its own fault."""
    TIMEOUT = "timeout"
    """The command ran longer than the job's timeout and was stopped."""
    LOST = "lost"
    """The worker died or lost its lease while the command ran."""
    RELEASED = "released"
    """The worker gave the job back: at a forced shutdown, or because it had trouble of its own."""
    CANCELLED = "cancelled"
    """An operator stopped the command."""


RAN = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMEOUT)
"""The outcomes whose wait and run times say something about the commands."""


class Output(NamedTuple):
    """The bytes that a command wrote to stdout and stderr, interleaved as they came.

    `content` is exact, byte for byte. When the command wrote more than the policy's `output-limit`, `truncated` is
    true and `content` is the head and the tail, with a line between them that says how many bytes were dropped.
    """

    content: bytes = b""
    truncated: bool = False


class RunResult(NamedTuple):
    """A runner's report of one run.

    `exit_code` is None when a signal ended the command or it never started; `signal` is the number of that signal.
    `error` says in one line what went wrong; None for a success.
    """

    outcome: Outcome
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    output: Output = Output()


class AttemptEnd(NamedTuple):
    """The end of one attempt: the one value that goes from the runner to the worker, its spool, the database, the log.

    `number` and `lease` say which attempt of the job ended, `at` when; `key` is the job's. A resend is equal.
    """

    job_id: str
    number: int
    lease: Lease
    at: datetime
    result: RunResult
    key: str | None = None


class Attempt(NamedTuple):
    """One run of a job, numbered from 1. `outcome` is None while it runs.

    `late` is what the worker reported after the job had been taken away from it; it changed nothing else.
    """

    job_id: str
    number: int
    lease: Lease
    host: str
    started_at: datetime
    finished_at: datetime | None = None
    outcome: Outcome | None = None
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    output: Output = Output()
    late: Outcome | None = None
