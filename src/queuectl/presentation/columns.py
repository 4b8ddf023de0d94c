"""The columns of each result, declared once: JSON, plain lines, tables and pages are renderings of them.

A new field of a job is a line of `JOB`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Generic, NamedTuple, TypeVar

from queuectl.application.operate.inspect import LostWorker, Status
from queuectl.application.operate.queues import QueueNow
from queuectl.domain.attempt import Attempt, Outcome
from queuectl.domain.batch import Batch
from queuectl.domain.dependency import Parent, batch_of
from queuectl.domain.duration import format_duration
from queuectl.domain.job import CLAIMABLE, DEFAULT_QUEUE, TERMINAL, Job, State, WaitsFor
from queuectl.domain.metrics import Metrics, Percentiles, Totals
from queuectl.domain.ports.storage import Finding
from queuectl.domain.queues import Pause
from queuectl.domain.reasons import Reason
from queuectl.domain.worker import BUILT_IN, WorkerRecord, name_of
from queuectl.presentation.formatting import Mark, counted, escaped, local_time, relative, shown_command, span

Row = TypeVar("Row")

HIDDEN = "***"

ALWAYS_SHOWN = object()
"""The usual value of a column that no table leaves out."""

APART = "it runs apart from other jobs: its worker was lost"


class Column(NamedTuple, Generic[Row]):
    """One thing that a result says of each row."""

    key: str
    """Its name in JSON and on plain pages."""
    value: Callable[[Row], object]
    """The value, which JSON and plain lines write."""
    title: str = ""
    """Its heading in a table."""
    text: Callable[[Row], str] | None = None
    """Its text in a table; else the value's."""
    label: str = ""
    """Its name on the page that shows one row to people."""
    fact: Callable[[Row], str] | None = None
    """Its text there, empty to leave it out; else its text in a table."""
    usual: object = ALWAYS_SHOWN
    """The column is left out of a table whose rows all have this value."""
    for_people: bool = False
    """JSON has no such key."""

    def shown(self, row: Row) -> str:
        """Its text in a table."""
        if self.text is not None:
            return self.text(row)
        value = self.value(row)
        return value if isinstance(value, str) else "" if value is None else str(value)


class Result(NamedTuple, Generic[Row]):
    """The columns of a result in the order of JSON, and the keys of those of other renderings, in theirs."""

    columns: Sequence[Column[Row]]
    plain: Sequence[str] = ()
    table: Sequence[str] = ()
    page: Sequence[str] = ()
    """Those that a page shows first; others that have a label follow."""

    def chosen(self, keys: Sequence[str]) -> Sequence[Column[Row]]:
        """The columns of these keys."""
        by_key = {column.key: column for column in self.columns}
        return [by_key[key] for key in keys]


class JobRow(NamedTuple):
    """A job as a result shows it."""

    job: Job
    now: datetime | None = None
    """The moment from which people count spans."""
    output: bytes | None = None
    """The output of its last ended attempt."""
    worker: str | None = None
    """The last worker, of a job that none holds."""
    lost: Collection[str] = ()
    """The ids of the workers that are lost."""
    show_env: bool = False
    """Show the values of `env`, and `stdin`."""
    after: Sequence[Parent] = ()
    """Its dependencies."""
    why: Reason | None = None
    """The first reason why it waits, where that was asked."""

    @property
    def holder(self) -> str | None:
        """The worker that runs it now."""
        return self.job.lease.worker if self.job.lease else None


class WorkerRow(NamedTuple):
    """A live or lost worker at a moment."""

    worker: WorkerRecord
    at: datetime
    lost: LostWorker | None


