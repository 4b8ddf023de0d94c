"""Made by `make sql` from schema.py and statements/: change those.

A function for each statement. It raises what the driver raises; a parameter of another type than its own is an error
of mypy's.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import NamedTuple

from queuectl.adapters.sql.engine.query import Joined, Piece, Query, Rows, written
from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.adapters.sql.engine.values import writer
from queuectl.domain.attempt import Outcome
from queuectl.domain.job import Command, State
from queuectl.domain.worker import WorkerState

_moment = writer("moment")
_span = writer("span")
_limit = writer("limit")
_command = writer("command")
_environment = writer("environment")
_path = writer("path")
_texts = writer("texts")
_flag = writer("flag")
_state = writer("state")
_outcome = writer("outcome")
_worker_state = writer("worker state")
_list_of_moments = writer("list of moments")
_list_of_spans = writer("list of spans")
_list_of_numbers = writer("list of numbers")
_list_of_counts = writer("list of counts")
_list_of_texts = writer("list of texts")
_list_of_names = writer("list of names")
_list_of_flags = writer("list of flags")
_list_of_contents = writer("list of contents")
_list_of_states = writer("list of states")
_list_of_outcomes = writer("list of outcomes")

SCHEMA_VERSION = '0002'

SCHEMA: Mapping[str, Sequence[str]] = {
    'sqlite': (
        """CREATE TABLE config (
    "key" TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY ("key")
)""",
        """CREATE TABLE jobs (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    command TEXT NOT NULL,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    max_retries INTEGER NOT NULL,
    timeout BIGINT,
    run_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    cwd TEXT,
    env TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    worker TEXT,
    lease_id TEXT,
    exit_code INTEGER,
    last_error TEXT,
    cancel_requested_at BIGINT,
    cancel_requested_by TEXT,
    suspect BOOLEAN DEFAULT 0 NOT NULL,
    UNIQUE (id)
)""",
        """CREATE TABLE workers (
    id TEXT NOT NULL,
    host TEXT NOT NULL,
    machine TEXT NOT NULL,
    pid INTEGER NOT NULL,
    pid_started BIGINT NOT NULL,
    supervisor_pid INTEGER NOT NULL,
    supervisor_started BIGINT NOT NULL,
    queues TEXT NOT NULL,
    concurrency INTEGER NOT NULL,
    state TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL,
    lease_expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (id)
)""",
        """CREATE TABLE attempts (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    queue TEXT NOT NULL,
    worker TEXT NOT NULL,
    host TEXT NOT NULL,
    lease_id TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    waited BIGINT NOT NULL,
    finished_at BIGINT,
    ran BIGINT,
    outcome TEXT,
    exit_code INTEGER,
    signal INTEGER,
    error TEXT,
    late TEXT,
    output_truncated BOOLEAN NOT NULL,
    output BLOB,
    PRIMARY KEY (job_id, number),
    FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
)""",
        """CREATE INDEX attempts_ended ON attempts (finished_at)""",
        """CREATE INDEX jobs_by_state ON jobs (state, seq)""",
        """CREATE INDEX jobs_due ON jobs (priority, run_at, seq) WHERE state IN ('pending', 'failed')""",
        """CREATE INDEX jobs_due_in_queue ON jobs (queue, priority, run_at, seq) WHERE state IN ('pending', 'failed')""",
        """CREATE INDEX jobs_held ON jobs (worker) WHERE worker IS NOT NULL""",
        """CREATE INDEX jobs_suspect ON jobs (priority DESC, run_at, seq) WHERE suspect""",
    ),
    'postgresql': (
        """CREATE TABLE config (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (key)
)""",
        """CREATE TABLE jobs (
    seq BIGSERIAL NOT NULL,
    id TEXT NOT NULL,
    command TEXT NOT NULL,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    max_retries INTEGER NOT NULL,
    timeout BIGINT,
    run_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    cwd TEXT,
    env TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    worker TEXT,
    lease_id TEXT,
    exit_code INTEGER,
    last_error TEXT,
    cancel_requested_at BIGINT,
    cancel_requested_by TEXT,
    suspect BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (seq),
    UNIQUE (id)
)""",
        """CREATE TABLE workers (
    id TEXT NOT NULL,
    host TEXT NOT NULL,
    machine TEXT NOT NULL,
    pid INTEGER NOT NULL,
    pid_started BIGINT NOT NULL,
    supervisor_pid INTEGER NOT NULL,
    supervisor_started BIGINT NOT NULL,
    queues TEXT NOT NULL,
    concurrency INTEGER NOT NULL,
    state TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL,
    lease_expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (id)
)""",
        """CREATE TABLE attempts (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    queue TEXT NOT NULL,
    worker TEXT NOT NULL,
    host TEXT NOT NULL,
    lease_id TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    waited BIGINT NOT NULL,
    finished_at BIGINT,
    ran BIGINT,
    outcome TEXT,
    exit_code INTEGER,
    signal INTEGER,
    error TEXT,
    late TEXT,
    output_truncated BOOLEAN NOT NULL,
    output BYTEA,
    PRIMARY KEY (job_id, number),
    FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
)""",
        """CREATE INDEX attempts_ended ON attempts (finished_at)""",
        """CREATE INDEX jobs_by_state ON jobs (state, seq)""",
        """CREATE INDEX jobs_due ON jobs (priority, run_at, seq) WHERE state IN ('pending', 'failed')""",
        """CREATE INDEX jobs_due_in_queue ON jobs (queue, priority, run_at, seq) WHERE state IN ('pending', 'failed')""",
        """CREATE INDEX jobs_held ON jobs (worker) WHERE worker IS NOT NULL""",
        """CREATE INDEX jobs_suspect ON jobs (priority DESC, run_at, seq) WHERE suspect""",
    ),
}


class SettingRow(NamedTuple):
    """A row of `config`; `unreadable` says which values are none."""

    key: str
    value: str
    unreadable: str = ""


CONFIG_ROWS = Rows(SettingRow._make, {'key': 'text', 'value': 'text'})


class JobRow(NamedTuple):
    """A row of `jobs`; `unreadable` says which values are none."""

    seq: int
    id: str
    command: Command
    queue: str
    priority: int
    max_retries: int
    timeout: timedelta | None
    run_at: datetime
    created_at: datetime
    updated_at: datetime
    cwd: str | None
    env: Mapping[str, str]
    state: State
    attempts: int
    failures: int
    losses: int
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    lease_id: str | None
    exit_code: int | None
    last_error: str | None
    cancel_requested_at: datetime | None
    cancel_requested_by: str | None
    suspect: bool
    unreadable: str = ""


JOBS_ROWS = Rows(JobRow._make, {'seq': 'number', 'id': 'name', 'command': 'command', 'queue': 'text', 'priority': 'number', 'max_retries': 'count', 'timeout': 'limit', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'environment', 'state': 'state', 'attempts': 'count', 'failures': 'count', 'losses': 'count', 'started_at': 'moment', 'finished_at': 'moment', 'worker': 'text', 'lease_id': 'text', 'exit_code': 'number', 'last_error': 'text', 'cancel_requested_at': 'moment', 'cancel_requested_by': 'text', 'suspect': 'flag'})


class WorkerRow(NamedTuple):
    """A row of `workers`; `unreadable` says which values are none."""

    id: str
    host: str
    machine: str
    pid: int
    pid_started: int
    supervisor_pid: int
    supervisor_started: int
    queues: Sequence[str]
    concurrency: int
    state: WorkerState
    started_at: datetime
    renewed_at: datetime
    lease_expires_at: datetime
    ended_at: datetime | None
    unreadable: str = ""


WORKERS_ROWS = Rows(WorkerRow._make, {'id': 'text', 'host': 'text', 'machine': 'text', 'pid': 'number', 'pid_started': 'number', 'supervisor_pid': 'number', 'supervisor_started': 'number', 'queues': 'texts', 'concurrency': 'number', 'state': 'worker state', 'started_at': 'moment', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'ended_at': 'moment'})


class AttemptRow(NamedTuple):
    """A row of `attempts`; `unreadable` says which values are none."""

    job_id: str
    number: int
    queue: str
    worker: str
    host: str
    lease_id: str
    started_at: datetime
    waited: timedelta
    finished_at: datetime | None
    ran: timedelta | None
    outcome: Outcome | None
    exit_code: int | None
    signal: int | None
    error: str | None
    late: Outcome | None
    output_truncated: bool
    output: bytes | None
    unreadable: str = ""


ATTEMPTS_ROWS = Rows(AttemptRow._make, {'job_id': 'name', 'number': 'number', 'queue': 'text', 'worker': 'text', 'host': 'text', 'lease_id': 'text', 'started_at': 'moment', 'waited': 'span', 'finished_at': 'moment', 'ran': 'span', 'outcome': 'outcome', 'exit_code': 'number', 'signal': 'number', 'error': 'text', 'late': 'outcome', 'output_truncated': 'flag', 'output': 'content'})


_ADD_JOBS = Query(
    'add_jobs',
    {
        'sqlite': """INSERT INTO jobs (id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        'postgresql': """INSERT INTO jobs (id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect) VALUES (%s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::INTEGER, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::INTEGER, %s::INTEGER, %s::BIGINT, %s::BIGINT, %s::INTEGER, %s::VARCHAR, %s::BIGINT, %s::VARCHAR, %s)""",
    },
)


