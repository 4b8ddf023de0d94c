-- Made by `make sql`, to be read: every statement that queuectl has Postgresql run.

CREATE TABLE config (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (key)
);

CREATE TABLE jobs (
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
);

CREATE TABLE workers (
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
);

CREATE TABLE attempts (
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
);

CREATE INDEX attempts_ended ON attempts (finished_at);

CREATE INDEX jobs_by_state ON jobs (state, seq);

CREATE INDEX jobs_due ON jobs (priority, run_at, seq) WHERE state IN ('pending', 'failed');

CREATE INDEX jobs_due_in_queue ON jobs (queue, priority, run_at, seq) WHERE state IN ('pending', 'failed');

CREATE INDEX jobs_held ON jobs (worker) WHERE worker IS NOT NULL;

CREATE INDEX jobs_suspect ON jobs (priority DESC, run_at, seq) WHERE suspect;

-- name: add_jobs :load
-- New jobs, which nobody holds and whose numbers are counted on.
INSERT INTO jobs (id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
    attempts, failures, losses, started_at, finished_at, exit_code, last_error, cancel_requested_at,
    cancel_requested_by, suspect) VALUES (:id::VARCHAR, :command::VARCHAR, :queue::VARCHAR, :priority::INTEGER,
    :max_retries::INTEGER, :timeout::BIGINT, :run_at::BIGINT, :created_at::BIGINT, :updated_at::BIGINT, :cwd::VARCHAR,
    :env::VARCHAR, :state::VARCHAR, :attempts::INTEGER, :failures::INTEGER, :losses::INTEGER, :started_at::BIGINT,
    :finished_at::BIGINT, :exit_code::INTEGER, :last_error::VARCHAR, :cancel_requested_at::BIGINT,
    :cancel_requested_by::VARCHAR, :suspect);

-- name: job :one
-- The job.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = :job_id::VARCHAR;

-- name: job_to_change :one
-- The job, locked.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = :job_id::VARCHAR FOR UPDATE;

-- name: store_job :each
-- Store all that a transition can change of a job.
UPDATE jobs SET run_at=:run_at::BIGINT, updated_at=:updated_at::BIGINT, state=:state::VARCHAR,
    attempts=:attempts::INTEGER, failures=:failures::INTEGER, losses=:losses::INTEGER, started_at=:started_at::BIGINT,
    finished_at=:finished_at::BIGINT, worker=:worker::VARCHAR, lease_id=:lease_id::VARCHAR,
    exit_code=:exit_code::INTEGER, last_error=:last_error::VARCHAR, cancel_requested_at=:cancel_requested_at::BIGINT,
    cancel_requested_by=:cancel_requested_by::VARCHAR, suspect=:suspect WHERE jobs.id = :job_id::VARCHAR;

-- name: delete_job :run
-- The job, and with it its attempts.
DELETE FROM jobs WHERE jobs.id = :job_id::VARCHAR;

-- name: delete_jobs :run
-- The jobs of these numbers, and with them their attempts.
DELETE FROM jobs WHERE jobs.seq = ANY (:seqs::BIGINT[]);

-- name: set_aside :run
-- Make the job of that number dead, for a reason that is no attempt's.
UPDATE jobs SET updated_at=:at::BIGINT, state='dead', attempts=(jobs.attempts - :not_started::INTEGER),
    finished_at=:at::BIGINT, worker=NULL, lease_id=NULL, last_error=:reason::VARCHAR WHERE jobs.seq = :seq::BIGINT;

-- name: taken_ids :many
-- Those of the ids that belong to jobs.
SELECT jobs.id
FROM jobs
WHERE jobs.id = ANY (:ids::TEXT[]);

-- name: oldest_dead :many
-- Dead jobs that last changed by a moment, the oldest first, locked.
--
-- The state is a constant: a plan of PostgreSQL's for any state would look for the few dead jobs among all.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.state = 'dead' AND jobs.updated_at <= :until::BIGINT ORDER BY jobs.seq
 LIMIT :limit::BIGINT + 0 FOR UPDATE;

-- name: search :piece
-- Any jobs.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs;

-- name: state_is :piece
-- Jobs of that state.
jobs.state = :state::VARCHAR;

-- name: queue_is :piece
-- Jobs of that queue.
jobs.queue = :queue::VARCHAR;

