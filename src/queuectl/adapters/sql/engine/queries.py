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
from queuectl.domain.job import Command, On, State, WaitsFor
from queuectl.domain.limits import SlotKind
from queuectl.domain.policy import StoredSettings
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
_waits_for = writer("waits for")
_end = writer("end")
_slot_kind = writer("slot kind")
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

SCHEMA_VERSION = '0003'

SCHEMA: Mapping[str, Sequence[str]] = {
    'sqlite': (
        """CREATE TABLE batches (
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    PRIMARY KEY (name)
)""",
        """CREATE TABLE config (
    queue TEXT DEFAULT '' NOT NULL,
    "key" TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (queue, "key")
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
    stdin TEXT,
    tags TEXT DEFAULT '[]' NOT NULL,
    needs TEXT DEFAULT '[]' NOT NULL,
    lane INTEGER DEFAULT '0' NOT NULL,
    slot INTEGER,
    "key" TEXT,
    key_limit INTEGER,
    waits_for TEXT,
    unique_key TEXT,
    unique_until TEXT,
    unique_held TEXT,
    unique_expires_at BIGINT,
    batch TEXT,
    blockers INTEGER DEFAULT '0' NOT NULL,
    has_dependents BOOLEAN DEFAULT 0 NOT NULL,
    UNIQUE (id)
)""",
        """CREATE TABLE lanes (
    id INTEGER NOT NULL,
    queue TEXT NOT NULL,
    needs TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (queue, needs)
)""",
        """CREATE TABLE queues (
    name TEXT NOT NULL,
    concurrency INTEGER,
    rate_count INTEGER,
    rate_period BIGINT,
    reserved BOOLEAN DEFAULT 0 NOT NULL,
    paused_at BIGINT,
    paused_until BIGINT,
    paused_by TEXT,
    pause_reason TEXT,
    PRIMARY KEY (name)
)""",
        """CREATE TABLE slots (
    queue TEXT NOT NULL,
    kind TEXT NOT NULL,
    slot INTEGER NOT NULL,
    free_at BIGINT NOT NULL,
    PRIMARY KEY (queue, kind, slot)
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
    labels TEXT DEFAULT '[]' NOT NULL,
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
        """CREATE TABLE dependencies (
    child BIGINT NOT NULL,
    parent TEXT NOT NULL,
    met_by TEXT NOT NULL,
    is_met BOOLEAN DEFAULT 0 NOT NULL,
    PRIMARY KEY (child, parent),
    FOREIGN KEY(child) REFERENCES jobs (seq) ON DELETE CASCADE
)""",
        """CREATE TABLE tags (
    tag TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (tag, seq),
    FOREIGN KEY(seq) REFERENCES jobs (seq) ON DELETE CASCADE
)""",
        """CREATE INDEX attempts_ended ON attempts (finished_at)""",
        """CREATE INDEX dependencies_of ON dependencies (parent)""",
        """CREATE INDEX jobs_by_state ON jobs (state, seq)""",
        """CREATE INDEX jobs_due ON jobs (lane, priority, run_at, seq) WHERE state IN ('pending', 'failed') AND waits_for IS NULL""",
        """CREATE INDEX jobs_held ON jobs (worker) WHERE worker IS NOT NULL""",
        """CREATE UNIQUE INDEX jobs_in_slots ON jobs (queue, slot) WHERE state = 'processing' AND slot IS NOT NULL""",
        """CREATE INDEX jobs_of_a_key ON jobs ("key") WHERE state = 'processing' AND key_limit > 1""",
        """CREATE INDEX jobs_of_a_waiting_key ON jobs (waits_for, "key", lane, priority DESC, run_at, seq) WHERE key IS NOT NULL AND state IN ('pending', 'failed')""",
        """CREATE INDEX jobs_of_batch ON jobs (batch, state) WHERE batch IS NOT NULL""",
        """CREATE UNIQUE INDEX jobs_one_of_a_key ON jobs ("key") WHERE state = 'processing' AND key_limit = 1""",
        """CREATE INDEX jobs_suspect ON jobs (priority DESC, run_at, seq) WHERE suspect""",
        """CREATE UNIQUE INDEX jobs_unique ON jobs (unique_held) WHERE unique_held IS NOT NULL""",
        """CREATE INDEX jobs_unresolved ON jobs (seq) WHERE has_dependents AND state IN ('completed', 'dead', 'cancelled')""",
        """CREATE INDEX slots_free ON slots (queue, free_at) WHERE kind = 'start'""",
        """CREATE INDEX tags_of ON tags (seq)""",
    ),
    'postgresql': (
        """CREATE TABLE batches (
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    PRIMARY KEY (name)
)""",
        """CREATE TABLE config (
    queue TEXT DEFAULT '' NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (queue, key)
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
    stdin TEXT,
    tags TEXT DEFAULT '[]' NOT NULL,
    needs TEXT DEFAULT '[]' NOT NULL,
    lane INTEGER DEFAULT '0' NOT NULL,
    slot INTEGER,
    key TEXT,
    key_limit INTEGER,
    waits_for TEXT,
    unique_key TEXT,
    unique_until TEXT,
    unique_held TEXT,
    unique_expires_at BIGINT,
    batch TEXT,
    blockers INTEGER DEFAULT '0' NOT NULL,
    has_dependents BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (seq),
    UNIQUE (id)
)""",
        """CREATE TABLE lanes (
    id SERIAL NOT NULL,
    queue TEXT NOT NULL,
    needs TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (queue, needs)
)""",
        """CREATE TABLE queues (
    name TEXT NOT NULL,
    concurrency INTEGER,
    rate_count INTEGER,
    rate_period BIGINT,
    reserved BOOLEAN DEFAULT false NOT NULL,
    paused_at BIGINT,
    paused_until BIGINT,
    paused_by TEXT,
    pause_reason TEXT,
    PRIMARY KEY (name)
)""",
        """CREATE TABLE slots (
    queue TEXT NOT NULL,
    kind TEXT NOT NULL,
    slot INTEGER NOT NULL,
    free_at BIGINT NOT NULL,
    PRIMARY KEY (queue, kind, slot)
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
    labels TEXT DEFAULT '[]' NOT NULL,
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
        """CREATE TABLE dependencies (
    child BIGINT NOT NULL,
    parent TEXT NOT NULL,
    met_by TEXT NOT NULL,
    is_met BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (child, parent),
    FOREIGN KEY(child) REFERENCES jobs (seq) ON DELETE CASCADE
)""",
        """CREATE TABLE tags (
    tag TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (tag, seq),
    FOREIGN KEY(seq) REFERENCES jobs (seq) ON DELETE CASCADE
)""",
        """CREATE INDEX attempts_ended ON attempts (finished_at)""",
        """CREATE INDEX dependencies_of ON dependencies (parent)""",
        """CREATE INDEX jobs_by_state ON jobs (state, seq)""",
        """CREATE INDEX jobs_due ON jobs (lane, priority, run_at, seq) WHERE state IN ('pending', 'failed') AND waits_for IS NULL""",
        """CREATE INDEX jobs_held ON jobs (worker) WHERE worker IS NOT NULL""",
        """CREATE UNIQUE INDEX jobs_in_slots ON jobs (queue, slot) WHERE state = 'processing' AND slot IS NOT NULL""",
        """CREATE INDEX jobs_of_a_key ON jobs (key) WHERE state = 'processing' AND key_limit > 1""",
        """CREATE INDEX jobs_of_a_waiting_key ON jobs (waits_for, key, lane, priority DESC, run_at, seq) WHERE key IS NOT NULL AND state IN ('pending', 'failed')""",
        """CREATE INDEX jobs_of_batch ON jobs (batch, state) WHERE batch IS NOT NULL""",
        """CREATE UNIQUE INDEX jobs_one_of_a_key ON jobs (key) WHERE state = 'processing' AND key_limit = 1""",
        """CREATE INDEX jobs_suspect ON jobs (priority DESC, run_at, seq) WHERE suspect""",
        """CREATE UNIQUE INDEX jobs_unique ON jobs (unique_held) WHERE unique_held IS NOT NULL""",
        """CREATE INDEX jobs_unresolved ON jobs (seq) WHERE has_dependents AND state IN ('completed', 'dead', 'cancelled')""",
        """CREATE INDEX slots_free ON slots (queue, free_at) WHERE kind = 'start'""",
        """CREATE INDEX tags_of ON tags (seq)""",
    ),
}


class BatchRow(NamedTuple):
    """A row of `batches`; `unreadable` says which values are none."""

    name: str
    created_at: datetime
    finished_at: datetime | None
    unreadable: str = ""


BATCHES_ROWS = Rows(BatchRow._make, {'name': 'text', 'created_at': 'moment', 'finished_at': 'moment'})


class SettingRow(NamedTuple):
    """A row of `config`; `unreadable` says which values are none."""

    queue: str
    key: str
    value: str
    unreadable: str = ""


CONFIG_ROWS = Rows(SettingRow._make, {'queue': 'text', 'key': 'text', 'value': 'text'})


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
    stdin: str | None
    tags: Sequence[str]
    needs: Sequence[str]
    lane: int
    slot: int | None
    key: str | None
    key_limit: int | None
    waits_for: WaitsFor | None
    unique_key: str | None
    unique_until: str | None
    unique_held: str | None
    unique_expires_at: datetime | None
    batch: str | None
    blockers: int
    has_dependents: bool
    unreadable: str = ""


JOBS_ROWS = Rows(JobRow._make, {'seq': 'number', 'id': 'name', 'command': 'command', 'queue': 'text', 'priority': 'number', 'max_retries': 'count', 'timeout': 'limit', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'environment', 'state': 'state', 'attempts': 'count', 'failures': 'count', 'losses': 'count', 'started_at': 'moment', 'finished_at': 'moment', 'worker': 'text', 'lease_id': 'text', 'exit_code': 'number', 'last_error': 'text', 'cancel_requested_at': 'moment', 'cancel_requested_by': 'text', 'suspect': 'flag', 'stdin': 'text', 'tags': 'texts', 'needs': 'texts', 'lane': 'number', 'slot': 'number', 'key': 'text', 'key_limit': 'number', 'waits_for': 'waits for', 'unique_key': 'text', 'unique_until': 'text', 'unique_held': 'text', 'unique_expires_at': 'moment', 'batch': 'text', 'blockers': 'count', 'has_dependents': 'flag'})


class LaneRow(NamedTuple):
    """A row of `lanes`; `unreadable` says which values are none."""

    id: int
    queue: str
    needs: Sequence[str]
    unreadable: str = ""


LANES_ROWS = Rows(LaneRow._make, {'id': 'number', 'queue': 'text', 'needs': 'texts'})


class QueueRow(NamedTuple):
    """A row of `queues`; `unreadable` says which values are none."""

    name: str
    concurrency: int | None
    rate_count: int | None
    rate_period: timedelta | None
    reserved: bool
    paused_at: datetime | None
    paused_until: datetime | None
    paused_by: str | None
    pause_reason: str | None
    unreadable: str = ""


QUEUES_ROWS = Rows(QueueRow._make, {'name': 'text', 'concurrency': 'number', 'rate_count': 'number', 'rate_period': 'limit', 'reserved': 'flag', 'paused_at': 'moment', 'paused_until': 'moment', 'paused_by': 'text', 'pause_reason': 'text'})


class SlotRow(NamedTuple):
    """A row of `slots`; `unreadable` says which values are none."""

    queue: str
    kind: SlotKind
    slot: int
    free_at: datetime
    unreadable: str = ""


SLOTS_ROWS = Rows(SlotRow._make, {'queue': 'text', 'kind': 'slot kind', 'slot': 'number', 'free_at': 'moment'})


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
    labels: Sequence[str]
    unreadable: str = ""


WORKERS_ROWS = Rows(WorkerRow._make, {'id': 'text', 'host': 'text', 'machine': 'text', 'pid': 'number', 'pid_started': 'number', 'supervisor_pid': 'number', 'supervisor_started': 'number', 'queues': 'texts', 'concurrency': 'number', 'state': 'worker state', 'started_at': 'moment', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'ended_at': 'moment', 'labels': 'texts'})


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


class DependencyRow(NamedTuple):
    """A row of `dependencies`; `unreadable` says which values are none."""

    child: int
    parent: str
    met_by: On
    is_met: bool
    unreadable: str = ""


DEPENDENCIES_ROWS = Rows(DependencyRow._make, {'child': 'number', 'parent': 'text', 'met_by': 'end', 'is_met': 'flag'})


class TagRow(NamedTuple):
    """A row of `tags`; `unreadable` says which values are none."""

    tag: str
    seq: int
    unreadable: str = ""


TAGS_ROWS = Rows(TagRow._make, {'tag': 'text', 'seq': 'number'})


_ADD_JOBS = Query(
    'add_jobs',
    {
        'sqlite': """INSERT INTO jobs (id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, stdin, tags, needs, lane, slot, "key", key_limit, waits_for, unique_key, unique_until, unique_held, unique_expires_at, batch, blockers, has_dependents) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        'postgresql': """INSERT INTO jobs (id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for, unique_key, unique_until, unique_held, unique_expires_at, batch, blockers, has_dependents) VALUES (%s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::INTEGER, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::INTEGER, %s::INTEGER, %s::BIGINT, %s::BIGINT, %s::INTEGER, %s::VARCHAR, %s::BIGINT, %s::VARCHAR, %s, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::INTEGER, %s::VARCHAR, %s::INTEGER, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::BIGINT, %s::VARCHAR, %s::INTEGER, %s)""",
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
    stdin: Sequence[str | None]
    tags: Sequence[Sequence[str]]
    needs: Sequence[Sequence[str]]
    lane: Sequence[int]
    slot: Sequence[int | None]
    key: Sequence[str | None]
    key_limit: Sequence[int | None]
    waits_for: Sequence[WaitsFor | None]
    unique_key: Sequence[str | None]
    unique_until: Sequence[str | None]
    unique_held: Sequence[str | None]
    unique_expires_at: Sequence[datetime | None]
    batch: Sequence[str | None]
    blockers: Sequence[int]
    has_dependents: Sequence[bool]


def add_jobs(c: Connection, groups: Iterable[AddJobs]) -> None:
    """New jobs, which nobody holds and whose numbers are counted on."""
    c.load(_ADD_JOBS, ([it.id, written(_command, it.command), it.queue, it.priority, it.max_retries, written(_limit, it.timeout), written(_moment, it.run_at), written(_moment, it.created_at), written(_moment, it.updated_at), written(_path, it.cwd), written(_environment, it.env), written(_state, it.state), it.attempts, it.failures, it.losses, written(_moment, it.started_at), written(_moment, it.finished_at), it.exit_code, it.last_error, written(_moment, it.cancel_requested_at), it.cancel_requested_by, written(_flag, it.suspect), it.stdin, written(_texts, it.tags), written(_texts, it.needs), it.lane, it.slot, it.key, it.key_limit, written(_waits_for, it.waits_for), it.unique_key, it.unique_until, it.unique_held, written(_moment, it.unique_expires_at), it.batch, it.blockers, written(_flag, it.has_dependents)] for it in groups))


_ADD_TAG = Query(
    'add_tag',
    {
        'sqlite': """INSERT INTO tags (tag, seq) SELECT ? AS tag, jobs.seq
FROM jobs
WHERE jobs.id = ?""",
        'postgresql': """INSERT INTO tags (tag, seq) SELECT %s::VARCHAR AS tag, jobs.seq
FROM jobs
WHERE jobs.id = %s::VARCHAR""",
    },
)


class AddTag(NamedTuple):
    """The parameters of one run of `add_tag`."""

    tag: str
    job_id: str


def add_tag(c: Connection, rows: Iterable[AddTag]) -> None:
    """A tag of a job, which is found by it from then on."""
    c.run_each(_ADD_TAG, [(it.tag, it.job_id,) for it in rows])


_FORGET_TAGS = Query(
    'forget_tags',
    {
        'sqlite': """DELETE FROM tags WHERE tags.seq IN (SELECT jobs.seq
FROM jobs
WHERE jobs.id IN (SELECT value FROM json_each(?)))""",
        'postgresql': """DELETE FROM tags WHERE tags.seq IN (SELECT jobs.seq
FROM jobs
WHERE jobs.id = ANY (%s::TEXT[]))""",
    },
)


def forget_tags(c: Connection, *, ids: Sequence[str | None]) -> int:
    """These jobs are found by no tag any more."""
    return c.run(_FORGET_TAGS, (_list_of_texts(ids),))


_JOB = Query(
    'job',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.id = ?""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
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
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.id = ?""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
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
        'sqlite': """UPDATE jobs SET run_at=?, updated_at=?, state=?, attempts=?, failures=?, losses=?, started_at=?, finished_at=?, worker=?, lease_id=?, exit_code=?, last_error=?, cancel_requested_at=?, cancel_requested_by=?, suspect=?, slot=?, waits_for=?, unique_held=?, unique_expires_at=?, blockers=?, has_dependents=? WHERE jobs.id = ?""",
        'postgresql': """UPDATE jobs SET run_at=%s::BIGINT, updated_at=%s::BIGINT, state=%s::VARCHAR, attempts=%s::INTEGER, failures=%s::INTEGER, losses=%s::INTEGER, started_at=%s::BIGINT, finished_at=%s::BIGINT, worker=%s::VARCHAR, lease_id=%s::VARCHAR, exit_code=%s::INTEGER, last_error=%s::VARCHAR, cancel_requested_at=%s::BIGINT, cancel_requested_by=%s::VARCHAR, suspect=%s, slot=%s::INTEGER, waits_for=%s::VARCHAR, unique_held=%s::VARCHAR, unique_expires_at=%s::BIGINT, blockers=%s::INTEGER, has_dependents=%s WHERE jobs.id = %s::VARCHAR""",
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
    slot: int | None
    waits_for: WaitsFor | None
    unique_held: str | None
    unique_expires_at: datetime | None
    blockers: int
    has_dependents: bool
    job_id: str


def store_job(c: Connection, rows: Iterable[StoreJob]) -> None:
    """Store all that a transition can change of a job."""
    c.run_each(_STORE_JOB, [(_moment(it.run_at), _moment(it.updated_at), _state(it.state), it.attempts, it.failures, it.losses, None if it.started_at is None else _moment(it.started_at), None if it.finished_at is None else _moment(it.finished_at), it.worker, it.lease_id, it.exit_code, it.last_error, None if it.cancel_requested_at is None else _moment(it.cancel_requested_at), it.cancel_requested_by, _flag(it.suspect), it.slot, None if it.waits_for is None else _waits_for(it.waits_for), it.unique_held, None if it.unique_expires_at is None else _moment(it.unique_expires_at), it.blockers, _flag(it.has_dependents), it.job_id,) for it in rows])


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
        'sqlite': """UPDATE jobs SET updated_at=?, state='dead', attempts=(jobs.attempts - ?), finished_at=?, worker=NULL, lease_id=NULL, last_error=?, unique_held=CASE WHEN (jobs.unique_expires_at IS NULL) THEN NULL ELSE jobs.unique_held END WHERE jobs.seq = ?""",
        'postgresql': """UPDATE jobs SET updated_at=%s::BIGINT, state='dead', attempts=(jobs.attempts - %s::INTEGER), finished_at=%s::BIGINT, worker=NULL, lease_id=NULL, last_error=%s::VARCHAR, unique_held=CASE WHEN (jobs.unique_expires_at IS NULL) THEN NULL ELSE jobs.unique_held END WHERE jobs.seq = %s::BIGINT""",
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
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.state = 'dead' AND jobs.updated_at <= ? ORDER BY jobs.seq
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
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
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
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


_KEY_IS = Query(
    'key_is',
    {
        'sqlite': """jobs."key" = ?""",
        'postgresql': """jobs.key = %s::VARCHAR""",
    },
)


def key_is(*, key: str) -> Piece:
    """Jobs with that key."""
    return Piece(_KEY_IS, (key,))


_HAS_TAG = Query(
    'has_tag',
    {
        'sqlite': """jobs.seq IN (SELECT tags.seq
FROM tags
WHERE tags.tag IN (SELECT value FROM json_each(?)))""",
        'postgresql': """jobs.seq IN (SELECT tags.seq
FROM tags
WHERE tags.tag = ANY (%s::TEXT[]))""",
    },
)


def has_tag(*, tags: Sequence[str | None]) -> Piece:
    """Jobs with one of these tags."""
    return Piece(_HAS_TAG, (_list_of_texts(tags),))


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
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.seq > ? AND jobs.seq <= ? ORDER BY jobs.seq
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
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


_PAGE_OF_DEPENDENCIES = Query(
    'page_of_dependencies',
    {
        'sqlite': """SELECT dependencies.child, dependencies.parent, dependencies.met_by, dependencies.is_met
FROM dependencies JOIN (SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.seq > ? AND jobs.seq <= ? ORDER BY jobs.seq
LIMIT ? + 0 OFFSET 0) AS chosen ON chosen.seq = dependencies.child ORDER BY dependencies.child, dependencies.parent""",
        'postgresql': """SELECT dependencies.child, dependencies.parent, dependencies.met_by, dependencies.is_met
FROM dependencies JOIN (SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.seq > %s::BIGINT AND jobs.seq <= %s::BIGINT ORDER BY jobs.seq
LIMIT %s::BIGINT + 0) AS chosen ON chosen.seq = dependencies.child ORDER BY dependencies.child, dependencies.parent""",
    },
)


def page_of_dependencies(c: Connection, *, after: int, up_to: int, limit: int) -> list[DependencyRow]:
    """The dependencies of these jobs."""
    return c.fetch(_PAGE_OF_DEPENDENCIES, (after, up_to, limit,), DEPENDENCIES_ROWS)


_PAGE_OF_TAGS = Query(
    'page_of_tags',
    {
        'sqlite': """SELECT tags.tag, tags.seq
FROM tags JOIN (SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.seq > ? AND jobs.seq <= ? ORDER BY jobs.seq
LIMIT ? + 0 OFFSET 0) AS chosen ON chosen.seq = tags.seq ORDER BY tags.tag, tags.seq""",
        'postgresql': """SELECT tags.tag, tags.seq
FROM tags JOIN (SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.seq > %s::BIGINT AND jobs.seq <= %s::BIGINT ORDER BY jobs.seq
LIMIT %s::BIGINT + 0) AS chosen ON chosen.seq = tags.seq ORDER BY tags.tag, tags.seq""",
    },
)


def page_of_tags(c: Connection, *, after: int, up_to: int, limit: int) -> list[TagRow]:
    """The tags of these jobs."""
    return c.fetch(_PAGE_OF_TAGS, (after, up_to, limit,), TAGS_ROWS)


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
        'sqlite': """INSERT INTO jobs (seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, stdin, tags, needs, lane, slot, "key", key_limit, waits_for, unique_key, unique_until, unique_held, unique_expires_at, batch, blockers, has_dependents) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        'postgresql': """INSERT INTO jobs (seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for, unique_key, unique_until, unique_held, unique_expires_at, batch, blockers, has_dependents) VALUES (%s::BIGINT, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::INTEGER, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::INTEGER, %s::INTEGER, %s::BIGINT, %s::BIGINT, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::VARCHAR, %s::BIGINT, %s::VARCHAR, %s, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::INTEGER, %s::VARCHAR, %s::INTEGER, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::BIGINT, %s::VARCHAR, %s::INTEGER, %s)""",
    },
)


def copy_job(c: Connection, rows: Iterable[JobRow]) -> None:
    """Jobs as they are in another database."""
    c.run_each(_COPY_JOB, [(it.seq, it.id, _command(it.command), it.queue, it.priority, it.max_retries, None if it.timeout is None else _limit(it.timeout), _moment(it.run_at), _moment(it.created_at), _moment(it.updated_at), None if it.cwd is None else _path(it.cwd), _environment(it.env), _state(it.state), it.attempts, it.failures, it.losses, None if it.started_at is None else _moment(it.started_at), None if it.finished_at is None else _moment(it.finished_at), it.worker, it.lease_id, it.exit_code, it.last_error, None if it.cancel_requested_at is None else _moment(it.cancel_requested_at), it.cancel_requested_by, _flag(it.suspect), it.stdin, _texts(it.tags), _texts(it.needs), it.lane, it.slot, it.key, it.key_limit, None if it.waits_for is None else _waits_for(it.waits_for), it.unique_key, it.unique_until, it.unique_held, None if it.unique_expires_at is None else _moment(it.unique_expires_at), it.batch, it.blockers, _flag(it.has_dependents),) for it in rows])


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


_COPY_DEPENDENCY = Query(
    'copy_dependency',
    {
        'sqlite': """INSERT INTO dependencies (child, parent, met_by, is_met) VALUES (?, ?, ?, ?)""",
        'postgresql': """INSERT INTO dependencies (child, parent, met_by, is_met) VALUES (%s::BIGINT, %s::VARCHAR, %s::VARCHAR, %s)""",
    },
)


def copy_dependency(c: Connection, rows: Iterable[DependencyRow]) -> None:
    """Dependencies as they are in another database."""
    c.run_each(_COPY_DEPENDENCY, [(it.child, it.parent, _end(it.met_by), _flag(it.is_met),) for it in rows])


_COPY_TAG = Query(
    'copy_tag',
    {
        'sqlite': """INSERT INTO tags (tag, seq) VALUES (?, ?)""",
        'postgresql': """INSERT INTO tags (tag, seq) VALUES (%s::VARCHAR, %s::BIGINT)""",
    },
)


def copy_tag(c: Connection, rows: Iterable[TagRow]) -> None:
    """Tags as they are in another database."""
    c.run_each(_COPY_TAG, [(it.tag, it.seq,) for it in rows])


_ALL_SLOTS = Query(
    'all_slots',
    {
        'sqlite': """SELECT slots.queue, slots.kind, slots.slot, slots.free_at
FROM slots""",
        'postgresql': """SELECT slots.queue, slots.kind, slots.slot, slots.free_at
FROM slots""",
    },
)


def all_slots(c: Connection) -> list[SlotRow]:
    """The slots and the starts of all queues."""
    return c.fetch(_ALL_SLOTS, (), SLOTS_ROWS)


_ALL_BATCHES = Query(
    'all_batches',
    {
        'sqlite': """SELECT batches.name, batches.created_at, batches.finished_at
FROM batches""",
        'postgresql': """SELECT batches.name, batches.created_at, batches.finished_at
FROM batches""",
    },
)


def all_batches(c: Connection) -> list[BatchRow]:
    """The batches."""
    return c.fetch(_ALL_BATCHES, (), BATCHES_ROWS)


_COPY_QUEUE = Query(
    'copy_queue',
    {
        'sqlite': """INSERT INTO queues (name, concurrency, rate_count, rate_period, reserved, paused_at, paused_until, paused_by, pause_reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        'postgresql': """INSERT INTO queues (name, concurrency, rate_count, rate_period, reserved, paused_at, paused_until, paused_by, pause_reason) VALUES (%s::VARCHAR, %s::INTEGER, %s::INTEGER, %s::BIGINT, %s, %s::BIGINT, %s::BIGINT, %s::VARCHAR, %s::VARCHAR)""",
    },
)


def copy_queue(c: Connection, rows: Iterable[QueueRow]) -> None:
    """Queues as they are in another database."""
    c.run_each(_COPY_QUEUE, [(it.name, it.concurrency, it.rate_count, None if it.rate_period is None else _limit(it.rate_period), _flag(it.reserved), None if it.paused_at is None else _moment(it.paused_at), None if it.paused_until is None else _moment(it.paused_until), it.paused_by, it.pause_reason,) for it in rows])


_COPY_LANE = Query(
    'copy_lane',
    {
        'sqlite': """INSERT INTO lanes (id, queue, needs) VALUES (?, ?, ?)""",
        'postgresql': """INSERT INTO lanes (id, queue, needs) VALUES (%s::INTEGER, %s::VARCHAR, %s::VARCHAR)""",
    },
)


def copy_lane(c: Connection, rows: Iterable[LaneRow]) -> None:
    """Lanes as they are in another database."""
    c.run_each(_COPY_LANE, [(it.id, it.queue, _texts(it.needs),) for it in rows])


_COPY_SLOT = Query(
    'copy_slot',
    {
        'sqlite': """INSERT INTO slots (queue, kind, slot, free_at) VALUES (?, ?, ?, ?)""",
        'postgresql': """INSERT INTO slots (queue, kind, slot, free_at) VALUES (%s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::BIGINT)""",
    },
)


def copy_slot(c: Connection, rows: Iterable[SlotRow]) -> None:
    """Slots as they are in another database."""
    c.run_each(_COPY_SLOT, [(it.queue, _slot_kind(it.kind), it.slot, _moment(it.free_at),) for it in rows])


_COPY_BATCH = Query(
    'copy_batch',
    {
        'sqlite': """INSERT INTO batches (name, created_at, finished_at) VALUES (?, ?, ?)""",
        'postgresql': """INSERT INTO batches (name, created_at, finished_at) VALUES (%s::VARCHAR, %s::BIGINT, %s::BIGINT)""",
    },
)


def copy_batch(c: Connection, rows: Iterable[BatchRow]) -> None:
    """Batches as they are in another database."""
    c.run_each(_COPY_BATCH, [(it.name, _moment(it.created_at), None if it.finished_at is None else _moment(it.finished_at),) for it in rows])


_CLEAR_QUEUES = Query(
    'clear_queues',
    {
        'sqlite': """DELETE FROM queues""",
        'postgresql': """DELETE FROM queues""",
    },
)


def clear_queues(c: Connection) -> int:
    """The settings of all queues."""
    return c.run(_CLEAR_QUEUES, ())


_CLEAR_LANES = Query(
    'clear_lanes',
    {
        'sqlite': """DELETE FROM lanes""",
        'postgresql': """DELETE FROM lanes""",
    },
)


def clear_lanes(c: Connection) -> int:
    """All lanes."""
    return c.run(_CLEAR_LANES, ())


_CLEAR_SLOTS = Query(
    'clear_slots',
    {
        'sqlite': """DELETE FROM slots""",
        'postgresql': """DELETE FROM slots""",
    },
)


def clear_slots(c: Connection) -> int:
    """All slots and starts."""
    return c.run(_CLEAR_SLOTS, ())


_CLEAR_BATCHES = Query(
    'clear_batches',
    {
        'sqlite': """DELETE FROM batches""",
        'postgresql': """DELETE FROM batches""",
    },
)


def clear_batches(c: Connection) -> int:
    """All batches."""
    return c.run(_CLEAR_BATCHES, ())


_PARENTS = Query(
    'parents',
    {
        'sqlite': """SELECT jobs.id, jobs.state
FROM jobs
WHERE jobs.id IN (SELECT value FROM json_each(?)) ORDER BY jobs.seq""",
        'postgresql': """SELECT jobs.id, jobs.state
FROM jobs
WHERE jobs.id = ANY (%s::TEXT[]) ORDER BY jobs.seq FOR NO KEY UPDATE""",
    },
)


class ParentsRow(NamedTuple):
    """A row of `parents`."""

    id: str
    state: State
    unreadable: str = ""


_PARENTS_ROWS = Rows(ParentsRow._make, {'id': 'name', 'state': 'state'})


def parents(c: Connection, *, ids: Sequence[str | None]) -> list[ParentsRow]:
    """These jobs, locked in the order of their numbers: an end waits for this transaction, or this one sees it."""
    return c.fetch(_PARENTS, (_list_of_texts(ids),), _PARENTS_ROWS)


_NEWEST_IDS = Query(
    'newest_ids',
    {
        'sqlite': """SELECT jobs.id
FROM jobs ORDER BY jobs.seq DESC
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT jobs.id
FROM jobs ORDER BY jobs.seq DESC
LIMIT %s::BIGINT + 0""",
    },
)


_NEWEST_IDS_ROWS = Rows[str](itemgetter(0), {'id': 'name'})


def newest_ids(c: Connection, *, limit: int) -> list[str]:
    """The ids of the newest jobs."""
    return c.fetch(_NEWEST_IDS, (limit,), _NEWEST_IDS_ROWS)


_EXPECT_ENDS = Query(
    'expect_ends',
    {
        'sqlite': """UPDATE jobs SET has_dependents=1 WHERE jobs.id IN (SELECT value FROM json_each(?))""",
        'postgresql': """UPDATE jobs SET has_dependents=true WHERE jobs.id = ANY (%s::TEXT[])""",
    },
)


def expect_ends(c: Connection, *, ids: Sequence[str | None]) -> int:
    """Somebody waits for the ends of these jobs."""
    return c.run(_EXPECT_ENDS, (_list_of_texts(ids),))


_ADD_DEPENDENCY = Query(
    'add_dependency',
    {
        'sqlite': """INSERT INTO dependencies (child, parent, met_by, is_met) SELECT jobs.seq, ? AS anon_1, ? AS anon_2, ? AS anon_3
FROM jobs
WHERE jobs.id = ?""",
        'postgresql': """INSERT INTO dependencies (child, parent, met_by, is_met) SELECT jobs.seq, %s::VARCHAR AS anon_1, %s::VARCHAR AS anon_2, %s AS anon_3
FROM jobs
WHERE jobs.id = %s::VARCHAR""",
    },
)


class AddDependency(NamedTuple):
    """The parameters of one run of `add_dependency`."""

    parent: str
    met_by: On
    is_met: bool
    id: str


def add_dependency(c: Connection, rows: Iterable[AddDependency]) -> None:
    """A dependency of a new job."""
    c.run_each(_ADD_DEPENDENCY, [(it.parent, _end(it.met_by), _flag(it.is_met), it.id,) for it in rows])


_WAITING_FOR = Query(
    'waiting_for',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents, dependencies.met_by
FROM jobs, dependencies
WHERE dependencies.child = jobs.seq AND dependencies.parent = ? AND NOT dependencies.is_met AND jobs.waits_for = 'jobs' AND dependencies.met_by IN (SELECT value FROM json_each(?)) ORDER BY jobs.seq
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents, dependencies.met_by
FROM jobs, dependencies
WHERE dependencies.child = jobs.seq AND dependencies.parent = %s::VARCHAR AND NOT dependencies.is_met AND jobs.waits_for = 'jobs' AND dependencies.met_by = ANY (%s::TEXT[]) ORDER BY jobs.seq
LIMIT %s::BIGINT + 0 FOR UPDATE OF jobs""",
    },
)


class WaitingForRow(NamedTuple):
    """A row of `waiting_for`."""

    job: JobRow
    met_by: On


_WAITING_FOR_ROWS = Joined(WaitingForRow._make, JOBS_ROWS, {'met_by': 'end'})


def waiting_for(c: Connection, *, parent: str, ends: Sequence[str | None], limit: int) -> list[WaitingForRow]:
    """The jobs that wait for one of these ends of a parent, locked in the order of their numbers."""
    return c.fetch(_WAITING_FOR, (parent, _list_of_texts(ends), limit,), _WAITING_FOR_ROWS)


_AWAITED = Query(
    'awaited',
    {
        'sqlite': """SELECT jobs.id
FROM jobs, dependencies
WHERE dependencies.child = jobs.seq AND dependencies.parent = ? AND NOT dependencies.is_met AND jobs.waits_for = 'jobs'
LIMIT 1 OFFSET 0""",
        'postgresql': """SELECT jobs.id
FROM jobs, dependencies
WHERE dependencies.child = jobs.seq AND dependencies.parent = %s::VARCHAR AND NOT dependencies.is_met AND jobs.waits_for = 'jobs'
LIMIT 1""",
    },
)


_AWAITED_ROWS = Rows[str](itemgetter(0), {'id': 'name'})


def awaited(c: Connection, *, parent: str) -> str | None:
    """A job that still waits for the parent."""
    return c.fetch_one(_AWAITED, (parent,), _AWAITED_ROWS)


_WAITING_IDS = Query(
    'waiting_ids',
    {
        'sqlite': """SELECT jobs.id
FROM jobs, dependencies
WHERE dependencies.child = jobs.seq AND dependencies.parent IN (SELECT value FROM json_each(?)) AND NOT dependencies.is_met AND jobs.waits_for = 'jobs'""",
        'postgresql': """SELECT jobs.id
FROM jobs, dependencies
WHERE dependencies.child = jobs.seq AND dependencies.parent = ANY (%s::TEXT[]) AND NOT dependencies.is_met AND jobs.waits_for = 'jobs'""",
    },
)


_WAITING_IDS_ROWS = Rows[str](itemgetter(0), {'id': 'name'})


def waiting_ids(c: Connection, *, parents: Sequence[str | None]) -> list[str]:
    """The ids of the jobs that wait for one of these parents."""
    return c.fetch(_WAITING_IDS, (_list_of_texts(parents),), _WAITING_IDS_ROWS)


_MEET = Query(
    'meet',
    {
        'sqlite': """UPDATE dependencies SET is_met=1 WHERE dependencies.parent = ? AND dependencies.child IN (SELECT value FROM json_each(?))""",
        'postgresql': """UPDATE dependencies SET is_met=true WHERE dependencies.parent = %s::VARCHAR AND dependencies.child = ANY (%s::BIGINT[])""",
    },
)


def meet(c: Connection, *, parent: str, children: Sequence[int | None]) -> int:
    """The parent's end meets the dependencies of these jobs."""
    return c.run(_MEET, (parent, _list_of_numbers(children),))


_EXPECT_NO_MORE = Query(
    'expect_no_more',
    {
        'sqlite': """UPDATE jobs SET has_dependents=0 WHERE jobs.id = ?""",
        'postgresql': """UPDATE jobs SET has_dependents=false WHERE jobs.id = %s::VARCHAR""",
    },
)


def expect_no_more(c: Connection, *, job_id: str) -> int:
    """Nobody waits for the end of that job any more."""
    return c.run(_EXPECT_NO_MORE, (job_id,))


_DROP_OPEN = Query(
    'drop_open',
    {
        'sqlite': """DELETE FROM dependencies WHERE dependencies.child = (SELECT jobs.seq
FROM jobs
WHERE jobs.id = ?) AND NOT dependencies.is_met""",
        'postgresql': """DELETE FROM dependencies WHERE dependencies.child = (SELECT jobs.seq
FROM jobs
WHERE jobs.id = %s::VARCHAR) AND NOT dependencies.is_met""",
    },
)


def drop_open(c: Connection, *, job_id: str) -> int:
    """The dependencies of that job that are not met."""
    return c.run(_DROP_OPEN, (job_id,))


_UNRESOLVED = Query(
    'unresolved',
    {
        'sqlite': """SELECT jobs.id
FROM jobs
WHERE jobs.has_dependents AND jobs.state IN ('completed', 'dead', 'cancelled') AND (jobs.state != 'dead' OR (EXISTS (SELECT child.seq
FROM jobs AS child, dependencies
WHERE child.seq = dependencies.child AND dependencies.parent = jobs.id AND NOT dependencies.is_met AND child.waits_for = 'jobs' AND dependencies.met_by != 'success'))) ORDER BY jobs.seq
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT jobs.id
FROM jobs
WHERE jobs.has_dependents AND jobs.state IN ('completed', 'dead', 'cancelled') AND (jobs.state != 'dead' OR (EXISTS (SELECT child.seq
FROM jobs AS child, dependencies
WHERE child.seq = dependencies.child AND dependencies.parent = jobs.id AND NOT dependencies.is_met AND child.waits_for = 'jobs' AND dependencies.met_by != 'success'))) ORDER BY jobs.seq
LIMIT %s::BIGINT + 0""",
    },
)


_UNRESOLVED_ROWS = Rows[str](itemgetter(0), {'id': 'name'})


def unresolved(c: Connection, *, limit: int) -> list[str]:
    """Jobs that have ended and for which others wait in vain.

    But for dead ones for whose success they wait: an operator may have them run again."""
    return c.fetch(_UNRESOLVED, (limit,), _UNRESOLVED_ROWS)


_PARENTS_OF = Query(
    'parents_of',
    {
        'sqlite': """SELECT child.id, dependencies.parent, dependencies.met_by, dependencies.is_met, parent.state AS state
FROM jobs AS child JOIN dependencies ON dependencies.child = child.seq LEFT OUTER JOIN jobs AS parent ON parent.id = dependencies.parent
WHERE child.id IN (SELECT value FROM json_each(?)) ORDER BY child.seq, dependencies.parent""",
        'postgresql': """SELECT child.id, dependencies.parent, dependencies.met_by, dependencies.is_met, parent.state AS state
FROM jobs AS child JOIN dependencies ON dependencies.child = child.seq LEFT OUTER JOIN jobs AS parent ON parent.id = dependencies.parent
WHERE child.id = ANY (%s::TEXT[]) ORDER BY child.seq, dependencies.parent""",
    },
)


class ParentsOfRow(NamedTuple):
    """A row of `parents_of`."""

    id: str
    parent: str
    met_by: On
    is_met: bool
    state: State | None
    unreadable: str = ""


_PARENTS_OF_ROWS = Rows(ParentsOfRow._make, {'id': 'name', 'parent': 'text', 'met_by': 'end', 'is_met': 'flag', 'state': 'state'})


def parents_of(c: Connection, *, ids: Sequence[str | None]) -> list[ParentsOfRow]:
    """The dependencies of these jobs, and how their parents stand."""
    return c.fetch(_PARENTS_OF, (_list_of_texts(ids),), _PARENTS_OF_ROWS)


_WAITING_FOR_DEAD = Query(
    'waiting_for_dead',
    {
        'sqlite': """SELECT DISTINCT child.seq
FROM jobs AS child, jobs, dependencies
WHERE jobs.state = 'dead' AND jobs.has_dependents AND dependencies.parent = jobs.id AND dependencies.child = child.seq AND NOT dependencies.is_met AND child.waits_for = 'jobs'""",
        'postgresql': """SELECT DISTINCT child.seq
FROM jobs AS child, jobs, dependencies
WHERE jobs.state = 'dead' AND jobs.has_dependents AND dependencies.parent = jobs.id AND dependencies.child = child.seq AND NOT dependencies.is_met AND child.waits_for = 'jobs'""",
    },
)


_WAITING_FOR_DEAD_ROWS = Rows[int](itemgetter(0), {'seq': 'number'})


def waiting_for_dead(c: Connection) -> list[int]:
    """The jobs that wait for the success of dead ones."""
    return c.fetch(_WAITING_FOR_DEAD, (), _WAITING_FOR_DEAD_ROWS)


_ADD_BATCH = Query(
    'add_batch',
    {
        'sqlite': """INSERT INTO batches (name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING""",
        'postgresql': """INSERT INTO batches (name, created_at) VALUES (%s::VARCHAR, %s::BIGINT) ON CONFLICT DO NOTHING""",
    },
)


class AddBatch(NamedTuple):
    """The parameters of one run of `add_batch`."""

    name: str
    created_at: datetime


def add_batch(c: Connection, rows: Iterable[AddBatch]) -> None:
    """A batch, unless it is there."""
    c.run_each(_ADD_BATCH, [(it.name, _moment(it.created_at),) for it in rows])


_HOLD_BATCHES = Query(
    'hold_batches',
    {
        'sqlite': """SELECT batches.name
FROM batches
WHERE batches.name IN (SELECT value FROM json_each(?)) ORDER BY batches.name""",
        'postgresql': """SELECT batches.name
FROM batches
WHERE batches.name = ANY (%s::TEXT[]) ORDER BY batches.name FOR UPDATE""",
    },
)


_HOLD_BATCHES_ROWS = Rows[str](itemgetter(0), {'name': 'text'})


def hold_batches(c: Connection, *, names: Sequence[str | None]) -> list[str]:
    """These batches, locked: nobody finishes them, or sees them finished, until the transaction ends."""
    return c.fetch(_HOLD_BATCHES, (_list_of_texts(names),), _HOLD_BATCHES_ROWS)


_OPEN_BATCHES = Query(
    'open_batches',
    {
        'sqlite': """UPDATE batches SET finished_at=NULL WHERE batches.name IN (SELECT value FROM json_each(?)) AND batches.finished_at IS NOT NULL""",
        'postgresql': """UPDATE batches SET finished_at=NULL WHERE batches.name = ANY (%s::TEXT[]) AND batches.finished_at IS NOT NULL""",
    },
)


def open_batches(c: Connection, *, names: Sequence[str | None]) -> int:
    """These batches have jobs again that have not ended."""
    return c.run(_OPEN_BATCHES, (_list_of_texts(names),))


_OPEN_IN_BATCH = Query(
    'open_in_batch',
    {
        'sqlite': """SELECT jobs.id
FROM jobs
WHERE jobs.batch = ? AND jobs.state IN ('failed', 'pending', 'processing')
LIMIT 1 OFFSET 0""",
        'postgresql': """SELECT jobs.id
FROM jobs
WHERE jobs.batch = %s::VARCHAR AND jobs.state IN ('failed', 'pending', 'processing')
LIMIT 1""",
    },
)


_OPEN_IN_BATCH_ROWS = Rows[str](itemgetter(0), {'id': 'name'})


def open_in_batch(c: Connection, *, name: str) -> str | None:
    """A job of the batch that waits or runs."""
    return c.fetch_one(_OPEN_IN_BATCH, (name,), _OPEN_IN_BATCH_ROWS)


_FINISH_BATCH = Query(
    'finish_batch',
    {
        'sqlite': """UPDATE batches SET finished_at=? WHERE batches.name = ? AND batches.finished_at IS NULL""",
        'postgresql': """UPDATE batches SET finished_at=%s::BIGINT WHERE batches.name = %s::VARCHAR AND batches.finished_at IS NULL""",
    },
)


def finish_batch(c: Connection, *, at: datetime, name: str) -> int:
    """The batch has no job that waits or runs."""
    return c.run(_FINISH_BATCH, (_moment(at), name,))


_COUNTS_OF_BATCHES = Query(
    'counts_of_batches',
    {
        'sqlite': """SELECT jobs.batch AS name, jobs.state, count(*) AS total
FROM jobs
WHERE jobs.batch IN (SELECT value FROM json_each(?)) AND jobs.batch IS NOT NULL GROUP BY jobs.batch, jobs.state""",
        'postgresql': """SELECT jobs.batch AS name, jobs.state, count(*) AS total
FROM jobs
WHERE jobs.batch = ANY (%s::TEXT[]) AND jobs.batch IS NOT NULL GROUP BY jobs.batch, jobs.state""",
    },
)


class CountsOfBatchesRow(NamedTuple):
    """A row of `counts_of_batches`."""

    name: str
    state: State
    total: int
    unreadable: str = ""


_COUNTS_OF_BATCHES_ROWS = Rows(CountsOfBatchesRow._make, {'name': 'text', 'state': 'state', 'total': 'count'})


def counts_of_batches(c: Connection, *, names: Sequence[str | None]) -> list[CountsOfBatchesRow]:
    """The number of jobs of these batches in each state."""
    return c.fetch(_COUNTS_OF_BATCHES, (_list_of_texts(names),), _COUNTS_OF_BATCHES_ROWS)


_ENDED_BATCHES = Query(
    'ended_batches',
    {
        'sqlite': """SELECT batches.name
FROM batches
WHERE batches.finished_at IS NULL AND NOT (EXISTS (SELECT jobs.seq
FROM jobs
WHERE jobs.batch = batches.name AND jobs.state IN ('failed', 'pending', 'processing'))) ORDER BY batches.name
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT batches.name
FROM batches
WHERE batches.finished_at IS NULL AND NOT (EXISTS (SELECT jobs.seq
FROM jobs
WHERE jobs.batch = batches.name AND jobs.state IN ('failed', 'pending', 'processing'))) ORDER BY batches.name
LIMIT %s::BIGINT + 0""",
    },
)


_ENDED_BATCHES_ROWS = Rows[str](itemgetter(0), {'name': 'text'})


def ended_batches(c: Connection, *, limit: int) -> list[str]:
    """Batches of which no job waits or runs, and that are not finished."""
    return c.fetch(_ENDED_BATCHES, (limit,), _ENDED_BATCHES_ROWS)


_AWAITED_BATCHES = Query(
    'awaited_batches',
    {
        'sqlite': """SELECT batches.name
FROM batches
WHERE batches.finished_at IS NOT NULL AND (EXISTS (SELECT dependencies.child
FROM dependencies, jobs AS child
WHERE dependencies.parent = ('batch:' || batches.name) AND NOT dependencies.is_met AND child.seq = dependencies.child AND child.waits_for = 'jobs' AND (NOT (EXISTS (SELECT jobs.seq
FROM jobs, batches
WHERE jobs.batch = batches.name AND jobs.state = 'dead')) OR dependencies.met_by != 'success'))) ORDER BY batches.name
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT batches.name
FROM batches
WHERE batches.finished_at IS NOT NULL AND (EXISTS (SELECT dependencies.child
FROM dependencies, jobs AS child
WHERE dependencies.parent = ('batch:' || batches.name) AND NOT dependencies.is_met AND child.seq = dependencies.child AND child.waits_for = 'jobs' AND (NOT (EXISTS (SELECT jobs.seq
FROM jobs, batches
WHERE jobs.batch = batches.name AND jobs.state = 'dead')) OR dependencies.met_by != 'success'))) ORDER BY batches.name
LIMIT %s::BIGINT + 0""",
    },
)


_AWAITED_BATCHES_ROWS = Rows[str](itemgetter(0), {'name': 'text'})


def awaited_batches(c: Connection, *, limit: int) -> list[str]:
    """Batches that are finished and still awaited, other than for the success of jobs that are dead."""
    return c.fetch(_AWAITED_BATCHES, (limit,), _AWAITED_BATCHES_ROWS)


_BATCH = Query(
    'batch',
    {
        'sqlite': """SELECT batches.name, batches.created_at, batches.finished_at
FROM batches
WHERE batches.name = ?""",
        'postgresql': """SELECT batches.name, batches.created_at, batches.finished_at
FROM batches
WHERE batches.name = %s::VARCHAR""",
    },
)


def batch(c: Connection, *, name: str) -> BatchRow | None:
    """The batch."""
    return c.fetch_one(_BATCH, (name,), BATCHES_ROWS)


_NEWEST_BATCHES = Query(
    'newest_batches',
    {
        'sqlite': """SELECT batches.name, batches.created_at, batches.finished_at
FROM batches ORDER BY batches.created_at DESC, batches.name
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT batches.name, batches.created_at, batches.finished_at
FROM batches ORDER BY batches.created_at DESC, batches.name
LIMIT %s::BIGINT + 0""",
    },
)


def newest_batches(c: Connection, *, limit: int) -> list[BatchRow]:
    """The batches, the newest first."""
    return c.fetch(_NEWEST_BATCHES, (limit,), BATCHES_ROWS)


_FREE_SLOTS = Query(
    'free_slots',
    {
        'sqlite': """SELECT slots.slot
FROM slots
WHERE slots.queue = ? AND slots.kind = 'run' AND slots.slot < ? AND NOT (EXISTS (SELECT jobs.seq
FROM jobs
WHERE jobs.queue = slots.queue AND jobs.slot = slots.slot AND jobs.state = 'processing' AND jobs.slot IS NOT NULL)) ORDER BY slots.slot
LIMIT ? + 0 + (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.queue = ? AND jobs.slot >= ? AND jobs.state = 'processing' AND jobs.slot IS NOT NULL) OFFSET 0""",
        'postgresql': """SELECT slots.slot
FROM slots
WHERE slots.queue = %s::VARCHAR AND slots.kind = 'run' AND slots.slot < %s::INTEGER AND NOT (EXISTS (SELECT jobs.seq
FROM jobs
WHERE jobs.queue = slots.queue AND jobs.slot = slots.slot AND jobs.state = 'processing' AND jobs.slot IS NOT NULL)) ORDER BY slots.slot
LIMIT %s::BIGINT + 0 + (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.queue = %s::VARCHAR AND jobs.slot >= %s::INTEGER AND jobs.state = 'processing' AND jobs.slot IS NOT NULL) FOR UPDATE SKIP LOCKED""",
    },
)


_FREE_SLOTS_ROWS = Rows[int](itemgetter(0), {'slot': 'number'})


def free_slots(c: Connection, *, queue: str, concurrency: int, limit: int) -> list[int]:
    """Up to `limit` slots of a queue in which no job runs, locked.

    And one more for each job that runs beyond the concurrency: each takes one away, so that two claims at once cannot
    pass it either."""
    return c.fetch(_FREE_SLOTS, (queue, concurrency, limit, queue, concurrency,), _FREE_SLOTS_ROWS)


_TAKEN_SLOTS = Query(
    'taken_slots',
    {
        'sqlite': """SELECT jobs.slot
FROM jobs
WHERE jobs.queue = ? AND (jobs.slot IN (SELECT value FROM json_each(?)) OR jobs.slot >= ?) AND jobs.state = 'processing' AND jobs.slot IS NOT NULL""",
        'postgresql': """SELECT jobs.slot
FROM jobs
WHERE jobs.queue = %s::VARCHAR AND (jobs.slot = ANY (%s::INTEGER[]) OR jobs.slot >= %s::INTEGER) AND jobs.state = 'processing' AND jobs.slot IS NOT NULL""",
    },
)


_TAKEN_SLOTS_ROWS = Rows[int | None](itemgetter(0), {'slot': 'number'})


def taken_slots(c: Connection, *, queue: str, slots: Sequence[int | None], concurrency: int) -> list[int | None]:
    """Of these slots of the queue, and of those beyond its concurrency, the ones in which jobs run."""
    return c.fetch(_TAKEN_SLOTS, (queue, _list_of_numbers(slots), concurrency,), _TAKEN_SLOTS_ROWS)


_FREE_STARTS = Query(
    'free_starts',
    {
        'sqlite': """SELECT slots.slot
FROM slots
WHERE slots.queue = ? AND slots.kind = 'start' AND slots.free_at <= ? ORDER BY slots.free_at
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT slots.slot
FROM slots
WHERE slots.queue = %s::VARCHAR AND slots.kind = 'start' AND slots.free_at <= %s::BIGINT ORDER BY slots.free_at
LIMIT %s::BIGINT + 0 FOR UPDATE SKIP LOCKED""",
    },
)


_FREE_STARTS_ROWS = Rows[int](itemgetter(0), {'slot': 'number'})


def free_starts(c: Connection, *, queue: str, now: datetime, limit: int) -> list[int]:
    """Up to `limit` starts of a queue that may be used at that moment, locked."""
    return c.fetch(_FREE_STARTS, (queue, _moment(now), limit,), _FREE_STARTS_ROWS)


_USE_STARTS = Query(
    'use_starts',
    {
        'sqlite': """UPDATE slots SET free_at=((SELECT queues.rate_period AS rate_period
FROM queues
WHERE queues.name = ?) + ?) WHERE slots.queue = ? AND slots.kind = 'start' AND slots.slot IN (SELECT value FROM json_each(?))""",
        'postgresql': """UPDATE slots SET free_at=((SELECT queues.rate_period AS rate_period
FROM queues
WHERE queues.name = %s::VARCHAR) + %s::BIGINT) WHERE slots.queue = %s::VARCHAR AND slots.kind = 'start' AND slots.slot = ANY (%s::INTEGER[])""",
    },
)


def use_starts(c: Connection, *, queue: str, now: datetime, slots: Sequence[int | None]) -> int:
    """Those starts of the queue are used: they are free again after its rate's period."""
    return c.run(_USE_STARTS, (queue, _moment(now), queue, _list_of_numbers(slots),))


_HOLD_KEYS = Query(
    'hold_keys',
    {
        'postgresql': """SELECT count(pg_advisory_xact_lock(7105, lock)) AS total FROM (SELECT DISTINCT hashtext(key) & 1023 AS lock FROM unnest(%s::TEXT[]) AS listed (key) ORDER BY 1) AS locks""",
    },
)


_HOLD_KEYS_ROWS = Rows[int](itemgetter(0), {'total': 'count'})


def hold_keys(c: Connection, *, keys: Sequence[str | None]) -> int:
    """Wait for the locks of these keys, which are held until the transaction ends.

    There are 1024, so that no transaction can fill the server's table of locks; in their order, so that two
    transactions that need several do not wait for each other."""
    return c.fetch_only(_HOLD_KEYS, (_list_of_texts(keys),), _HOLD_KEYS_ROWS)


_HOLD_KEYS_OF = Query(
    'hold_keys_of',
    {
        'postgresql': """SELECT count(pg_advisory_xact_lock(7105, lock)) AS total FROM (SELECT DISTINCT hashtext(key) & 1023 AS lock FROM jobs WHERE id = ANY (%s::TEXT[]) AND key IS NOT NULL ORDER BY 1) AS locks""",
    },
)


_HOLD_KEYS_OF_ROWS = Rows[int](itemgetter(0), {'total': 'count'})


def hold_keys_of(c: Connection, *, ids: Sequence[str | None]) -> int:
    """Wait for the locks of the keys that these jobs have."""
    return c.fetch_only(_HOLD_KEYS_OF, (_list_of_texts(ids),), _HOLD_KEYS_OF_ROWS)


_PARK = Query(
    'park',
    {
        'sqlite': """UPDATE jobs SET waits_for='key' WHERE jobs.seq IN (SELECT value FROM json_each(?))""",
        'postgresql': """UPDATE jobs SET waits_for='key' WHERE jobs.seq = ANY (%s::BIGINT[])""",
    },
)


def park(c: Connection, *, seqs: Sequence[int | None]) -> int:
    """These jobs wait until their key is free."""
    return c.run(_PARK, (_list_of_numbers(seqs),))


_EXPOSE = Query(
    'expose',
    {
        'sqlite': """UPDATE jobs SET waits_for = NULL WHERE waits_for = 'key' AND seq IN (SELECT (
SELECT parked.seq FROM jobs AS parked
WHERE parked.waits_for = 'key' AND parked."key" = ? AND parked.lane = lane.id
AND parked.state IN ('pending', 'failed')
ORDER BY parked.priority DESC, parked.run_at, parked.seq LIMIT 1
) FROM (SELECT 0 AS id UNION ALL SELECT id FROM lanes) AS lane)""",
        'postgresql': """UPDATE jobs SET waits_for = NULL WHERE waits_for = 'key' AND seq = ANY (ARRAY(SELECT (
SELECT parked.seq FROM jobs AS parked
WHERE parked.waits_for = 'key' AND parked."key" = %s::VARCHAR AND parked.lane = lane.id
AND parked.state IN ('pending', 'failed')
ORDER BY parked.priority DESC, parked.run_at, parked.seq LIMIT 1
) FROM (SELECT 0 AS id UNION ALL SELECT id FROM lanes) AS lane))""",
    },
)


def expose(c: Connection, *, key: str) -> int:
    """Of the jobs that are parked for that key, the first of each lane may be claimed."""
    return c.run(_EXPOSE, (key,))


_PARKED_KEYS = Query(
    'parked_keys',
    {
        'sqlite': """WITH RECURSIVE listed ("key", number) AS (
SELECT (
SELECT jobs."key" FROM jobs
WHERE jobs.waits_for = 'key' AND jobs."key" > ? AND jobs.state IN ('pending', 'failed')
ORDER BY jobs."key" LIMIT 1
), 1
UNION ALL
SELECT (
SELECT jobs."key" FROM jobs
WHERE jobs.waits_for = 'key' AND jobs."key" > listed."key" AND jobs.state IN ('pending', 'failed')
ORDER BY jobs."key" LIMIT 1
), number + 1 FROM listed WHERE listed."key" IS NOT NULL AND number < ?
)
SELECT running."key", EXISTS (
SELECT 1 FROM (SELECT 0 AS id UNION ALL SELECT id FROM lanes) AS lane
WHERE (
SELECT parked.key_limit FROM jobs AS parked
WHERE parked.waits_for = 'key' AND parked."key" = running."key" AND parked.lane = lane.id
AND parked.state IN ('pending', 'failed')
ORDER BY parked.priority DESC, parked.run_at, parked.seq LIMIT 1
) > running.jobs + (
SELECT count(*) FROM (
SELECT 1 FROM jobs AS exposed
WHERE exposed.waits_for IS NULL AND exposed."key" = running."key" AND exposed.lane = lane.id
AND exposed.state IN ('pending', 'failed')
LIMIT 100
) AS those
)
) AS is_stranded
FROM (
SELECT listed."key", (
SELECT count(*) FROM jobs WHERE jobs."key" = listed."key" AND jobs.state = 'processing' AND jobs.key_limit = 1
) + (
SELECT count(*) FROM jobs WHERE jobs."key" = listed."key" AND jobs.state = 'processing' AND jobs.key_limit > 1
) AS jobs
FROM listed WHERE listed."key" IS NOT NULL
) AS running""",
        'postgresql': """WITH RECURSIVE listed ("key", number) AS (
SELECT (
SELECT jobs."key" FROM jobs
WHERE jobs.waits_for = 'key' AND jobs."key" > %s::VARCHAR AND jobs.state IN ('pending', 'failed')
ORDER BY jobs."key" LIMIT 1
), 1
UNION ALL
SELECT (
SELECT jobs."key" FROM jobs
WHERE jobs.waits_for = 'key' AND jobs."key" > listed."key" AND jobs.state IN ('pending', 'failed')
ORDER BY jobs."key" LIMIT 1
), number + 1 FROM listed WHERE listed."key" IS NOT NULL AND number < %s::INTEGER
)
SELECT running."key", EXISTS (
SELECT 1 FROM (SELECT 0 AS id UNION ALL SELECT id FROM lanes) AS lane
WHERE (
SELECT parked.key_limit FROM jobs AS parked
WHERE parked.waits_for = 'key' AND parked."key" = running."key" AND parked.lane = lane.id
AND parked.state IN ('pending', 'failed')
ORDER BY parked.priority DESC, parked.run_at, parked.seq LIMIT 1
) > running.jobs + (
SELECT count(*) FROM (
SELECT 1 FROM jobs AS exposed
WHERE exposed.waits_for IS NULL AND exposed."key" = running."key" AND exposed.lane = lane.id
AND exposed.state IN ('pending', 'failed')
LIMIT 100
) AS those
)
) AS is_stranded
FROM (
SELECT listed."key", (
SELECT count(*) FROM jobs WHERE jobs."key" = listed."key" AND jobs.state = 'processing' AND jobs.key_limit = 1
) + (
SELECT count(*) FROM jobs WHERE jobs."key" = listed."key" AND jobs.state = 'processing' AND jobs.key_limit > 1
) AS jobs
FROM listed WHERE listed."key" IS NOT NULL
) AS running""",
    },
)


class ParkedKeysRow(NamedTuple):
    """A row of `parked_keys`."""

    key: str
    is_stranded: bool
    unreadable: str = ""


_PARKED_KEYS_ROWS = Rows(ParkedKeysRow._make, {'key': 'text', 'is_stranded': 'flag'})


def parked_keys(c: Connection, *, after: str, limit: int) -> list[ParkedKeysRow]:
    """Keys for which jobs are parked, and whether nothing would ever let these go."""
    return c.fetch(_PARKED_KEYS, (after, limit,), _PARKED_KEYS_ROWS)


_ALL_LANES = Query(
    'all_lanes',
    {
        'sqlite': """SELECT lanes.id, lanes.queue, lanes.needs
FROM lanes""",
        'postgresql': """SELECT lanes.id, lanes.queue, lanes.needs
FROM lanes""",
    },
)


def all_lanes(c: Connection) -> list[LaneRow]:
    """The lanes, but for the one that every job is in of which nobody asks anything."""
    return c.fetch(_ALL_LANES, (), LANES_ROWS)


_ADD_LANE = Query(
    'add_lane',
    {
        'sqlite': """INSERT INTO lanes (queue, needs) VALUES (?, ?) ON CONFLICT DO NOTHING""",
        'postgresql': """INSERT INTO lanes (queue, needs) VALUES (%s::VARCHAR, %s::VARCHAR) ON CONFLICT DO NOTHING""",
    },
)


def add_lane(c: Connection, *, queue: str, needs: Sequence[str]) -> int:
    """A lane, numbered by the database, unless it is there."""
    return c.run(_ADD_LANE, (queue, _texts(needs),))


_NEEDS_OF = Query(
    'needs_of',
    {
        'sqlite': """SELECT jobs.seq, jobs.queue, jobs.needs
FROM jobs
WHERE jobs.seq IN (SELECT value FROM json_each(?))""",
        'postgresql': """SELECT jobs.seq, jobs.queue, jobs.needs
FROM jobs
WHERE jobs.seq = ANY (%s::BIGINT[])""",
    },
)


class NeedsOfRow(NamedTuple):
    """A row of `needs_of`."""

    seq: int
    queue: str
    needs: Sequence[str]
    unreadable: str = ""


_NEEDS_OF_ROWS = Rows(NeedsOfRow._make, {'seq': 'number', 'queue': 'text', 'needs': 'texts'})


def needs_of(c: Connection, *, seqs: Sequence[int | None]) -> list[NeedsOfRow]:
    """The queues of these jobs, and the labels that they need: by these they have their lanes."""
    return c.fetch(_NEEDS_OF, (_list_of_numbers(seqs),), _NEEDS_OF_ROWS)


_STRAYS_OF = Query(
    'strays_of',
    {
        'sqlite': """SELECT jobs.seq
FROM jobs
WHERE jobs.id IN (SELECT value FROM json_each(?)) AND (jobs.lane NOT IN (SELECT lanes.id
FROM lanes
WHERE lanes.queue = jobs.queue)) AND ((EXISTS (SELECT lanes.id
FROM lanes
WHERE lanes.queue = jobs.queue)) OR NOT (jobs.lane = 0 OR jobs.lane IN (SELECT lanes.id
FROM lanes
WHERE lanes.queue = '')))""",
        'postgresql': """SELECT jobs.seq
FROM jobs
WHERE jobs.id = ANY (%s::TEXT[]) AND (jobs.lane NOT IN (SELECT lanes.id
FROM lanes
WHERE lanes.queue = jobs.queue)) AND ((EXISTS (SELECT lanes.id
FROM lanes
WHERE lanes.queue = jobs.queue)) OR NOT (jobs.lane = 0 OR jobs.lane IN (SELECT lanes.id
FROM lanes
WHERE lanes.queue = '')))""",
    },
)


_STRAYS_OF_ROWS = Rows[int](itemgetter(0), {'seq': 'number'})


def strays_of(c: Connection, *, ids: Sequence[str | None]) -> list[int]:
    """Of these jobs, those whose queue got lanes of its own, or lost them, when they did not wait."""
    return c.fetch(_STRAYS_OF, (_list_of_texts(ids),), _STRAYS_OF_ROWS)


_WAITING_ELSEWHERE = Query(
    'waiting_elsewhere',
    {
        'sqlite': """SELECT jobs.seq, jobs."key"
FROM jobs
WHERE jobs.state = ? AND jobs.seq > ? AND jobs.queue = ? AND (jobs.lane NOT IN (SELECT lanes.id
FROM lanes
WHERE lanes.queue = ?)) ORDER BY jobs.seq
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT jobs.seq, jobs.key
FROM jobs
WHERE jobs.state = %s::VARCHAR AND jobs.seq > %s::BIGINT AND jobs.queue = %s::VARCHAR AND (jobs.lane NOT IN (SELECT lanes.id
FROM lanes
WHERE lanes.queue = %s::VARCHAR)) ORDER BY jobs.seq
LIMIT %s::BIGINT + 0""",
    },
)


class WaitingElsewhereRow(NamedTuple):
    """A row of `waiting_elsewhere`."""

    seq: int
    key: str | None
    unreadable: str = ""


_WAITING_ELSEWHERE_ROWS = Rows(WaitingElsewhereRow._make, {'seq': 'number', 'key': 'text'})


def waiting_elsewhere(c: Connection, *, state: State, after: int, queue: str, limit: int) -> list[WaitingElsewhereRow]:
    """Of the jobs of a queue in a state, those that stand in lanes of all queues, after a number."""
    return c.fetch(_WAITING_ELSEWHERE, (_state(state), after, queue, queue, limit,), _WAITING_ELSEWHERE_ROWS)


_MOVE_TO_LANE = Query(
    'move_to_lane',
    {
        'sqlite': """UPDATE jobs SET lane=?, waits_for=nullif(jobs.waits_for, 'key') WHERE jobs.seq IN (SELECT value FROM json_each(?))""",
        'postgresql': """UPDATE jobs SET lane=%s::INTEGER, waits_for=nullif(jobs.waits_for, 'key') WHERE jobs.seq = ANY (%s::BIGINT[])""",
    },
)


def move_to_lane(c: Connection, *, lane: int, seqs: Sequence[int | None]) -> int:
    """These jobs stand in that lane from now on; those that were parked are free to be claimed there."""
    return c.run(_MOVE_TO_LANE, (lane, _list_of_numbers(seqs),))


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
WHERE jobs.state IN ('pending', 'failed') AND jobs.waits_for IS NULL AND jobs.run_at <= ? GROUP BY jobs.queue""",
        'postgresql': """SELECT jobs.queue, count(*) AS total
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.waits_for IS NULL AND jobs.run_at <= %s::BIGINT GROUP BY jobs.queue""",
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


_BACKLOG = Query(
    'backlog',
    {
        'sqlite': """SELECT jobs.queue, jobs.state, jobs.needs, count(*) AS total, count(*) FILTER (WHERE jobs.run_at <= ? AND jobs.state IN ('pending', 'failed') AND NOT (jobs.waits_for IS NOT NULL AND jobs.waits_for != 'key')) AS due, min(jobs.run_at) FILTER (WHERE jobs.run_at <= ? AND jobs.state IN ('pending', 'failed') AND NOT (jobs.waits_for IS NOT NULL AND jobs.waits_for != 'key')) AS first_due_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed', 'processing', 'dead') GROUP BY jobs.queue, jobs.state, jobs.needs""",
        'postgresql': """SELECT jobs.queue, jobs.state, jobs.needs, count(*) AS total, count(*) FILTER (WHERE jobs.run_at <= %s::BIGINT AND jobs.state IN ('pending', 'failed') AND NOT (jobs.waits_for IS NOT NULL AND jobs.waits_for != 'key')) AS due, min(jobs.run_at) FILTER (WHERE jobs.run_at <= %s::BIGINT AND jobs.state IN ('pending', 'failed') AND NOT (jobs.waits_for IS NOT NULL AND jobs.waits_for != 'key')) AS first_due_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed', 'processing', 'dead') GROUP BY jobs.queue, jobs.state, jobs.needs""",
    },
)