class AddJobs(NamedTuple):
    """Rows of `add_jobs`, by columns."""

    id: Sequence[str]
    command: Sequence[Command]
    queue: Sequence[str]
    priority: Sequence[int]
    max_retries: Sequence[int]
    timeout: Sequence[timedelta | None]
    run_at: Sequence[datetime]
    created_at: Sequence[datetime]
    updated_at: Sequence[datetime]
    cwd: Sequence[str | None]
    env: Sequence[Mapping[str, str]]
    state: Sequence[State]
    attempts: Sequence[int]
    failures: Sequence[int]
    losses: Sequence[int]
    started_at: Sequence[datetime | None]
    finished_at: Sequence[datetime | None]
    exit_code: Sequence[int | None]
    last_error: Sequence[str | None]
    cancel_requested_at: Sequence[datetime | None]
    cancel_requested_by: Sequence[str | None]
    suspect: Sequence[bool]


def add_jobs(c: Connection, groups: Iterable[AddJobs]) -> None:
    """New jobs, which nobody holds and whose numbers are counted on."""
    c.load(_ADD_JOBS, ([it.id, written(_command, it.command), it.queue, it.priority, it.max_retries, written(_limit, it.timeout), written(_moment, it.run_at), written(_moment, it.created_at), written(_moment, it.updated_at), written(_path, it.cwd), written(_environment, it.env), written(_state, it.state), it.attempts, it.failures, it.losses, written(_moment, it.started_at), written(_moment, it.finished_at), it.exit_code, it.last_error, written(_moment, it.cancel_requested_at), it.cancel_requested_by, written(_flag, it.suspect)] for it in groups))


_JOB = Query(
    'job',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = ?""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = %s::VARCHAR""",
    },
)


def job(c: Connection, *, job_id: str) -> JobRow | None:
    """The job."""
    return c.fetch_one(_JOB, (job_id,), JOBS_ROWS)


_JOB_TO_CHANGE = Query(
    'job_to_change',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = ?""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = %s::VARCHAR FOR UPDATE""",
    },
)


def job_to_change(c: Connection, *, job_id: str) -> JobRow | None:
    """The job, locked."""
    return c.fetch_one(_JOB_TO_CHANGE, (job_id,), JOBS_ROWS)


_STORE_JOB = Query(
    'store_job',
    {
        'sqlite': """UPDATE jobs SET run_at=?, updated_at=?, state=?, attempts=?, failures=?, losses=?, started_at=?, finished_at=?, worker=?, lease_id=?, exit_code=?, last_error=?, cancel_requested_at=?, cancel_requested_by=?, suspect=? WHERE jobs.id = ?""",
        'postgresql': """UPDATE jobs SET run_at=%s::BIGINT, updated_at=%s::BIGINT, state=%s::VARCHAR, attempts=%s::INTEGER, failures=%s::INTEGER, losses=%s::INTEGER, started_at=%s::BIGINT, finished_at=%s::BIGINT, worker=%s::VARCHAR, lease_id=%s::VARCHAR, exit_code=%s::INTEGER, last_error=%s::VARCHAR, cancel_requested_at=%s::BIGINT, cancel_requested_by=%s::VARCHAR, suspect=%s WHERE jobs.id = %s::VARCHAR""",
    },
)


class StoreJob(NamedTuple):
    """The parameters of one run of `store_job`."""

    run_at: datetime
    updated_at: datetime
    state: State
    attempts: int
    failures: int
    losses: int
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    lease_id: str | None
    exit_code: int | None
    last_error: str | None
    cancel_requested_at: datetime | None
    cancel_requested_by: str | None
    suspect: bool
    job_id: str


def store_job(c: Connection, rows: Iterable[StoreJob]) -> None:
    """Store all that a transition can change of a job."""
    c.run_each(_STORE_JOB, [(_moment(it.run_at), _moment(it.updated_at), _state(it.state), it.attempts, it.failures, it.losses, None if it.started_at is None else _moment(it.started_at), None if it.finished_at is None else _moment(it.finished_at), it.worker, it.lease_id, it.exit_code, it.last_error, None if it.cancel_requested_at is None else _moment(it.cancel_requested_at), it.cancel_requested_by, _flag(it.suspect), it.job_id,) for it in rows])


_DELETE_JOB = Query(
    'delete_job',
    {
        'sqlite': """DELETE FROM jobs WHERE jobs.id = ?""",
        'postgresql': """DELETE FROM jobs WHERE jobs.id = %s::VARCHAR""",
    },
)


def delete_job(c: Connection, *, job_id: str) -> int:
    """The job, and with it its attempts."""
    return c.run(_DELETE_JOB, (job_id,))


_DELETE_JOBS = Query(
    'delete_jobs',
    {
        'sqlite': """DELETE FROM jobs WHERE jobs.seq IN (SELECT value FROM json_each(?))""",
        'postgresql': """DELETE FROM jobs WHERE jobs.seq = ANY (%s::BIGINT[])""",
    },
)


def delete_jobs(c: Connection, *, seqs: Sequence[int | None]) -> int:
    """The jobs of these numbers, and with them their attempts."""
    return c.run(_DELETE_JOBS, (_list_of_numbers(seqs),))


_SET_ASIDE = Query(
    'set_aside',
    {
        'sqlite': """UPDATE jobs SET updated_at=?, state='dead', attempts=(jobs.attempts - ?), finished_at=?, worker=NULL, lease_id=NULL, last_error=? WHERE jobs.seq = ?""",
        'postgresql': """UPDATE jobs SET updated_at=%s::BIGINT, state='dead', attempts=(jobs.attempts - %s::INTEGER), finished_at=%s::BIGINT, worker=NULL, lease_id=NULL, last_error=%s::VARCHAR WHERE jobs.seq = %s::BIGINT""",
    },
)


def set_aside(c: Connection, *, at: datetime, not_started: int, reason: str, seq: int) -> int:
    """Make the job of that number dead, for a reason that is no attempt's."""
    return c.run(_SET_ASIDE, (_moment(at), not_started, _moment(at), reason, seq,))


_TAKEN_IDS = Query(
    'taken_ids',
    {
        'sqlite': """SELECT jobs.id
FROM jobs
WHERE jobs.id IN (SELECT value FROM json_each(?))""",
        'postgresql': """SELECT jobs.id
FROM jobs
WHERE jobs.id = ANY (%s::TEXT[])""",
    },
)


_TAKEN_IDS_ROWS = Rows[str](itemgetter(0), {'id': 'name'})


def taken_ids(c: Connection, *, ids: Sequence[str | None]) -> list[str]:
    """Those of the ids that belong to jobs."""
    return c.fetch(_TAKEN_IDS, (_list_of_texts(ids),), _TAKEN_IDS_ROWS)