-- name: newest_first :piece
-- The newest first.
jobs.seq DESC;

-- name: last_ended_first :piece
-- Those that ended last first.
jobs.finished_at DESC, jobs.seq DESC;

-- name: at_most :piece
-- At most so many.
:limit::BIGINT + 0;

-- name: attempts_of :many
-- All attempts of the job, the first one first.
SELECT attempts.job_id, attempts.number, attempts.queue, attempts.worker, attempts.host, attempts.lease_id,
    attempts.started_at, attempts.waited, attempts.finished_at, attempts.ran, attempts.outcome, attempts.exit_code,
    attempts.signal, attempts.error, attempts.late, attempts.output_truncated, attempts.output
FROM attempts
WHERE attempts.job_id = :job_id::VARCHAR ORDER BY attempts.number;

-- name: last_outputs :many
-- The output of the last ended attempt of each of these jobs.
SELECT attempts.job_id, attempts.output
FROM attempts
WHERE attempts.job_id = ANY (:ids::TEXT[]) AND attempts.number = (SELECT max(ended.number) AS max_1
FROM attempts AS ended
WHERE ended.job_id = attempts.job_id AND ended.outcome IS NOT NULL);

-- name: extent :only
-- The number of jobs, and the number of the last one.
SELECT count(*) AS total, max(jobs.seq) AS last
FROM jobs;

-- name: page_of_jobs :many
-- The jobs of the numbers after one and up to another.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.seq > :after::BIGINT AND jobs.seq <= :up_to::BIGINT ORDER BY jobs.seq
 LIMIT :limit::BIGINT + 0;

-- name: page_of_attempts :many
-- The attempts of these jobs.
SELECT attempts.job_id, attempts.number, attempts.queue, attempts.worker, attempts.host, attempts.lease_id,
    attempts.started_at, attempts.waited, attempts.finished_at, attempts.ran, attempts.outcome, attempts.exit_code,
    attempts.signal, attempts.error, attempts.late, attempts.output_truncated, attempts.output
FROM attempts JOIN (SELECT jobs.seq AS seq, jobs.id AS id
FROM jobs
WHERE jobs.seq > :after::BIGINT AND jobs.seq <= :up_to::BIGINT ORDER BY jobs.seq
 LIMIT :limit::BIGINT + 0) AS chosen ON chosen.id = attempts.job_id ORDER BY chosen.seq, attempts.number;

-- name: id_at :one
-- The id of the job of that number.
SELECT jobs.id
FROM jobs
WHERE jobs.seq = :seq::BIGINT;

-- name: copy_job :each
-- Jobs as they are in another database.
INSERT INTO jobs (seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env,
    state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error,
    cancel_requested_at, cancel_requested_by, suspect) VALUES (:seq::BIGINT, :id::VARCHAR, :command::VARCHAR,
    :queue::VARCHAR, :priority::INTEGER, :max_retries::INTEGER, :timeout::BIGINT, :run_at::BIGINT, :created_at::BIGINT,
    :updated_at::BIGINT, :cwd::VARCHAR, :env::VARCHAR, :state::VARCHAR, :attempts::INTEGER, :failures::INTEGER,
    :losses::INTEGER, :started_at::BIGINT, :finished_at::BIGINT, :worker::VARCHAR, :lease_id::VARCHAR,
    :exit_code::INTEGER, :last_error::VARCHAR, :cancel_requested_at::BIGINT, :cancel_requested_by::VARCHAR, :suspect);

-- name: copy_attempt :each
-- Attempts as they are in another database.
INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, finished_at, ran, outcome,
    exit_code, signal, error, late, output_truncated, output) VALUES (:job_id::VARCHAR, :number::INTEGER,
    :queue::VARCHAR, :worker::VARCHAR, :host::VARCHAR, :lease_id::VARCHAR, :started_at::BIGINT, :waited::BIGINT,
    :finished_at::BIGINT, :ran::BIGINT, :outcome::VARCHAR, :exit_code::INTEGER, :signal::INTEGER, :error::VARCHAR,
    :late::VARCHAR, :output_truncated, :output);

-- name: counts :many
-- The number of jobs in each state.
SELECT jobs.state, count(*) AS total
FROM jobs GROUP BY jobs.state;