class BatchRow(NamedTuple):
    """A batch at a moment."""

    batch: Batch
    now: datetime

    @property
    def eta(self) -> datetime | None:
        """The moment at which it is finished, if it goes on as since its beginning; None: nobody can say."""
        left = self.batch.left(self.now)
        return None if left is None else self.now + left

    @property
    def sentence(self) -> str:
        """The state of the batch in one line."""
        jobs, total, left = self.batch.jobs, self.batch.total, self.batch.left(self.now)
        said = f"{self.batch.name}  {self.batch.ended:,} of {total:,} ended ({self.batch.progress:.0%})"
        ended = [f"{jobs[it]:,} {it}" for it in (State.COMPLETED, State.DEAD, State.CANCELLED) if jobs[it]]
        said += f": {', '.join(ended)}" if ended else ""
        if self.batch.ended < total:
            waiting = sum(jobs[state] for state in CLAIMABLE)
            said += f"; {jobs[State.PROCESSING]:,} run, {waiting:,} wait"
        return said + (f"   about {span(left)} left" if left is not None else "")


class MetricsRow(NamedTuple):
    """Metrics of a window of time."""

    metrics: Metrics
    window: timedelta

    @property
    def failed(self) -> int:
        """The attempts that failed or ran out of time."""
        return self.metrics.attempts.get(Outcome.FAILED, 0) + self.metrics.attempts.get(Outcome.TIMEOUT, 0)

    @property
    def success_rate(self) -> float | None:
        """The part of the jobs that ended which completed; None when none ended."""
        ended = self.metrics.completed + self.metrics.dead
        return self.metrics.completed / ended if ended else None

    @property
    def per_minute(self) -> float:
        """Jobs that completed in a minute."""
        return self.metrics.completed / (self.window / timedelta(minutes=1))


class SettingRow(NamedTuple):
    """A setting with the text in force, as a user may see it."""

    key: str
    value: str | None
    default: str
    origin: str
    range: str
    meaning: str


def when(job: Job, now: datetime, lost: Collection[str] = ()) -> str:
    """The moment that matters in the job's state; `lost` are the ids of the workers that are lost."""
    if job.state is State.PROCESSING:
        started = f"started {relative(job.started_at or job.updated_at, now)}"
        if job.lease and job.lease.worker in lost:
            started += ", its worker is lost"
        return f"{started}, to be cancelled" if job.cancel_requested_at else started
    if job.state in TERMINAL:
        return f"ended {relative(job.finished_at or job.updated_at, now)}"
    if job.waits_for is WaitsFor.JOBS:
        return f"waits for {counted(job.blockers, 'end')}"
    return "due now" if job.run_at <= now else f"due {relative(job.run_at, now)}"


def parent_shown(parent: Parent) -> str:
    """A dependency and how it stands: `success of job a, which is processing`."""
    name, on = parent.dependency
    batch = batch_of(name)
    if parent.is_met:
        stands = "met"
    elif batch is not None:
        stands = "not met"
    else:
        stands = "which is gone" if parent.state is None else f"which is {parent.state}"
    return f"{on} of {f'job {name}' if batch is None else f'batch {batch}'}, {stands}"


def _after(it: JobRow) -> Sequence[object]:
    return [
        {"job" if (batch := batch_of(parent)) is None else "batch": batch or parent, "on": on, "met": is_met}
        for (parent, on), is_met, _ in it.after
    ]


def last_output(history: Sequence[Attempt]) -> bytes | None:
    """The output of the last ended attempt."""
    return next((attempt.output.content for attempt in reversed(history) if attempt.outcome), None)


def worker_rows(status: Status) -> Sequence[WorkerRow]:
    """The workers of a status, as results show them."""
    return [WorkerRow(worker, status.at, status.lost.get(worker.id)) for worker in status.workers]


def _when(it: JobRow) -> str:
    return when(it.job, it.now or it.job.updated_at, it.lost)


def _queue(it: JobRow) -> str:
    return f"{it.job.queue}, priority {it.job.priority}"


def _timeout(it: JobRow) -> str:
    return format_duration(it.job.timeout) if it.job.timeout else "none"