_OLDEST_DEAD = Query(
    'oldest_dead',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = 'dead' AND jobs.updated_at <= ? ORDER BY jobs.seq
 LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = 'dead' AND jobs.updated_at <= %s::BIGINT ORDER BY jobs.seq
 LIMIT %s::BIGINT + 0 FOR UPDATE""",
    },
)


def oldest_dead(c: Connection, *, until: datetime, limit: int) -> list[JobRow]:
    """Dead jobs that last changed by a moment, the oldest first, locked.

    The state is a constant: a plan of PostgreSQL's for any state would look for the few dead jobs among all."""
    return c.fetch(_OLDEST_DEAD, (_moment(until), limit,), JOBS_ROWS)


_SEARCH = Query(
    'search',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs""",
    },
)


def search() -> Piece:
    """Any jobs."""
    return Piece(_SEARCH, ())


_STATE_IS = Query(
    'state_is',
    {
        'sqlite': """jobs.state = ?""",
        'postgresql': """jobs.state = %s::VARCHAR""",
    },
)


def state_is(*, state: State) -> Piece:
    """Jobs of that state."""
    return Piece(_STATE_IS, (_state(state),))


_QUEUE_IS = Query(
    'queue_is',
    {
        'sqlite': """jobs.queue = ?""",
        'postgresql': """jobs.queue = %s::VARCHAR""",
    },
)


def queue_is(*, queue: str) -> Piece:
    """Jobs of that queue."""
    return Piece(_QUEUE_IS, (queue,))


_NEWEST_FIRST = Query(
    'newest_first',
    {
        'sqlite': """jobs.seq DESC""",
        'postgresql': """jobs.seq DESC""",
    },
)


def newest_first() -> Piece:
    """The newest first."""
    return Piece(_NEWEST_FIRST, ())


_LAST_ENDED_FIRST = Query(
    'last_ended_first',
    {
        'sqlite': """jobs.finished_at DESC, jobs.seq DESC""",
        'postgresql': """jobs.finished_at DESC, jobs.seq DESC""",
    },
)


def last_ended_first() -> Piece:
    """Those that ended last first."""
    return Piece(_LAST_ENDED_FIRST, ())


_AT_MOST = Query(
    'at_most',
    {
        'sqlite': """? + 0""",
        'postgresql': """%s::BIGINT + 0""",
    },
)


def at_most(*, limit: int) -> Piece:
    """At most so many."""
    return Piece(_AT_MOST, (limit,))


_ATTEMPTS_OF = Query(
    'attempts_of',
    {
        'sqlite': """SELECT attempts.job_id, attempts.number, attempts.queue, attempts.worker, attempts.host, attempts.lease_id, attempts.started_at, attempts.waited, attempts.finished_at, attempts.ran, attempts.outcome, attempts.exit_code, attempts.signal, attempts.error, attempts.late, attempts.output_truncated, attempts.output
FROM attempts
WHERE attempts.job_id = ? ORDER BY attempts.number""",
        'postgresql': """SELECT attempts.job_id, attempts.number, attempts.queue, attempts.worker, attempts.host, attempts.lease_id, attempts.started_at, attempts.waited, attempts.finished_at, attempts.ran, attempts.outcome, attempts.exit_code, attempts.signal, attempts.error, attempts.late, attempts.output_truncated, attempts.output
FROM attempts
WHERE attempts.job_id = %s::VARCHAR ORDER BY attempts.number""",
    },
)


def attempts_of(c: Connection, *, job_id: str) -> list[AttemptRow]:
    """All attempts of the job, the first one first."""
    return c.fetch(_ATTEMPTS_OF, (job_id,), ATTEMPTS_ROWS)


_LAST_OUTPUTS = Query(
    'last_outputs',
    {
        'sqlite': """SELECT attempts.job_id, attempts.output
FROM attempts
WHERE attempts.job_id IN (SELECT value FROM json_each(?)) AND attempts.number = (SELECT max(ended.number) AS max_1
FROM attempts AS ended
WHERE ended.job_id = attempts.job_id AND ended.outcome IS NOT NULL)""",
        'postgresql': """SELECT attempts.job_id, attempts.output
FROM attempts
WHERE attempts.job_id = ANY (%s::TEXT[]) AND attempts.number = (SELECT max(ended.number) AS max_1
FROM attempts AS ended
WHERE ended.job_id = attempts.job_id AND ended.outcome IS NOT NULL)""",
    },
)


class LastOutputsRow(NamedTuple):
    """A row of `last_outputs`."""

    job_id: str
    output: bytes | None
    unreadable: str = ""


_LAST_OUTPUTS_ROWS = Rows(LastOutputsRow._make, {'job_id': 'name', 'output': 'content'})


def last_outputs(c: Connection, *, ids: Sequence[str | None]) -> list[LastOutputsRow]:
    """The output of the last ended attempt of each of these jobs."""
    return c.fetch(_LAST_OUTPUTS, (_list_of_texts(ids),), _LAST_OUTPUTS_ROWS)


_EXTENT = Query(
    'extent',
    {
        'sqlite': """SELECT count(*) AS total, max(jobs.seq) AS last
FROM jobs""",
        'postgresql': """SELECT count(*) AS total, max(jobs.seq) AS last
FROM jobs""",
    },
)


class ExtentRow(NamedTuple):
    """A row of `extent`."""

    total: int
    last: int | None
    unreadable: str = ""


_EXTENT_ROWS = Rows(ExtentRow._make, {'total': 'count', 'last': 'number'})


def extent(c: Connection) -> ExtentRow:
    """The number of jobs, and the number of the last one."""
    return c.fetch_only(_EXTENT, (), _EXTENT_ROWS)


_PAGE_OF_JOBS = Query(
    'page_of_jobs',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.seq > ? AND jobs.seq <= ? ORDER BY jobs.seq
 LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.seq > %s::BIGINT AND jobs.seq <= %s::BIGINT ORDER BY jobs.seq
 LIMIT %s::BIGINT + 0""",
    },
)


def page_of_jobs(c: Connection, *, after: int, up_to: int, limit: int) -> list[JobRow]:
    """The jobs of the numbers after one and up to another."""
    return c.fetch(_PAGE_OF_JOBS, (after, up_to, limit,), JOBS_ROWS)


_PAGE_OF_ATTEMPTS = Query(
    'page_of_attempts',
    {
        'sqlite': """SELECT attempts.job_id, attempts.number, attempts.queue, attempts.worker, attempts.host, attempts.lease_id, attempts.started_at, attempts.waited, attempts.finished_at, attempts.ran, attempts.outcome, attempts.exit_code, attempts.signal, attempts.error, attempts.late, attempts.output_truncated, attempts.output
FROM attempts JOIN (SELECT jobs.seq AS seq, jobs.id AS id
FROM jobs
WHERE jobs.seq > ? AND jobs.seq <= ? ORDER BY jobs.seq
 LIMIT ? + 0 OFFSET 0) AS chosen ON chosen.id = attempts.job_id ORDER BY chosen.seq, attempts.number""",
        'postgresql': """SELECT attempts.job_id, attempts.number, attempts.queue, attempts.worker, attempts.host, attempts.lease_id, attempts.started_at, attempts.waited, attempts.finished_at, attempts.ran, attempts.outcome, attempts.exit_code, attempts.signal, attempts.error, attempts.late, attempts.output_truncated, attempts.output
FROM attempts JOIN (SELECT jobs.seq AS seq, jobs.id AS id
FROM jobs
WHERE jobs.seq > %s::BIGINT AND jobs.seq <= %s::BIGINT ORDER BY jobs.seq
 LIMIT %s::BIGINT + 0) AS chosen ON chosen.id = attempts.job_id ORDER BY chosen.seq, attempts.number""",
    },
)


def page_of_attempts(c: Connection, *, after: int, up_to: int, limit: int) -> list[AttemptRow]:
    """The attempts of these jobs."""
    return c.fetch(_PAGE_OF_ATTEMPTS, (after, up_to, limit,), ATTEMPTS_ROWS)


_ID_AT = Query(
    'id_at',
    {
        'sqlite': """SELECT jobs.id
FROM jobs
WHERE jobs.seq = ?""",
        'postgresql': """SELECT jobs.id
FROM jobs
WHERE jobs.seq = %s::BIGINT""",
    },
)


_ID_AT_ROWS = Rows[str](itemgetter(0), {'id': 'name'})


def id_at(c: Connection, *, seq: int) -> str | None:
    """The id of the job of that number."""
    return c.fetch_one(_ID_AT, (seq,), _ID_AT_ROWS)


_COPY_JOB = Query(
    'copy_job',
    {
        'sqlite': """INSERT INTO jobs (seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        'postgresql': """INSERT INTO jobs (seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect) VALUES (%s::BIGINT, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::INTEGER, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::INTEGER, %s::INTEGER, %s::BIGINT, %s::BIGINT, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::VARCHAR, %s::BIGINT, %s::VARCHAR, %s)""",
    },
)


def copy_job(c: Connection, rows: Iterable[JobRow]) -> None:
    """Jobs as they are in another database."""
    c.run_each(_COPY_JOB, [(it.seq, it.id, _command(it.command), it.queue, it.priority, it.max_retries, None if it.timeout is None else _limit(it.timeout), _moment(it.run_at), _moment(it.created_at), _moment(it.updated_at), None if it.cwd is None else _path(it.cwd), _environment(it.env), _state(it.state), it.attempts, it.failures, it.losses, None if it.started_at is None else _moment(it.started_at), None if it.finished_at is None else _moment(it.finished_at), it.worker, it.lease_id, it.exit_code, it.last_error, None if it.cancel_requested_at is None else _moment(it.cancel_requested_at), it.cancel_requested_by, _flag(it.suspect),) for it in rows])


_COPY_ATTEMPT = Query(
    'copy_attempt',
    {
        'sqlite': """INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, finished_at, ran, outcome, exit_code, signal, error, late, output_truncated, output) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        'postgresql': """INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, finished_at, ran, outcome, exit_code, signal, error, late, output_truncated, output) VALUES (%s::VARCHAR, %s::INTEGER, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::VARCHAR, %s::INTEGER, %s::INTEGER, %s::VARCHAR, %s::VARCHAR, %s, %s)""",
    },
)