class BacklogRow(NamedTuple):
    """A row of `backlog`."""

    queue: str
    state: State
    needs: Sequence[str]
    total: int
    due: int
    first_due_at: datetime | None
    unreadable: str = ""


_BACKLOG_ROWS = Rows(BacklogRow._make, {'queue': 'text', 'state': 'state', 'needs': 'texts', 'total': 'count', 'due': 'count', 'first_due_at': 'moment'})


def backlog(c: Connection, *, at: datetime) -> list[BacklogRow]:
    """The jobs that wait, run or are dead, by queue, state and needs."""
    return c.fetch(_BACKLOG, (_moment(at), _moment(at),), _BACKLOG_ROWS)


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
), served AS MATERIALIZED (
SELECT lane.id, lane.queue, own.concurrency, own.rate_count, greatest(
CASE WHEN every.paused_at IS NULL THEN 0 ELSE coalesce(every.paused_until, 9223372036854775807) END,
CASE WHEN own.paused_at IS NULL THEN 0 ELSE coalesce(own.paused_until, 9223372036854775807) END,
CASE WHEN own.rate_count IS NULL THEN 0 ELSE (
SELECT coalesce(min(free_at), 9223372036854775807) FROM slots WHERE slots.queue = own.name AND kind = 'start'
) END,
CASE WHEN own.concurrency <= (
SELECT count(*) FROM jobs WHERE queue = own.name AND state = 'processing' AND slot IS NOT NULL
) THEN 9223372036854775807 ELSE 0 END
) AS opens_at
FROM (SELECT 0 AS id, '' AS queue, '[]' AS needs UNION ALL SELECT id, queue, needs FROM lanes) AS lane
LEFT JOIN queues AS own ON own.name = lane.queue AND lane.queue <> ''
LEFT JOIN queues AS every ON every.name = ''
WHERE CASE WHEN %s::TEXT[] IS NULL THEN own.reserved IS NOT TRUE ELSE lane.queue = ANY (%s::TEXT[]) END
AND NOT EXISTS (SELECT FROM json_array_elements_text(lane.needs::json) AS need WHERE need <> ALL (%s::TEXT[]))
), due AS MATERIALIZED (
SELECT merged.*, merged.key IS NOT NULL OR is_stray OR concurrency IS NOT NULL OR rate_count IS NOT NULL AS needs_more
FROM generate_series(10, 1, -1) AS level (priority) CROSS JOIN LATERAL (
SELECT probe.*, concurrency, rate_count, served.queue = ''
AND EXISTS (SELECT FROM lanes WHERE lanes.queue = probe.queue) AS is_stray
FROM served CROSS JOIN LATERAL (
SELECT coalesce(max(run_at), -9223372036854775808) AS run_at, coalesce(max(seq), -9223372036854775808) AS seq
FROM unnest(%s::INTEGER[], %s::INTEGER[], %s::BIGINT[], %s::BIGINT[])
AS position (lane, priority, run_at, seq)
WHERE position.lane = served.id AND position.priority = level.priority
) AS start CROSS JOIN LATERAL (
SELECT seq, run_at, priority, lane, queue, key, key_limit FROM jobs
WHERE state IN ('pending', 'failed') AND waits_for IS NULL AND lane = served.id
AND priority = level.priority AND run_at <= %s::BIGINT AND (run_at, seq) >= (start.run_at, start.seq)
AND (%s OR NOT suspect) AND (key IS NULL OR key <> ALL (%s::TEXT[]))
ORDER BY run_at, seq
LIMIT %s::INTEGER
FOR UPDATE SKIP LOCKED
) AS probe
WHERE served.opens_at <= %s::BIGINT AND served.queue <> ALL (%s::TEXT[])
ORDER BY probe.run_at, probe.seq LIMIT %s::INTEGER
) AS merged
LIMIT %s::INTEGER
), claimed AS (
UPDATE jobs SET state = 'processing', worker = %s::VARCHAR, lease_id = %s::VARCHAR, started_at = %s::BIGINT, updated_at = %s::BIGINT,
finished_at = NULL, attempts = least(attempts, 2147483646) + 1,
unique_held = CASE WHEN unique_until = 'started' THEN NULL ELSE unique_held END
WHERE seq = ANY (ARRAY(SELECT seq FROM due))
AND EXISTS (SELECT FROM owner) AND %s
AND NOT EXISTS (SELECT FROM due WHERE needs_more)
RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for, unique_key, unique_until, unique_held, unique_expires_at, batch, blockers, has_dependents
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
SELECT claimed.*, (SELECT json_agg(json_build_array(queue, key, value))::text FROM config) AS settings, job_id IS NOT NULL AS is_started, claimed.seq IS NOT NULL AS is_taken, due.*,
due.key IS NULL OR pg_try_advisory_xact_lock(7105, hashtext(due.key) & 1023) AS is_key_locked
FROM due LEFT JOIN claimed ON claimed.seq = due.seq LEFT JOIN started ON job_id = claimed.id
WHERE claimed.seq IS NOT NULL OR NOT %s OR EXISTS (SELECT FROM due WHERE needs_more)""",
    },
)


class ClaimJobsRow(NamedTuple):
    """A row of `claim_jobs`."""

    job: JobRow
    settings: StoredSettings | None
    is_started: bool
    is_taken: bool
    due_seq: int
    due_run_at: int
    due_priority: int
    due_lane: int
    due_queue: str
    due_key: str | None
    due_key_limit: int | None
    concurrency: int | None
    rate_count: int | None
    is_stray: bool
    needs_more: bool
    is_key_locked: bool


_CLAIM_JOBS_ROWS = Joined(ClaimJobsRow._make, JOBS_ROWS, {'settings': 'settings', 'is_started': 'flag', 'is_taken': 'flag', 'due_seq': 'number', 'due_run_at': 'number', 'due_priority': 'number', 'due_lane': 'number', 'due_queue': 'text', 'due_key': 'text', 'due_key_limit': 'number', 'concurrency': 'number', 'rate_count': 'number', 'is_stray': 'flag', 'needs_more': 'flag', 'is_key_locked': 'flag'})


def claim_jobs(c: Connection, *, by_worker: str, now: datetime, queues: Sequence[str | None] | None, labels: Sequence[str | None], cursor_lanes: Sequence[int | None], cursor_priorities: Sequence[int | None], cursor_run_ats: Sequence[int | None], cursor_seqs: Sequence[int | None], with_suspects: bool, busy_keys: Sequence[str | None], limit: int, full_queues: Sequence[str | None], by_lease: str, at_once: bool) -> list[ClaimJobsRow]:
    """Due jobs in claim order: taken by a worker, and their attempts started, or else the candidates, locked."""
    return c.fetch(_CLAIM_JOBS, (by_worker, _moment(now), None if queues is None else _list_of_texts(queues), None if queues is None else _list_of_texts(queues), _list_of_texts(labels), _list_of_numbers(cursor_lanes), _list_of_numbers(cursor_priorities), _list_of_numbers(cursor_run_ats), _list_of_numbers(cursor_seqs), _moment(now), _flag(with_suspects), _list_of_texts(busy_keys), limit, _moment(now), _list_of_texts(full_queues), limit, limit, by_worker, by_lease, _moment(now), _moment(now), _flag(at_once), _flag(at_once),), _CLAIM_JOBS_ROWS)


_CLAIM_SUSPECTS = Query(
    'claim_suspects',
    {
        'postgresql': """WITH owner AS (
SELECT host FROM workers WHERE id = %s::VARCHAR AND state = 'running' AND lease_expires_at > %s::BIGINT FOR KEY SHARE
), served AS MATERIALIZED (
SELECT lane.id, lane.queue, own.concurrency, own.rate_count, greatest(
CASE WHEN every.paused_at IS NULL THEN 0 ELSE coalesce(every.paused_until, 9223372036854775807) END,
CASE WHEN own.paused_at IS NULL THEN 0 ELSE coalesce(own.paused_until, 9223372036854775807) END,
CASE WHEN own.rate_count IS NULL THEN 0 ELSE (
SELECT coalesce(min(free_at), 9223372036854775807) FROM slots WHERE slots.queue = own.name AND kind = 'start'
) END,
CASE WHEN own.concurrency <= (
SELECT count(*) FROM jobs WHERE queue = own.name AND state = 'processing' AND slot IS NOT NULL
) THEN 9223372036854775807 ELSE 0 END
) AS opens_at
FROM (SELECT 0 AS id, '' AS queue, '[]' AS needs UNION ALL SELECT id, queue, needs FROM lanes) AS lane
LEFT JOIN queues AS own ON own.name = lane.queue AND lane.queue <> ''
LEFT JOIN queues AS every ON every.name = ''
WHERE CASE WHEN %s::TEXT[] IS NULL THEN own.reserved IS NOT TRUE ELSE lane.queue = ANY (%s::TEXT[]) END
AND NOT EXISTS (SELECT FROM json_array_elements_text(lane.needs::json) AS need WHERE need <> ALL (%s::TEXT[]))
), due AS MATERIALIZED (
SELECT jobs.seq, jobs.run_at, jobs.priority, jobs.lane, jobs.queue, jobs.key, jobs.key_limit, concurrency, rate_count,
served.queue = '' AND EXISTS (SELECT FROM lanes WHERE lanes.queue = jobs.queue) AS is_stray,
jobs.key IS NOT NULL OR concurrency IS NOT NULL OR rate_count IS NOT NULL
OR served.queue = '' AND EXISTS (SELECT FROM lanes WHERE lanes.queue = jobs.queue) AS needs_more
FROM jobs JOIN served ON served.id = jobs.lane
WHERE suspect AND worker IS NULL AND waits_for IS NULL AND jobs.run_at <= %s::BIGINT AND opens_at <= %s::BIGINT
AND served.queue <> ALL (%s::TEXT[]) AND (jobs.key IS NULL OR jobs.key <> ALL (%s::TEXT[]))
ORDER BY jobs.priority DESC, jobs.run_at, jobs.seq LIMIT %s::INTEGER FOR UPDATE OF jobs SKIP LOCKED
), claimed AS (
UPDATE jobs SET state = 'processing', worker = %s::VARCHAR, lease_id = %s::VARCHAR, started_at = %s::BIGINT, updated_at = %s::BIGINT,
finished_at = NULL, attempts = least(attempts, 2147483646) + 1,
unique_held = CASE WHEN unique_until = 'started' THEN NULL ELSE unique_held END
WHERE seq = ANY (ARRAY(SELECT seq FROM due))
AND EXISTS (SELECT FROM owner) AND %s
AND NOT EXISTS (SELECT FROM due WHERE needs_more)
RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for, unique_key, unique_until, unique_held, unique_expires_at, batch, blockers, has_dependents
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
SELECT claimed.*, (SELECT json_agg(json_build_array(queue, key, value))::text FROM config) AS settings, job_id IS NOT NULL AS is_started, claimed.seq IS NOT NULL AS is_taken, due.*,
due.key IS NULL OR pg_try_advisory_xact_lock(7105, hashtext(due.key) & 1023) AS is_key_locked
FROM due LEFT JOIN claimed ON claimed.seq = due.seq LEFT JOIN started ON job_id = claimed.id
WHERE claimed.seq IS NOT NULL OR NOT %s OR EXISTS (SELECT FROM due WHERE needs_more)""",
    },
)


def claim_suspects(c: Connection, *, by_worker: str, now: datetime, queues: Sequence[str | None] | None, labels: Sequence[str | None], full_queues: Sequence[str | None], busy_keys: Sequence[str | None], limit: int, by_lease: str, at_once: bool) -> list[ClaimJobsRow]:
    """The suspects among the candidates, locked."""
    return c.fetch(_CLAIM_SUSPECTS, (by_worker, _moment(now), None if queues is None else _list_of_texts(queues), None if queues is None else _list_of_texts(queues), _list_of_texts(labels), _moment(now), _moment(now), _list_of_texts(full_queues), _list_of_texts(busy_keys), limit, by_worker, by_lease, _moment(now), _moment(now), _flag(at_once), _flag(at_once),), _CLAIM_JOBS_ROWS)


_TAKE_CHOSEN = Query(
    'take_chosen',
    {
        'postgresql': """WITH owner AS (
SELECT host FROM workers WHERE id = %s::VARCHAR AND state = 'running' AND lease_expires_at > %s::BIGINT FOR KEY SHARE
), claimed AS (
UPDATE jobs SET state = 'processing', worker = %s::VARCHAR, lease_id = %s::VARCHAR, started_at = %s::BIGINT, updated_at = %s::BIGINT,
finished_at = NULL, attempts = least(attempts, 2147483646) + 1,
unique_held = CASE WHEN unique_until = 'started' THEN NULL ELSE unique_held END, slot = (%s::INTEGER[])[array_position(%s::BIGINT[], seq)]
WHERE seq = ANY (%s::BIGINT[]) AND EXISTS (SELECT FROM owner)
RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for, unique_key, unique_until, unique_held, unique_expires_at, batch, blockers, has_dependents
), started AS (
INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, output_truncated)
SELECT id, attempts, queue, worker,
host,
lease_id, started_at,
started_at - greatest(run_at, -30610224000000000),
false
FROM claimed CROSS JOIN owner
ON CONFLICT DO NOTHING RETURNING job_id
), used AS (
UPDATE slots SET free_at = %s::BIGINT + rate_period
FROM unnest(%s::TEXT[], %s::INTEGER[]) AS chosen (of_queue, start) JOIN queues ON name = of_queue
WHERE slots.queue = of_queue AND kind = 'start' AND slots.slot = start AND EXISTS (SELECT FROM owner)
)
SELECT seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for, unique_key, unique_until, unique_held, unique_expires_at, batch, blockers, has_dependents, (SELECT json_agg(json_build_array(queue, key, value))::text FROM config) AS settings, job_id IS NOT NULL AS is_started FROM claimed LEFT JOIN started ON job_id = id""",
    },
)


class TakeChosenRow(NamedTuple):
    """A row of `take_chosen`."""

    job: JobRow
    settings: StoredSettings | None
    is_started: bool


_TAKE_CHOSEN_ROWS = Joined(TakeChosenRow._make, JOBS_ROWS, {'settings': 'settings', 'is_started': 'flag'})


def take_chosen(c: Connection, *, by_worker: str, now: datetime, by_lease: str, slots: Sequence[int | None], seqs: Sequence[int | None], start_queues: Sequence[str | None], starts: Sequence[int | None]) -> list[TakeChosenRow]:
    """The chosen of the candidates, taken by a worker, and their attempts, started."""
    return c.fetch(_TAKE_CHOSEN, (by_worker, _moment(now), by_worker, by_lease, _moment(now), _moment(now), _list_of_numbers(slots), _list_of_numbers(seqs), _list_of_numbers(seqs), _moment(now), _list_of_texts(start_queues), _list_of_numbers(starts),), _TAKE_CHOSEN_ROWS)


_SERVED_LANES = Query(
    'served_lanes',
    {
        'sqlite': """SELECT lane.id, lane.queue, own.concurrency, own.rate_count, max(
CASE WHEN every.paused_at IS NULL THEN 0 ELSE coalesce(every.paused_until, 9223372036854775807) END,
CASE WHEN own.paused_at IS NULL THEN 0 ELSE coalesce(own.paused_until, 9223372036854775807) END,
CASE WHEN own.rate_count IS NULL THEN 0 ELSE (
SELECT coalesce(min(free_at), 9223372036854775807) FROM slots WHERE slots.queue = own.name AND kind = 'start'
) END,
CASE WHEN own.concurrency <= (
SELECT count(*) FROM jobs WHERE jobs.queue = own.name AND jobs.state = 'processing' AND jobs.slot IS NOT NULL
) THEN 9223372036854775807 ELSE 0 END
) AS opens_at,
CASE WHEN ? IS NULL THEN own.reserved IS NOT TRUE ELSE lane.queue IN (SELECT value FROM json_each(?)) END
AND NOT EXISTS (
SELECT 1 FROM json_each(lane.needs) AS need WHERE need.value NOT IN (SELECT value FROM json_each(?))
) AS is_served
FROM (SELECT 0 AS id, '' AS queue, '[]' AS needs UNION ALL SELECT id, queue, needs FROM lanes) AS lane
LEFT JOIN queues AS own ON own.name = lane.queue AND lane.queue <> ''
LEFT JOIN queues AS every ON every.name = ''""",
    },
)


class ServedLanesRow(NamedTuple):
    """A row of `served_lanes`."""

    id: int
    queue: str
    concurrency: int | None
    rate_count: int | None
    opens_at: int
    is_served: bool
    unreadable: str = ""


_SERVED_LANES_ROWS = Rows(ServedLanesRow._make, {'id': 'number', 'queue': 'text', 'concurrency': 'number', 'rate_count': 'number', 'opens_at': 'number', 'is_served': 'flag'})


def served_lanes(c: Connection, *, queues: Sequence[str | None] | None, labels: Sequence[str | None]) -> list[ServedLanesRow]:
    """The lanes, and which of them a worker serves, from when on."""
    return c.fetch(_SERVED_LANES, (None if queues is None else _list_of_texts(queues), None if queues is None else _list_of_texts(queues), _list_of_texts(labels),), _SERVED_LANES_ROWS)


_DUE_JOBS = Query(
    'due_jobs',
    {
        'sqlite': """SELECT seq, run_at, queue, "key", key_limit FROM jobs
WHERE state IN ('pending', 'failed') AND waits_for IS NULL
AND lane = ? AND priority = ? AND run_at <= ? AND (? OR NOT suspect)
ORDER BY run_at, seq LIMIT ? + 0""",
    },
)


class DueJobsRow(NamedTuple):
    """A row of `due_jobs`."""

    seq: int
    run_at: datetime
    queue: str
    key: str | None
    key_limit: int | None
    unreadable: str = ""


_DUE_JOBS_ROWS = Rows(DueJobsRow._make, {'seq': 'number', 'run_at': 'moment', 'queue': 'text', 'key': 'text', 'key_limit': 'number'})


def due_jobs(c: Connection, *, lane: int, priority: int, now: datetime, with_suspects: bool, limit: int) -> list[DueJobsRow]:
    """Due jobs of a lane and a priority, in order."""
    return c.fetch(_DUE_JOBS, (lane, priority, _moment(now), _flag(with_suspects), limit,), _DUE_JOBS_ROWS)


_DUE_SUSPECTS = Query(
    'due_suspects',
    {
        'sqlite': """SELECT lane, seq, run_at, queue, "key", key_limit FROM jobs
WHERE suspect AND worker IS NULL AND waits_for IS NULL AND run_at <= ?
AND lane IN (SELECT value FROM json_each(?))
ORDER BY priority DESC, run_at, seq LIMIT ? + 0""",
    },
)


class DueSuspectsRow(NamedTuple):
    """A row of `due_suspects`."""

    lane: int
    seq: int
    run_at: datetime
    queue: str
    key: str | None
    key_limit: int | None
    unreadable: str = ""


_DUE_SUSPECTS_ROWS = Rows(DueSuspectsRow._make, {'lane': 'number', 'seq': 'number', 'run_at': 'moment', 'queue': 'text', 'key': 'text', 'key_limit': 'number'})


def due_suspects(c: Connection, *, now: datetime, lanes: Sequence[int | None], limit: int) -> list[DueSuspectsRow]:
    """Due suspects, in order."""
    return c.fetch(_DUE_SUSPECTS, (_moment(now), _list_of_numbers(lanes), limit,), _DUE_SUSPECTS_ROWS)


_TAKE_JOBS = Query(
    'take_jobs',
    {
        'sqlite': """UPDATE jobs SET state = 'processing', worker = ?, lease_id = ?, started_at = ?,
updated_at = ?, finished_at = NULL, slot = json_extract(?, '$[' || chosen."key" || ']'),
attempts = min(attempts, 2147483646) + 1,
unique_held = CASE WHEN unique_until = 'started' THEN NULL ELSE unique_held END
FROM json_each(?) AS chosen
WHERE seq = chosen.value AND EXISTS (
SELECT 1 FROM workers WHERE id = ? AND state = 'running' AND lease_expires_at > ?
)
RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for, unique_key, unique_until, unique_held, unique_expires_at, batch, blockers, has_dependents, (SELECT json_group_array(json_array(queue, "key", value)) FROM config) AS settings""",
    },
)


class TakeJobsRow(NamedTuple):
    """A row of `take_jobs`."""

    job: JobRow
    settings: StoredSettings | None


_TAKE_JOBS_ROWS = Joined(TakeJobsRow._make, JOBS_ROWS, {'settings': 'settings'})


def take_jobs(c: Connection, *, by_worker: str, by_lease: str, now: datetime, slots: Sequence[int | None], seqs: Sequence[int | None]) -> list[TakeJobsRow]:
    """The jobs of these numbers, taken by a worker."""
    return c.fetch(_TAKE_JOBS, (by_worker, by_lease, _moment(now), _moment(now), _list_of_numbers(slots), _list_of_numbers(seqs), by_worker, _moment(now),), _TAKE_JOBS_ROWS)


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


_RUNNING_WITH_KEYS = Query(
    'running_with_keys',
    {
        'sqlite': """SELECT listed.value AS "key", (
SELECT count(*) FROM jobs WHERE jobs."key" = listed.value AND jobs.state = 'processing' AND jobs.key_limit = 1
) + (
SELECT count(*) FROM jobs WHERE jobs."key" = listed.value AND jobs.state = 'processing' AND jobs.key_limit > 1
) AS running
FROM json_each(?) AS listed""",
        'postgresql': """SELECT listed.key, (
SELECT count(*) FROM jobs WHERE jobs.key = listed.key AND jobs.state = 'processing' AND jobs.key_limit = 1
) + (
SELECT count(*) FROM jobs WHERE jobs.key = listed.key AND jobs.state = 'processing' AND jobs.key_limit > 1
) AS running
FROM unnest(%s::TEXT[]) AS listed (key)""",
    },
)


class RunningWithKeysRow(NamedTuple):
    """A row of `running_with_keys`."""

    key: str
    running: int
    unreadable: str = ""


_RUNNING_WITH_KEYS_ROWS = Rows(RunningWithKeysRow._make, {'key': 'text', 'running': 'count'})


def running_with_keys(c: Connection, *, keys: Sequence[str | None]) -> list[RunningWithKeysRow]:
    """The number of jobs that run with each of these keys."""
    return c.fetch(_RUNNING_WITH_KEYS, (_list_of_texts(keys),), _RUNNING_WITH_KEYS_ROWS)


_FIRST_DUE = Query(
    'first_due',
    {
        'postgresql': """WITH served AS MATERIALIZED (
SELECT lane.id, lane.queue, own.concurrency, own.rate_count, greatest(
CASE WHEN every.paused_at IS NULL THEN 0 ELSE coalesce(every.paused_until, 9223372036854775807) END,
CASE WHEN own.paused_at IS NULL THEN 0 ELSE coalesce(own.paused_until, 9223372036854775807) END,
CASE WHEN own.rate_count IS NULL THEN 0 ELSE (
SELECT coalesce(min(free_at), 9223372036854775807) FROM slots WHERE slots.queue = own.name AND kind = 'start'
) END,
CASE WHEN own.concurrency <= (
SELECT count(*) FROM jobs WHERE queue = own.name AND state = 'processing' AND slot IS NOT NULL
) THEN 9223372036854775807 ELSE 0 END
) AS opens_at
FROM (SELECT 0 AS id, '' AS queue, '[]' AS needs UNION ALL SELECT id, queue, needs FROM lanes) AS lane
LEFT JOIN queues AS own ON own.name = lane.queue AND lane.queue <> ''
LEFT JOIN queues AS every ON every.name = ''
WHERE CASE WHEN %s::TEXT[] IS NULL THEN own.reserved IS NOT TRUE ELSE lane.queue = ANY (%s::TEXT[]) END
AND NOT EXISTS (SELECT FROM json_array_elements_text(lane.needs::json) AS need WHERE need <> ALL (%s::TEXT[]))
)
SELECT (
SELECT min(greatest(earliest.run_at, served.opens_at))
FROM served CROSS JOIN generate_series(1, 10) AS level (priority) CROSS JOIN LATERAL (
SELECT jobs.run_at FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.waits_for IS NULL AND jobs.lane = served.id
AND jobs.priority = level.priority AND NOT jobs.suspect
ORDER BY jobs.run_at LIMIT 1
) AS earliest
WHERE served.opens_at < 9223372036854775807
) AS run_at, (
SELECT min(greatest(jobs.run_at, served.opens_at)) FROM jobs JOIN served ON served.id = jobs.lane
WHERE suspect AND worker IS NULL AND waits_for IS NULL AND served.opens_at < 9223372036854775807
) AS suspect_run_at""",
    },
)


class FirstDueRow(NamedTuple):
    """A row of `first_due`."""

    run_at: datetime | None
    suspect_run_at: datetime | None
    unreadable: str = ""


_FIRST_DUE_ROWS = Rows(FirstDueRow._make, {'run_at': 'moment', 'suspect_run_at': 'moment'})


def first_due(c: Connection, *, queues: Sequence[str | None] | None, labels: Sequence[str | None]) -> FirstDueRow:
    """The earliest moment at which a waiting job may start, and that of suspects."""
    return c.fetch_only(_FIRST_DUE, (None if queues is None else _list_of_texts(queues), None if queues is None else _list_of_texts(queues), _list_of_texts(labels),), _FIRST_DUE_ROWS)


_FIRST_RUN_AT = Query(
    'first_run_at',
    {
        'sqlite': """SELECT min(run_at) AS run_at
FROM (
SELECT (
SELECT run_at FROM jobs
WHERE state IN ('pending', 'failed') AND waits_for IS NULL AND lane = ? AND priority = level.value
AND NOT suspect
ORDER BY run_at LIMIT 1
) AS run_at FROM json_each('[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]') AS level
)""",
    },
)


_FIRST_RUN_AT_ROWS = Rows[int | None](itemgetter(0), {'run_at': 'number'})


def first_run_at(c: Connection, *, lane: int) -> int | None:
    """The earliest `run_at` of the jobs that wait in a lane."""
    return c.fetch_only(_FIRST_RUN_AT, (lane,), _FIRST_RUN_AT_ROWS)


_FIRST_SUSPECTS = Query(
    'first_suspects',
    {
        'sqlite': """SELECT jobs.lane, min(jobs.run_at) AS run_at
FROM jobs
WHERE suspect AND jobs.worker IS NULL AND jobs.waits_for IS NULL GROUP BY jobs.lane""",
        'postgresql': """SELECT jobs.lane, min(jobs.run_at) AS run_at
FROM jobs
WHERE suspect AND jobs.worker IS NULL AND jobs.waits_for IS NULL GROUP BY jobs.lane""",
    },
)


class FirstSuspectsRow(NamedTuple):
    """A row of `first_suspects`."""

    lane: int
    run_at: int
    unreadable: str = ""


_FIRST_SUSPECTS_ROWS = Rows(FirstSuspectsRow._make, {'lane': 'number', 'run_at': 'number'})


def first_suspects(c: Connection) -> list[FirstSuspectsRow]:
    """The earliest `run_at` of the suspects that wait in each lane."""
    return c.fetch(_FIRST_SUSPECTS, (), _FIRST_SUSPECTS_ROWS)


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
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.worker = ? AND jobs.state = 'processing' ORDER BY jobs.seq""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
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
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.id IN (SELECT value FROM json_each(?)) AND jobs.cancel_requested_at IS NOT NULL""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
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
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.id IN (SELECT value FROM json_each(?)) ORDER BY jobs.seq""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.id = ANY (%s::TEXT[]) ORDER BY jobs.seq FOR UPDATE""",
    },
)