def _runs(it: JobRow) -> str:
    return f"{it.job.attempts}, of which {it.job.failures} failed; max_retries {it.job.max_retries}"


def _losses(it: JobRow) -> str:
    return f"{it.job.losses} of the runs, alone with their worker" if it.job.losses else ""


def _unique(it: JobRow) -> str:
    key, until = it.job.spec.unique_key, it.job.spec.unique_until
    if key is None or until is None:
        return ""
    lasts = f"until it has {until}" if it.job.unique_expires_at is None else f"for {until}"
    return f"{escaped(key)}, {lasts}{'' if it.job.unique_held else ', given up'}"


def _cancel(it: JobRow) -> str:
    asked_at = it.job.cancel_requested_at
    if asked_at is None:
        return ""
    return f"asked for by {escaped(it.job.cancel_requested_by or '')}, {relative(asked_at, it.now or asked_at)}"


def why_code(it: JobRow) -> str | None:
    """The code of the first reason why it waits."""
    return str(it.why.code) if it.why else None


def _why(it: JobRow) -> str:
    return escaped(it.why.message) if it.why else ""


def _stdin(it: JobRow) -> str | None:
    return it.job.stdin if it.show_env or it.job.stdin is None else HIDDEN


def _tags(it: JobRow) -> str:
    return ", ".join(map(escaped, it.job.tags))


def _key(it: JobRow) -> str:
    if it.job.key is None:
        return ""
    return escaped(it.job.key) + (f", {it.job.key_limit} at a time" if it.job.key_limit != 1 else "")


def _field(
    key: str,
    title: str = "",
    *,
    text: Callable[[JobRow], str] | None = None,
    usual: object = ALWAYS_SHOWN,
    label: str = "",
    fact: Callable[[JobRow], str] | None = None,
) -> Column[JobRow]:
    """A column with the field of the job that has its key as a name."""
    return Column(key, lambda it: getattr(it.job, key), title, text, label, fact, usual)


JOB: Result[JobRow] = Result(
    (
        _field("id", "ID", label="job"),
        _field("queue", "QUEUE", usual=DEFAULT_QUEUE, label="queue", fact=_queue),
        _field("command", "COMMAND", text=lambda it: shown_command(it.job.command), label="command"),
        _field("state", "STATE", text=lambda it: Mark(it.job.state), label="state"),
        _field("priority", "PRI", usual=5),
        _field("max_retries"),
        _field("timeout", label="timeout", fact=_timeout),
        _field("run_at", label="due", fact=lambda it: local_time(it.job.run_at)),
        _field("created_at", label="created", fact=lambda it: local_time(it.job.created_at)),
        _field("updated_at"),
        _field("started_at"),
        _field("finished_at"),
        _field("cwd", label="directory", fact=lambda it: escaped(it.job.cwd or "the worker's own")),
        Column("env", lambda it: {name: text if it.show_env else HIDDEN for name, text in it.job.env.items()}),
        Column("stdin", _stdin),
        _field("key", "KEY", text=lambda it: escaped(it.job.key or ""), usual=None, label="key", fact=_key),
        _field("key_limit"),
        _field("needs", label="needs", fact=lambda it: ", ".join(map(escaped, it.job.needs))),
        _field("tags", "TAGS", text=_tags, usual=(), label="tags"),
        _field("waits_for"),
        _field("slot", label="slot"),
        Column("unique", lambda it: it.job.spec.unique_key, label="unique", fact=_unique),
        Column("unique_until", lambda it: it.job.spec.unique_until),
        _field("attempts", "RUNS", label="runs", fact=_runs),
        _field("failures"),
        _field("losses", label="lost", fact=_losses),
        Column("worker", lambda it: it.holder or it.worker, label="worker", fact=lambda it: it.holder or ""),
        Column("worker_lost", lambda it: it.holder in it.lost),
        _field("exit_code"),
        _field("last_error", "LAST ERROR", text=lambda it: escaped(it.job.last_error or ""), label="last error"),
        Column("output", lambda it: it.output),
        Column("cancel_requested_at", lambda it: it.job.cancel_requested_at, label="cancel", fact=_cancel),
        _field("cancel_requested_by"),
        _field("batch", label="batch"),
        Column("after", _after),
        _field("suspect", label="apart", fact=lambda it: APART if it.job.suspect else ""),
        Column("when", _when, "WHEN", _when, "when", for_people=True),
        Column("why", why_code, "WHY", lambda it: why_code(it) or "", "why", _why, for_people=True),
    ),
    plain=("id", "state", "queue", "priority", "attempts", "run_at", "command"),
    table=("id", "state", "queue", "priority", "key", "tags", "attempts", "when", "command"),
    page=(
        *("id", "state", "when", "why", "command", "last_error", "queue", "key", "needs", "tags"),
        *("attempts", "losses", "suspect", "timeout", "cwd", "created_at", "run_at", "worker", "cancel_requested_at"),
    ),
)