def copy_attempt(c: Connection, rows: Iterable[AttemptRow]) -> None:
    """Attempts as they are in another database."""
    c.run_each(_COPY_ATTEMPT, [(it.job_id, it.number, it.queue, it.worker, it.host, it.lease_id, _moment(it.started_at), _span(it.waited), None if it.finished_at is None else _moment(it.finished_at), None if it.ran is None else _span(it.ran), None if it.outcome is None else _outcome(it.outcome), it.exit_code, it.signal, it.error, None if it.late is None else _outcome(it.late), _flag(it.output_truncated), it.output,) for it in rows])


_COUNTS = Query(
    'counts',
    {
        'sqlite': """SELECT jobs.state, count(*) AS total
FROM jobs GROUP BY jobs.state""",
        'postgresql': """SELECT jobs.state, count(*) AS total
FROM jobs GROUP BY jobs.state""",
    },
)


class CountsRow(NamedTuple):
    """A row of `counts`."""

    state: State
    total: int
    unreadable: str = ""


_COUNTS_ROWS = Rows(CountsRow._make, {'state': 'state', 'total': 'count'})


def counts(c: Connection) -> list[CountsRow]:
    """The number of jobs in each state."""
    return c.fetch(_COUNTS, (), _COUNTS_ROWS)


_DUE_BY_QUEUE = Query(
    'due_by_queue',
    {
        'sqlite': """SELECT jobs.queue, count(*) AS total
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.run_at <= ? GROUP BY jobs.queue""",
        'postgresql': """SELECT jobs.queue, count(*) AS total
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.run_at <= %s::BIGINT GROUP BY jobs.queue""",
    },
)


class DueByQueueRow(NamedTuple):
    """A row of `due_by_queue`."""

    queue: str
    total: int
    unreadable: str = ""


_DUE_BY_QUEUE_ROWS = Rows(DueByQueueRow._make, {'queue': 'text', 'total': 'count'})


def due_by_queue(c: Connection, *, at: datetime) -> list[DueByQueueRow]:
    """The number of jobs of each queue that are due at a moment."""
    return c.fetch(_DUE_BY_QUEUE, (_moment(at),), _DUE_BY_QUEUE_ROWS)


_ENDED_SINCE = Query(
    'ended_since',
    {
        'sqlite': """SELECT attempts.outcome, count(*) AS total, count(*) FILTER (WHERE attempts.number > 1) AS again, max(attempts.number) AS most
FROM attempts
WHERE attempts.finished_at >= ? GROUP BY attempts.outcome""",
        'postgresql': """SELECT attempts.outcome, count(*) AS total, count(*) FILTER (WHERE attempts.number > 1) AS again, max(attempts.number) AS most
FROM attempts
WHERE attempts.finished_at >= %s::BIGINT GROUP BY attempts.outcome""",
    },
)


class EndedSinceRow(NamedTuple):
    """A row of `ended_since`."""

    outcome: Outcome | None
    total: int
    again: int
    most: int
    unreadable: str = ""


_ENDED_SINCE_ROWS = Rows(EndedSinceRow._make, {'outcome': 'outcome', 'total': 'count', 'again': 'count', 'most': 'number'})


def ended_since(c: Connection, *, since: datetime) -> list[EndedSinceRow]:
    """Ended attempts by outcome: their number, that of those that were not the first of their job, and the last one's
    number."""
    return c.fetch(_ENDED_SINCE, (_moment(since),), _ENDED_SINCE_ROWS)


_DIED_SINCE = Query(
    'died_since',
    {
        'sqlite': """SELECT count(*) AS total
FROM attempts JOIN jobs ON attempts.job_id = jobs.id AND attempts.number = jobs.attempts
WHERE attempts.finished_at >= ? AND attempts.outcome IN ('failed', 'timeout', 'lost') AND jobs.state = 'dead'""",
        'postgresql': """SELECT count(*) AS total
FROM attempts JOIN jobs ON attempts.job_id = jobs.id AND attempts.number = jobs.attempts
WHERE attempts.finished_at >= %s::BIGINT AND attempts.outcome IN ('failed', 'timeout', 'lost') AND jobs.state = 'dead'""",
    },
)


_DIED_SINCE_ROWS = Rows[int](itemgetter(0), {'total': 'count'})


def died_since(c: Connection, *, since: datetime) -> int:
    """The number of jobs that are dead since then.

    By their last attempts, which are found by time: the jobs that have ever died may be many more."""
    return c.fetch_only(_DIED_SINCE, (_moment(since),), _DIED_SINCE_ROWS)


_RANKED_WAIT = Query(
    'ranked_wait',
    {
        'sqlite': """SELECT latest.span
FROM (SELECT attempts.waited AS span
FROM attempts
WHERE attempts.finished_at >= ? AND attempts.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY attempts.finished_at DESC
 LIMIT ? + 0 OFFSET 0) AS latest ORDER BY latest.span
 LIMIT 1 OFFSET ?""",
        'postgresql': """SELECT latest.span
FROM (SELECT attempts.waited AS span
FROM attempts
WHERE attempts.finished_at >= %s::BIGINT AND attempts.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY attempts.finished_at DESC
 LIMIT %s::BIGINT + 0) AS latest ORDER BY latest.span
 LIMIT 1 OFFSET %s::BIGINT""",
    },
)


_RANKED_WAIT_ROWS = Rows[timedelta](itemgetter(0), {'span': 'span'})


def ranked_wait(c: Connection, *, since: datetime, most: int, rank: int) -> timedelta | None:
    """The wait after the `rank` shortest ones, of the `most` attempts that ran to an end last."""
    return c.fetch_one(_RANKED_WAIT, (_moment(since), most, rank,), _RANKED_WAIT_ROWS)


_RANKED_RUN = Query(
    'ranked_run',
    {
        'sqlite': """SELECT latest.span
FROM (SELECT attempts.ran AS span
FROM attempts
WHERE attempts.finished_at >= ? AND attempts.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY attempts.finished_at DESC
 LIMIT ? + 0 OFFSET 0) AS latest ORDER BY latest.span
 LIMIT 1 OFFSET ?""",
        'postgresql': """SELECT latest.span
FROM (SELECT attempts.ran AS span
FROM attempts
WHERE attempts.finished_at >= %s::BIGINT AND attempts.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY attempts.finished_at DESC
 LIMIT %s::BIGINT + 0) AS latest ORDER BY latest.span
 LIMIT 1 OFFSET %s::BIGINT""",
    },
)


_RANKED_RUN_ROWS = Rows[timedelta | None](itemgetter(0), {'span': 'span'})


def ranked_run(c: Connection, *, since: datetime, most: int, rank: int) -> timedelta | None:
    """The run time after the `rank` shortest ones, of the `most` attempts that ran to an end last."""
    return c.fetch_one(_RANKED_RUN, (_moment(since), most, rank,), _RANKED_RUN_ROWS)


_TOTALS_BY_WORKER = Query(
    'totals_by_worker',
    {
        'sqlite': """SELECT attempts.worker AS name, count(*) FILTER (WHERE attempts.outcome IN ('succeeded')) AS succeeded, count(*) FILTER (WHERE attempts.outcome IN ('failed', 'timeout')) AS failed, sum(attempts.ran) AS busy
FROM attempts
WHERE attempts.finished_at >= ? GROUP BY attempts.worker""",
        'postgresql': """SELECT attempts.worker AS name, count(*) FILTER (WHERE attempts.outcome IN ('succeeded')) AS succeeded, count(*) FILTER (WHERE attempts.outcome IN ('failed', 'timeout')) AS failed, sum(attempts.ran) AS busy
FROM attempts
WHERE attempts.finished_at >= %s::BIGINT GROUP BY attempts.worker""",
    },
)


class TotalsByWorkerRow(NamedTuple):
    """A row of `totals_by_worker`."""

    name: str
    succeeded: int
    failed: int
    busy: timedelta | None
    unreadable: str = ""


_TOTALS_BY_WORKER_ROWS = Rows(TotalsByWorkerRow._make, {'name': 'text', 'succeeded': 'count', 'failed': 'count', 'busy': 'span'})


def totals_by_worker(c: Connection, *, since: datetime) -> list[TotalsByWorkerRow]:
    """The ends of each worker's attempts, and the time that they ran."""
    return c.fetch(_TOTALS_BY_WORKER, (_moment(since),), _TOTALS_BY_WORKER_ROWS)


_TOTALS_BY_QUEUE = Query(
    'totals_by_queue',
    {
        'sqlite': """SELECT attempts.queue AS name, count(*) FILTER (WHERE attempts.outcome IN ('succeeded')) AS succeeded, count(*) FILTER (WHERE attempts.outcome IN ('failed', 'timeout')) AS failed, sum(attempts.ran) AS busy
FROM attempts
WHERE attempts.finished_at >= ? GROUP BY attempts.queue""",
        'postgresql': """SELECT attempts.queue AS name, count(*) FILTER (WHERE attempts.outcome IN ('succeeded')) AS succeeded, count(*) FILTER (WHERE attempts.outcome IN ('failed', 'timeout')) AS failed, sum(attempts.ran) AS busy
FROM attempts
WHERE attempts.finished_at >= %s::BIGINT GROUP BY attempts.queue""",
    },
)


