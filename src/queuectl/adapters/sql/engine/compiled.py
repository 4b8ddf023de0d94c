"""The schema and the statements as text: made by `make sql`; change schema.py and statements.py."""

SCHEMA: dict[str, tuple[str, ...]] = {
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

ROWS: dict[str, dict[str, str | None]] = {
    'store_settled': {'id': None, 'lease_id': None, 'state': 'state', 'run_at': 'moment', 'updated_at': 'moment', 'failures': None, 'losses': None, 'finished_at': 'moment', 'exit_code': None, 'last_error': None, 'suspect': 'flag'},
}

STATEMENTS: dict[
    tuple[str, str, tuple[int | str | bool, ...]],
    tuple[str, dict[str, str | None], dict[str, str | None]],
] = {
    ('sqlite', 'add_job', ()): (
        """INSERT INTO jobs (id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect) VALUES (:id, :command, :queue, :priority, :max_retries, :timeout, :run_at, :created_at, :updated_at, :cwd, :env, :state, :attempts, :failures, :losses, :started_at, :finished_at, :exit_code, :last_error, :cancel_requested_at, :cancel_requested_by, :suspect)""",
        {'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
        {},
    ),
    ('sqlite', 'job', ()): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = :job_id""",
        {'job_id': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'job_to_change', ()): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = :job_id""",
        {'job_id': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'store_job', ()): (
        """UPDATE jobs SET run_at=:run_at, updated_at=:updated_at, state=:state, attempts=:attempts, failures=:failures, losses=:losses, started_at=:started_at, finished_at=:finished_at, worker=:worker, lease_id=:lease_id, exit_code=:exit_code, last_error=:last_error, cancel_requested_at=:cancel_requested_at, cancel_requested_by=:cancel_requested_by, suspect=:suspect WHERE jobs.id = :job_id""",
        {'run_at': 'moment', 'updated_at': 'moment', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'job_id': None},
        {},
    ),
    ('sqlite', 'delete_job', ()): (
        """DELETE FROM jobs WHERE jobs.id = :job_id""",
        {'job_id': None},
        {},
    ),
    ('sqlite', 'delete_jobs', ()): (
        """DELETE FROM jobs WHERE jobs.seq IN (SELECT CAST(listed.value AS BIGINT) AS value
FROM json_each(:seqs) AS listed)""",
        {'seqs': 'texts'},
        {},
    ),
    ('sqlite', 'set_aside', ()): (
        """UPDATE jobs SET updated_at=:at, state='dead', attempts=(jobs.attempts - :not_started), finished_at=:at, worker=NULL, lease_id=NULL, last_error=:reason WHERE jobs.seq = :of_seq""",
        {'at': 'moment', 'not_started': None, 'reason': None, 'of_seq': None},
        {},
    ),
    ('sqlite', 'taken', ()): (
        """SELECT jobs.id
FROM jobs
WHERE jobs.id IN (SELECT listed.value
FROM json_each(:ids) AS listed)""",
        {'ids': 'texts'},
        {'id': None},
    ),
    ('sqlite', 'search', (0, 0, False)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs ORDER BY jobs.seq DESC
 LIMIT :limit + 0 OFFSET 0""",
        {'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'search', (0, 1, False)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.queue = :queue_0 ORDER BY jobs.seq DESC
 LIMIT :limit + 0 OFFSET 0""",
        {'queue_0': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'search', (1, 0, False)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = :state_0 ORDER BY jobs.seq DESC
 LIMIT :limit + 0 OFFSET 0""",
        {'state_0': 'state', 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'search', (1, 1, False)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = :state_0 AND jobs.queue = :queue_0 ORDER BY jobs.seq DESC
 LIMIT :limit + 0 OFFSET 0""",
        {'state_0': 'state', 'queue_0': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'search', (1, 0, True)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = :state_0 ORDER BY jobs.finished_at DESC, jobs.seq DESC
 LIMIT :limit + 0 OFFSET 0""",
        {'state_0': 'state', 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'search', (1, 1, True)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = :state_0 AND jobs.queue = :queue_0 ORDER BY jobs.finished_at DESC, jobs.seq DESC
 LIMIT :limit + 0 OFFSET 0""",
        {'state_0': 'state', 'queue_0': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'oldest', ('dead',)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = 'dead' AND jobs.updated_at <= :until ORDER BY jobs.seq
 LIMIT :limit + 0 OFFSET 0""",
        {'until': 'moment', 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'claim', (0, False, False)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= :now AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= :now AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= :now AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= :now AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= :now AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= :now AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= :now AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= :now AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= :now AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= :now AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p1_0) AS due
 LIMIT :limit + 0 OFFSET 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = :by_worker AND workers.state = 'running' AND workers.lease_expires_at > :now)
 UPDATE jobs SET updated_at=:now, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=:now, finished_at=NULL, worker=:by_worker, lease_id=:by_lease WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT CAST(json_group_object(config."key", CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('sqlite', 'claim', (0, False, True)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= :now ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= :now ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= :now ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= :now ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= :now ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= :now ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= :now ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= :now ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= :now ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= :now ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p1_0) AS due
 LIMIT :limit + 0 OFFSET 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = :by_worker AND workers.state = 'running' AND workers.lease_expires_at > :now)
 UPDATE jobs SET updated_at=:now, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=:now, finished_at=NULL, worker=:by_worker, lease_id=:by_lease WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT CAST(json_group_object(config."key", CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('sqlite', 'claim', (0, True, False)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_10, :seq_10) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_9, :seq_9) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_8, :seq_8) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_7, :seq_7) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_6, :seq_6) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_5, :seq_5) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_4, :seq_4) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_3, :seq_3) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_2, :seq_2) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_1, :seq_1) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p1_0) AS due
 LIMIT :limit + 0 OFFSET 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = :by_worker AND workers.state = 'running' AND workers.lease_expires_at > :now)
 UPDATE jobs SET updated_at=:now, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=:now, finished_at=NULL, worker=:by_worker, lease_id=:by_lease WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT CAST(json_group_object(config."key", CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'run_at_10': 'moment', 'seq_10': None, 'run_at_9': 'moment', 'seq_9': None, 'run_at_8': 'moment', 'seq_8': None, 'run_at_7': 'moment', 'seq_7': None, 'run_at_6': 'moment', 'seq_6': None, 'run_at_5': 'moment', 'seq_5': None, 'run_at_4': 'moment', 'seq_4': None, 'run_at_3': 'moment', 'seq_3': None, 'run_at_2': 'moment', 'seq_2': None, 'run_at_1': 'moment', 'seq_1': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('sqlite', 'claim', (0, True, True)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_10, :seq_10) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_9, :seq_9) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_8, :seq_8) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_7, :seq_7) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_6, :seq_6) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_5, :seq_5) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_4, :seq_4) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_3, :seq_3) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_2, :seq_2) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_1, :seq_1) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p1_0) AS due
 LIMIT :limit + 0 OFFSET 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = :by_worker AND workers.state = 'running' AND workers.lease_expires_at > :now)
 UPDATE jobs SET updated_at=:now, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=:now, finished_at=NULL, worker=:by_worker, lease_id=:by_lease WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT CAST(json_group_object(config."key", CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'run_at_10': 'moment', 'seq_10': None, 'run_at_9': 'moment', 'seq_9': None, 'run_at_8': 'moment', 'seq_8': None, 'run_at_7': 'moment', 'seq_7': None, 'run_at_6': 'moment', 'seq_6': None, 'run_at_5': 'moment', 'seq_5': None, 'run_at_4': 'moment', 'seq_4': None, 'run_at_3': 'moment', 'seq_3': None, 'run_at_2': 'moment', 'seq_2': None, 'run_at_1': 'moment', 'seq_1': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('sqlite', 'claim', (1, False, False)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= :now AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= :now AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= :now AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= :now AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= :now AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= :now AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= :now AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= :now AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= :now AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= :now AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p1_0) AS due
 LIMIT :limit + 0 OFFSET 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = :by_worker AND workers.state = 'running' AND workers.lease_expires_at > :now)
 UPDATE jobs SET updated_at=:now, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=:now, finished_at=NULL, worker=:by_worker, lease_id=:by_lease WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT CAST(json_group_object(config."key", CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'queue_0': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('sqlite', 'claim', (1, False, True)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= :now AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= :now AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= :now AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= :now AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= :now AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= :now AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= :now AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= :now AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= :now AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= :now AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p1_0) AS due
 LIMIT :limit + 0 OFFSET 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = :by_worker AND workers.state = 'running' AND workers.lease_expires_at > :now)
 UPDATE jobs SET updated_at=:now, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=:now, finished_at=NULL, worker=:by_worker, lease_id=:by_lease WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT CAST(json_group_object(config."key", CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'queue_0': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('sqlite', 'claim', (1, True, False)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_10, :seq_10) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_9, :seq_9) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_8, :seq_8) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_7, :seq_7) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_6, :seq_6) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_5, :seq_5) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_4, :seq_4) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_3, :seq_3) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_2, :seq_2) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= :now AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (:run_at_1, :seq_1) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p1_0) AS due
 LIMIT :limit + 0 OFFSET 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = :by_worker AND workers.state = 'running' AND workers.lease_expires_at > :now)
 UPDATE jobs SET updated_at=:now, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=:now, finished_at=NULL, worker=:by_worker, lease_id=:by_lease WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT CAST(json_group_object(config."key", CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'run_at_10': 'moment', 'seq_10': None, 'queue_0': None, 'run_at_9': 'moment', 'seq_9': None, 'run_at_8': 'moment', 'seq_8': None, 'run_at_7': 'moment', 'seq_7': None, 'run_at_6': 'moment', 'seq_6': None, 'run_at_5': 'moment', 'seq_5': None, 'run_at_4': 'moment', 'seq_4': None, 'run_at_3': 'moment', 'seq_3': None, 'run_at_2': 'moment', 'seq_2': None, 'run_at_1': 'moment', 'seq_1': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('sqlite', 'claim', (1, True, True)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_10, :seq_10) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_9, :seq_9) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_8, :seq_8) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_7, :seq_7) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_6, :seq_6) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_5, :seq_5) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_4, :seq_4) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_3, :seq_3) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_2, :seq_2) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= :now AND (jobs.run_at, jobs.seq) >= (:run_at_1, :seq_1) AND jobs.queue = :queue_0 ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 OFFSET 0) AS p1_0) AS due
 LIMIT :limit + 0 OFFSET 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = :by_worker AND workers.state = 'running' AND workers.lease_expires_at > :now)
 UPDATE jobs SET updated_at=:now, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=:now, finished_at=NULL, worker=:by_worker, lease_id=:by_lease WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT CAST(json_group_object(config."key", CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'run_at_10': 'moment', 'seq_10': None, 'queue_0': None, 'run_at_9': 'moment', 'seq_9': None, 'run_at_8': 'moment', 'seq_8': None, 'run_at_7': 'moment', 'seq_7': None, 'run_at_6': 'moment', 'seq_6': None, 'run_at_5': 'moment', 'seq_5': None, 'run_at_4': 'moment', 'seq_4': None, 'run_at_3': 'moment', 'seq_3': None, 'run_at_2': 'moment', 'seq_2': None, 'run_at_1': 'moment', 'seq_1': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('sqlite', 'claim_suspects', (0,)): (
        """WITH claimed AS
(SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.suspect AND jobs.worker IS NULL AND jobs.run_at <= :now ORDER BY jobs.priority DESC, jobs.run_at, jobs.seq
 LIMIT :limit + 0 OFFSET 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = :by_worker AND workers.state = 'running' AND workers.lease_expires_at > :now)
 UPDATE jobs SET updated_at=:now, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=:now, finished_at=NULL, worker=:by_worker, lease_id=:by_lease WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT CAST(json_group_object(config."key", CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('sqlite', 'claim_suspects', (1,)): (
        """WITH claimed AS
(SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.suspect AND jobs.worker IS NULL AND jobs.run_at <= :now AND jobs.queue IN (:queue_0) ORDER BY jobs.priority DESC, jobs.run_at, jobs.seq
 LIMIT :limit + 0 OFFSET 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = :by_worker AND workers.state = 'running' AND workers.lease_expires_at > :now)
 UPDATE jobs SET updated_at=:now, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=:now, finished_at=NULL, worker=:by_worker, lease_id=:by_lease WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect, (SELECT CAST(json_group_object(config."key", CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'queue_0': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('sqlite', 'first_due', (0,)): (
        """SELECT min(earliest.run_at) AS run_at, (SELECT min(jobs.run_at) AS min_1
FROM jobs
WHERE jobs.suspect AND jobs.worker IS NULL) AS suspect_run_at
FROM (SELECT n10_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n10_0 UNION ALL SELECT n9_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n9_0 UNION ALL SELECT n8_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n8_0 UNION ALL SELECT n7_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n7_0 UNION ALL SELECT n6_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n6_0 UNION ALL SELECT n5_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n5_0 UNION ALL SELECT n4_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n4_0 UNION ALL SELECT n3_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n3_0 UNION ALL SELECT n2_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n2_0 UNION ALL SELECT n1_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n1_0) AS earliest""",
        {},
        {'run_at': 'moment', 'suspect_run_at': 'moment'},
    ),
    ('sqlite', 'first_due', (1,)): (
        """SELECT min(earliest.run_at) AS run_at, (SELECT min(jobs.run_at) AS min_1
FROM jobs
WHERE jobs.suspect AND jobs.worker IS NULL AND jobs.queue IN (:queue_0)) AS suspect_run_at
FROM (SELECT n10_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n10_0 UNION ALL SELECT n9_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n9_0 UNION ALL SELECT n8_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n8_0 UNION ALL SELECT n7_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n7_0 UNION ALL SELECT n6_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n6_0 UNION ALL SELECT n5_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n5_0 UNION ALL SELECT n4_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n4_0 UNION ALL SELECT n3_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n3_0 UNION ALL SELECT n2_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n2_0 UNION ALL SELECT n1_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND NOT jobs.suspect AND jobs.queue = :queue_0 ORDER BY jobs.run_at
 LIMIT 1 OFFSET 0) AS n1_0) AS earliest""",
        {'queue_0': None},
        {'run_at': 'moment', 'suspect_run_at': 'moment'},
    ),
    ('sqlite', 'start_attempts', ()): (
        """INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, output_truncated) SELECT jobs.id, jobs.attempts, jobs.queue, jobs.worker, (SELECT workers.host
FROM workers
WHERE workers.id = jobs.worker) AS anon_1, jobs.lease_id, jobs.started_at, jobs.started_at - jobs.run_at AS anon_2, False AS anon_3
FROM jobs
WHERE jobs.id IN (SELECT listed.value
FROM json_each(:ids) AS listed) AND NOT (EXISTS (SELECT *
FROM attempts
WHERE attempts.job_id = jobs.id AND attempts.number = jobs.attempts))""",
        {'ids': 'texts'},
        {},
    ),
    ('sqlite', 'held', ()): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.worker = :worker AND jobs.state = 'processing' ORDER BY jobs.seq""",
        {'worker': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'asked_to_cancel', ()): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id IN (SELECT listed.value
FROM json_each(:ids) AS listed) AND jobs.cancel_requested_at IS NOT NULL""",
        {'ids': 'texts'},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'store_settled', ()): (
        """UPDATE jobs SET run_at=CAST(given.value ->> 3 AS BIGINT), updated_at=CAST(given.value ->> 4 AS BIGINT), state=CAST(given.value ->> 2 AS TEXT), failures=CAST(given.value ->> 5 AS INTEGER), losses=CAST(given.value ->> 6 AS INTEGER), finished_at=CAST(given.value ->> 7 AS BIGINT), worker=NULL, lease_id=NULL, exit_code=CAST(given.value ->> 8 AS INTEGER), last_error=CAST(given.value ->> 9 AS TEXT), suspect=CAST(given.value ->> 10 AS BOOLEAN) FROM json_each(:rows) AS given WHERE jobs.id = CAST(given.value ->> 0 AS TEXT) AND jobs.lease_id = CAST(given.value ->> 1 AS TEXT) RETURNING id, cancel_requested_at, cancel_requested_by""",
        {'rows': None},
        {'id': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None},
    ),
    ('sqlite', 'end_attempt', ()): (
        """UPDATE attempts SET finished_at=:finished_at, ran=:ran, outcome=:outcome, exit_code=:exit_code, signal=:signal, error=:error, output_truncated=:output_truncated, output=:output WHERE attempts.job_id = :of_job AND attempts.number = :attempt AND attempts.outcome IS NULL""",
        {'finished_at': 'moment', 'ran': 'span', 'outcome': 'outcome', 'exit_code': None, 'signal': None, 'error': None, 'output_truncated': 'flag', 'output': None, 'of_job': None, 'attempt': None},
        {},
    ),
    ('sqlite', 'own_attempt', ()): (
        """SELECT attempts.outcome, attempts.finished_at, attempts.output
FROM attempts
WHERE attempts.job_id = :of_job AND attempts.number = :attempt AND attempts.lease_id = :held_lease""",
        {'of_job': None, 'attempt': None, 'held_lease': None},
        {'outcome': 'outcome', 'finished_at': 'moment', 'output': None},
    ),
    ('sqlite', 'keep_late', ()): (
        """UPDATE attempts SET late=:late WHERE attempts.job_id = :of_job AND attempts.number = :attempt AND attempts.lease_id = :held_lease""",
        {'late': 'outcome', 'of_job': None, 'attempt': None, 'held_lease': None},
        {},
    ),
    ('sqlite', 'keep_late_output', ()): (
        """UPDATE attempts SET output_truncated=:output_truncated, output=:output WHERE attempts.job_id = :of_job AND attempts.number = :attempt AND attempts.lease_id = :held_lease""",
        {'output_truncated': 'flag', 'output': None, 'of_job': None, 'attempt': None, 'held_lease': None},
        {},
    ),
    ('sqlite', 'worker_to_rescue', ()): (
        """SELECT workers.lease_expires_at, workers.renewed_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.id = :worker AND workers.state IN ('running', 'stopping')""",
        {'worker': None},
        {'lease_expires_at': 'moment', 'renewed_at': 'moment', 'jobs': None},
    ),
    ('sqlite', 'held_to_rescue', ()): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.worker = :worker AND jobs.state = 'processing' ORDER BY jobs.seq""",
        {'worker': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'lost_by', ()): (
        """SELECT attempts.job_id
FROM attempts
WHERE attempts.finished_at >= :since AND attempts.worker = :worker AND attempts.outcome = 'lost'
 LIMIT 1 OFFSET 0""",
        {'since': 'moment', 'worker': None},
        {'job_id': None},
    ),
    ('sqlite', 'end_worker', ()): (
        """UPDATE workers SET state=:end_state, ended_at=:ended_at WHERE workers.id = :of_worker AND workers.state IN ('running', 'stopping') AND NOT (EXISTS (SELECT *
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing'))""",
        {'end_state': 'worker state', 'ended_at': 'moment', 'of_worker': None},
        {},
    ),
    ('sqlite', 'attempts_of', ()): (
        """SELECT attempts.job_id, attempts.number, attempts.queue, attempts.worker, attempts.host, attempts.lease_id, attempts.started_at, attempts.waited, attempts.finished_at, attempts.ran, attempts.outcome, attempts.exit_code, attempts.signal, attempts.error, attempts.late, attempts.output_truncated, attempts.output
FROM attempts
WHERE attempts.job_id = :of_job ORDER BY attempts.number""",
        {'of_job': None},
        {'job_id': None, 'number': None, 'queue': None, 'worker': None, 'host': None, 'lease_id': None, 'started_at': 'moment', 'waited': 'span', 'finished_at': 'moment', 'ran': 'span', 'outcome': 'outcome', 'exit_code': None, 'signal': None, 'error': None, 'late': 'outcome', 'output_truncated': 'flag', 'output': None},
    ),
    ('sqlite', 'last_outputs', ()): (
        """SELECT attempts.job_id, attempts.output
FROM attempts
WHERE attempts.job_id IN (SELECT listed.value
FROM json_each(:ids) AS listed) AND attempts.number = (SELECT max(ended.number) AS max_1
FROM attempts AS ended
WHERE ended.job_id = attempts.job_id AND ended.outcome IS NOT NULL)""",
        {'ids': 'texts'},
        {'job_id': None, 'output': None},
    ),
    ('sqlite', 'add_worker', ()): (
        """INSERT INTO workers (id, host, machine, pid, pid_started, supervisor_pid, supervisor_started, queues, concurrency, state, started_at, renewed_at, lease_expires_at, ended_at) VALUES (:id, :host, :machine, :pid, :pid_started, :supervisor_pid, :supervisor_started, :queues, :concurrency, :state, :started_at, :renewed_at, :lease_expires_at, :ended_at)""",
        {'id': None, 'host': None, 'machine': None, 'pid': None, 'pid_started': None, 'supervisor_pid': None, 'supervisor_started': None, 'queues': 'texts', 'concurrency': None, 'state': 'worker state', 'started_at': 'moment', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'ended_at': 'moment'},
        {},
    ),
    ('sqlite', 'forget_workers', ()): (
        """DELETE FROM workers WHERE workers.ended_at < :before""",
        {'before': 'moment'},
        {},
    ),
    ('sqlite', 'worker', ()): (
        """SELECT workers.id
FROM workers
WHERE workers.id = :worker""",
        {'worker': None},
        {'id': None},
    ),
    ('sqlite', 'renew', ()): (
        """UPDATE workers SET state=:state, renewed_at=:renewed_at, lease_expires_at=:lease_expires_at WHERE workers.id = :of_worker AND workers.state IN ('running', 'stopping')""",
        {'state': 'worker state', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'of_worker': None},
        {},
    ),
    ('sqlite', 'live_workers', ()): (
        """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') ORDER BY workers.started_at, workers.id""",
        {},
        {'id': None, 'host': None, 'machine': None, 'pid': None, 'pid_started': None, 'supervisor_pid': None, 'supervisor_started': None, 'queues': 'texts', 'concurrency': None, 'state': 'worker state', 'started_at': 'moment', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'ended_at': 'moment', 'jobs': None},
    ),
    ('sqlite', 'suspects', ()): (
        """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') AND (workers.lease_expires_at <= :at OR workers.lease_expires_at > :beyond OR workers.machine = :machine) ORDER BY workers.started_at, workers.id""",
        {'at': 'moment', 'beyond': 'moment', 'machine': None},
        {'id': None, 'host': None, 'machine': None, 'pid': None, 'pid_started': None, 'supervisor_pid': None, 'supervisor_started': None, 'queues': 'texts', 'concurrency': None, 'state': 'worker state', 'started_at': 'moment', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'ended_at': 'moment', 'jobs': None},
    ),
    ('sqlite', 'ended_workers', ()): (
        """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE (workers.state NOT IN ('running', 'stopping')) AND workers.machine = :machine ORDER BY workers.started_at, workers.id""",
        {'machine': None},
        {'id': None, 'host': None, 'machine': None, 'pid': None, 'pid_started': None, 'supervisor_pid': None, 'supervisor_started': None, 'queues': 'texts', 'concurrency': None, 'state': 'worker state', 'started_at': 'moment', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'ended_at': 'moment', 'jobs': None},
    ),
    ('sqlite', 'settings', ()): (
        """SELECT config."key", config.value
FROM config""",
        {},
        {'key': None, 'value': None},
    ),
    ('sqlite', 'add_setting', ()): (
        """INSERT INTO config ("key", value) VALUES (:key, :value)""",
        {'key': None, 'value': None},
        {},
    ),
    ('sqlite', 'clear_setting', ()): (
        """DELETE FROM config WHERE config."key" = :of_key""",
        {'of_key': None},
        {},
    ),
    ('sqlite', 'counts', ()): (
        """SELECT jobs.state, count(*) AS count
FROM jobs GROUP BY jobs.state""",
        {},
        {'state': 'state', 'count': None},
    ),
    ('sqlite', 'due', ()): (
        """SELECT jobs.queue, count(*) AS count
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.run_at <= :at GROUP BY jobs.queue""",
        {'at': 'moment'},
        {'queue': None, 'count': None},
    ),
    ('sqlite', 'ended_since', ()): (
        """SELECT attempts.outcome, count(*) AS count, count(*) FILTER (WHERE attempts.number > 1) AS again, max(attempts.number) AS most
FROM attempts
WHERE attempts.finished_at >= :since GROUP BY attempts.outcome""",
        {'since': 'moment'},
        {'outcome': 'outcome', 'count': None, 'again': None, 'most': None},
    ),
    ('sqlite', 'died_since', ()): (
        """SELECT count(*) AS count
FROM attempts JOIN jobs ON attempts.job_id = jobs.id AND attempts.number = jobs.attempts
WHERE attempts.finished_at >= :since AND attempts.outcome IN ('failed', 'timeout', 'lost') AND jobs.state = 'dead'""",
        {'since': 'moment'},
        {'count': None},
    ),
    ('sqlite', 'spread', ('waited',)): (
        """SELECT latest.span
FROM (SELECT attempts.waited AS span
FROM attempts
WHERE attempts.finished_at >= :since AND attempts.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY attempts.finished_at DESC
 LIMIT :most + 0 OFFSET 0) AS latest ORDER BY latest.span
 LIMIT 1 OFFSET :rank""",
        {'since': 'moment', 'most': None, 'rank': None},
        {'span': 'span'},
    ),
    ('sqlite', 'spread', ('ran',)): (
        """SELECT latest.span
FROM (SELECT attempts.ran AS span
FROM attempts
WHERE attempts.finished_at >= :since AND attempts.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY attempts.finished_at DESC
 LIMIT :most + 0 OFFSET 0) AS latest ORDER BY latest.span
 LIMIT 1 OFFSET :rank""",
        {'since': 'moment', 'most': None, 'rank': None},
        {'span': 'span'},
    ),
    ('sqlite', 'tallies', ('worker',)): (
        """SELECT attempts.worker AS name, count(*) FILTER (WHERE attempts.outcome = 'succeeded') AS succeeded, count(*) FILTER (WHERE attempts.outcome IN ('failed', 'timeout')) AS failed, sum(attempts.ran) AS busy
FROM attempts
WHERE attempts.finished_at >= :since GROUP BY attempts.worker""",
        {'since': 'moment'},
        {'name': None, 'succeeded': None, 'failed': None, 'busy': 'span'},
    ),
    ('sqlite', 'tallies', ('queue',)): (
        """SELECT attempts.queue AS name, count(*) FILTER (WHERE attempts.outcome = 'succeeded') AS succeeded, count(*) FILTER (WHERE attempts.outcome IN ('failed', 'timeout')) AS failed, sum(attempts.ran) AS busy
FROM attempts
WHERE attempts.finished_at >= :since GROUP BY attempts.queue""",
        {'since': 'moment'},
        {'name': None, 'succeeded': None, 'failed': None, 'busy': 'span'},
    ),
    ('sqlite', 'places', ()): (
        """SELECT count(*) AS count, max(jobs.seq) AS last
FROM jobs""",
        {},
        {'count': None, 'last': None},
    ),
    ('sqlite', 'page_of_jobs', ()): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.seq > :after AND jobs.seq <= :up_to ORDER BY jobs.seq
 LIMIT :limit + 0 OFFSET 0""",
        {'after': None, 'up_to': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('sqlite', 'page_of_attempts', ()): (
        """SELECT attempts.job_id, attempts.number, attempts.queue, attempts.worker, attempts.host, attempts.lease_id, attempts.started_at, attempts.waited, attempts.finished_at, attempts.ran, attempts.outcome, attempts.exit_code, attempts.signal, attempts.error, attempts.late, attempts.output_truncated, attempts.output
FROM attempts JOIN (SELECT jobs.seq AS seq, jobs.id AS id
FROM jobs
WHERE jobs.seq > :after AND jobs.seq <= :up_to ORDER BY jobs.seq
 LIMIT :limit + 0 OFFSET 0) AS chosen ON chosen.id = attempts.job_id ORDER BY chosen.seq, attempts.number""",
        {'after': None, 'up_to': None, 'limit': None},
        {'job_id': None, 'number': None, 'queue': None, 'worker': None, 'host': None, 'lease_id': None, 'started_at': 'moment', 'waited': 'span', 'finished_at': 'moment', 'ran': 'span', 'outcome': 'outcome', 'exit_code': None, 'signal': None, 'error': None, 'late': 'outcome', 'output_truncated': 'flag', 'output': None},
    ),
    ('sqlite', 'job_at', ()): (
        """SELECT jobs.id
FROM jobs
WHERE jobs.seq = :seq""",
        {'seq': None},
        {'id': None},
    ),
    ('sqlite', 'copy', ('jobs',)): (
        """INSERT INTO jobs (seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect) VALUES (:seq, :id, :command, :queue, :priority, :max_retries, :timeout, :run_at, :created_at, :updated_at, :cwd, :env, :state, :attempts, :failures, :losses, :started_at, :finished_at, :worker, :lease_id, :exit_code, :last_error, :cancel_requested_at, :cancel_requested_by, :suspect)""",
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
        {},
    ),
    ('sqlite', 'copy', ('attempts',)): (
        """INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, finished_at, ran, outcome, exit_code, signal, error, late, output_truncated, output) VALUES (:job_id, :number, :queue, :worker, :host, :lease_id, :started_at, :waited, :finished_at, :ran, :outcome, :exit_code, :signal, :error, :late, :output_truncated, :output)""",
        {'job_id': None, 'number': None, 'queue': None, 'worker': None, 'host': None, 'lease_id': None, 'started_at': 'moment', 'waited': 'span', 'finished_at': 'moment', 'ran': 'span', 'outcome': 'outcome', 'exit_code': None, 'signal': None, 'error': None, 'late': 'outcome', 'output_truncated': 'flag', 'output': None},
        {},
    ),
    ('sqlite', 'all_live_workers', ()): (
        """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at
FROM workers
WHERE workers.state IN ('running', 'stopping')""",
        {},
        {'id': None, 'host': None, 'machine': None, 'pid': None, 'pid_started': None, 'supervisor_pid': None, 'supervisor_started': None, 'queues': 'texts', 'concurrency': None, 'state': 'worker state', 'started_at': 'moment', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'ended_at': 'moment'},
    ),
    ('sqlite', 'delete_workers', ()): (
        """DELETE FROM workers WHERE workers.id IN (SELECT listed.value
FROM json_each(:ids) AS listed)""",
        {'ids': 'texts'},
        {},
    ),
    ('sqlite', 'clear_settings', ()): (
        """DELETE FROM config""",
        {},
        {},
    ),
    ('postgresql', 'add_job', ()): (
        """INSERT INTO jobs (id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect) VALUES (%(id)s::VARCHAR, %(command)s::VARCHAR, %(queue)s::VARCHAR, %(priority)s::INTEGER, %(max_retries)s::INTEGER, %(timeout)s::BIGINT, %(run_at)s::BIGINT, %(created_at)s::BIGINT, %(updated_at)s::BIGINT, %(cwd)s::VARCHAR, %(env)s::VARCHAR, %(state)s::VARCHAR, %(attempts)s::INTEGER, %(failures)s::INTEGER, %(losses)s::INTEGER, %(started_at)s::BIGINT, %(finished_at)s::BIGINT, %(exit_code)s::INTEGER, %(last_error)s::VARCHAR, %(cancel_requested_at)s::BIGINT, %(cancel_requested_by)s::VARCHAR, %(suspect)s)""",
        {'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
        {},
    ),
    ('postgresql', 'job', ()): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = %(job_id)s::VARCHAR""",
        {'job_id': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'job_to_change', ()): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = %(job_id)s::VARCHAR FOR UPDATE""",
        {'job_id': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'store_job', ()): (
        """UPDATE jobs SET run_at=%(run_at)s::BIGINT, updated_at=%(updated_at)s::BIGINT, state=%(state)s::VARCHAR, attempts=%(attempts)s::INTEGER, failures=%(failures)s::INTEGER, losses=%(losses)s::INTEGER, started_at=%(started_at)s::BIGINT, finished_at=%(finished_at)s::BIGINT, worker=%(worker)s::VARCHAR, lease_id=%(lease_id)s::VARCHAR, exit_code=%(exit_code)s::INTEGER, last_error=%(last_error)s::VARCHAR, cancel_requested_at=%(cancel_requested_at)s::BIGINT, cancel_requested_by=%(cancel_requested_by)s::VARCHAR, suspect=%(suspect)s WHERE jobs.id = %(job_id)s::VARCHAR""",
        {'run_at': 'moment', 'updated_at': 'moment', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'job_id': None},
        {},
    ),
    ('postgresql', 'delete_job', ()): (
        """DELETE FROM jobs WHERE jobs.id = %(job_id)s::VARCHAR""",
        {'job_id': None},
        {},
    ),
    ('postgresql', 'delete_jobs', ()): (
        """DELETE FROM jobs WHERE jobs.seq IN (SELECT CAST(listed.value AS BIGINT) AS value
FROM unnest(ARRAY(SELECT jsonb_array_elements_text(%(seqs)s::JSONB))) AS listed(value))""",
        {'seqs': 'texts'},
        {},
    ),
    ('postgresql', 'set_aside', ()): (
        """UPDATE jobs SET updated_at=%(at)s::BIGINT, state='dead', attempts=(jobs.attempts - %(not_started)s::INTEGER), finished_at=%(at)s::BIGINT, worker=NULL, lease_id=NULL, last_error=%(reason)s::VARCHAR WHERE jobs.seq = %(of_seq)s::BIGINT""",
        {'at': 'moment', 'not_started': None, 'reason': None, 'of_seq': None},
        {},
    ),
    ('postgresql', 'taken', ()): (
        """SELECT jobs.id
FROM jobs
WHERE jobs.id IN (SELECT listed.value
FROM unnest(ARRAY(SELECT jsonb_array_elements_text(%(ids)s::JSONB))) AS listed(value))""",
        {'ids': 'texts'},
        {'id': None},
    ),
    ('postgresql', 'search', (0, 0, False)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs ORDER BY jobs.seq DESC
 LIMIT %(limit)s::BIGINT + 0""",
        {'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'search', (0, 1, False)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.seq DESC
 LIMIT %(limit)s::BIGINT + 0""",
        {'queue_0': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'search', (1, 0, False)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = %(state_0)s::VARCHAR ORDER BY jobs.seq DESC
 LIMIT %(limit)s::BIGINT + 0""",
        {'state_0': 'state', 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'search', (1, 1, False)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = %(state_0)s::VARCHAR AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.seq DESC
 LIMIT %(limit)s::BIGINT + 0""",
        {'state_0': 'state', 'queue_0': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'search', (1, 0, True)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = %(state_0)s::VARCHAR ORDER BY jobs.finished_at DESC, jobs.seq DESC
 LIMIT %(limit)s::BIGINT + 0""",
        {'state_0': 'state', 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'search', (1, 1, True)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = %(state_0)s::VARCHAR AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.finished_at DESC, jobs.seq DESC
 LIMIT %(limit)s::BIGINT + 0""",
        {'state_0': 'state', 'queue_0': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'oldest', ('dead',)): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = 'dead' AND jobs.updated_at <= %(until)s::BIGINT ORDER BY jobs.seq
 LIMIT %(limit)s::BIGINT + 0 FOR UPDATE""",
        {'until': 'moment', 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'claim', (0, False, False)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p1_0) AS due
 LIMIT %(limit)s::BIGINT + 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = %(by_worker)s::VARCHAR AND workers.state = 'running' AND workers.lease_expires_at > %(now)s::BIGINT FOR KEY SHARE)
 UPDATE jobs SET updated_at=%(now)s::BIGINT, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=%(now)s::BIGINT, finished_at=NULL, worker=%(by_worker)s::VARCHAR, lease_id=%(by_lease)s::VARCHAR WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, (SELECT CAST(json_object_agg(config.key, CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('postgresql', 'claim', (0, False, True)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= %(now)s::BIGINT ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= %(now)s::BIGINT ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= %(now)s::BIGINT ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= %(now)s::BIGINT ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= %(now)s::BIGINT ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= %(now)s::BIGINT ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= %(now)s::BIGINT ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= %(now)s::BIGINT ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= %(now)s::BIGINT ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= %(now)s::BIGINT ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p1_0) AS due
 LIMIT %(limit)s::BIGINT + 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = %(by_worker)s::VARCHAR AND workers.state = 'running' AND workers.lease_expires_at > %(now)s::BIGINT FOR KEY SHARE)
 UPDATE jobs SET updated_at=%(now)s::BIGINT, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=%(now)s::BIGINT, finished_at=NULL, worker=%(by_worker)s::VARCHAR, lease_id=%(by_lease)s::VARCHAR WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, (SELECT CAST(json_object_agg(config.key, CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('postgresql', 'claim', (0, True, False)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_10)s::BIGINT, %(seq_10)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_9)s::BIGINT, %(seq_9)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_8)s::BIGINT, %(seq_8)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_7)s::BIGINT, %(seq_7)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_6)s::BIGINT, %(seq_6)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_5)s::BIGINT, %(seq_5)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_4)s::BIGINT, %(seq_4)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_3)s::BIGINT, %(seq_3)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_2)s::BIGINT, %(seq_2)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_1)s::BIGINT, %(seq_1)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p1_0) AS due
 LIMIT %(limit)s::BIGINT + 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = %(by_worker)s::VARCHAR AND workers.state = 'running' AND workers.lease_expires_at > %(now)s::BIGINT FOR KEY SHARE)
 UPDATE jobs SET updated_at=%(now)s::BIGINT, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=%(now)s::BIGINT, finished_at=NULL, worker=%(by_worker)s::VARCHAR, lease_id=%(by_lease)s::VARCHAR WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, (SELECT CAST(json_object_agg(config.key, CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'run_at_10': 'moment', 'seq_10': None, 'run_at_9': 'moment', 'seq_9': None, 'run_at_8': 'moment', 'seq_8': None, 'run_at_7': 'moment', 'seq_7': None, 'run_at_6': 'moment', 'seq_6': None, 'run_at_5': 'moment', 'seq_5': None, 'run_at_4': 'moment', 'seq_4': None, 'run_at_3': 'moment', 'seq_3': None, 'run_at_2': 'moment', 'seq_2': None, 'run_at_1': 'moment', 'seq_1': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('postgresql', 'claim', (0, True, True)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_10)s::BIGINT, %(seq_10)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_9)s::BIGINT, %(seq_9)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_8)s::BIGINT, %(seq_8)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_7)s::BIGINT, %(seq_7)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_6)s::BIGINT, %(seq_6)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_5)s::BIGINT, %(seq_5)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_4)s::BIGINT, %(seq_4)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_3)s::BIGINT, %(seq_3)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_2)s::BIGINT, %(seq_2)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_1)s::BIGINT, %(seq_1)s::BIGINT) ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p1_0) AS due
 LIMIT %(limit)s::BIGINT + 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = %(by_worker)s::VARCHAR AND workers.state = 'running' AND workers.lease_expires_at > %(now)s::BIGINT FOR KEY SHARE)
 UPDATE jobs SET updated_at=%(now)s::BIGINT, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=%(now)s::BIGINT, finished_at=NULL, worker=%(by_worker)s::VARCHAR, lease_id=%(by_lease)s::VARCHAR WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, (SELECT CAST(json_object_agg(config.key, CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'run_at_10': 'moment', 'seq_10': None, 'run_at_9': 'moment', 'seq_9': None, 'run_at_8': 'moment', 'seq_8': None, 'run_at_7': 'moment', 'seq_7': None, 'run_at_6': 'moment', 'seq_6': None, 'run_at_5': 'moment', 'seq_5': None, 'run_at_4': 'moment', 'seq_4': None, 'run_at_3': 'moment', 'seq_3': None, 'run_at_2': 'moment', 'seq_2': None, 'run_at_1': 'moment', 'seq_1': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('postgresql', 'claim', (1, False, False)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p1_0) AS due
 LIMIT %(limit)s::BIGINT + 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = %(by_worker)s::VARCHAR AND workers.state = 'running' AND workers.lease_expires_at > %(now)s::BIGINT FOR KEY SHARE)
 UPDATE jobs SET updated_at=%(now)s::BIGINT, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=%(now)s::BIGINT, finished_at=NULL, worker=%(by_worker)s::VARCHAR, lease_id=%(by_lease)s::VARCHAR WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, (SELECT CAST(json_object_agg(config.key, CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'queue_0': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('postgresql', 'claim', (1, False, True)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= %(now)s::BIGINT AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= %(now)s::BIGINT AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= %(now)s::BIGINT AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= %(now)s::BIGINT AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= %(now)s::BIGINT AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= %(now)s::BIGINT AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= %(now)s::BIGINT AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= %(now)s::BIGINT AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= %(now)s::BIGINT AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= %(now)s::BIGINT AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p1_0) AS due
 LIMIT %(limit)s::BIGINT + 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = %(by_worker)s::VARCHAR AND workers.state = 'running' AND workers.lease_expires_at > %(now)s::BIGINT FOR KEY SHARE)
 UPDATE jobs SET updated_at=%(now)s::BIGINT, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=%(now)s::BIGINT, finished_at=NULL, worker=%(by_worker)s::VARCHAR, lease_id=%(by_lease)s::VARCHAR WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, (SELECT CAST(json_object_agg(config.key, CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'queue_0': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('postgresql', 'claim', (1, True, False)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_10)s::BIGINT, %(seq_10)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_9)s::BIGINT, %(seq_9)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_8)s::BIGINT, %(seq_8)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_7)s::BIGINT, %(seq_7)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_6)s::BIGINT, %(seq_6)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_5)s::BIGINT, %(seq_5)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_4)s::BIGINT, %(seq_4)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_3)s::BIGINT, %(seq_3)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_2)s::BIGINT, %(seq_2)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= %(now)s::BIGINT AND NOT jobs.suspect AND (jobs.run_at, jobs.seq) >= (%(run_at_1)s::BIGINT, %(seq_1)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p1_0) AS due
 LIMIT %(limit)s::BIGINT + 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = %(by_worker)s::VARCHAR AND workers.state = 'running' AND workers.lease_expires_at > %(now)s::BIGINT FOR KEY SHARE)
 UPDATE jobs SET updated_at=%(now)s::BIGINT, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=%(now)s::BIGINT, finished_at=NULL, worker=%(by_worker)s::VARCHAR, lease_id=%(by_lease)s::VARCHAR WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, (SELECT CAST(json_object_agg(config.key, CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'run_at_10': 'moment', 'seq_10': None, 'queue_0': None, 'run_at_9': 'moment', 'seq_9': None, 'run_at_8': 'moment', 'seq_8': None, 'run_at_7': 'moment', 'seq_7': None, 'run_at_6': 'moment', 'seq_6': None, 'run_at_5': 'moment', 'seq_5': None, 'run_at_4': 'moment', 'seq_4': None, 'run_at_3': 'moment', 'seq_3': None, 'run_at_2': 'moment', 'seq_2': None, 'run_at_1': 'moment', 'seq_1': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('postgresql', 'claim', (1, True, True)): (
        """WITH claimed AS
(SELECT due.seq AS seq
FROM (SELECT p10_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_10)s::BIGINT, %(seq_10)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p10_0 UNION ALL SELECT p9_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_9)s::BIGINT, %(seq_9)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p9_0 UNION ALL SELECT p8_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_8)s::BIGINT, %(seq_8)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p8_0 UNION ALL SELECT p7_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_7)s::BIGINT, %(seq_7)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p7_0 UNION ALL SELECT p6_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_6)s::BIGINT, %(seq_6)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p6_0 UNION ALL SELECT p5_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_5)s::BIGINT, %(seq_5)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p5_0 UNION ALL SELECT p4_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_4)s::BIGINT, %(seq_4)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p4_0 UNION ALL SELECT p3_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_3)s::BIGINT, %(seq_3)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p3_0 UNION ALL SELECT p2_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_2)s::BIGINT, %(seq_2)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p2_0 UNION ALL SELECT p1_0.seq AS seq
FROM (SELECT jobs.seq AS seq, jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND jobs.run_at <= %(now)s::BIGINT AND (jobs.run_at, jobs.seq) >= (%(run_at_1)s::BIGINT, %(seq_1)s::BIGINT) AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at, jobs.seq
 LIMIT 24 FOR UPDATE SKIP LOCKED) AS p1_0) AS due
 LIMIT %(limit)s::BIGINT + 0),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = %(by_worker)s::VARCHAR AND workers.state = 'running' AND workers.lease_expires_at > %(now)s::BIGINT FOR KEY SHARE)
 UPDATE jobs SET updated_at=%(now)s::BIGINT, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=%(now)s::BIGINT, finished_at=NULL, worker=%(by_worker)s::VARCHAR, lease_id=%(by_lease)s::VARCHAR WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, (SELECT CAST(json_object_agg(config.key, CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'run_at_10': 'moment', 'seq_10': None, 'queue_0': None, 'run_at_9': 'moment', 'seq_9': None, 'run_at_8': 'moment', 'seq_8': None, 'run_at_7': 'moment', 'seq_7': None, 'run_at_6': 'moment', 'seq_6': None, 'run_at_5': 'moment', 'seq_5': None, 'run_at_4': 'moment', 'seq_4': None, 'run_at_3': 'moment', 'seq_3': None, 'run_at_2': 'moment', 'seq_2': None, 'run_at_1': 'moment', 'seq_1': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('postgresql', 'claim_suspects', (0,)): (
        """WITH claimed AS
(SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.suspect AND jobs.worker IS NULL AND jobs.run_at <= %(now)s::BIGINT ORDER BY jobs.priority DESC, jobs.run_at, jobs.seq
 LIMIT %(limit)s::BIGINT + 0 FOR UPDATE SKIP LOCKED),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = %(by_worker)s::VARCHAR AND workers.state = 'running' AND workers.lease_expires_at > %(now)s::BIGINT FOR KEY SHARE)
 UPDATE jobs SET updated_at=%(now)s::BIGINT, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=%(now)s::BIGINT, finished_at=NULL, worker=%(by_worker)s::VARCHAR, lease_id=%(by_lease)s::VARCHAR WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, (SELECT CAST(json_object_agg(config.key, CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('postgresql', 'claim_suspects', (1,)): (
        """WITH claimed AS
(SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.suspect AND jobs.worker IS NULL AND jobs.run_at <= %(now)s::BIGINT AND jobs.queue IN (%(queue_0)s::VARCHAR) ORDER BY jobs.priority DESC, jobs.run_at, jobs.seq
 LIMIT %(limit)s::BIGINT + 0 FOR UPDATE SKIP LOCKED),
owner AS
(SELECT workers.id AS id
FROM workers
WHERE workers.id = %(by_worker)s::VARCHAR AND workers.state = 'running' AND workers.lease_expires_at > %(now)s::BIGINT FOR KEY SHARE)
 UPDATE jobs SET updated_at=%(now)s::BIGINT, state='processing', attempts=CASE WHEN (jobs.attempts < 2147483647) THEN jobs.attempts + 1 ELSE jobs.attempts END, started_at=%(now)s::BIGINT, finished_at=NULL, worker=%(by_worker)s::VARCHAR, lease_id=%(by_lease)s::VARCHAR WHERE jobs.seq IN (SELECT claimed.seq
FROM claimed) AND (EXISTS (SELECT owner.id
FROM owner)) RETURNING jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, (SELECT CAST(json_object_agg(config.key, CAST(config.value AS TEXT)) AS TEXT) AS json_object_agg_1
FROM config) AS settings""",
        {'now': 'moment', 'by_worker': None, 'by_lease': None, 'queue_0': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag', 'settings': 'text map'},
    ),
    ('postgresql', 'first_due', (0,)): (
        """SELECT min(earliest.run_at) AS run_at, (SELECT min(jobs.run_at) AS min_1
FROM jobs
WHERE jobs.suspect AND jobs.worker IS NULL) AS suspect_run_at
FROM (SELECT n10_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1) AS n10_0 UNION ALL SELECT n9_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1) AS n9_0 UNION ALL SELECT n8_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1) AS n8_0 UNION ALL SELECT n7_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1) AS n7_0 UNION ALL SELECT n6_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1) AS n6_0 UNION ALL SELECT n5_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1) AS n5_0 UNION ALL SELECT n4_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1) AS n4_0 UNION ALL SELECT n3_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1) AS n3_0 UNION ALL SELECT n2_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1) AS n2_0 UNION ALL SELECT n1_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND NOT jobs.suspect ORDER BY jobs.run_at
 LIMIT 1) AS n1_0) AS earliest""",
        {},
        {'run_at': 'moment', 'suspect_run_at': 'moment'},
    ),
    ('postgresql', 'first_due', (1,)): (
        """SELECT min(earliest.run_at) AS run_at, (SELECT min(jobs.run_at) AS min_1
FROM jobs
WHERE jobs.suspect AND jobs.worker IS NULL AND jobs.queue IN (%(queue_0)s::VARCHAR)) AS suspect_run_at
FROM (SELECT n10_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 10 AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at
 LIMIT 1) AS n10_0 UNION ALL SELECT n9_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 9 AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at
 LIMIT 1) AS n9_0 UNION ALL SELECT n8_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 8 AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at
 LIMIT 1) AS n8_0 UNION ALL SELECT n7_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 7 AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at
 LIMIT 1) AS n7_0 UNION ALL SELECT n6_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 6 AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at
 LIMIT 1) AS n6_0 UNION ALL SELECT n5_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 5 AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at
 LIMIT 1) AS n5_0 UNION ALL SELECT n4_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 4 AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at
 LIMIT 1) AS n4_0 UNION ALL SELECT n3_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 3 AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at
 LIMIT 1) AS n3_0 UNION ALL SELECT n2_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 2 AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at
 LIMIT 1) AS n2_0 UNION ALL SELECT n1_0.run_at AS run_at
FROM (SELECT jobs.run_at AS run_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 1 AND NOT jobs.suspect AND jobs.queue = %(queue_0)s::VARCHAR ORDER BY jobs.run_at
 LIMIT 1) AS n1_0) AS earliest""",
        {'queue_0': None},
        {'run_at': 'moment', 'suspect_run_at': 'moment'},
    ),
    ('postgresql', 'start_attempts', ()): (
        """INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, output_truncated) SELECT jobs.id, jobs.attempts, jobs.queue, jobs.worker, (SELECT workers.host
FROM workers
WHERE workers.id = jobs.worker) AS anon_1, jobs.lease_id, jobs.started_at, jobs.started_at - jobs.run_at AS anon_2, False AS anon_3
FROM jobs
WHERE jobs.id IN (SELECT listed.value
FROM unnest(ARRAY(SELECT jsonb_array_elements_text(%(ids)s::JSONB))) AS listed(value)) AND NOT (EXISTS (SELECT *
FROM attempts
WHERE attempts.job_id = jobs.id AND attempts.number = jobs.attempts))""",
        {'ids': 'texts'},
        {},
    ),
    ('postgresql', 'held', ()): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.worker = %(worker)s::VARCHAR AND jobs.state = 'processing' ORDER BY jobs.seq""",
        {'worker': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'asked_to_cancel', ()): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id IN (SELECT listed.value
FROM unnest(ARRAY(SELECT jsonb_array_elements_text(%(ids)s::JSONB))) AS listed(value)) AND jobs.cancel_requested_at IS NOT NULL""",
        {'ids': 'texts'},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'store_settled', ()): (
        """UPDATE jobs SET run_at=CAST(given.value ->> 3 AS BIGINT), updated_at=CAST(given.value ->> 4 AS BIGINT), state=CAST(given.value ->> 2 AS TEXT), failures=CAST(given.value ->> 5 AS INTEGER), losses=CAST(given.value ->> 6 AS INTEGER), finished_at=CAST(given.value ->> 7 AS BIGINT), worker=NULL, lease_id=NULL, exit_code=CAST(given.value ->> 8 AS INTEGER), last_error=CAST(given.value ->> 9 AS TEXT), suspect=CAST(given.value ->> 10 AS BOOLEAN) FROM unnest(ARRAY(SELECT jsonb_array_elements(%(rows)s::JSONB))) AS given(value) WHERE jobs.id = CAST(given.value ->> 0 AS TEXT) AND jobs.lease_id = CAST(given.value ->> 1 AS TEXT) RETURNING jobs.id, jobs.cancel_requested_at, jobs.cancel_requested_by""",
        {'rows': None},
        {'id': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None},
    ),
    ('postgresql', 'end_attempt', ()): (
        """UPDATE attempts SET finished_at=%(finished_at)s::BIGINT, ran=%(ran)s::BIGINT, outcome=%(outcome)s::VARCHAR, exit_code=%(exit_code)s::INTEGER, signal=%(signal)s::INTEGER, error=%(error)s::VARCHAR, output_truncated=%(output_truncated)s, output=%(output)s WHERE attempts.job_id = %(of_job)s::VARCHAR AND attempts.number = %(attempt)s::INTEGER AND attempts.outcome IS NULL""",
        {'finished_at': 'moment', 'ran': 'span', 'outcome': 'outcome', 'exit_code': None, 'signal': None, 'error': None, 'output_truncated': 'flag', 'output': None, 'of_job': None, 'attempt': None},
        {},
    ),
    ('postgresql', 'own_attempt', ()): (
        """SELECT attempts.outcome, attempts.finished_at, attempts.output
FROM attempts
WHERE attempts.job_id = %(of_job)s::VARCHAR AND attempts.number = %(attempt)s::INTEGER AND attempts.lease_id = %(held_lease)s::VARCHAR FOR UPDATE""",
        {'of_job': None, 'attempt': None, 'held_lease': None},
        {'outcome': 'outcome', 'finished_at': 'moment', 'output': None},
    ),
    ('postgresql', 'keep_late', ()): (
        """UPDATE attempts SET late=%(late)s::VARCHAR WHERE attempts.job_id = %(of_job)s::VARCHAR AND attempts.number = %(attempt)s::INTEGER AND attempts.lease_id = %(held_lease)s::VARCHAR""",
        {'late': 'outcome', 'of_job': None, 'attempt': None, 'held_lease': None},
        {},
    ),
    ('postgresql', 'keep_late_output', ()): (
        """UPDATE attempts SET output_truncated=%(output_truncated)s, output=%(output)s WHERE attempts.job_id = %(of_job)s::VARCHAR AND attempts.number = %(attempt)s::INTEGER AND attempts.lease_id = %(held_lease)s::VARCHAR""",
        {'output_truncated': 'flag', 'output': None, 'of_job': None, 'attempt': None, 'held_lease': None},
        {},
    ),
    ('postgresql', 'worker_to_rescue', ()): (
        """SELECT workers.lease_expires_at, workers.renewed_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.id = %(worker)s::VARCHAR AND workers.state IN ('running', 'stopping') FOR UPDATE SKIP LOCKED""",
        {'worker': None},
        {'lease_expires_at': 'moment', 'renewed_at': 'moment', 'jobs': None},
    ),
    ('postgresql', 'held_to_rescue', ()): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.worker = %(worker)s::VARCHAR AND jobs.state = 'processing' ORDER BY jobs.seq FOR UPDATE SKIP LOCKED""",
        {'worker': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'lost_by', ()): (
        """SELECT attempts.job_id
FROM attempts
WHERE attempts.finished_at >= %(since)s::BIGINT AND attempts.worker = %(worker)s::VARCHAR AND attempts.outcome = 'lost'
 LIMIT 1""",
        {'since': 'moment', 'worker': None},
        {'job_id': None},
    ),
    ('postgresql', 'end_worker', ()): (
        """UPDATE workers SET state=%(end_state)s::VARCHAR, ended_at=%(ended_at)s::BIGINT WHERE workers.id = %(of_worker)s::VARCHAR AND workers.state IN ('running', 'stopping') AND NOT (EXISTS (SELECT *
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing'))""",
        {'end_state': 'worker state', 'ended_at': 'moment', 'of_worker': None},
        {},
    ),
    ('postgresql', 'attempts_of', ()): (
        """SELECT attempts.job_id, attempts.number, attempts.queue, attempts.worker, attempts.host, attempts.lease_id, attempts.started_at, attempts.waited, attempts.finished_at, attempts.ran, attempts.outcome, attempts.exit_code, attempts.signal, attempts.error, attempts.late, attempts.output_truncated, attempts.output
FROM attempts
WHERE attempts.job_id = %(of_job)s::VARCHAR ORDER BY attempts.number""",
        {'of_job': None},
        {'job_id': None, 'number': None, 'queue': None, 'worker': None, 'host': None, 'lease_id': None, 'started_at': 'moment', 'waited': 'span', 'finished_at': 'moment', 'ran': 'span', 'outcome': 'outcome', 'exit_code': None, 'signal': None, 'error': None, 'late': 'outcome', 'output_truncated': 'flag', 'output': None},
    ),
    ('postgresql', 'last_outputs', ()): (
        """SELECT attempts.job_id, attempts.output
FROM attempts
WHERE attempts.job_id IN (SELECT listed.value
FROM unnest(ARRAY(SELECT jsonb_array_elements_text(%(ids)s::JSONB))) AS listed(value)) AND attempts.number = (SELECT max(ended.number) AS max_1
FROM attempts AS ended
WHERE ended.job_id = attempts.job_id AND ended.outcome IS NOT NULL)""",
        {'ids': 'texts'},
        {'job_id': None, 'output': None},
    ),
    ('postgresql', 'add_worker', ()): (
        """INSERT INTO workers (id, host, machine, pid, pid_started, supervisor_pid, supervisor_started, queues, concurrency, state, started_at, renewed_at, lease_expires_at, ended_at) VALUES (%(id)s::VARCHAR, %(host)s::VARCHAR, %(machine)s::VARCHAR, %(pid)s::INTEGER, %(pid_started)s::BIGINT, %(supervisor_pid)s::INTEGER, %(supervisor_started)s::BIGINT, %(queues)s::VARCHAR, %(concurrency)s::INTEGER, %(state)s::VARCHAR, %(started_at)s::BIGINT, %(renewed_at)s::BIGINT, %(lease_expires_at)s::BIGINT, %(ended_at)s::BIGINT)""",
        {'id': None, 'host': None, 'machine': None, 'pid': None, 'pid_started': None, 'supervisor_pid': None, 'supervisor_started': None, 'queues': 'texts', 'concurrency': None, 'state': 'worker state', 'started_at': 'moment', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'ended_at': 'moment'},
        {},
    ),
    ('postgresql', 'forget_workers', ()): (
        """DELETE FROM workers WHERE workers.ended_at < %(before)s::BIGINT""",
        {'before': 'moment'},
        {},
    ),
    ('postgresql', 'worker', ()): (
        """SELECT workers.id
FROM workers
WHERE workers.id = %(worker)s::VARCHAR""",
        {'worker': None},
        {'id': None},
    ),
    ('postgresql', 'renew', ()): (
        """UPDATE workers SET state=%(state)s::VARCHAR, renewed_at=%(renewed_at)s::BIGINT, lease_expires_at=%(lease_expires_at)s::BIGINT WHERE workers.id = %(of_worker)s::VARCHAR AND workers.state IN ('running', 'stopping')""",
        {'state': 'worker state', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'of_worker': None},
        {},
    ),
    ('postgresql', 'live_workers', ()): (
        """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') ORDER BY workers.started_at, workers.id""",
        {},
        {'id': None, 'host': None, 'machine': None, 'pid': None, 'pid_started': None, 'supervisor_pid': None, 'supervisor_started': None, 'queues': 'texts', 'concurrency': None, 'state': 'worker state', 'started_at': 'moment', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'ended_at': 'moment', 'jobs': None},
    ),
    ('postgresql', 'suspects', ()): (
        """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') AND (workers.lease_expires_at <= %(at)s::BIGINT OR workers.lease_expires_at > %(beyond)s::BIGINT OR workers.machine = %(machine)s::VARCHAR) ORDER BY workers.started_at, workers.id""",
        {'at': 'moment', 'beyond': 'moment', 'machine': None},
        {'id': None, 'host': None, 'machine': None, 'pid': None, 'pid_started': None, 'supervisor_pid': None, 'supervisor_started': None, 'queues': 'texts', 'concurrency': None, 'state': 'worker state', 'started_at': 'moment', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'ended_at': 'moment', 'jobs': None},
    ),
    ('postgresql', 'ended_workers', ()): (
        """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE (workers.state NOT IN ('running', 'stopping')) AND workers.machine = %(machine)s::VARCHAR ORDER BY workers.started_at, workers.id""",
        {'machine': None},
        {'id': None, 'host': None, 'machine': None, 'pid': None, 'pid_started': None, 'supervisor_pid': None, 'supervisor_started': None, 'queues': 'texts', 'concurrency': None, 'state': 'worker state', 'started_at': 'moment', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'ended_at': 'moment', 'jobs': None},
    ),
    ('postgresql', 'settings', ()): (
        """SELECT config.key, config.value
FROM config""",
        {},
        {'key': None, 'value': None},
    ),
    ('postgresql', 'add_setting', ()): (
        """INSERT INTO config (key, value) VALUES (%(key)s::VARCHAR, %(value)s::VARCHAR)""",
        {'key': None, 'value': None},
        {},
    ),
    ('postgresql', 'clear_setting', ()): (
        """DELETE FROM config WHERE config.key = %(of_key)s::VARCHAR""",
        {'of_key': None},
        {},
    ),
    ('postgresql', 'counts', ()): (
        """SELECT jobs.state, count(*) AS count
FROM jobs GROUP BY jobs.state""",
        {},
        {'state': 'state', 'count': None},
    ),
    ('postgresql', 'due', ()): (
        """SELECT jobs.queue, count(*) AS count
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.run_at <= %(at)s::BIGINT GROUP BY jobs.queue""",
        {'at': 'moment'},
        {'queue': None, 'count': None},
    ),
    ('postgresql', 'ended_since', ()): (
        """SELECT attempts.outcome, count(*) AS count, count(*) FILTER (WHERE attempts.number > 1) AS again, max(attempts.number) AS most
FROM attempts
WHERE attempts.finished_at >= %(since)s::BIGINT GROUP BY attempts.outcome""",
        {'since': 'moment'},
        {'outcome': 'outcome', 'count': None, 'again': None, 'most': None},
    ),
    ('postgresql', 'died_since', ()): (
        """SELECT count(*) AS count
FROM attempts JOIN jobs ON attempts.job_id = jobs.id AND attempts.number = jobs.attempts
WHERE attempts.finished_at >= %(since)s::BIGINT AND attempts.outcome IN ('failed', 'timeout', 'lost') AND jobs.state = 'dead'""",
        {'since': 'moment'},
        {'count': None},
    ),
    ('postgresql', 'spread', ('waited',)): (
        """SELECT latest.span
FROM (SELECT attempts.waited AS span
FROM attempts
WHERE attempts.finished_at >= %(since)s::BIGINT AND attempts.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY attempts.finished_at DESC
 LIMIT %(most)s::BIGINT + 0) AS latest ORDER BY latest.span
 LIMIT 1 OFFSET %(rank)s::BIGINT""",
        {'since': 'moment', 'most': None, 'rank': None},
        {'span': 'span'},
    ),
    ('postgresql', 'spread', ('ran',)): (
        """SELECT latest.span
FROM (SELECT attempts.ran AS span
FROM attempts
WHERE attempts.finished_at >= %(since)s::BIGINT AND attempts.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY attempts.finished_at DESC
 LIMIT %(most)s::BIGINT + 0) AS latest ORDER BY latest.span
 LIMIT 1 OFFSET %(rank)s::BIGINT""",
        {'since': 'moment', 'most': None, 'rank': None},
        {'span': 'span'},
    ),
    ('postgresql', 'tallies', ('worker',)): (
        """SELECT attempts.worker AS name, count(*) FILTER (WHERE attempts.outcome = 'succeeded') AS succeeded, count(*) FILTER (WHERE attempts.outcome IN ('failed', 'timeout')) AS failed, sum(attempts.ran) AS busy
FROM attempts
WHERE attempts.finished_at >= %(since)s::BIGINT GROUP BY attempts.worker""",
        {'since': 'moment'},
        {'name': None, 'succeeded': None, 'failed': None, 'busy': 'span'},
    ),
    ('postgresql', 'tallies', ('queue',)): (
        """SELECT attempts.queue AS name, count(*) FILTER (WHERE attempts.outcome = 'succeeded') AS succeeded, count(*) FILTER (WHERE attempts.outcome IN ('failed', 'timeout')) AS failed, sum(attempts.ran) AS busy
FROM attempts
WHERE attempts.finished_at >= %(since)s::BIGINT GROUP BY attempts.queue""",
        {'since': 'moment'},
        {'name': None, 'succeeded': None, 'failed': None, 'busy': 'span'},
    ),
    ('postgresql', 'places', ()): (
        """SELECT count(*) AS count, max(jobs.seq) AS last
FROM jobs""",
        {},
        {'count': None, 'last': None},
    ),
    ('postgresql', 'page_of_jobs', ()): (
        """SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at, jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses, jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error, jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.seq > %(after)s::BIGINT AND jobs.seq <= %(up_to)s::BIGINT ORDER BY jobs.seq
 LIMIT %(limit)s::BIGINT + 0""",
        {'after': None, 'up_to': None, 'limit': None},
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
    ),
    ('postgresql', 'page_of_attempts', ()): (
        """SELECT attempts.job_id, attempts.number, attempts.queue, attempts.worker, attempts.host, attempts.lease_id, attempts.started_at, attempts.waited, attempts.finished_at, attempts.ran, attempts.outcome, attempts.exit_code, attempts.signal, attempts.error, attempts.late, attempts.output_truncated, attempts.output
FROM attempts JOIN (SELECT jobs.seq AS seq, jobs.id AS id
FROM jobs
WHERE jobs.seq > %(after)s::BIGINT AND jobs.seq <= %(up_to)s::BIGINT ORDER BY jobs.seq
 LIMIT %(limit)s::BIGINT + 0) AS chosen ON chosen.id = attempts.job_id ORDER BY chosen.seq, attempts.number""",
        {'after': None, 'up_to': None, 'limit': None},
        {'job_id': None, 'number': None, 'queue': None, 'worker': None, 'host': None, 'lease_id': None, 'started_at': 'moment', 'waited': 'span', 'finished_at': 'moment', 'ran': 'span', 'outcome': 'outcome', 'exit_code': None, 'signal': None, 'error': None, 'late': 'outcome', 'output_truncated': 'flag', 'output': None},
    ),
    ('postgresql', 'job_at', ()): (
        """SELECT jobs.id
FROM jobs
WHERE jobs.seq = %(seq)s::BIGINT""",
        {'seq': None},
        {'id': None},
    ),
    ('postgresql', 'copy', ('jobs',)): (
        """INSERT INTO jobs (seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at, cancel_requested_by, suspect) VALUES (%(seq)s::BIGINT, %(id)s::VARCHAR, %(command)s::VARCHAR, %(queue)s::VARCHAR, %(priority)s::INTEGER, %(max_retries)s::INTEGER, %(timeout)s::BIGINT, %(run_at)s::BIGINT, %(created_at)s::BIGINT, %(updated_at)s::BIGINT, %(cwd)s::VARCHAR, %(env)s::VARCHAR, %(state)s::VARCHAR, %(attempts)s::INTEGER, %(failures)s::INTEGER, %(losses)s::INTEGER, %(started_at)s::BIGINT, %(finished_at)s::BIGINT, %(worker)s::VARCHAR, %(lease_id)s::VARCHAR, %(exit_code)s::INTEGER, %(last_error)s::VARCHAR, %(cancel_requested_at)s::BIGINT, %(cancel_requested_by)s::VARCHAR, %(suspect)s)""",
        {'seq': None, 'id': None, 'command': 'command', 'queue': None, 'priority': None, 'max_retries': None, 'timeout': 'span', 'run_at': 'moment', 'created_at': 'moment', 'updated_at': 'moment', 'cwd': 'path', 'env': 'text map', 'state': 'state', 'attempts': None, 'failures': None, 'losses': None, 'started_at': 'moment', 'finished_at': 'moment', 'worker': None, 'lease_id': None, 'exit_code': None, 'last_error': None, 'cancel_requested_at': 'moment', 'cancel_requested_by': None, 'suspect': 'flag'},
        {},
    ),
    ('postgresql', 'copy', ('attempts',)): (
        """INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, finished_at, ran, outcome, exit_code, signal, error, late, output_truncated, output) VALUES (%(job_id)s::VARCHAR, %(number)s::INTEGER, %(queue)s::VARCHAR, %(worker)s::VARCHAR, %(host)s::VARCHAR, %(lease_id)s::VARCHAR, %(started_at)s::BIGINT, %(waited)s::BIGINT, %(finished_at)s::BIGINT, %(ran)s::BIGINT, %(outcome)s::VARCHAR, %(exit_code)s::INTEGER, %(signal)s::INTEGER, %(error)s::VARCHAR, %(late)s::VARCHAR, %(output_truncated)s, %(output)s)""",
        {'job_id': None, 'number': None, 'queue': None, 'worker': None, 'host': None, 'lease_id': None, 'started_at': 'moment', 'waited': 'span', 'finished_at': 'moment', 'ran': 'span', 'outcome': 'outcome', 'exit_code': None, 'signal': None, 'error': None, 'late': 'outcome', 'output_truncated': 'flag', 'output': None},
        {},
    ),
    ('postgresql', 'all_live_workers', ()): (
        """SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid, workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at, workers.renewed_at, workers.lease_expires_at, workers.ended_at
FROM workers
WHERE workers.state IN ('running', 'stopping')""",
        {},
        {'id': None, 'host': None, 'machine': None, 'pid': None, 'pid_started': None, 'supervisor_pid': None, 'supervisor_started': None, 'queues': 'texts', 'concurrency': None, 'state': 'worker state', 'started_at': 'moment', 'renewed_at': 'moment', 'lease_expires_at': 'moment', 'ended_at': 'moment'},
    ),
    ('postgresql', 'delete_workers', ()): (
        """DELETE FROM workers WHERE workers.id IN (SELECT listed.value
FROM unnest(ARRAY(SELECT jsonb_array_elements_text(%(ids)s::JSONB))) AS listed(value))""",
        {'ids': 'texts'},
        {},
    ),
    ('postgresql', 'clear_settings', ()): (
        """DELETE FROM config""",
        {},
        {},
    ),
}
