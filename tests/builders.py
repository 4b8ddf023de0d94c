"""Things to test with: every builder has defaults, so that a test shows only what matters to it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from queuectl.domain.attempt import AttemptEnd, Outcome, Output, RunResult
from queuectl.domain.job import Job, Spec, State
from queuectl.domain.policy import Policy
from queuectl.domain.worker import Lease, Process, WorkerRecord, WorkerState

NOON = datetime(2030, 1, 31, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ANN = "ann@web-1"


def a_job(job_id: str = "job-1", **overrides: object) -> Job:
    """A pending job, due since its creation at noon."""
    defaults: dict[str, Any] = {
        "id": job_id,
        "command": "echo hello",
        "queue": "default",
        "priority": 5,
        "max_retries": 3,
        "timeout": 5 * MINUTE,
        "run_at": overrides.get("created_at", NOON),
        "created_at": NOON,
        "updated_at": overrides.get("created_at", NOON),
    }
    values = defaults | overrides
    spec = Spec(**{name: values.pop(name) for name in Spec._fields if name in values})
    return Job(spec=spec, **values)


def some_jobs(count: int, **overrides: object) -> list[Job]:
    """Jobs job-000, job-001, … that differ in nothing else."""
    return [a_job(f"job-{number:03}", **overrides) for number in range(count)]


def a_job_that_is(state: State, **overrides: object) -> Job:
    """A job in that state, as its transitions would have left it."""
    match state:
        case State.PENDING:
            return a_job(**overrides)
        case State.PROCESSING:
            return a_job(**overrides).claimed(a_lease(), NOON)
        case State.COMPLETED:
            return a_job_that_is(State.PROCESSING, **overrides).settled(a_result(), NOON, a_policy(), 0)
        case State.FAILED:
            return a_job_that_is(State.PROCESSING, **overrides).settled(a_failure(), NOON, a_policy(), 0)
        case State.DEAD:
            return a_job_that_is(State.PROCESSING, **{"max_retries": 0} | overrides).settled(
                a_failure(), NOON, a_policy(), 0
            )
        case State.CANCELLED:
            return a_job(**overrides).cancelled(NOON, ANN)


def a_lease(number: int = 1, *, worker: str = "w-1") -> Lease:
    """A lease of that worker; another number is another claim."""
    return Lease(id=f"{number:032x}", worker=worker)


def a_worker(worker_id: str = "w-1", **overrides: object) -> WorkerRecord:
    """A running worker with a lease of an hour from its start at noon."""
    started_at = overrides.get("started_at", NOON)
    defaults: dict[str, Any] = {
        "id": worker_id,
        "host": "host-1",
        "process": a_process(),
        "supervisor": a_process(pid=99),
        "queues": (),
        "concurrency": 1,
        "state": WorkerState.RUNNING,
        "started_at": started_at,
        "renewed_at": started_at,
        "lease_expires_at": started_at + HOUR,
    }
    return WorkerRecord(**defaults | overrides)


def a_process(**overrides: object) -> Process:
    return Process(**{"machine": "machine-1", "pid": 100, "started": 123456} | overrides)


def settled(job: Job, end: AttemptEnd) -> Job:
    """What the default policy makes of a job whose attempt has ended so."""
    return job.settled(end.result, end.at, a_policy(), 0)


def a_policy(**stored: str) -> Policy:
    """The default policy, or with some settings stored: `a_policy(max_losses="1")`."""
    return Policy.of({key.replace("_", "-"): value for key, value in stored.items()})


def a_result(outcome: Outcome = Outcome.SUCCEEDED, *, output: bytes = b"", **overrides: object) -> RunResult:
    """A runner's report of a run; a success unless said."""
    if outcome is Outcome.SUCCEEDED:
        overrides = {"exit_code": 0} | overrides
    return RunResult(outcome=outcome, **{"output": Output(content=output)} | overrides)


def a_failure(exit_code: int = 1, **overrides: object) -> RunResult:
    """A command that ended with that exit code."""
    return a_result(Outcome.FAILED, **{"exit_code": exit_code, "error": f"exit code {exit_code}"} | overrides)


def a_loss(error: str = "its worker died") -> RunResult:
    return a_result(Outcome.LOST, error=error)