def totals_by_queue(c: Connection, *, since: datetime) -> list[TotalsByWorkerRow]:
    """The ends of each queue's attempts, and the time that they ran."""
    return c.fetch(_TOTALS_BY_QUEUE, (_moment(since),), _TOTALS_BY_WORKER_ROWS)


_CLAIM_JOBS = Query(
    'claim_jobs',
    {
        'postgresql': """WITH owner AS (
    SELECT host FROM workers WHERE id = %s::VARCHAR AND state = 'running' AND lease_expires_at > %s::BIGINT FOR KEY SHARE
), due AS MATERIALIZED (
    SELECT probe.seq
    FROM unnest(%s::BIGINT[], %s::BIGINT[]) WITH ORDINALITY AS start (run_at, seq, rank) CROSS JOIN LATERAL (
        SELECT jobs.seq FROM jobs
        WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 11 - start.rank AND jobs.run_at <= %s::BIGINT
            AND (jobs.run_at, jobs.seq) >= (start.run_at, start.seq) AND (%s OR NOT jobs.suspect)
        ORDER BY jobs.run_at, jobs.seq
        LIMIT 24
        FOR UPDATE SKIP LOCKED
    ) AS probe
    LIMIT %s::INTEGER
), claimed AS (
    UPDATE jobs SET state = 'processing', worker = %s::VARCHAR, lease_id = %s::VARCHAR, started_at = %s::BIGINT,
        updated_at = %s::BIGINT, finished_at = NULL,
        attempts = least(attempts, 2147483646) + 1
    WHERE seq IN (SELECT seq FROM due) AND EXISTS (SELECT FROM owner)
    RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect
), started AS (
    INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, output_truncated)
    SELECT id, attempts, queue, worker,
        host,
        lease_id, started_at,
        started_at - greatest(run_at, -30610224000000000),
        false
    FROM claimed CROSS JOIN owner
    ON CONFLICT DO NOTHING RETURNING job_id
)
SELECT seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT json_object_agg(key, value)::text FROM config) AS settings, job_id IS NOT NULL AS is_started
FROM claimed LEFT JOIN started ON job_id = id""",
    },
)


class ClaimJobsRow(NamedTuple):
    """A row of `claim_jobs`."""

    job: JobRow
    settings: Mapping[str, str] | None
    is_started: bool


_CLAIM_JOBS_ROWS = Joined(ClaimJobsRow._make, JOBS_ROWS, {'settings': 'settings', 'is_started': 'flag'})


def claim_jobs(c: Connection, *, by_worker: str, now: datetime, run_ats: Sequence[int | None], seqs: Sequence[int | None], with_suspects: bool, limit: int, by_lease: str) -> list[ClaimJobsRow]:
    """Due jobs in claim order, taken by a worker, and their attempts, started."""
    return c.fetch(_CLAIM_JOBS, (by_worker, _moment(now), _list_of_numbers(run_ats), _list_of_numbers(seqs), _moment(now), _flag(with_suspects), limit, by_worker, by_lease, _moment(now), _moment(now),), _CLAIM_JOBS_ROWS)


_CLAIM_JOBS_OF_QUEUES = Query(
    'claim_jobs_of_queues',
    {
        'postgresql': """WITH owner AS (
    SELECT host FROM workers WHERE id = %s::VARCHAR AND state = 'running' AND lease_expires_at > %s::BIGINT FOR KEY SHARE
), due AS MATERIALIZED (
    SELECT merged.seq
    FROM unnest(%s::BIGINT[], %s::BIGINT[]) WITH ORDINALITY AS start (run_at, seq, rank) CROSS JOIN LATERAL (
        SELECT probe.seq FROM unnest(%s::TEXT[]) AS listed (queue) CROSS JOIN LATERAL (
            SELECT jobs.seq, jobs.run_at FROM jobs
            WHERE jobs.state IN ('pending', 'failed') AND jobs.queue = listed.queue
                AND jobs.priority = 11 - start.rank AND jobs.run_at <= %s::BIGINT
                AND (jobs.run_at, jobs.seq) >= (start.run_at, start.seq) AND (%s OR NOT jobs.suspect)
            ORDER BY jobs.run_at, jobs.seq
            LIMIT %s::INTEGER
            FOR UPDATE SKIP LOCKED
        ) AS probe ORDER BY probe.run_at, probe.seq LIMIT %s::INTEGER
    ) AS merged
    LIMIT %s::INTEGER
), claimed AS (
    UPDATE jobs SET state = 'processing', worker = %s::VARCHAR, lease_id = %s::VARCHAR, started_at = %s::BIGINT,
        updated_at = %s::BIGINT, finished_at = NULL,
        attempts = least(attempts, 2147483646) + 1
    WHERE seq IN (SELECT seq FROM due) AND EXISTS (SELECT FROM owner)
    RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect
), started AS (
    INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, output_truncated)
    SELECT id, attempts, queue, worker,
        host,
        lease_id, started_at,
        started_at - greatest(run_at, -30610224000000000),
        false
    FROM claimed CROSS JOIN owner
    ON CONFLICT DO NOTHING RETURNING job_id
)
SELECT seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT json_object_agg(key, value)::text FROM config) AS settings, job_id IS NOT NULL AS is_started
FROM claimed LEFT JOIN started ON job_id = id""",
    },
)


def claim_jobs_of_queues(c: Connection, *, by_worker: str, now: datetime, run_ats: Sequence[int | None], seqs: Sequence[int | None], queues: Sequence[str | None] | None, with_suspects: bool, limit: int, by_lease: str) -> list[ClaimJobsRow]:
    """The same of some queues."""
    return c.fetch(_CLAIM_JOBS_OF_QUEUES, (by_worker, _moment(now), _list_of_numbers(run_ats), _list_of_numbers(seqs), None if queues is None else _list_of_texts(queues), _moment(now), _flag(with_suspects), limit, limit, limit, by_worker, by_lease, _moment(now), _moment(now),), _CLAIM_JOBS_ROWS)


_CLAIM_SUSPECTS = Query(
    'claim_suspects',
    {
        'postgresql': """WITH owner AS (
    SELECT host FROM workers WHERE id = %s::VARCHAR AND state = 'running' AND lease_expires_at > %s::BIGINT FOR KEY SHARE
), due AS MATERIALIZED (
    SELECT seq FROM jobs
    WHERE suspect AND worker IS NULL AND run_at <= %s::BIGINT AND (%s::TEXT[] IS NULL OR queue = ANY (%s::TEXT[]))
    ORDER BY priority DESC, run_at, seq LIMIT %s::INTEGER FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE jobs SET state = 'processing', worker = %s::VARCHAR, lease_id = %s::VARCHAR, started_at = %s::BIGINT,
        updated_at = %s::BIGINT, finished_at = NULL,
        attempts = least(attempts, 2147483646) + 1
    WHERE seq IN (SELECT seq FROM due) AND EXISTS (SELECT FROM owner)
    RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect
), started AS (
    INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, output_truncated)
    SELECT id, attempts, queue, worker,
        host,
        lease_id, started_at,
        started_at - greatest(run_at, -30610224000000000),
        false
    FROM claimed CROSS JOIN owner
    ON CONFLICT DO NOTHING RETURNING job_id
)
SELECT seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT json_object_agg(key, value)::text FROM config) AS settings, job_id IS NOT NULL AS is_started
FROM claimed LEFT JOIN started ON job_id = id""",
    },
)


def claim_suspects(c: Connection, *, by_worker: str, now: datetime, queues: Sequence[str | None] | None, limit: int, by_lease: str) -> list[ClaimJobsRow]:
    """The same of the suspects alone."""
    return c.fetch(_CLAIM_SUSPECTS, (by_worker, _moment(now), _moment(now), None if queues is None else _list_of_texts(queues), None if queues is None else _list_of_texts(queues), limit, by_worker, by_lease, _moment(now), _moment(now),), _CLAIM_JOBS_ROWS)


_DUE_JOBS = Query(
    'due_jobs',
    {
        'sqlite': """SELECT seq, run_at FROM jobs
WHERE state IN ('pending', 'failed')
    AND priority = ? AND run_at <= ? AND (? OR NOT suspect)
ORDER BY run_at, seq LIMIT ? + 0""",
    },
)


class DueJobsRow(NamedTuple):
    """A row of `due_jobs`."""

    seq: int
    run_at: datetime
    unreadable: str = ""


_DUE_JOBS_ROWS = Rows(DueJobsRow._make, {'seq': 'number', 'run_at': 'moment'})


def due_jobs(c: Connection, *, priority: int, now: datetime, with_suspects: bool, limit: int) -> list[DueJobsRow]:
    """Due jobs of one priority, in order."""
    return c.fetch(_DUE_JOBS, (priority, _moment(now), _flag(with_suspects), limit,), _DUE_JOBS_ROWS)