-- name: due_by_queue :many
-- The number of jobs of each queue that are due at a moment.
SELECT jobs.queue, count(*) AS total
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.run_at <= :at::BIGINT GROUP BY jobs.queue;

-- name: ended_since :many
-- Ended attempts by outcome: their number, that of those that were not the first of their job, and the last one's
-- number.
SELECT attempts.outcome, count(*) AS total, count(*) FILTER (WHERE attempts.number > 1) AS again, max(attempts.number)
    AS most
FROM attempts
WHERE attempts.finished_at >= :since::BIGINT GROUP BY attempts.outcome;

-- name: died_since :only
-- The number of jobs that are dead since then.
--
-- By their last attempts, which are found by time: the jobs that have ever died may be many more.
SELECT count(*) AS total
FROM attempts JOIN jobs ON attempts.job_id = jobs.id AND attempts.number = jobs.attempts
WHERE attempts.finished_at >= :since::BIGINT AND attempts.outcome IN ('failed', 'timeout', 'lost') AND jobs.state =
    'dead';

-- name: ranked_wait :one
-- The wait after the `rank` shortest ones, of the `most` attempts that ran to an end last.
SELECT latest.span
FROM (SELECT attempts.waited AS span
FROM attempts
WHERE attempts.finished_at >= :since::BIGINT AND attempts.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY
    attempts.finished_at DESC
 LIMIT :most::BIGINT + 0) AS latest ORDER BY latest.span
 LIMIT 1 OFFSET :rank::BIGINT;

-- name: ranked_run :one
-- The run time after the `rank` shortest ones, of the `most` attempts that ran to an end last.
SELECT latest.span
FROM (SELECT attempts.ran AS span
FROM attempts
WHERE attempts.finished_at >= :since::BIGINT AND attempts.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY
    attempts.finished_at DESC
 LIMIT :most::BIGINT + 0) AS latest ORDER BY latest.span
 LIMIT 1 OFFSET :rank::BIGINT;

-- name: totals_by_worker :many
-- The ends of each worker's attempts, and the time that they ran.
SELECT attempts.worker AS name, count(*) FILTER (WHERE attempts.outcome IN ('succeeded')) AS succeeded, count(*) FILTER
    (WHERE attempts.outcome IN ('failed', 'timeout')) AS failed, sum(attempts.ran) AS busy
FROM attempts
WHERE attempts.finished_at >= :since::BIGINT GROUP BY attempts.worker;

-- name: totals_by_queue :many
-- The ends of each queue's attempts, and the time that they ran.
SELECT attempts.queue AS name, count(*) FILTER (WHERE attempts.outcome IN ('succeeded')) AS succeeded, count(*) FILTER
    (WHERE attempts.outcome IN ('failed', 'timeout')) AS failed, sum(attempts.ran) AS busy
FROM attempts
WHERE attempts.finished_at >= :since::BIGINT GROUP BY attempts.queue;