def jobs_to_settle(c: Connection, *, ids: Sequence[str | None]) -> list[JobRow]:
    """These jobs, locked in the order in which whoever enqueues locks parents."""
    return c.fetch(_JOBS_TO_SETTLE, (_list_of_texts(ids),), JOBS_ROWS)


_STORE_SETTLED = Query(
    'store_settled',
    {
        'postgresql': """UPDATE jobs SET state = ended.state, run_at = ended.run_at, updated_at = ended.updated_at, failures = ended.failures,
losses = ended.losses, finished_at = ended.finished_at, exit_code = ended.exit_code,
last_error = ended.last_error, suspect = ended.suspect, unique_held = ended.unique_held, slot = NULL, worker = NULL, lease_id = NULL
FROM unnest(
%s::TEXT[], %s::TEXT[], %s::BIGINT[], %s::BIGINT[], %s::INTEGER[], %s::INTEGER[], %s::BIGINT[], %s::INTEGER[], %s::TEXT[], %s::BOOLEAN[], %s::TEXT[]
) AS ended (id, state, run_at, updated_at, failures, losses, finished_at, exit_code, last_error, suspect,
unique_held)
WHERE jobs.id = ended.id""",
    },
)


def store_settled(c: Connection, *, id: Sequence[str | None], state: Sequence[State | None], run_at: Sequence[datetime | None], updated_at: Sequence[datetime | None], failures: Sequence[int | None], losses: Sequence[int | None], finished_at: Sequence[datetime | None], exit_code: Sequence[int | None], last_error: Sequence[str | None], suspect: Sequence[bool | None], unique_held: Sequence[str | None]) -> int:
    """Store locked jobs as the ends of their attempts have made them."""
    return c.run(_STORE_SETTLED, (_list_of_names(id), _list_of_states(state), _list_of_moments(run_at), _list_of_moments(updated_at), _list_of_counts(failures), _list_of_counts(losses), _list_of_moments(finished_at), _list_of_numbers(exit_code), _list_of_texts(last_error), _list_of_flags(suspect), _list_of_texts(unique_held),))


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
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.worker = ? AND jobs.state = 'processing' ORDER BY jobs.seq""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
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