_DUE_JOBS_IN_QUEUE = Query(
    'due_jobs_in_queue',
    {
        'sqlite': """SELECT seq, run_at FROM jobs
WHERE state IN ('pending', 'failed')
    AND queue = ? AND priority = ? AND run_at <= ? AND (? OR NOT suspect)
ORDER BY run_at, seq LIMIT ? + 0""",
    },
)


def due_jobs_in_queue(c: Connection, *, queue: str, priority: int, now: datetime, with_suspects: bool, limit: int) -> list[DueJobsRow]:
    """The same of one queue."""
    return c.fetch(_DUE_JOBS_IN_QUEUE, (queue, priority, _moment(now), _flag(with_suspects), limit,), _DUE_JOBS_ROWS)


_DUE_SUSPECTS = Query(
    'due_suspects',
    {
        'sqlite': """SELECT seq, run_at FROM jobs
WHERE suspect AND worker IS NULL AND run_at <= ?
    AND (? IS NULL OR queue IN (SELECT value FROM json_each(?)))
ORDER BY priority DESC, run_at, seq LIMIT ? + 0""",
    },
)


def due_suspects(c: Connection, *, now: datetime, queues: Sequence[str | None] | None, limit: int) -> list[DueJobsRow]:
    """Due suspects, in order."""
    return c.fetch(_DUE_SUSPECTS, (_moment(now), None if queues is None else _list_of_texts(queues), None if queues is None else _list_of_texts(queues), limit,), _DUE_JOBS_ROWS)


_TAKE_JOBS = Query(
    'take_jobs',
    {
        'sqlite': """UPDATE jobs SET state = 'processing', worker = ?, lease_id = ?, started_at = ?,
    updated_at = ?, finished_at = NULL,
    attempts = min(attempts, 2147483646) + 1
WHERE seq IN (SELECT value FROM json_each(?)) AND EXISTS (
    SELECT 1 FROM workers WHERE id = ? AND state = 'running' AND lease_expires_at > ?
)
RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT json_group_object("key", value) FROM config) AS settings""",
    },
)


class TakeJobsRow(NamedTuple):
    """A row of `take_jobs`."""

    job: JobRow
    settings: Mapping[str, str] | None


_TAKE_JOBS_ROWS = Joined(TakeJobsRow._make, JOBS_ROWS, {'settings': 'settings'})


def take_jobs(c: Connection, *, by_worker: str, by_lease: str, now: datetime, seqs: Sequence[int | None]) -> list[TakeJobsRow]:
    """The jobs of these numbers, taken by a worker."""
    return c.fetch(_TAKE_JOBS, (by_worker, by_lease, _moment(now), _moment(now), _list_of_numbers(seqs), by_worker, _moment(now),), _TAKE_JOBS_ROWS)


_START_ATTEMPTS = Query(
    'start_attempts',
    {
        'sqlite': """INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, output_truncated)
SELECT jobs.id, attempts, queue, worker, host, lease_id, jobs.started_at, jobs.started_at - run_at, 0
FROM jobs JOIN workers ON workers.id = worker
WHERE seq IN (SELECT value FROM json_each(?)) AND lease_id = ?
ON CONFLICT DO NOTHING RETURNING job_id""",
    },
)


_START_ATTEMPTS_ROWS = Rows[str](itemgetter(0), {'job_id': 'name'})


def start_attempts(c: Connection, *, seqs: Sequence[int | None], by_lease: str) -> list[str]:
    """The ids of the jobs of which an attempt was started."""
    return c.fetch(_START_ATTEMPTS, (_list_of_numbers(seqs), by_lease,), _START_ATTEMPTS_ROWS)


_FIRST_DUE = Query(
    'first_due',
    {
        'sqlite': """SELECT min(run_at) AS run_at, (
    SELECT min(run_at) FROM jobs
    WHERE suspect AND worker IS NULL AND (? IS NULL OR queue IN (SELECT value FROM json_each(?)))
) AS suspect_run_at
FROM (
    SELECT (
        SELECT run_at FROM jobs
        WHERE state IN ('pending', 'failed') AND priority = level.value AND NOT suspect
        ORDER BY run_at LIMIT 1
    ) AS run_at FROM json_each('[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]') AS level WHERE ? IS NULL
    UNION ALL
    SELECT (
        SELECT run_at FROM jobs
        WHERE state IN ('pending', 'failed') AND queue = listed.value AND priority = level.value AND NOT suspect
        ORDER BY run_at LIMIT 1
    ) AS run_at FROM json_each('[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]') AS level CROSS JOIN json_each(?) AS listed
)""",
        'postgresql': """SELECT min(earliest.run_at) AS run_at, (
    SELECT min(run_at) FROM jobs WHERE suspect AND worker IS NULL AND (%s::TEXT[] IS NULL OR queue = ANY (%s::TEXT[]))
) AS suspect_run_at
FROM (
    SELECT (
        SELECT jobs.run_at FROM jobs
        WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = level.priority AND NOT jobs.suspect
        ORDER BY jobs.run_at LIMIT 1
    ) AS run_at FROM generate_series(1, 10) AS level (priority) WHERE %s::TEXT[] IS NULL
    UNION ALL
    SELECT (
        SELECT jobs.run_at FROM jobs
        WHERE jobs.state IN ('pending', 'failed') AND jobs.queue = listed.queue AND jobs.priority = level.priority
            AND NOT jobs.suspect
        ORDER BY jobs.run_at LIMIT 1
    ) AS run_at FROM generate_series(1, 10) AS level (priority) CROSS JOIN unnest(%s::TEXT[]) AS listed (queue)
) AS earliest""",
    },
)


class FirstDueRow(NamedTuple):
    """A row of `first_due`."""

    run_at: datetime | None
    suspect_run_at: datetime | None
    unreadable: str = ""


_FIRST_DUE_ROWS = Rows(FirstDueRow._make, {'run_at': 'moment', 'suspect_run_at': 'moment'})


def first_due(c: Connection, *, queues: Sequence[str | None] | None) -> FirstDueRow:
    """The earliest `run_at` of waiting jobs, and that of suspects."""
    return c.fetch_only(_FIRST_DUE, (None if queues is None else _list_of_texts(queues), None if queues is None else _list_of_texts(queues), None if queues is None else _list_of_texts(queues), None if queues is None else _list_of_texts(queues),), _FIRST_DUE_ROWS)


_FORGET_START = Query(
    'forget_start',
    {
        'sqlite': """DELETE FROM attempts WHERE attempts.job_id = (SELECT jobs.id
FROM jobs
WHERE jobs.seq = ?) AND attempts.lease_id = ?""",
        'postgresql': """DELETE FROM attempts WHERE attempts.job_id = (SELECT jobs.id
FROM jobs
WHERE jobs.seq = %s::BIGINT) AND attempts.lease_id = %s::VARCHAR""",
    },
)


def forget_start(c: Connection, *, seq: int, lease_id: str) -> int:
    """The attempt that a claim has started of the job of that number."""
    return c.run(_FORGET_START, (seq, lease_id,))


_HELD_BY = Query(
    'held_by',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.worker = ? AND jobs.state = 'processing' ORDER BY jobs.seq""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.worker = %s::VARCHAR AND jobs.state = 'processing' ORDER BY jobs.seq""",
    },
)


def held_by(c: Connection, *, worker: str) -> list[JobRow]:
    """The jobs that run under any lease of the worker."""
    return c.fetch(_HELD_BY, (worker,), JOBS_ROWS)


_CANCEL_REQUESTS = Query(
    'cancel_requests',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id IN (SELECT value FROM json_each(?)) AND jobs.cancel_requested_at IS NOT NULL""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = ANY (%s::TEXT[]) AND jobs.cancel_requested_at IS NOT NULL""",
    },
)


def cancel_requests(c: Connection, *, ids: Sequence[str | None]) -> list[JobRow]:
    """Of these jobs, those whose cancel was asked for; what has ended since may be among them.

    Found by id alone: where somebody holds a snapshot open, the other indexes keep all that a worker has held."""
    return c.fetch(_CANCEL_REQUESTS, (_list_of_texts(ids),), JOBS_ROWS)