-- name: claim_jobs :many
-- Due jobs in claim order, taken by a worker, and their attempts, started.
WITH owner AS (
    SELECT host FROM workers WHERE id = :by_worker::VARCHAR AND state = 'running' AND lease_expires_at > :now::BIGINT
    FOR KEY SHARE
), due AS MATERIALIZED (
    SELECT probe.seq
    FROM unnest(:run_ats::BIGINT[], :seqs::BIGINT[]) WITH ORDINALITY AS start (run_at, seq, rank) CROSS JOIN LATERAL (
        SELECT jobs.seq FROM jobs
        WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 11 - start.rank AND jobs.run_at <= :now::BIGINT
            AND (jobs.run_at, jobs.seq) >= (start.run_at, start.seq) AND (:with_suspects OR NOT jobs.suspect)
        ORDER BY jobs.run_at, jobs.seq
        LIMIT 24
        FOR UPDATE SKIP LOCKED
    ) AS probe
    LIMIT :limit::INTEGER
), claimed AS (
    UPDATE jobs SET state = 'processing', worker = :by_worker::VARCHAR, lease_id = :by_lease::VARCHAR, started_at =
    :now::BIGINT,
        updated_at = :now::BIGINT, finished_at = NULL,
        attempts = least(attempts, 2147483646) + 1
    WHERE seq IN (SELECT seq FROM due) AND EXISTS (SELECT FROM owner)
    RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
    attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at,
    cancel_requested_by, suspect
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
SELECT seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
    attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at,
    cancel_requested_by, suspect, (SELECT json_object_agg(key, value)::text FROM config) AS settings, job_id IS NOT NULL
    AS is_started
FROM claimed LEFT JOIN started ON job_id = id;

-- name: claim_jobs_of_queues :many
-- The same of some queues.
WITH owner AS (
    SELECT host FROM workers WHERE id = :by_worker::VARCHAR AND state = 'running' AND lease_expires_at > :now::BIGINT
    FOR KEY SHARE
), due AS MATERIALIZED (
    SELECT merged.seq
    FROM unnest(:run_ats::BIGINT[], :seqs::BIGINT[]) WITH ORDINALITY AS start (run_at, seq, rank) CROSS JOIN LATERAL (
        SELECT probe.seq FROM unnest(:queues::TEXT[]) AS listed (queue) CROSS JOIN LATERAL (
            SELECT jobs.seq, jobs.run_at FROM jobs
            WHERE jobs.state IN ('pending', 'failed') AND jobs.queue = listed.queue
                AND jobs.priority = 11 - start.rank AND jobs.run_at <= :now::BIGINT
                AND (jobs.run_at, jobs.seq) >= (start.run_at, start.seq) AND (:with_suspects OR NOT jobs.suspect)
            ORDER BY jobs.run_at, jobs.seq
            LIMIT :limit::INTEGER
            FOR UPDATE SKIP LOCKED
        ) AS probe ORDER BY probe.run_at, probe.seq LIMIT :limit::INTEGER
    ) AS merged
    LIMIT :limit::INTEGER
), claimed AS (
    UPDATE jobs SET state = 'processing', worker = :by_worker::VARCHAR, lease_id = :by_lease::VARCHAR, started_at =
    :now::BIGINT,
        updated_at = :now::BIGINT, finished_at = NULL,
        attempts = least(attempts, 2147483646) + 1
    WHERE seq IN (SELECT seq FROM due) AND EXISTS (SELECT FROM owner)
    RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
    attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at,
    cancel_requested_by, suspect
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
SELECT seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
    attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at,
    cancel_requested_by, suspect, (SELECT json_object_agg(key, value)::text FROM config) AS settings, job_id IS NOT NULL
    AS is_started
FROM claimed LEFT JOIN started ON job_id = id;

-- name: claim_suspects :many
-- The same of the suspects alone.
WITH owner AS (
    SELECT host FROM workers WHERE id = :by_worker::VARCHAR AND state = 'running' AND lease_expires_at > :now::BIGINT
    FOR KEY SHARE
), due AS MATERIALIZED (
    SELECT seq FROM jobs
    WHERE suspect AND worker IS NULL AND run_at <= :now::BIGINT AND (:queues::TEXT[] IS NULL OR queue = ANY
    (:queues::TEXT[]))
    ORDER BY priority DESC, run_at, seq LIMIT :limit::INTEGER FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE jobs SET state = 'processing', worker = :by_worker::VARCHAR, lease_id = :by_lease::VARCHAR, started_at =
    :now::BIGINT,
        updated_at = :now::BIGINT, finished_at = NULL,
        attempts = least(attempts, 2147483646) + 1
    WHERE seq IN (SELECT seq FROM due) AND EXISTS (SELECT FROM owner)
    RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
    attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at,
    cancel_requested_by, suspect
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
SELECT seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
    attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at,
    cancel_requested_by, suspect, (SELECT json_object_agg(key, value)::text FROM config) AS settings, job_id IS NOT NULL
    AS is_started
FROM claimed LEFT JOIN started ON job_id = id;

-- name: first_due :only
-- The earliest `run_at` of waiting jobs, and that of suspects.
SELECT min(earliest.run_at) AS run_at, (
    SELECT min(run_at) FROM jobs WHERE suspect AND worker IS NULL AND (:queues::TEXT[] IS NULL OR queue = ANY
    (:queues::TEXT[]))
) AS suspect_run_at
FROM (
    SELECT (
        SELECT jobs.run_at FROM jobs
        WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = level.priority AND NOT jobs.suspect
        ORDER BY jobs.run_at LIMIT 1
    ) AS run_at FROM generate_series(1, 10) AS level (priority) WHERE :queues::TEXT[] IS NULL
    UNION ALL
    SELECT (
        SELECT jobs.run_at FROM jobs
        WHERE jobs.state IN ('pending', 'failed') AND jobs.queue = listed.queue AND jobs.priority = level.priority
            AND NOT jobs.suspect
        ORDER BY jobs.run_at LIMIT 1
    ) AS run_at FROM generate_series(1, 10) AS level (priority) CROSS JOIN unnest(:queues::TEXT[]) AS listed (queue)
) AS earliest;

-- name: forget_start :run
-- The attempt that a claim has started of the job of that number.
DELETE FROM attempts WHERE attempts.job_id = (SELECT jobs.id
FROM jobs
WHERE jobs.seq = :seq::BIGINT) AND attempts.lease_id = :lease_id::VARCHAR;

-- name: held_by :many
-- The jobs that run under any lease of the worker.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.worker = :worker::VARCHAR AND jobs.state = 'processing' ORDER BY jobs.seq;

-- name: cancel_requests :many
-- Of these jobs, those whose cancel was asked for; what has ended since may be among them.
--
-- Found by id alone: where somebody holds a snapshot open, the other indexes keep all that a worker has held.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = ANY (:ids::TEXT[]) AND jobs.cancel_requested_at IS NOT NULL;

-- name: jobs_to_settle :many
-- These jobs, locked.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.id = ANY (:ids::TEXT[]) FOR UPDATE;

-- name: store_settled :run
-- Store locked jobs as the ends of their attempts have made them.
UPDATE jobs SET state = ended.state, run_at = ended.run_at, updated_at = ended.updated_at, failures = ended.failures,
    losses = ended.losses, finished_at = ended.finished_at, exit_code = ended.exit_code,
    last_error = ended.last_error, suspect = ended.suspect, worker = NULL, lease_id = NULL
FROM unnest(
    :id::TEXT[], :state::TEXT[], :run_at::BIGINT[], :updated_at::BIGINT[], :failures::INTEGER[], :losses::INTEGER[],
    :finished_at::BIGINT[], :exit_code::INTEGER[], :last_error::TEXT[], :suspect::BOOLEAN[]
) AS ended (id, state, run_at, updated_at, failures, losses, finished_at, exit_code, last_error, suspect)
WHERE jobs.id = ended.id;

-- name: end_attempts :run
-- Store the ends of attempts, unless they have ended.
UPDATE attempts SET finished_at = ended.finished_at, ran = ended.ran, outcome = ended.outcome,
    exit_code = ended.exit_code, signal = ended.signal, error = ended.error,
    output_truncated = ended.output_truncated, output = ended.output
FROM unnest(
    :finished_at::BIGINT[], :ran::BIGINT[], :outcome::TEXT[], :exit_code::INTEGER[], :signal::INTEGER[], :error::TEXT[],
    :output_truncated::BOOLEAN[], :output::BYTEA[], :job_id::TEXT[], :number::INTEGER[]
) AS ended (finished_at, ran, outcome, exit_code, signal, error, output_truncated, output, job_id, number)
WHERE attempts.job_id = ended.job_id AND attempts.number = ended.number AND attempts.outcome IS NULL;

-- name: end_attempt :each
-- Store the end of an attempt, unless it has ended.
UPDATE attempts SET finished_at=:finished_at::BIGINT, ran=:ran::BIGINT, outcome=:outcome::VARCHAR,
    exit_code=:exit_code::INTEGER, signal=:signal::INTEGER, error=:error::VARCHAR, output_truncated=:output_truncated,
    output=:output WHERE attempts.job_id = :job_id::VARCHAR AND attempts.number = :number::INTEGER AND attempts.outcome
    IS NULL;

-- name: own_attempt :one
-- The stored end of the attempt that ran under that lease, locked.
SELECT attempts.outcome, attempts.finished_at, attempts.output, attempts.output_truncated
FROM attempts
WHERE attempts.job_id = :job_id::VARCHAR AND attempts.number = :number::INTEGER AND attempts.lease_id =
    :lease_id::VARCHAR FOR UPDATE;

-- name: store_late :run
-- The late result of that attempt, and its output.
UPDATE attempts SET late=:late::VARCHAR, output_truncated=:output_truncated, output=:output WHERE attempts.job_id =
    :job_id::VARCHAR AND attempts.number = :number::INTEGER AND attempts.lease_id = :lease_id::VARCHAR;

-- name: worker_to_rescue :one
-- The lease of a live worker, locked; nothing when another rescuer has the lock.
--
-- With it comes how many jobs the worker holds, also those that `held_to_rescue` leaves to a later rescue.
SELECT workers.lease_expires_at, workers.renewed_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.id = :worker::VARCHAR AND workers.state IN ('running', 'stopping') FOR UPDATE SKIP LOCKED;

-- name: held_to_rescue :many
-- The jobs that run under any lease of the worker, locked.
--
-- What is locked already may stay so until the server ends the transaction of a host that is cut off. It is left to a
-- later rescue: waiting for it would hold up the rescuer, and with it every worker there is.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect
FROM jobs
WHERE jobs.worker = :worker::VARCHAR AND jobs.state = 'processing' ORDER BY jobs.seq FOR UPDATE SKIP LOCKED;

-- name: lost_by :one
-- One of the attempts of the worker that were lost already, since some moment.
SELECT attempts.job_id
FROM attempts
WHERE attempts.finished_at >= :since::BIGINT AND attempts.worker = :worker::VARCHAR AND attempts.outcome = 'lost'
 LIMIT 1;

-- name: end_worker :run
-- Mark a worker as ended, if it holds nothing: a worker that has ended is never rescued.
UPDATE workers SET state=:state::VARCHAR, ended_at=:ended_at::BIGINT WHERE workers.id = :worker::VARCHAR AND
    workers.state IN ('running', 'stopping') AND NOT (EXISTS (SELECT jobs.id
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing'));

-- name: add_worker :each
-- Workers, with their leases.
INSERT INTO workers (id, host, machine, pid, pid_started, supervisor_pid, supervisor_started, queues, concurrency,
    state, started_at, renewed_at, lease_expires_at, ended_at) VALUES (:id::VARCHAR, :host::VARCHAR, :machine::VARCHAR,
    :pid::INTEGER, :pid_started::BIGINT, :supervisor_pid::INTEGER, :supervisor_started::BIGINT, :queues::VARCHAR,
    :concurrency::INTEGER, :state::VARCHAR, :started_at::BIGINT, :renewed_at::BIGINT, :lease_expires_at::BIGINT,
    :ended_at::BIGINT);

-- name: delete_ended_workers :run
-- Those that ended before a moment.
DELETE FROM workers WHERE workers.ended_at < :before::BIGINT;

-- name: delete_workers :run
-- The workers of these ids.
DELETE FROM workers WHERE workers.id = ANY (:ids::TEXT[]);

-- name: worker_id :one
-- The id of the worker, if it is there.
SELECT workers.id
FROM workers
WHERE workers.id = :worker::VARCHAR;

-- name: renew :run
-- The lease of a worker, unless it is given up.
UPDATE workers SET state=:state::VARCHAR, renewed_at=:renewed_at::BIGINT, lease_expires_at=:lease_expires_at::BIGINT
    WHERE workers.id = :worker::VARCHAR AND workers.state IN ('running', 'stopping');

-- name: live_workers :many
-- Those that run or stop, with the number of jobs that each holds, in order of their start.
SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid,
    workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at,
    workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') ORDER BY workers.started_at, workers.id;

-- name: expired_or_local_workers :many
-- Of the live ones, those whose lease has run out at a moment, or ends beyond another, and all on a machine.
SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid,
    workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at,
    workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') AND (workers.lease_expires_at <= :at::BIGINT OR workers.lease_expires_at
    > :beyond::BIGINT OR workers.machine = :machine::VARCHAR) ORDER BY workers.started_at, workers.id;

-- name: stopped_workers_on :many
-- Those on a machine that were stopped or given up.
SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid,
    workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at,
    workers.renewed_at, workers.lease_expires_at, workers.ended_at, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE (workers.state NOT IN ('running', 'stopping')) AND workers.machine = :machine::VARCHAR ORDER BY
    workers.started_at, workers.id;

-- name: settings :many
-- All that were set.
SELECT config.key, config.value
FROM config;

-- name: add_setting :each
-- Settings that were not set.
INSERT INTO config (key, value) VALUES (:key::VARCHAR, :value::VARCHAR);

-- name: clear_setting :run
-- Back to the default.
DELETE FROM config WHERE config.key = :key::VARCHAR;

-- name: clear_settings :run
-- All of them.
DELETE FROM config;