WIDE_JOB = JOB._replace(plain=(*JOB.plain, "why"), table=(*JOB.table[:-1], "why", "command"))
"""A job with the first reason why it waits."""

DEAD_JOB = JOB._replace(
    plain=(*JOB.plain, "finished_at", "last_error"), table=("id", "attempts", "when", "last_error", "command")
)
"""A job of the dead letter queue: when it died, and of what."""


def _exit(attempt: Attempt) -> str:
    if attempt.signal is not None:
        return f"signal {attempt.signal}"
    return "" if attempt.exit_code is None else str(attempt.exit_code)


def _took(attempt: Attempt) -> str:
    return span(attempt.finished_at - attempt.started_at) if attempt.finished_at else ""


def _error(attempt: Attempt) -> str:
    return escaped(attempt.error or "") + (f" (reported late: {attempt.late})" if attempt.late else "")


def _jobs_of_batch(state: State) -> Column[BatchRow]:
    return Column(str(state), lambda it: it.batch.jobs[state], state.upper(), lambda it: f"{it.batch.jobs[state]:,}")


def _finished(it: BatchRow) -> str:
    return relative(it.batch.finished_at, it.now) if it.batch.finished_at else ""


BATCH: Result[BatchRow] = Result(
    (
        Column("batch", lambda it: it.batch.name, "BATCH"),
        Column("total", lambda it: it.batch.total, "JOBS", lambda it: f"{it.batch.total:,}"),
        *(_jobs_of_batch(state) for state in State),
        Column("progress", lambda it: round(it.batch.progress, 6), "ENDED", lambda it: f"{it.batch.progress:.0%}"),
        Column("created_at", lambda it: it.batch.created_at),
        Column("finished_at", lambda it: it.batch.finished_at, "FINISHED", _finished),
        Column("eta", lambda it: it.eta),
    ),
    plain=("batch", "total", "completed", "dead", "cancelled", "processing", "pending", "failed", "finished_at"),
    table=("batch", "progress", "total", "completed", "dead", "cancelled", "processing", "pending", "finished_at"),
)

ATTEMPT: Result[Attempt] = Result(
    (
        Column("attempt", lambda it: it.number, "ATTEMPT"),
        Column("outcome", lambda it: it.outcome, "OUTCOME", lambda it: Mark(it.outcome or "running")),
        Column("exit_code", lambda it: it.exit_code, "EXIT", _exit),
        Column("signal", lambda it: it.signal),
        Column("started_at", lambda it: it.started_at, "STARTED", lambda it: local_time(it.started_at)),
        Column("finished_at", lambda it: it.finished_at, "TOOK", _took),
        Column("worker", lambda it: it.lease.worker),
        Column("host", lambda it: it.host, "HOST", lambda it: escaped(it.host)),
        Column("error", lambda it: it.error, "ERROR", _error),
        Column("output", lambda it: it.output.content if it.outcome else None),
        Column("output_truncated", lambda it: it.output.truncated),
        Column("late", lambda it: it.late),
    ),
    table=("attempt", "outcome", "exit_code", "started_at", "finished_at", "host", "error"),
)