_JOBS_TO_SETTLE = Query(
    'jobs_to_settle',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id IN (SELECT value FROM json_each(?))""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = ANY (%s::TEXT[]) FOR UPDATE""",
    },
)


def jobs_to_settle(c: Connection, *, ids: Sequence[str | None]) -> list[JobRow]:
    """These jobs, locked."""
    return c.fetch(_JOBS_TO_SETTLE, (_list_of_texts(ids),), JOBS_ROWS)


_STORE_SETTLED = Query(
    'store_settled',
    {
        'postgresql': """UPDATE jobs SET state = ended.state, run_at = ended.run_at, updated_at = ended.updated_at, failures = ended.failures,
    losses = ended.losses, finished_at = ended.finished_at, exit_code = ended.exit_code,
    last_error = ended.last_error, suspect = ended.suspect, worker = NULL, lease_id = NULL
FROM unnest(
    %s::TEXT[], %s::TEXT[], %s::BIGINT[], %s::BIGINT[], %s::INTEGER[], %s::INTEGER[], %s::BIGINT[], %s::INTEGER[], %s::TEXT[], %s::BOOLEAN[]
) AS ended (id, state, run_at, updated_at, failures, losses, finished_at, exit_code, last_error, suspect)
WHERE jobs.id = ended.id""",
    },
)


def store_settled(c: Connection, *, id: Sequence[str | None], state: Sequence[State | None], run_at: Sequence[datetime | None], updated_at: Sequence[datetime | None], failures: Sequence[int | None], losses: Sequence[int | None], finished_at: Sequence[datetime | None], exit_code: Sequence[int | None], last_error: Sequence[str | None], suspect: Sequence[bool | None]) -> int:
    """Store locked jobs as the ends of their attempts have made them."""
    return c.run(_STORE_SETTLED, (_list_of_names(id), _list_of_states(state), _list_of_moments(run_at), _list_of_moments(updated_at), _list_of_counts(failures), _list_of_counts(losses), _list_of_moments(finished_at), _list_of_numbers(exit_code), _list_of_texts(last_error), _list_of_flags(suspect),))


_END_ATTEMPTS = Query(
    'end_attempts',
    {
        'postgresql': """UPDATE attempts SET finished_at = ended.finished_at, ran = ended.ran, outcome = ended.outcome,
    exit_code = ended.exit_code, signal = ended.signal, error = ended.error,
    output_truncated = ended.output_truncated, output = ended.output
FROM unnest(
    %s::BIGINT[], %s::BIGINT[], %s::TEXT[], %s::INTEGER[], %s::INTEGER[], %s::TEXT[], %s::BOOLEAN[], %s::BYTEA[], %s::TEXT[], %s::INTEGER[]
) AS ended (finished_at, ran, outcome, exit_code, signal, error, output_truncated, output, job_id, number)
WHERE attempts.job_id = ended.job_id AND attempts.number = ended.number AND attempts.outcome IS NULL""",
    },
)


def end_attempts(c: Connection, *, finished_at: Sequence[datetime | None], ran: Sequence[timedelta | None], outcome: Sequence[Outcome | None], exit_code: Sequence[int | None], signal: Sequence[int | None], error: Sequence[str | None], output_truncated: Sequence[bool | None], output: Sequence[bytes | None], job_id: Sequence[str | None], number: Sequence[int | None]) -> int:
    """Store the ends of attempts, unless they have ended."""
    return c.run(_END_ATTEMPTS, (_list_of_moments(finished_at), _list_of_spans(ran), _list_of_outcomes(outcome), _list_of_numbers(exit_code), _list_of_numbers(signal), _list_of_texts(error), _list_of_flags(output_truncated), _list_of_contents(output), _list_of_names(job_id), _list_of_numbers(number),))


_END_ATTEMPT = Query(
    'end_attempt',
    {
        'sqlite': """UPDATE attempts SET finished_at=?, ran=?, outcome=?, exit_code=?, signal=?, error=?, output_truncated=?, output=? WHERE attempts.job_id = ? AND attempts.number = ? AND attempts.outcome IS NULL""",
        'postgresql': """UPDATE attempts SET finished_at=%s::BIGINT, ran=%s::BIGINT, outcome=%s::VARCHAR, exit_code=%s::INTEGER, signal=%s::INTEGER, error=%s::VARCHAR, output_truncated=%s, output=%s WHERE attempts.job_id = %s::VARCHAR AND attempts.number = %s::INTEGER AND attempts.outcome IS NULL""",
    },
)


class EndAttempt(NamedTuple):
    """The parameters of one run of `end_attempt`."""

    finished_at: datetime | None
    ran: timedelta | None
    outcome: Outcome | None
    exit_code: int | None
    signal: int | None
    error: str | None
    output_truncated: bool
    output: bytes | None
    job_id: str
    number: int


def end_attempt(c: Connection, rows: Iterable[EndAttempt]) -> None:
    """Store the end of an attempt, unless it has ended."""
    c.run_each(_END_ATTEMPT, [(None if it.finished_at is None else _moment(it.finished_at), None if it.ran is None else _span(it.ran), None if it.outcome is None else _outcome(it.outcome), it.exit_code, it.signal, it.error, _flag(it.output_truncated), it.output, it.job_id, it.number,) for it in rows])


_OWN_ATTEMPT = Query(
    'own_attempt',
    {
        'sqlite': """SELECT attempts.outcome, attempts.finished_at, attempts.output, attempts.output_truncated
FROM attempts
WHERE attempts.job_id = ? AND attempts.number = ? AND attempts.lease_id = ?""",
        'postgresql': """SELECT attempts.outcome, attempts.finished_at, attempts.output, attempts.output_truncated
FROM attempts
WHERE attempts.job_id = %s::VARCHAR AND attempts.number = %s::INTEGER AND attempts.lease_id = %s::VARCHAR FOR UPDATE""",
    },
)


class OwnAttemptRow(NamedTuple):
    """A row of `own_attempt`."""

    outcome: Outcome | None
    finished_at: datetime | None
    output: bytes | None
    output_truncated: bool
    unreadable: str = ""


_OWN_ATTEMPT_ROWS = Rows(OwnAttemptRow._make, {'outcome': 'outcome', 'finished_at': 'moment', 'output': 'content', 'output_truncated': 'flag'})


def own_attempt(c: Connection, *, job_id: str, number: int, lease_id: str) -> OwnAttemptRow | None:
    """The stored end of the attempt that ran under that lease, locked."""
    return c.fetch_one(_OWN_ATTEMPT, (job_id, number, lease_id,), _OWN_ATTEMPT_ROWS)


_STORE_LATE = Query(
    'store_late',
    {
        'sqlite': """UPDATE attempts SET late=?, output_truncated=?, output=? WHERE attempts.job_id = ? AND attempts.number = ? AND attempts.lease_id = ?""",
        'postgresql': """UPDATE attempts SET late=%s::VARCHAR, output_truncated=%s, output=%s WHERE attempts.job_id = %s::VARCHAR AND attempts.number = %s::INTEGER AND attempts.lease_id = %s::VARCHAR""",
    },
)


def store_late(c: Connection, *, late: Outcome | None, output_truncated: bool, output: bytes | None, job_id: str, number: int, lease_id: str) -> int:
    """The late result of that attempt, and its output."""
    return c.run(_STORE_LATE, (None if late is None else _outcome(late), _flag(output_truncated), output, job_id, number, lease_id,))


_WORKER_TO_RESCUE = Query(
    'worker_to_rescue',
    {
        'sqlite': """SELECT workers.lease_expires_at, workers.renewed_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.id = ? AND workers.state IN ('running', 'stopping')""",
        'postgresql': """SELECT workers.lease_expires_at, workers.renewed_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.id = %s::VARCHAR AND workers.state IN ('running', 'stopping') FOR UPDATE SKIP LOCKED""",
    },
)


class WorkerToRescueRow(NamedTuple):
    """A row of `worker_to_rescue`."""

    lease_expires_at: datetime
    renewed_at: datetime
    jobs: int
    unreadable: str = ""


_WORKER_TO_RESCUE_ROWS = Rows(WorkerToRescueRow._make, {'lease_expires_at': 'moment', 'renewed_at': 'moment', 'jobs': 'count'})


def worker_to_rescue(c: Connection, *, worker: str) -> WorkerToRescueRow | None:
    """The lease of a live worker, locked; nothing when another rescuer has the lock.

    With it comes how many jobs the worker holds, also those that `held_to_rescue` leaves to a later rescue."""
    return c.fetch_one(_WORKER_TO_RESCUE, (worker,), _WORKER_TO_RESCUE_ROWS)


_HELD_TO_RESCUE = Query(
    'held_to_rescue',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.worker = ? AND jobs.state = 'processing' ORDER BY jobs.seq""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.worker = %s::VARCHAR AND jobs.state = 'processing' ORDER BY jobs.seq FOR UPDATE SKIP LOCKED""",
    },
)


def held_to_rescue(c: Connection, *, worker: str) -> list[JobRow]:
    """The jobs that run under any lease of the worker, locked.

    What is locked already may stay so until the server ends the transaction of a host that is cut off. It is left to a
    later rescue: waiting for it would hold up the rescuer, and with it every worker there is."""
    return c.fetch(_HELD_TO_RESCUE, (worker,), JOBS_ROWS)