_QUEUES_SET = Query(
    'queues_set',
    {
        'sqlite': """SELECT queues.name, queues.concurrency, queues.rate_count, queues.rate_period, queues.reserved, queues.paused_at, queues.paused_until, queues.paused_by, queues.pause_reason
FROM queues""",
        'postgresql': """SELECT queues.name, queues.concurrency, queues.rate_count, queues.rate_period, queues.reserved, queues.paused_at, queues.paused_until, queues.paused_by, queues.pause_reason
FROM queues""",
    },
)


def queues_set(c: Connection) -> list[QueueRow]:
    """The settings of all queues of which something was set."""
    return c.fetch(_QUEUES_SET, (), QUEUES_ROWS)


_ADD_QUEUE = Query(
    'add_queue',
    {
        'sqlite': """INSERT INTO queues (name) VALUES (?) ON CONFLICT DO NOTHING""",
        'postgresql': """INSERT INTO queues (name) VALUES (%s::VARCHAR) ON CONFLICT DO NOTHING""",
    },
)


def add_queue(c: Connection, *, name: str) -> int:
    """The row of a queue, unless it is there."""
    return c.run(_ADD_QUEUE, (name,))


_QUEUE_TO_CHANGE = Query(
    'queue_to_change',
    {
        'sqlite': """SELECT queues.name, queues.concurrency, queues.rate_count, queues.rate_period, queues.reserved, queues.paused_at, queues.paused_until, queues.paused_by, queues.pause_reason
FROM queues
WHERE queues.name = ?""",
        'postgresql': """SELECT queues.name, queues.concurrency, queues.rate_count, queues.rate_period, queues.reserved, queues.paused_at, queues.paused_until, queues.paused_by, queues.pause_reason
FROM queues
WHERE queues.name = %s::VARCHAR FOR UPDATE""",
    },
)