def _own_labels(it: WorkerRow) -> tuple[str, ...]:
    """The labels that it was given, without those that every worker has."""
    return tuple(escaped(label) for label in it.worker.labels if name_of(label) not in BUILT_IN)


WORKER: Result[WorkerRow] = Result(
    (
        Column("id", lambda it: it.worker.id, "WORKER"),
        Column("host", lambda it: it.worker.host, "HOST", lambda it: escaped(it.worker.host)),
        Column("pid", lambda it: it.worker.process.pid, "PID"),
        Column("supervisor_pid", lambda it: it.worker.supervisor.pid),
        Column("state", lambda it: it.worker.state),
        Column("jobs", lambda it: it.worker.jobs, "JOBS", lambda it: f"{it.worker.jobs} of {it.worker.concurrency}"),
        Column(
            "heartbeat_age",
            lambda it: max(it.at - it.worker.renewed_at, timedelta()),
            "HEARTBEAT",
            lambda it: relative(it.worker.renewed_at, it.at),
        ),
        Column("concurrency", lambda it: it.worker.concurrency),
        Column("queues", lambda it: it.worker.queues, "QUEUES", lambda it: ", ".join(it.worker.queues) or "all"),
        Column("labels", lambda it: it.worker.labels),
        Column("own labels", _own_labels, "LABELS", lambda it: ", ".join(_own_labels(it)), usual=(), for_people=True),
        Column("started_at", lambda it: it.worker.started_at),
        Column("lease_expires_at", lambda it: it.worker.lease_expires_at),
        Column("lost", lambda it: it.lost is not None),
        Column("lost_since", lambda it: it.lost and it.lost.since),
        Column("state or lost", lambda it: Mark("lost" if it.lost else it.worker.state), "STATE", for_people=True),
    ),
    plain=("id", "host", "pid", "state or lost", "jobs", "heartbeat_age"),
    table=("id", "state or lost", "jobs", "heartbeat_age", "pid", "host", "queues", "own labels"),
)


def _running(it: QueueNow) -> str:
    limit = it.settings.concurrency
    return f"{it.running:,}" if limit is None else f"{it.running:,} of {limit:,}"


def _rate(it: QueueNow) -> str:
    rate = it.settings.rate
    if rate is None:
        return ""
    return f"{it.starts.used:,} of {rate}" if it.starts else str(rate)


def _queue_state(it: QueueNow) -> str:
    """The reason why its jobs do not start, or that they do."""
    if it.pause is not None:
        return f"paused {pause_words(it.pause, it.at)}"
    if it.settings.concurrency is not None and it.running >= it.settings.concurrency:
        return "full: next when one ends"
    if it.waiting and not it.workers:
        return "no live worker serves it"
    if it.lacking:
        return f"no live worker has {escaped(', '.join(it.lacking))}"
    if it.starts and it.starts.next_at:
        return f"rate used up: next {relative(it.starts.next_at, it.at)}"
    return Mark("open")


def pause_words(pause: Pause, now: datetime) -> str:
    """The one who paused it, and how long it lasts: `by ann@web-1, for 20 min`."""
    until = f"until {until_words(pause.until, now)}" if pause.until else "no end"
    reason = f": {escaped(pause.reason)}" if pause.reason else ""
    return f"by {escaped(pause.by)}, {until}{reason}"


def until_words(moment: datetime, now: datetime) -> str:
    """The moment in the local time zone: without its date if that is today."""
    text = local_time(moment)
    return text.partition(" ")[2] if text[:10] == local_time(now)[:10] else text


def _oldest(it: QueueNow) -> str:
    return span(it.at - it.first_due_at) if it.first_due_at else ""