_LOST_BY = Query(
    'lost_by',
    {
        'sqlite': """SELECT attempts.job_id
FROM attempts
WHERE attempts.finished_at >= ? AND attempts.worker = ? AND attempts.outcome = 'lost'
 LIMIT 1 OFFSET 0""",
        'postgresql': """SELECT attempts.job_id
FROM attempts
WHERE attempts.finished_at >= %s::BIGINT AND attempts.worker = %s::VARCHAR AND attempts.outcome = 'lost'
 LIMIT 1""",
    },
)


_LOST_BY_ROWS = Rows[str](itemgetter(0), {'job_id': 'name'})


def lost_by(c: Connection, *, since: datetime, worker: str) -> str | None:
    """One of the attempts of the worker that were lost already, since some moment."""
    return c.fetch_one(_LOST_BY, (_moment(since), worker,), _LOST_BY_ROWS)


_END_WORKER = Query(
    'end_worker',
    {
        'sqlite': """UPDATE workers SET state=?, ended_at=? WHERE workers.id = ? AND workers.state IN ('running', 'stopping') AND NOT (EXISTS (SELECT jobs.id
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing'))""",
        'postgresql': """UPDATE workers SET state=%s::VARCHAR, ended_at=%s::BIGINT WHERE workers.id = %s::VARCHAR AND workers.state IN ('running', 'stopping') AND NOT (EXISTS (SELECT jobs.id
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing'))""",
    },
)


def end_worker(c: Connection, *, state: WorkerState, ended_at: datetime, worker: str) -> int:
    """Mark a worker as ended, if it holds nothing: a worker that has ended is never rescued."""
    return c.run(_END_WORKER, (_worker_state(state), _moment(ended_at), worker,))


_ADD_WORKER = Query(
    'add_worker',
    {
        'sqlite': """INSERT INTO workers (id, host, machine, pid, pid_started, supervisor_pid, supervisor_started, queues, concurrency, state, started_at, renewed_at, lease_expires_at, ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        'postgresql': """INSERT INTO workers (id, host, machine, pid, pid_started, supervisor_pid, supervisor_started, queues, concurrency, state, started_at, renewed_at, lease_expires_at, ended_at) VALUES (%s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::BIGINT, %s::INTEGER, %s::BIGINT, %s::VARCHAR, %s::INTEGER, %s::VARCHAR, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::BIGINT)""",
    },
)


def add_worker(c: Connection, rows: Iterable[WorkerRow]) -> None:
    """Workers, with their leases."""
    c.run_each(_ADD_WORKER, [(it.id, it.host, it.machine, it.pid, it.pid_started, it.supervisor_pid, it.supervisor_started, _texts(it.queues), it.concurrency, _worker_state(it.state), _moment(it.started_at), _moment(it.renewed_at), _moment(it.lease_expires_at), None if it.ended_at is None else _moment(it.ended_at),) for it in rows])


_DELETE_ENDED_WORKERS = Query(
    'delete_ended_workers',
    {
        'sqlite': """DELETE FROM workers WHERE workers.ended_at < ?""",
        'postgresql': """DELETE FROM workers WHERE workers.ended_at < %s::BIGINT""",
    },
)


def delete_ended_workers(c: Connection, *, before: datetime) -> int:
    """Those that ended before a moment."""
    return c.run(_DELETE_ENDED_WORKERS, (_moment(before),))


_DELETE_WORKERS = Query(
    'delete_workers',
    {
        'sqlite': """DELETE FROM workers WHERE workers.id IN (SELECT value FROM json_each(?))""",
        'postgresql': """DELETE FROM workers WHERE workers.id = ANY (%s::TEXT[])""",
    },
)


def delete_workers(c: Connection, *, ids: Sequence[str | None]) -> int:
    """The workers of these ids."""
    return c.run(_DELETE_WORKERS, (_list_of_texts(ids),))


_WORKER_ID = Query(
    'worker_id',
    {
        'sqlite': """SELECT workers.id
FROM workers
WHERE workers.id = ?""",
        'postgresql': """SELECT workers.id
FROM workers
WHERE workers.id = %s::VARCHAR""",
    },
)


_WORKER_ID_ROWS = Rows[str](itemgetter(0), {'id': 'text'})


def worker_id(c: Connection, *, worker: str) -> str | None:
    """The id of the worker, if it is there."""
    return c.fetch_one(_WORKER_ID, (worker,), _WORKER_ID_ROWS)


_RENEW = Query(
    'renew',
    {
        'sqlite': """UPDATE workers SET state=?, renewed_at=?, lease_expires_at=? WHERE workers.id = ? AND workers.state IN ('running', 'stopping')""",
        'postgresql': """UPDATE workers SET state=%s::VARCHAR, renewed_at=%s::BIGINT, lease_expires_at=%s::BIGINT WHERE workers.id = %s::VARCHAR AND workers.state IN ('running', 'stopping')""",
    },
)


def renew(c: Connection, *, state: WorkerState, renewed_at: datetime, lease_expires_at: datetime, worker: str) -> int:
    """The lease of a worker, unless it is given up."""
    return c.run(_RENEW, (_worker_state(state), _moment(renewed_at), _moment(lease_expires_at), worker,))


_LIVE_WORKERS = Query(
    'live_workers',
    {
        'sqlite': """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') ORDER BY workers.started_at, workers.id""",
        'postgresql': """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') ORDER BY workers.started_at, workers.id""",
    },
)


class LiveWorkersRow(NamedTuple):
    """A row of `live_workers`."""

    worker: WorkerRow
    jobs: int


_LIVE_WORKERS_ROWS = Joined(LiveWorkersRow._make, WORKERS_ROWS, {'jobs': 'count'})


def live_workers(c: Connection) -> list[LiveWorkersRow]:
    """Those that run or stop, with the number of jobs that each holds, in order of their start."""
    return c.fetch(_LIVE_WORKERS, (), _LIVE_WORKERS_ROWS)


_EXPIRED_OR_LOCAL_WORKERS = Query(
    'expired_or_local_workers',
    {
        'sqlite': """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') AND (workers.lease_expires_at <= ? OR workers.lease_expires_at > ? OR workers.machine = ?) ORDER BY workers.started_at, workers.id""",
        'postgresql': """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') AND (workers.lease_expires_at <= %s::BIGINT OR workers.lease_expires_at > %s::BIGINT OR workers.machine = %s::VARCHAR) ORDER BY workers.started_at, workers.id""",
    },
)


def expired_or_local_workers(c: Connection, *, at: datetime, beyond: datetime, machine: str) -> list[LiveWorkersRow]:
    """Of the live ones, those whose lease has run out at a moment, or ends beyond another, and all on a machine."""
    return c.fetch(_EXPIRED_OR_LOCAL_WORKERS, (_moment(at), _moment(beyond), machine,), _LIVE_WORKERS_ROWS)


_STOPPED_WORKERS_ON = Query(
    'stopped_workers_on',
    {
        'sqlite': """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE (workers.state NOT IN ('running', 'stopping')) AND workers.machine = ? ORDER BY workers.started_at, workers.id""",
        'postgresql': """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE (workers.state NOT IN ('running', 'stopping')) AND workers.machine = %s::VARCHAR ORDER BY workers.started_at, workers.id""",
    },
)


def stopped_workers_on(c: Connection, *, machine: str) -> list[LiveWorkersRow]:
    """Those on a machine that were stopped or given up."""
    return c.fetch(_STOPPED_WORKERS_ON, (machine,), _LIVE_WORKERS_ROWS)


_SETTINGS = Query(
    'settings',
    {
        'sqlite': """SELECT config."key", config.value
FROM config""",
        'postgresql': """SELECT config.key, config.value
FROM config""",
    },
)


def settings(c: Connection) -> list[SettingRow]:
    """All that were set."""
    return c.fetch(_SETTINGS, (), CONFIG_ROWS)


_ADD_SETTING = Query(
    'add_setting',
    {
        'sqlite': """INSERT INTO config ("key", value) VALUES (?, ?)""",
        'postgresql': """INSERT INTO config (key, value) VALUES (%s::VARCHAR, %s::VARCHAR)""",
    },
)


def add_setting(c: Connection, rows: Iterable[SettingRow]) -> None:
    """Settings that were not set."""
    c.run_each(_ADD_SETTING, [(it.key, it.value,) for it in rows])


_CLEAR_SETTING = Query(
    'clear_setting',
    {
        'sqlite': """DELETE FROM config WHERE config."key" = ?""",
        'postgresql': """DELETE FROM config WHERE config.key = %s::VARCHAR""",
    },
)


def clear_setting(c: Connection, *, key: str) -> int:
    """Back to the default."""
    return c.run(_CLEAR_SETTING, (key,))


_CLEAR_SETTINGS = Query(
    'clear_settings',
    {
        'sqlite': """DELETE FROM config""",
        'postgresql': """DELETE FROM config""",
    },
)


def clear_settings(c: Connection) -> int:
    """All of them."""
    return c.run(_CLEAR_SETTINGS, ())