def queue_to_change(c: Connection, *, name: str) -> QueueRow | None:
    """The settings of a queue, locked."""
    return c.fetch_one(_QUEUE_TO_CHANGE, (name,), QUEUES_ROWS)


_STORE_QUEUE = Query(
    'store_queue',
    {
        'sqlite': """UPDATE queues SET concurrency=?, rate_count=?, rate_period=?, reserved=?, paused_at=?, paused_until=?, paused_by=?, pause_reason=? WHERE queues.name = ?""",
        'postgresql': """UPDATE queues SET concurrency=%s::INTEGER, rate_count=%s::INTEGER, rate_period=%s::BIGINT, reserved=%s, paused_at=%s::BIGINT, paused_until=%s::BIGINT, paused_by=%s::VARCHAR, pause_reason=%s::VARCHAR WHERE queues.name = %s::VARCHAR""",
    },
)


def store_queue(c: Connection, *, concurrency: int | None, rate_count: int | None, rate_period: timedelta | None, reserved: bool, paused_at: datetime | None, paused_until: datetime | None, paused_by: str | None, pause_reason: str | None, name: str) -> int:
    """The settings of a queue."""
    return c.run(_STORE_QUEUE, (concurrency, rate_count, None if rate_period is None else _limit(rate_period), _flag(reserved), None if paused_at is None else _moment(paused_at), None if paused_until is None else _moment(paused_until), paused_by, pause_reason, name,))