def _lanes(it: QueueNow) -> list[dict[str, object]]:
    """The waiting jobs by the labels that they need."""
    waiting = Counter[tuple[str, ...]]()
    for each in it.backlog:
        if each.state in CLAIMABLE:
            waiting[tuple(each.needs)] += each.jobs
    return [
        {"needs": list(needs), "waiting": count, "workers": it.serve(needs)} for needs, count in sorted(waiting.items())
    ]


def _of_pause(key: str, value: Callable[[Pause], object]) -> Column[QueueNow]:
    return Column(key, lambda it: None if it.pause is None else value(it.pause))


def _of_state(state: State) -> Column[QueueNow]:
    return Column(str(state), lambda it: it.jobs(state))


def _own_policy(it: QueueNow) -> str:
    return escaped(", ".join(f"{key} {text}" for key, text in it.policy.items()))


def _reserved(it: QueueNow) -> str:
    return "only workers that name it serve it" if it.settings.reserved else ""


QUEUE: Result[QueueNow] = Result(
    (
        Column("queue", lambda it: it.name, "QUEUE", label="queue"),
        _of_state(State.PENDING),
        Column("due", lambda it: it.due, "DUE", lambda it: f"{it.due:,}", "due", lambda it: f"{it.due:,}"),
        _of_state(State.PROCESSING),
        _of_state(State.FAILED),
        Column("dead", lambda it: it.jobs(State.DEAD), label="dead", fact=lambda it: f"{it.jobs(State.DEAD):,}"),
        Column("concurrency", lambda it: it.settings.concurrency),
        Column("running", lambda it: it.running, "RUNNING", _running, "running", _running),
        Column(
            "rate",
            lambda it: it.settings.rate and {"count": it.settings.rate.starts, "period": it.settings.rate.period},
            label="rate",
            fact=_rate,
        ),
        Column("started_in_period", lambda it: it.starts and it.starts.used),
        Column("next_start_at", lambda it: it.starts and it.starts.next_at),
        Column("reserved", lambda it: it.settings.reserved, label="reserved", fact=_reserved),
        Column("paused", lambda it: it.pause is not None),
        _of_pause("paused_at", lambda it: it.at),
        _of_pause("paused_until", lambda it: it.until),
        _of_pause("paused_by", lambda it: it.by),
        _of_pause("pause_reason", lambda it: it.reason),
        Column(
            "oldest_due_age",
            lambda it: it.first_due_at and it.at - it.first_due_at,
            "OLDEST",
            _oldest,
            "oldest due",
            _oldest,
        ),
        Column("settings", lambda it: dict(it.policy), label="settings", fact=_own_policy),
        Column("lanes", _lanes),
        Column("workers", lambda it: len(it.workers), label="workers", fact=lambda it: f"{len(it.workers):,}"),
        Column(
            "waiting",
            lambda it: it.waiting,
            "WAITING",
            lambda it: f"{it.waiting:,}",
            "waiting",
            lambda it: f"{it.waiting:,}",
            for_people=True,
        ),
        Column("rate in words", _rate, "RATE", lambda it: _rate(it) or "-", usual="", for_people=True),
        Column("state", _queue_state, "STATE", label="state", for_people=True),
    ),
    plain=("queue", "waiting", "due", "running", "concurrency", "rate in words", "state"),
    table=("queue", "waiting", "due", "running", "oldest_due_age", "rate in words", "state"),
    page=("queue", "state", "waiting", "due", "oldest_due_age", "running", "rate", "reserved", "dead", "workers"),
)


def _throughput(it: MetricsRow) -> str:
    rate = it.per_minute
    return f"{rate:,.3g} jobs per minute" if rate >= 1 else f"{rate * 60:,.3g} jobs per hour"


def _success(it: MetricsRow) -> str:
    return "no job ended" if it.success_rate is None else f"{it.success_rate:.1%} of the jobs that ended"


def _percentiles(spread: Percentiles) -> str:
    if spread.p50 is None or spread.p95 is None:
        return "no attempt ended"
    return f"half within {span(spread.p50)}, 95% within {span(spread.p95)}"


def _spans(key: str, spread_of: Callable[[Metrics], Percentiles]) -> Column[MetricsRow]:
    return Column(
        key,
        lambda it: {"p50": spread_of(it.metrics).p50, "p95": spread_of(it.metrics).p95},
        label=key,
        fact=lambda it: _percentiles(spread_of(it.metrics)),
    )


def _count(key: str, noun: str, count_of: Callable[[MetricsRow], int]) -> Column[MetricsRow]:
    return Column(key, count_of, label=key, fact=lambda it: counted(count_of(it), noun))


def _window(it: MetricsRow) -> str:
    return f"the last {span(it.window)}, since {local_time(it.metrics.since)}"


def _retries(it: MetricsRow) -> str:
    retried, most = counted(it.metrics.retried, "job"), counted(it.metrics.most_attempts, "run")
    return f"{retried} completed after one; at most {most}"


METRICS: Result[MetricsRow] = Result(
    (
        Column("since", lambda it: it.metrics.since),
        Column("window", lambda it: it.window, label="window", fact=_window),
        _count("completed", "job", lambda it: it.metrics.completed),
        _count("failed", "attempt", lambda it: it.failed),
        _count("dead", "job", lambda it: it.metrics.dead),
        Column(
            "success_rate",
            lambda it: it.success_rate and round(it.success_rate, 6),
            label="success rate",
            fact=_success,
        ),
        Column("throughput_per_minute", lambda it: round(it.per_minute, 6), label="throughput", fact=_throughput),
        _spans("wait", lambda it: it.wait),
        _spans("run", lambda it: it.run),
        Column(
            "retries",
            lambda it: {"completed_after_retry": it.metrics.retried, "most_attempts": it.metrics.most_attempts},
            label="retries",
            fact=_retries,
        ),
        Column("attempts", lambda it: {str(outcome): it.metrics.attempts.get(outcome, 0) for outcome in Outcome}),
    ),
    page=("window", "completed", "dead", "success_rate", "throughput_per_minute", "failed", "wait", "run", "retries"),
)

TOTALS: Result[Totals] = Result(
    (
        Column("name", lambda it: it.name),
        Column("succeeded", lambda it: it.succeeded, "SUCCEEDED", lambda it: f"{it.succeeded:,}"),
        Column("failed", lambda it: it.failed, "FAILED", lambda it: f"{it.failed:,}"),
        Column("busy", lambda it: it.busy, "BUSY", lambda it: span(it.busy)),
    ),
    table=("name", "succeeded", "failed", "busy"),
)
"""The totals of a worker or a queue."""

SETTING: Result[SettingRow] = Result(
    (
        Column("key", lambda it: it.key),
        Column("value", lambda it: it.value, "VALUE"),
        Column("default", lambda it: it.default, "DEFAULT"),
        Column("from", lambda it: it.origin, "FROM"),
        Column("range", lambda it: it.range, "RANGE"),
        Column("meaning", lambda it: it.meaning),
    ),
    plain=("key", "value", "default", "from", "meaning"),
    table=("key", "value", "default", "range", "from"),
)
LOCAL_SETTING = SETTING._replace(table=("key", "value", "from"))


def _advice(finding: Finding) -> str:
    return escaped(finding.message) + (f"; {finding.hint}" if finding.hint else "")


FINDING: Result[Finding] = Result(
    (
        Column("subject", lambda it: it.subject),
        Column("grade", lambda it: it.grade, text=lambda it: Mark(it.grade)),
        Column("message", lambda it: it.message, text=_advice),
        Column("hint", lambda it: it.hint),
    ),
    plain=("grade", "subject", "message", "hint"),
    table=("grade", "subject", "message"),
)