_DELETE_QUEUE = Query(
    'delete_queue',
    {
        'sqlite': """DELETE FROM queues WHERE queues.name = ?""",
        'postgresql': """DELETE FROM queues WHERE queues.name = %s::VARCHAR""",
    },
)


def delete_queue(c: Connection, *, queue: str) -> int:
    """The row of a queue."""
    return c.run(_DELETE_QUEUE, (queue,))


_SLOTS_OF = Query(
    'slots_of',
    {
        'sqlite': """SELECT slots.slot, slots.free_at
FROM slots
WHERE slots.queue = ? AND slots.kind = ? ORDER BY slots.slot""",
        'postgresql': """SELECT slots.slot, slots.free_at
FROM slots
WHERE slots.queue = %s::VARCHAR AND slots.kind = %s::VARCHAR ORDER BY slots.slot FOR UPDATE""",
    },
)


class SlotsOfRow(NamedTuple):
    """A row of `slots_of`."""

    slot: int
    free_at: datetime
    unreadable: str = ""


_SLOTS_OF_ROWS = Rows(SlotsOfRow._make, {'slot': 'number', 'free_at': 'moment'})


def slots_of(c: Connection, *, queue: str, kind: SlotKind) -> list[SlotsOfRow]:
    """The slots of a queue, or its starts, locked."""
    return c.fetch(_SLOTS_OF, (queue, _slot_kind(kind),), _SLOTS_OF_ROWS)


_ADD_SLOTS = Query(
    'add_slots',
    {
        'sqlite': """INSERT INTO slots (queue, kind, slot, free_at) VALUES (?, ?, ?, ?)""",
        'postgresql': """INSERT INTO slots (queue, kind, slot, free_at) VALUES (%s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::BIGINT)""",
    },
)


class AddSlots(NamedTuple):
    """Rows of `add_slots`, by columns."""

    queue: Sequence[str]
    kind: Sequence[SlotKind]
    slot: Sequence[int]
    free_at: Sequence[datetime]


def add_slots(c: Connection, groups: Iterable[AddSlots]) -> None:
    """More slots or starts of a queue."""
    c.load(_ADD_SLOTS, ([it.queue, written(_slot_kind, it.kind), it.slot, written(_moment, it.free_at)] for it in groups))


_DELETE_STARTS = Query(
    'delete_starts',
    {
        'sqlite': """DELETE FROM slots WHERE slots.queue = ? AND slots.kind = ? AND slots.slot IN (SELECT value FROM json_each(?))""",
        'postgresql': """DELETE FROM slots WHERE slots.queue = %s::VARCHAR AND slots.kind = %s::VARCHAR AND slots.slot = ANY (%s::INTEGER[])""",
    },
)


def delete_starts(c: Connection, *, queue: str, kind: SlotKind, slots: Sequence[int | None]) -> int:
    """These starts of a queue."""
    return c.run(_DELETE_STARTS, (queue, _slot_kind(kind), _list_of_numbers(slots),))


_SHIFT_STARTS = Query(
    'shift_starts',
    {
        'sqlite': """UPDATE slots SET free_at=(slots.free_at + ?) WHERE slots.queue = ? AND slots.kind = ?""",
        'postgresql': """UPDATE slots SET free_at=(slots.free_at + %s::BIGINT) WHERE slots.queue = %s::VARCHAR AND slots.kind = %s::VARCHAR""",
    },
)


def shift_starts(c: Connection, *, by: timedelta, queue: str, kind: SlotKind) -> int:
    """All starts of a queue are free so much later than they were."""
    return c.run(_SHIFT_STARTS, (_span(by), queue, _slot_kind(kind),))


_DELETE_SLOTS = Query(
    'delete_slots',
    {
        'sqlite': """DELETE FROM slots WHERE slots.queue = ?""",
        'postgresql': """DELETE FROM slots WHERE slots.queue = %s::VARCHAR""",
    },
)


def delete_slots(c: Connection, *, queue: str) -> int:
    """All slots and starts of a queue."""
    return c.run(_DELETE_SLOTS, (queue,))


_DELETE_LANES = Query(
    'delete_lanes',
    {
        'sqlite': """DELETE FROM lanes WHERE lanes.queue = ?""",
        'postgresql': """DELETE FROM lanes WHERE lanes.queue = %s::VARCHAR""",
    },
)


def delete_lanes(c: Connection, *, queue: str) -> int:
    """The lanes of a queue."""
    return c.run(_DELETE_LANES, (queue,))


_CLEAR_SETTINGS_OF = Query(
    'clear_settings_of',
    {
        'sqlite': """DELETE FROM config WHERE config.queue = ?""",
        'postgresql': """DELETE FROM config WHERE config.queue = %s::VARCHAR""",
    },
)


def clear_settings_of(c: Connection, *, queue: str) -> int:
    """The policy of a queue: that of all counts for it again."""
    return c.run(_CLEAR_SETTINGS_OF, (queue,))


_STARTS_USED = Query(
    'starts_used',
    {
        'sqlite': """SELECT slots.queue, count(*) FILTER (WHERE slots.free_at > ?) AS used, min(slots.free_at) AS free_at
FROM slots
WHERE slots.kind = 'start' GROUP BY slots.queue""",
        'postgresql': """SELECT slots.queue, count(*) FILTER (WHERE slots.free_at > %s::BIGINT) AS used, min(slots.free_at) AS free_at
FROM slots
WHERE slots.kind = 'start' GROUP BY slots.queue""",
    },
)


class StartsUsedRow(NamedTuple):
    """A row of `starts_used`."""

    queue: str
    used: int
    free_at: datetime
    unreadable: str = ""


_STARTS_USED_ROWS = Rows(StartsUsedRow._make, {'queue': 'text', 'used': 'count', 'free_at': 'moment'})


def starts_used(c: Connection, *, at: datetime) -> list[StartsUsedRow]:
    """The starts of each queue with a rate that are not free yet at a moment, and when the first of all is."""
    return c.fetch(_STARTS_USED, (_moment(at),), _STARTS_USED_ROWS)


_WAITING_OF = Query(
    'waiting_of',
    {
        'sqlite': """SELECT jobs.seq, jobs."key"
FROM jobs
WHERE jobs.state = ? AND jobs.seq > ? AND jobs.queue = ? ORDER BY jobs.seq
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT jobs.seq, jobs.key
FROM jobs
WHERE jobs.state = %s::VARCHAR AND jobs.seq > %s::BIGINT AND jobs.queue = %s::VARCHAR ORDER BY jobs.seq
LIMIT %s::BIGINT + 0""",
    },
)


def waiting_of(c: Connection, *, state: State, after: int, queue: str, limit: int) -> list[WaitingElsewhereRow]:
    """The next jobs of a queue that wait in that state, after a number."""
    return c.fetch(_WAITING_OF, (_state(state), after, queue, limit,), _WAITING_ELSEWHERE_ROWS)


_MOVE_TO_QUEUE = Query(
    'move_to_queue',
    {
        'sqlite': """UPDATE jobs SET queue=?, updated_at=? WHERE jobs.seq IN (SELECT value FROM json_each(?)) AND jobs.state IN ('pending', 'failed')""",
        'postgresql': """UPDATE jobs SET queue=%s::VARCHAR, updated_at=%s::BIGINT WHERE jobs.seq = ANY (%s::BIGINT[]) AND jobs.state IN ('pending', 'failed')""",
    },
)


def move_to_queue(c: Connection, *, queue: str, at: datetime, seqs: Sequence[int | None]) -> int:
    """These jobs, as far as they wait, belong to that queue from now on."""
    return c.run(_MOVE_TO_QUEUE, (queue, _moment(at), _list_of_numbers(seqs),))


_UNFINISHED = Query(
    'unfinished',
    {
        'sqlite': """SELECT count(*) AS count_1
FROM jobs
WHERE jobs.queue = ? AND (jobs.state IN ('pending', 'failed') OR jobs.state = 'processing')""",
        'postgresql': """SELECT count(*) AS count_1
FROM jobs
WHERE jobs.queue = %s::VARCHAR AND (jobs.state IN ('pending', 'failed') OR jobs.state = 'processing')""",
    },
)


_UNFINISHED_ROWS = Rows[int](itemgetter(0), {'None': 'count'})


def unfinished(c: Connection, *, queue: str) -> int:
    """The number of jobs of a queue that wait or run."""
    return c.fetch_only(_UNFINISHED, (queue,), _UNFINISHED_ROWS)


_LANE_READERS = Query(
    'lane_readers',
    {
        'postgresql': """SELECT DISTINCT virtualtransaction AS reader FROM pg_locks WHERE locktype = 'relation' AND relation = 'lanes'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()""",
    },
)


_LANE_READERS_ROWS = Rows[str](itemgetter(0), {'reader': 'text'})


def lane_readers(c: Connection) -> list[str]:
    """The transactions under way that have read the lanes: they may store jobs by what they read."""
    return c.fetch(_LANE_READERS, (), _LANE_READERS_ROWS)


_PLACES_OF = Query(
    'places_of',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.state, jobs.lane, jobs.queue, jobs.priority, jobs.run_at, jobs."key", jobs.waits_for
FROM jobs
WHERE jobs.id IN (SELECT value FROM json_each(?))""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.state, jobs.lane, jobs.queue, jobs.priority, jobs.run_at, jobs.key, jobs.waits_for
FROM jobs
WHERE jobs.id = ANY (%s::TEXT[])""",
    },
)


class PlacesOfRow(NamedTuple):
    """A row of `places_of`."""

    seq: int
    id: str
    state: State
    lane: int
    queue: str
    priority: int
    run_at: datetime
    key: str | None
    waits_for: WaitsFor | None
    unreadable: str = ""


_PLACES_OF_ROWS = Rows(PlacesOfRow._make, {'seq': 'number', 'id': 'name', 'state': 'state', 'lane': 'number', 'queue': 'text', 'priority': 'number', 'run_at': 'moment', 'key': 'text', 'waits_for': 'waits for'})


def places_of(c: Connection, *, job_ids: Sequence[str | None]) -> list[PlacesOfRow]:
    """The places of these jobs in their lines."""
    return c.fetch(_PLACES_OF, (_list_of_texts(job_ids),), _PLACES_OF_ROWS)


_PARENTS_TO_COME = Query(
    'parents_to_come',
    {
        'sqlite': """SELECT dependencies.parent, dependencies.child, dependencies.met_by, parent.state AS state
FROM dependencies LEFT OUTER JOIN jobs AS parent ON parent.id = dependencies.parent
WHERE dependencies.child IN (SELECT value FROM json_each(?)) AND dependencies.is_met IS 0 ORDER BY dependencies.child, dependencies.parent""",
        'postgresql': """SELECT dependencies.parent, dependencies.child, dependencies.met_by, parent.state AS state
FROM dependencies LEFT OUTER JOIN jobs AS parent ON parent.id = dependencies.parent
WHERE dependencies.child = ANY (%s::BIGINT[]) AND dependencies.is_met IS false ORDER BY dependencies.child, dependencies.parent""",
    },
)


class ParentsToComeRow(NamedTuple):
    """A row of `parents_to_come`."""

    parent: str
    child: int
    met_by: On
    state: State | None
    unreadable: str = ""


_PARENTS_TO_COME_ROWS = Rows(ParentsToComeRow._make, {'parent': 'text', 'child': 'number', 'met_by': 'end', 'state': 'state'})


def parents_to_come(c: Connection, *, seqs: Sequence[int | None]) -> list[ParentsToComeRow]:
    """The jobs and batches whose ends these jobs still wait for, and the states of the jobs."""
    return c.fetch(_PARENTS_TO_COME, (_list_of_numbers(seqs),), _PARENTS_TO_COME_ROWS)


_LIMITS_NOW = Query(
    'limits_now',
    {
        'sqlite': """SELECT queues.name, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.queue = queues.name AND jobs.state = 'processing' AND jobs.slot IS NOT NULL) AS running, (SELECT min(slots.free_at) AS min_1
FROM slots
WHERE slots.queue = queues.name AND slots.kind = 'start') AS next_start
FROM queues
WHERE queues.name IN (SELECT value FROM json_each(?))""",
        'postgresql': """SELECT queues.name, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.queue = queues.name AND jobs.state = 'processing' AND jobs.slot IS NOT NULL) AS running, (SELECT min(slots.free_at) AS min_1
FROM slots
WHERE slots.queue = queues.name AND slots.kind = 'start') AS next_start
FROM queues
WHERE queues.name = ANY (%s::TEXT[])""",
    },
)


class LimitsNowRow(NamedTuple):
    """A row of `limits_now`."""

    name: str
    running: int
    next_start: datetime | None
    unreadable: str = ""


_LIMITS_NOW_ROWS = Rows(LimitsNowRow._make, {'name': 'text', 'running': 'count', 'next_start': 'moment'})


def limits_now(c: Connection, *, names: Sequence[str | None]) -> list[LimitsNowRow]:
    """The number of jobs in the slots of each of these queues, and the moment from which on its rate allows a start."""
    return c.fetch(_LIMITS_NOW, (_list_of_texts(names),), _LIMITS_NOW_ROWS)


_HOLDERS_OF_SLOTS = Query(
    'holders_of_slots',
    {
        'sqlite': """SELECT jobs.id, jobs.worker, jobs.started_at
FROM jobs
WHERE jobs.queue = ? AND jobs.state = 'processing' AND jobs.slot IS NOT NULL ORDER BY jobs.slot
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT jobs.id, jobs.worker, jobs.started_at
FROM jobs
WHERE jobs.queue = %s::VARCHAR AND jobs.state = 'processing' AND jobs.slot IS NOT NULL ORDER BY jobs.slot
LIMIT %s::BIGINT + 0""",
    },
)


class HoldersOfSlotsRow(NamedTuple):
    """A row of `holders_of_slots`."""

    id: str
    worker: str | None
    started_at: datetime | None
    unreadable: str = ""


_HOLDERS_OF_SLOTS_ROWS = Rows(HoldersOfSlotsRow._make, {'id': 'name', 'worker': 'text', 'started_at': 'moment'})


def holders_of_slots(c: Connection, *, queue: str, limit: int) -> list[HoldersOfSlotsRow]:
    """The jobs that run in the first slots of a queue."""
    return c.fetch(_HOLDERS_OF_SLOTS, (queue, limit,), _HOLDERS_OF_SLOTS_ROWS)


_HOLDER_OF_KEY = Query(
    'holder_of_key',
    {
        'sqlite': """SELECT jobs.id, jobs.worker, jobs.started_at
FROM jobs
WHERE jobs."key" = ? AND jobs.state = 'processing' AND jobs.key_limit = 1""",
        'postgresql': """SELECT jobs.id, jobs.worker, jobs.started_at
FROM jobs
WHERE jobs.key = %s::VARCHAR AND jobs.state = 'processing' AND jobs.key_limit = 1""",
    },
)


def holder_of_key(c: Connection, *, key: str) -> list[HoldersOfSlotsRow]:
    """The job that runs with a key that one job at a time may have."""
    return c.fetch(_HOLDER_OF_KEY, (key,), _HOLDERS_OF_SLOTS_ROWS)


_HOLDERS_OF_KEY = Query(
    'holders_of_key',
    {
        'sqlite': """SELECT jobs.id, jobs.worker, jobs.started_at
FROM jobs
WHERE jobs."key" = ? AND jobs.state = 'processing' AND jobs.key_limit > 1
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT jobs.id, jobs.worker, jobs.started_at
FROM jobs
WHERE jobs.key = %s::VARCHAR AND jobs.state = 'processing' AND jobs.key_limit > 1
LIMIT %s::BIGINT + 0""",
    },
)


def holders_of_key(c: Connection, *, key: str, limit: int) -> list[HoldersOfSlotsRow]:
    """Jobs that run with a key that several may have at a time."""
    return c.fetch(_HOLDERS_OF_KEY, (key, limit,), _HOLDERS_OF_SLOTS_ROWS)


_BEFORE_IN_LANE = Query(
    'before_in_lane',
    {
        'sqlite': """SELECT count(*) AS total
FROM (SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.waits_for IS NULL AND jobs.lane = ? AND jobs.priority = ? AND (jobs.run_at, jobs.seq) < (?, ?)
LIMIT ? + 0 OFFSET 0) AS earlier""",
        'postgresql': """SELECT count(*) AS total
FROM (SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.waits_for IS NULL AND jobs.lane = %s::INTEGER AND jobs.priority = %s::INTEGER AND (jobs.run_at, jobs.seq) < (%s::BIGINT, %s::BIGINT)
LIMIT %s::BIGINT + 0) AS earlier""",
    },
)


_BEFORE_IN_LANE_ROWS = Rows[int](itemgetter(0), {'total': 'count'})


def before_in_lane(c: Connection, *, lane: int, priority: int, run_at: datetime, seq: int, limit: int) -> int:
    """The number of jobs of a lane and a priority that are claimed before that place, counted up to a limit."""
    return c.fetch_only(_BEFORE_IN_LANE, (lane, priority, _moment(run_at), seq, limit,), _BEFORE_IN_LANE_ROWS)


_FIRST_IN_LANE = Query(
    'first_in_lane',
    {
        'sqlite': """SELECT jobs.seq
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.waits_for IS NULL AND jobs.lane = ? AND jobs.priority = ? AND jobs.run_at <= ? ORDER BY jobs.run_at, jobs.seq
LIMIT 1 OFFSET 0""",
        'postgresql': """SELECT jobs.seq
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.waits_for IS NULL AND jobs.lane = %s::INTEGER AND jobs.priority = %s::INTEGER AND jobs.run_at <= %s::BIGINT ORDER BY jobs.run_at, jobs.seq
LIMIT 1""",
    },
)


_FIRST_IN_LANE_ROWS = Rows[int](itemgetter(0), {'seq': 'number'})


def first_in_lane(c: Connection, *, lane: int, priority: int, run_at: datetime) -> int | None:
    """The first due job of a lane and a priority."""
    return c.fetch_one(_FIRST_IN_LANE, (lane, priority, _moment(run_at),), _FIRST_IN_LANE_ROWS)


_BEFORE_FOR_KEY = Query(
    'before_for_key',
    {
        'sqlite': """SELECT count(*) AS total
FROM (SELECT jobs.priority AS priority, jobs.run_at AS run_at, jobs.seq AS seq
FROM jobs
WHERE jobs.waits_for = 'key' AND jobs."key" = ? AND jobs.lane = ? ORDER BY jobs.priority DESC, jobs.run_at, jobs.seq
LIMIT ? + 0 OFFSET 0) AS line
WHERE line.priority > ? OR line.priority = ? AND (line.run_at, line.seq) < (?, ?)""",
        'postgresql': """SELECT count(*) AS total
FROM (SELECT jobs.priority AS priority, jobs.run_at AS run_at, jobs.seq AS seq
FROM jobs
WHERE jobs.waits_for = 'key' AND jobs.key = %s::VARCHAR AND jobs.lane = %s::INTEGER ORDER BY jobs.priority DESC, jobs.run_at, jobs.seq
LIMIT %s::BIGINT + 0) AS line
WHERE line.priority > %s::INTEGER OR line.priority = %s::INTEGER AND (line.run_at, line.seq) < (%s::BIGINT, %s::BIGINT)""",
    },
)


_BEFORE_FOR_KEY_ROWS = Rows[int](itemgetter(0), {'total': 'count'})


def before_for_key(c: Connection, *, key: str, lane: int, limit: int, priority: int, run_at: datetime, seq: int) -> int:
    """The number of jobs of a lane that wait for a key before that place, among the first up to a limit."""
    return c.fetch_only(_BEFORE_FOR_KEY, (key, lane, limit, priority, priority, _moment(run_at), seq,), _BEFORE_FOR_KEY_ROWS)


_LATEST_RUNS = Query(
    'latest_runs',
    {
        'sqlite': """SELECT latest.ran
FROM (SELECT attempts.queue AS queue, attempts.ran AS ran, attempts.outcome AS outcome, attempts.finished_at AS finished_at
FROM attempts
WHERE attempts.finished_at IS NOT NULL ORDER BY attempts.finished_at DESC
LIMIT ? + 0 OFFSET 0) AS latest
WHERE latest.queue = ? AND latest.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY latest.finished_at DESC
LIMIT ? + 0 OFFSET 0""",
        'postgresql': """SELECT latest.ran
FROM (SELECT attempts.queue AS queue, attempts.ran AS ran, attempts.outcome AS outcome, attempts.finished_at AS finished_at
FROM attempts
WHERE attempts.finished_at IS NOT NULL ORDER BY attempts.finished_at DESC
LIMIT %s::BIGINT + 0) AS latest
WHERE latest.queue = %s::VARCHAR AND latest.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY latest.finished_at DESC
LIMIT %s::BIGINT + 0""",
    },
)


_LATEST_RUNS_ROWS = Rows[timedelta | None](itemgetter(0), {'ran': 'span'})


def latest_runs(c: Connection, *, most: int, queue: str, limit: int) -> list[timedelta | None]:
    """The run times of the last attempts of a queue that ran to an end: of those among the `most` that ended last."""
    return c.fetch(_LATEST_RUNS, (most, queue, limit,), _LATEST_RUNS_ROWS)


_HOLD_UNIQUE_KEYS = Query(
    'hold_unique_keys',
    {
        'postgresql': """SELECT count(pg_advisory_xact_lock(7106, lock)) AS total FROM (SELECT DISTINCT hashtext(key) & 1023 AS lock FROM unnest(%s::TEXT[]) AS listed (key) ORDER BY 1) AS locks""",
    },
)


_HOLD_UNIQUE_KEYS_ROWS = Rows[int](itemgetter(0), {'total': 'count'})


def hold_unique_keys(c: Connection, *, keys: Sequence[str | None]) -> int:
    """Have nobody else enqueue jobs with these unique keys until the transaction ends.

    By locks like those of `hold_keys`, which are taken after them."""
    return c.fetch_only(_HOLD_UNIQUE_KEYS, (_list_of_texts(keys),), _HOLD_UNIQUE_KEYS_ROWS)


_UNIQUE_HOLDERS = Query(
    'unique_holders',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.unique_held IS NOT NULL AND jobs.unique_held IN (SELECT value FROM json_each(?))""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.unique_held IS NOT NULL AND jobs.unique_held = ANY (%s::TEXT[])""",
    },
)


def unique_holders(c: Connection, *, keys: Sequence[str | None]) -> list[JobRow]:
    """The jobs that hold these unique keys."""
    return c.fetch(_UNIQUE_HOLDERS, (_list_of_texts(keys),), JOBS_ROWS)


_JOBS_TO_REPLACE = Query(
    'jobs_to_replace',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.seq IN (SELECT value FROM json_each(?)) ORDER BY jobs.seq""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.seq = ANY (%s::BIGINT[]) ORDER BY jobs.seq FOR UPDATE""",
    },
)


def jobs_to_replace(c: Connection, *, seqs: Sequence[int | None]) -> list[JobRow]:
    """These jobs, locked in the order in which all that lock several do it."""
    return c.fetch(_JOBS_TO_REPLACE, (_list_of_numbers(seqs),), JOBS_ROWS)


_JOBS_OF_IDS = Query(
    'jobs_of_ids',
    {
        'sqlite': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs."key", jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.id IN (SELECT value FROM json_each(?))""",
        'postgresql': """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane, jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held, jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.id = ANY (%s::TEXT[])""",
    },
)


def jobs_of_ids(c: Connection, *, ids: Sequence[str | None]) -> list[JobRow]:
    """The jobs of these ids."""
    return c.fetch(_JOBS_OF_IDS, (_list_of_texts(ids),), JOBS_ROWS)


_GIVE_UP_UNIQUE_KEYS = Query(
    'give_up_unique_keys',
    {
        'sqlite': """UPDATE jobs SET unique_held=NULL WHERE jobs.id IN (SELECT value FROM json_each(?))""",
        'postgresql': """UPDATE jobs SET unique_held=NULL WHERE jobs.id = ANY (%s::TEXT[])""",
    },
)


def give_up_unique_keys(c: Connection, *, ids: Sequence[str | None]) -> int:
    """These jobs hold their unique keys no more."""
    return c.run(_GIVE_UP_UNIQUE_KEYS, (_list_of_texts(ids),))


_REPLACE_JOB = Query(
    'replace_job',
    {
        'sqlite': """UPDATE jobs SET command=?, queue=?, priority=?, max_retries=?, timeout=?, run_at=?, updated_at=?, cwd=?, env=?, state=?, attempts=?, failures=?, losses=?, started_at=?, finished_at=?, exit_code=?, last_error=?, cancel_requested_at=?, cancel_requested_by=?, suspect=?, stdin=?, tags=?, needs=?, lane=?, slot=?, "key"=?, key_limit=?, waits_for=?, unique_key=?, unique_until=?, unique_held=?, unique_expires_at=?, batch=?, blockers=?, has_dependents=? WHERE jobs.id = ?""",
        'postgresql': """UPDATE jobs SET command=%s::VARCHAR, queue=%s::VARCHAR, priority=%s::INTEGER, max_retries=%s::INTEGER, timeout=%s::BIGINT, run_at=%s::BIGINT, updated_at=%s::BIGINT, cwd=%s::VARCHAR, env=%s::VARCHAR, state=%s::VARCHAR, attempts=%s::INTEGER, failures=%s::INTEGER, losses=%s::INTEGER, started_at=%s::BIGINT, finished_at=%s::BIGINT, exit_code=%s::INTEGER, last_error=%s::VARCHAR, cancel_requested_at=%s::BIGINT, cancel_requested_by=%s::VARCHAR, suspect=%s, stdin=%s::VARCHAR, tags=%s::VARCHAR, needs=%s::VARCHAR, lane=%s::INTEGER, slot=%s::INTEGER, key=%s::VARCHAR, key_limit=%s::INTEGER, waits_for=%s::VARCHAR, unique_key=%s::VARCHAR, unique_until=%s::VARCHAR, unique_held=%s::VARCHAR, unique_expires_at=%s::BIGINT, batch=%s::VARCHAR, blockers=%s::INTEGER, has_dependents=%s WHERE jobs.id = %s::VARCHAR""",
    },
)


class ReplaceJob(NamedTuple):
    """The parameters of one run of `replace_job`."""

    command: Command
    queue: str
    priority: int
    max_retries: int
    timeout: timedelta | None
    run_at: datetime
    updated_at: datetime
    cwd: str | None
    env: Mapping[str, str]
    state: State
    attempts: int
    failures: int
    losses: int
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int | None
    last_error: str | None
    cancel_requested_at: datetime | None
    cancel_requested_by: str | None
    suspect: bool
    stdin: str | None
    tags: Sequence[str]
    needs: Sequence[str]
    lane: int
    slot: int | None
    key: str | None
    key_limit: int | None
    waits_for: WaitsFor | None
    unique_key: str | None
    unique_until: str | None
    unique_held: str | None
    unique_expires_at: datetime | None
    batch: str | None
    blockers: int
    has_dependents: bool
    job_id: str


def replace_job(c: Connection, rows: Iterable[ReplaceJob]) -> None:
    """Store another job under this one's number."""
    c.run_each(_REPLACE_JOB, [(_command(it.command), it.queue, it.priority, it.max_retries, None if it.timeout is None else _limit(it.timeout), _moment(it.run_at), _moment(it.updated_at), None if it.cwd is None else _path(it.cwd), _environment(it.env), _state(it.state), it.attempts, it.failures, it.losses, None if it.started_at is None else _moment(it.started_at), None if it.finished_at is None else _moment(it.finished_at), it.exit_code, it.last_error, None if it.cancel_requested_at is None else _moment(it.cancel_requested_at), it.cancel_requested_by, _flag(it.suspect), it.stdin, _texts(it.tags), _texts(it.needs), it.lane, it.slot, it.key, it.key_limit, None if it.waits_for is None else _waits_for(it.waits_for), it.unique_key, it.unique_until, it.unique_held, None if it.unique_expires_at is None else _moment(it.unique_expires_at), it.batch, it.blockers, _flag(it.has_dependents), it.job_id,) for it in rows])


_ADD_WORKER = Query(
    'add_worker',
    {
        'sqlite': """INSERT INTO workers (id, host, machine, pid, pid_started, supervisor_pid, supervisor_started, queues, concurrency, state, started_at, renewed_at, lease_expires_at, ended_at, labels) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        'postgresql': """INSERT INTO workers (id, host, machine, pid, pid_started, supervisor_pid, supervisor_started, queues, concurrency, state, started_at, renewed_at, lease_expires_at, ended_at, labels) VALUES (%s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::INTEGER, %s::BIGINT, %s::INTEGER, %s::BIGINT, %s::VARCHAR, %s::INTEGER, %s::VARCHAR, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::BIGINT, %s::VARCHAR)""",
    },
)


def add_worker(c: Connection, rows: Iterable[WorkerRow]) -> None:
    """Workers, with their leases."""
    c.run_each(_ADD_WORKER, [(it.id, it.host, it.machine, it.pid, it.pid_started, it.supervisor_pid, it.supervisor_started, _texts(it.queues), it.concurrency, _worker_state(it.state), _moment(it.started_at), _moment(it.renewed_at), _moment(it.lease_expires_at), None if it.ended_at is None else _moment(it.ended_at), _texts(it.labels),) for it in rows])


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
        'sqlite': """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, workers.labels, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') ORDER BY workers.started_at, workers.id""",
        'postgresql': """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, workers.labels, (SELECT count(*) AS count_1
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
        'sqlite': """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, workers.labels, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') AND (workers.lease_expires_at <= ? OR workers.lease_expires_at > ? OR workers.machine = ?) ORDER BY workers.started_at, workers.id""",
        'postgresql': """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, workers.labels, (SELECT count(*) AS count_1
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
        'sqlite': """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, workers.labels, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE (workers.state NOT IN ('running', 'stopping')) AND workers.machine = ? ORDER BY workers.started_at, workers.id""",
        'postgresql': """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, workers.labels, (SELECT count(*) AS count_1
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
        'sqlite': """SELECT config.queue, config."key", config.value
FROM config""",
        'postgresql': """SELECT config.queue, config.key, config.value
FROM config""",
    },
)


def settings(c: Connection) -> list[SettingRow]:
    """All that were set."""
    return c.fetch(_SETTINGS, (), CONFIG_ROWS)


_ADD_SETTING = Query(
    'add_setting',
    {
        'sqlite': """INSERT INTO config (queue, "key", value) VALUES (?, ?, ?)""",
        'postgresql': """INSERT INTO config (queue, key, value) VALUES (%s::VARCHAR, %s::VARCHAR, %s::VARCHAR)""",
    },
)


def add_setting(c: Connection, rows: Iterable[SettingRow]) -> None:
    """Settings that were not set."""
    c.run_each(_ADD_SETTING, [(it.queue, it.key, it.value,) for it in rows])


_CLEAR_SETTING = Query(
    'clear_setting',
    {
        'sqlite': """DELETE FROM config WHERE config.queue = ? AND config."key" = ?""",
        'postgresql': """DELETE FROM config WHERE config.queue = %s::VARCHAR AND config.key = %s::VARCHAR""",
    },
)


def clear_setting(c: Connection, *, queue: str, key: str) -> int:
    """Back to the default."""
    return c.run(_CLEAR_SETTING, (queue, key,))


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
