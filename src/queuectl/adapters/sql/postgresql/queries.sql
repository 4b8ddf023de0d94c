-- Made by `make sql`, to be read: every statement that queuectl has Postgresql run.

CREATE TABLE batches (
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    PRIMARY KEY (name)
);

CREATE TABLE config (
    queue TEXT DEFAULT '' NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (queue, key)
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
);

CREATE TABLE lanes (
    id SERIAL NOT NULL,
    queue TEXT NOT NULL,
    needs TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (queue, needs)
);

CREATE TABLE queues (
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
);

CREATE TABLE slots (
    queue TEXT NOT NULL,
    kind TEXT NOT NULL,
    slot INTEGER NOT NULL,
    free_at BIGINT NOT NULL,
    PRIMARY KEY (queue, kind, slot)
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
    labels TEXT DEFAULT '[]' NOT NULL,
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

CREATE TABLE dependencies (
    child BIGINT NOT NULL,
    parent TEXT NOT NULL,
    met_by TEXT NOT NULL,
    is_met BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (child, parent),
    FOREIGN KEY(child) REFERENCES jobs (seq) ON DELETE CASCADE
);

CREATE TABLE tags (
    tag TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (tag, seq),
    FOREIGN KEY(seq) REFERENCES jobs (seq) ON DELETE CASCADE
);

CREATE INDEX attempts_ended ON attempts (finished_at);

CREATE INDEX dependencies_of ON dependencies (parent);

CREATE INDEX jobs_by_state ON jobs (state, seq);

CREATE INDEX jobs_due ON jobs (lane, priority, run_at, seq) WHERE state IN ('pending', 'failed') AND waits_for IS NULL;

CREATE INDEX jobs_held ON jobs (worker) WHERE worker IS NOT NULL;

CREATE UNIQUE INDEX jobs_in_slots ON jobs (queue, slot) WHERE state = 'processing' AND slot IS NOT NULL;

CREATE INDEX jobs_of_a_key ON jobs (key) WHERE state = 'processing' AND key_limit > 1;

CREATE INDEX jobs_of_a_waiting_key ON jobs (waits_for, key, lane, priority DESC, run_at, seq) WHERE key IS NOT NULL AND state IN ('pending', 'failed');

CREATE INDEX jobs_of_batch ON jobs (batch, state) WHERE batch IS NOT NULL;

CREATE UNIQUE INDEX jobs_one_of_a_key ON jobs (key) WHERE state = 'processing' AND key_limit = 1;

CREATE INDEX jobs_suspect ON jobs (priority DESC, run_at, seq) WHERE suspect;

CREATE UNIQUE INDEX jobs_unique ON jobs (unique_held) WHERE unique_held IS NOT NULL;

CREATE INDEX jobs_unresolved ON jobs (seq) WHERE has_dependents AND state IN ('completed', 'dead', 'cancelled');

CREATE INDEX slots_free ON slots (queue, free_at) WHERE kind = 'start';

CREATE INDEX tags_of ON tags (seq);

-- name: add_jobs :load
-- New jobs, which nobody holds and whose numbers are counted on.
INSERT INTO jobs (id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
    attempts, failures, losses, started_at, finished_at, exit_code, last_error, cancel_requested_at,
    cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for, unique_key, unique_until,
    unique_held, unique_expires_at, batch, blockers, has_dependents) VALUES (:id::VARCHAR, :command::VARCHAR,
    :queue::VARCHAR, :priority::INTEGER, :max_retries::INTEGER, :timeout::BIGINT, :run_at::BIGINT, :created_at::BIGINT,
    :updated_at::BIGINT, :cwd::VARCHAR, :env::VARCHAR, :state::VARCHAR, :attempts::INTEGER, :failures::INTEGER,
    :losses::INTEGER, :started_at::BIGINT, :finished_at::BIGINT, :exit_code::INTEGER, :last_error::VARCHAR,
    :cancel_requested_at::BIGINT, :cancel_requested_by::VARCHAR, :suspect, :stdin::VARCHAR, :tags::VARCHAR,
    :needs::VARCHAR, :lane::INTEGER, :slot::INTEGER, :key::VARCHAR, :key_limit::INTEGER, :waits_for::VARCHAR,
    :unique_key::VARCHAR, :unique_until::VARCHAR, :unique_held::VARCHAR, :unique_expires_at::BIGINT, :batch::VARCHAR,
    :blockers::INTEGER, :has_dependents);

-- name: add_tag :each
-- A tag of a job, which is found by it from then on.
INSERT INTO tags (tag, seq) SELECT :tag::VARCHAR AS tag, jobs.seq
FROM jobs
WHERE jobs.id = :job_id::VARCHAR;

-- name: forget_tags :run
-- These jobs are found by no tag any more.
DELETE FROM tags WHERE tags.seq IN (SELECT jobs.seq
FROM jobs
WHERE jobs.id = ANY (:ids::TEXT[]));

-- name: job :one
-- The job.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.id = :job_id::VARCHAR;

-- name: job_to_change :one
-- The job, locked.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.id = :job_id::VARCHAR FOR UPDATE;

-- name: store_job :each
-- Store all that a transition can change of a job.
UPDATE jobs SET run_at=:run_at::BIGINT, updated_at=:updated_at::BIGINT, state=:state::VARCHAR,
    attempts=:attempts::INTEGER, failures=:failures::INTEGER, losses=:losses::INTEGER, started_at=:started_at::BIGINT,
    finished_at=:finished_at::BIGINT, worker=:worker::VARCHAR, lease_id=:lease_id::VARCHAR,
    exit_code=:exit_code::INTEGER, last_error=:last_error::VARCHAR, cancel_requested_at=:cancel_requested_at::BIGINT,
    cancel_requested_by=:cancel_requested_by::VARCHAR, suspect=:suspect, slot=:slot::INTEGER,
    waits_for=:waits_for::VARCHAR, unique_held=:unique_held::VARCHAR, unique_expires_at=:unique_expires_at::BIGINT,
    blockers=:blockers::INTEGER, has_dependents=:has_dependents WHERE jobs.id = :job_id::VARCHAR;

-- name: delete_job :run
-- The job, and with it its attempts.
DELETE FROM jobs WHERE jobs.id = :job_id::VARCHAR;

-- name: delete_jobs :run
-- The jobs of these numbers, and with them their attempts.
DELETE FROM jobs WHERE jobs.seq = ANY (:seqs::BIGINT[]);

-- name: set_aside :run
-- Make the job of that number dead, for a reason that is no attempt's.
UPDATE jobs SET updated_at=:at::BIGINT, state='dead', attempts=(jobs.attempts - :not_started::INTEGER),
    finished_at=:at::BIGINT, worker=NULL, lease_id=NULL, last_error=:reason::VARCHAR, unique_held=CASE WHEN
    (jobs.unique_expires_at IS NULL) THEN NULL ELSE jobs.unique_held END WHERE jobs.seq = :seq::BIGINT;

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
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.state = 'dead' AND jobs.updated_at <= :until::BIGINT ORDER BY jobs.seq
 LIMIT :limit::BIGINT + 0 FOR UPDATE;

-- name: search :piece
-- Any jobs.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs;

-- name: state_is :piece
-- Jobs of that state.
jobs.state = :state::VARCHAR;

-- name: queue_is :piece
-- Jobs of that queue.
jobs.queue = :queue::VARCHAR;

-- name: key_is :piece
-- Jobs with that key.
jobs.key = :key::VARCHAR;

-- name: has_tag :piece
-- Jobs with one of these tags.
jobs.seq IN (SELECT tags.seq
FROM tags
WHERE tags.tag = ANY (:tags::TEXT[]));

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
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
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

-- name: page_of_dependencies :many
-- The dependencies of these jobs.
SELECT dependencies.child, dependencies.parent, dependencies.met_by, dependencies.is_met
FROM dependencies JOIN (SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.seq > :after::BIGINT AND jobs.seq <= :up_to::BIGINT ORDER BY jobs.seq
 LIMIT :limit::BIGINT + 0) AS chosen ON chosen.seq = dependencies.child ORDER BY dependencies.child, dependencies.parent;

-- name: page_of_tags :many
-- The tags of these jobs.
SELECT tags.tag, tags.seq
FROM tags JOIN (SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.seq > :after::BIGINT AND jobs.seq <= :up_to::BIGINT ORDER BY jobs.seq
 LIMIT :limit::BIGINT + 0) AS chosen ON chosen.seq = tags.seq ORDER BY tags.tag, tags.seq;

-- name: id_at :one
-- The id of the job of that number.
SELECT jobs.id
FROM jobs
WHERE jobs.seq = :seq::BIGINT;

-- name: copy_job :each
-- Jobs as they are in another database.
INSERT INTO jobs (seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env,
    state, attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error,
    cancel_requested_at, cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for,
    unique_key, unique_until, unique_held, unique_expires_at, batch, blockers, has_dependents) VALUES (:seq::BIGINT,
    :id::VARCHAR, :command::VARCHAR, :queue::VARCHAR, :priority::INTEGER, :max_retries::INTEGER, :timeout::BIGINT,
    :run_at::BIGINT, :created_at::BIGINT, :updated_at::BIGINT, :cwd::VARCHAR, :env::VARCHAR, :state::VARCHAR,
    :attempts::INTEGER, :failures::INTEGER, :losses::INTEGER, :started_at::BIGINT, :finished_at::BIGINT,
    :worker::VARCHAR, :lease_id::VARCHAR, :exit_code::INTEGER, :last_error::VARCHAR, :cancel_requested_at::BIGINT,
    :cancel_requested_by::VARCHAR, :suspect, :stdin::VARCHAR, :tags::VARCHAR, :needs::VARCHAR, :lane::INTEGER,
    :slot::INTEGER, :key::VARCHAR, :key_limit::INTEGER, :waits_for::VARCHAR, :unique_key::VARCHAR,
    :unique_until::VARCHAR, :unique_held::VARCHAR, :unique_expires_at::BIGINT, :batch::VARCHAR, :blockers::INTEGER,
    :has_dependents);

-- name: copy_attempt :each
-- Attempts as they are in another database.
INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, finished_at, ran, outcome,
    exit_code, signal, error, late, output_truncated, output) VALUES (:job_id::VARCHAR, :number::INTEGER,
    :queue::VARCHAR, :worker::VARCHAR, :host::VARCHAR, :lease_id::VARCHAR, :started_at::BIGINT, :waited::BIGINT,
    :finished_at::BIGINT, :ran::BIGINT, :outcome::VARCHAR, :exit_code::INTEGER, :signal::INTEGER, :error::VARCHAR,
    :late::VARCHAR, :output_truncated, :output);

-- name: copy_dependency :each
-- Dependencies as they are in another database.
INSERT INTO dependencies (child, parent, met_by, is_met) VALUES (:child::BIGINT, :parent::VARCHAR, :met_by::VARCHAR,
    :is_met);

-- name: copy_tag :each
-- Tags as they are in another database.
INSERT INTO tags (tag, seq) VALUES (:tag::VARCHAR, :seq::BIGINT);

-- name: all_slots :many
-- The slots and the starts of all queues.
SELECT slots.queue, slots.kind, slots.slot, slots.free_at
FROM slots;

-- name: all_batches :many
-- The batches.
SELECT batches.name, batches.created_at, batches.finished_at
FROM batches;

-- name: copy_queue :each
-- Queues as they are in another database.
INSERT INTO queues (name, concurrency, rate_count, rate_period, reserved, paused_at, paused_until, paused_by,
    pause_reason) VALUES (:name::VARCHAR, :concurrency::INTEGER, :rate_count::INTEGER, :rate_period::BIGINT, :reserved,
    :paused_at::BIGINT, :paused_until::BIGINT, :paused_by::VARCHAR, :pause_reason::VARCHAR);

-- name: copy_lane :each
-- Lanes as they are in another database.
INSERT INTO lanes (id, queue, needs) VALUES (:id::INTEGER, :queue::VARCHAR, :needs::VARCHAR);

-- name: copy_slot :each
-- Slots as they are in another database.
INSERT INTO slots (queue, kind, slot, free_at) VALUES (:queue::VARCHAR, :kind::VARCHAR, :slot::INTEGER,
    :free_at::BIGINT);

-- name: copy_batch :each
-- Batches as they are in another database.
INSERT INTO batches (name, created_at, finished_at) VALUES (:name::VARCHAR, :created_at::BIGINT, :finished_at::BIGINT);

-- name: clear_queues :run
-- The settings of all queues.
DELETE FROM queues;

-- name: clear_lanes :run
-- All lanes.
DELETE FROM lanes;

-- name: clear_slots :run
-- All slots and starts.
DELETE FROM slots;

-- name: clear_batches :run
-- All batches.
DELETE FROM batches;

-- name: parents :many
-- These jobs, locked in the order of their numbers: an end waits for this transaction, or this one sees it.
SELECT jobs.id, jobs.state
FROM jobs
WHERE jobs.id = ANY (:ids::TEXT[]) ORDER BY jobs.seq FOR NO KEY UPDATE;

-- name: newest_ids :many
-- The ids of the newest jobs.
SELECT jobs.id
FROM jobs ORDER BY jobs.seq DESC
 LIMIT :limit::BIGINT + 0;

-- name: expect_ends :run
-- Somebody waits for the ends of these jobs.
UPDATE jobs SET has_dependents=true WHERE jobs.id = ANY (:ids::TEXT[]);

-- name: add_dependency :each
-- A dependency of a new job.
INSERT INTO dependencies (child, parent, met_by, is_met) SELECT jobs.seq, :parent::VARCHAR AS anon_1, :met_by::VARCHAR
    AS anon_2, :is_met AS anon_3
FROM jobs
WHERE jobs.id = :id::VARCHAR;

-- name: waiting_for :many
-- The jobs that wait for one of these ends of a parent, locked in the order of their numbers.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents, dependencies.met_by
FROM jobs, dependencies
WHERE dependencies.child = jobs.seq AND dependencies.parent = :parent::VARCHAR AND NOT dependencies.is_met AND
    jobs.waits_for = 'jobs' AND dependencies.met_by = ANY (:ends::TEXT[]) ORDER BY jobs.seq
 LIMIT :limit::BIGINT + 0 FOR UPDATE OF jobs;

-- name: awaited :one
-- A job that still waits for the parent.
SELECT jobs.id
FROM jobs, dependencies
WHERE dependencies.child = jobs.seq AND dependencies.parent = :parent::VARCHAR AND NOT dependencies.is_met AND
    jobs.waits_for = 'jobs'
 LIMIT 1;

-- name: waiting_ids :many
-- The ids of the jobs that wait for one of these parents.
SELECT jobs.id
FROM jobs, dependencies
WHERE dependencies.child = jobs.seq AND dependencies.parent = ANY (:parents::TEXT[]) AND NOT dependencies.is_met AND
    jobs.waits_for = 'jobs';

-- name: meet :run
-- The parent's end meets the dependencies of these jobs.
UPDATE dependencies SET is_met=true WHERE dependencies.parent = :parent::VARCHAR AND dependencies.child = ANY
    (:children::BIGINT[]);

-- name: expect_no_more :run
-- Nobody waits for the end of that job any more.
UPDATE jobs SET has_dependents=false WHERE jobs.id = :job_id::VARCHAR;

-- name: drop_open :run
-- The dependencies of that job that are not met.
DELETE FROM dependencies WHERE dependencies.child = (SELECT jobs.seq
FROM jobs
WHERE jobs.id = :job_id::VARCHAR) AND NOT dependencies.is_met;

-- name: unresolved :many
-- Jobs that have ended and for which others wait in vain.
--
-- But for dead ones for whose success they wait: an operator may have them run again.
SELECT jobs.id
FROM jobs
WHERE jobs.has_dependents AND jobs.state IN ('completed', 'dead', 'cancelled') AND (jobs.state != 'dead' OR (EXISTS
    (SELECT child.seq
FROM jobs AS child, dependencies
WHERE child.seq = dependencies.child AND dependencies.parent = jobs.id AND NOT dependencies.is_met AND child.waits_for =
    'jobs' AND dependencies.met_by != 'success'))) ORDER BY jobs.seq
 LIMIT :limit::BIGINT + 0;

-- name: parents_of :many
-- The dependencies of these jobs, and how their parents stand.
SELECT child.id, dependencies.parent, dependencies.met_by, dependencies.is_met, parent.state AS state
FROM jobs AS child JOIN dependencies ON dependencies.child = child.seq LEFT OUTER JOIN jobs AS parent ON parent.id =
    dependencies.parent
WHERE child.id = ANY (:ids::TEXT[]) ORDER BY child.seq, dependencies.parent;

-- name: waiting_for_dead :many
-- The jobs that wait for the success of dead ones.
SELECT DISTINCT child.seq
FROM jobs AS child, jobs, dependencies
WHERE jobs.state = 'dead' AND jobs.has_dependents AND dependencies.parent = jobs.id AND dependencies.child = child.seq
    AND NOT dependencies.is_met AND child.waits_for = 'jobs';

-- name: add_batch :each
-- A batch, unless it is there.
INSERT INTO batches (name, created_at) VALUES (:name::VARCHAR, :created_at::BIGINT) ON CONFLICT DO NOTHING;

-- name: hold_batches :many
-- These batches, locked: nobody finishes them, or sees them finished, until the transaction ends.
SELECT batches.name
FROM batches
WHERE batches.name = ANY (:names::TEXT[]) ORDER BY batches.name FOR UPDATE;

-- name: open_batches :run
-- These batches have jobs again that have not ended.
UPDATE batches SET finished_at=NULL WHERE batches.name = ANY (:names::TEXT[]) AND batches.finished_at IS NOT NULL;

-- name: open_in_batch :one
-- A job of the batch that waits or runs.
SELECT jobs.id
FROM jobs
WHERE jobs.batch = :name::VARCHAR AND jobs.state IN ('failed', 'pending', 'processing')
 LIMIT 1;

-- name: finish_batch :run
-- The batch has no job that waits or runs.
UPDATE batches SET finished_at=:at::BIGINT WHERE batches.name = :name::VARCHAR AND batches.finished_at IS NULL;

-- name: counts_of_batches :many
-- The number of jobs of these batches in each state.
SELECT jobs.batch AS name, jobs.state, count(*) AS total
FROM jobs
WHERE jobs.batch = ANY (:names::TEXT[]) AND jobs.batch IS NOT NULL GROUP BY jobs.batch, jobs.state;

-- name: ended_batches :many
-- Batches of which no job waits or runs, and that are not finished.
SELECT batches.name
FROM batches
WHERE batches.finished_at IS NULL AND NOT (EXISTS (SELECT jobs.seq
FROM jobs
WHERE jobs.batch = batches.name AND jobs.state IN ('failed', 'pending', 'processing'))) ORDER BY batches.name
 LIMIT :limit::BIGINT + 0;

-- name: awaited_batches :many
-- Batches that are finished and still awaited, other than for the success of jobs that are dead.
SELECT batches.name
FROM batches
WHERE batches.finished_at IS NOT NULL AND (EXISTS (SELECT dependencies.child
FROM dependencies, jobs AS child
WHERE dependencies.parent = ('batch:' || batches.name) AND NOT dependencies.is_met AND child.seq = dependencies.child
    AND child.waits_for = 'jobs' AND (NOT (EXISTS (SELECT jobs.seq
FROM jobs, batches
WHERE jobs.batch = batches.name AND jobs.state = 'dead')) OR dependencies.met_by != 'success'))) ORDER BY batches.name
 LIMIT :limit::BIGINT + 0;

-- name: batch :one
-- The batch.
SELECT batches.name, batches.created_at, batches.finished_at
FROM batches
WHERE batches.name = :name::VARCHAR;

-- name: newest_batches :many
-- The batches, the newest first.
SELECT batches.name, batches.created_at, batches.finished_at
FROM batches ORDER BY batches.created_at DESC, batches.name
 LIMIT :limit::BIGINT + 0;

-- name: free_slots :many
-- Up to `limit` slots of a queue in which no job runs, locked.
--
-- And one more for each job that runs beyond the concurrency: each takes one away, so that two claims at once cannot
-- pass it either.
SELECT slots.slot
FROM slots
WHERE slots.queue = :queue::VARCHAR AND slots.kind = 'run' AND slots.slot < :concurrency::INTEGER AND NOT (EXISTS
    (SELECT jobs.seq
FROM jobs
WHERE jobs.queue = slots.queue AND jobs.slot = slots.slot AND jobs.state = 'processing' AND jobs.slot IS NOT NULL))
    ORDER BY slots.slot
 LIMIT :limit::BIGINT + 0 + (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.queue = :queue::VARCHAR AND jobs.slot >= :concurrency::INTEGER AND jobs.state = 'processing' AND jobs.slot IS
    NOT NULL) FOR UPDATE SKIP LOCKED;

-- name: taken_slots :many
-- Of these slots of the queue, and of those beyond its concurrency, the ones in which jobs run.
SELECT jobs.slot
FROM jobs
WHERE jobs.queue = :queue::VARCHAR AND (jobs.slot = ANY (:slots::INTEGER[]) OR jobs.slot >= :concurrency::INTEGER) AND
    jobs.state = 'processing' AND jobs.slot IS NOT NULL;

-- name: free_starts :many
-- Up to `limit` starts of a queue that may be used at that moment, locked.
SELECT slots.slot
FROM slots
WHERE slots.queue = :queue::VARCHAR AND slots.kind = 'start' AND slots.free_at <= :now::BIGINT ORDER BY slots.free_at
 LIMIT :limit::BIGINT + 0 FOR UPDATE SKIP LOCKED;

-- name: use_starts :run
-- Those starts of the queue are used: they are free again after its rate's period.
UPDATE slots SET free_at=((SELECT queues.rate_period AS rate_period
FROM queues
WHERE queues.name = :queue::VARCHAR) + :now::BIGINT) WHERE slots.queue = :queue::VARCHAR AND slots.kind = 'start' AND
    slots.slot = ANY (:slots::INTEGER[]);

-- name: hold_keys :only
-- Wait for the locks of these keys, which are held until the transaction ends.
--
-- There are 1024, so that no transaction can fill the server's table of locks; in their order, so that two
-- transactions that need several do not wait for each other.
SELECT count(pg_advisory_xact_lock(7105, lock)) AS total FROM (SELECT DISTINCT hashtext(key) & 1023 AS lock FROM
    unnest(:keys::TEXT[]) AS listed (key) ORDER BY 1) AS locks;

-- name: hold_keys_of :only
-- Wait for the locks of the keys that these jobs have.
SELECT count(pg_advisory_xact_lock(7105, lock)) AS total FROM (SELECT DISTINCT hashtext(key) & 1023 AS lock FROM jobs
    WHERE id = ANY (:ids::TEXT[]) AND key IS NOT NULL ORDER BY 1) AS locks;

-- name: park :run
-- These jobs wait until their key is free.
UPDATE jobs SET waits_for='key' WHERE jobs.seq = ANY (:seqs::BIGINT[]);

-- name: expose :run
-- Of the jobs that are parked for that key, the first of each lane may be claimed.
UPDATE jobs SET waits_for = NULL WHERE waits_for = 'key' AND seq = ANY (ARRAY(SELECT (
        SELECT parked.seq FROM jobs AS parked
        WHERE parked.waits_for = 'key' AND parked."key" = :key::VARCHAR AND parked.lane = lane.id
            AND parked.state IN ('pending', 'failed')
        ORDER BY parked.priority DESC, parked.run_at, parked.seq LIMIT 1
    ) FROM (SELECT 0 AS id UNION ALL SELECT id FROM lanes) AS lane));

-- name: parked_keys :many
-- Keys for which jobs are parked, and whether nothing would ever let these go.
WITH RECURSIVE listed ("key", number) AS (
    SELECT (
        SELECT jobs."key" FROM jobs
        WHERE jobs.waits_for = 'key' AND jobs."key" > :after::VARCHAR AND jobs.state IN ('pending', 'failed')
        ORDER BY jobs."key" LIMIT 1
    ), 1
    UNION ALL
    SELECT (
        SELECT jobs."key" FROM jobs
        WHERE jobs.waits_for = 'key' AND jobs."key" > listed."key" AND jobs.state IN ('pending', 'failed')
        ORDER BY jobs."key" LIMIT 1
    ), number + 1 FROM listed WHERE listed."key" IS NOT NULL AND number < :limit::INTEGER
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
) AS running;

-- name: all_lanes :many
-- The lanes, but for the one that every job is in of which nobody asks anything.
SELECT lanes.id, lanes.queue, lanes.needs
FROM lanes;

-- name: add_lane :run
-- A lane, numbered by the database, unless it is there.
INSERT INTO lanes (queue, needs) VALUES (:queue::VARCHAR, :needs::VARCHAR) ON CONFLICT DO NOTHING;

-- name: needs_of :many
-- The queues of these jobs, and the labels that they need: by these they have their lanes.
SELECT jobs.seq, jobs.queue, jobs.needs
FROM jobs
WHERE jobs.seq = ANY (:seqs::BIGINT[]);

-- name: strays_of :many
-- Of these jobs, those whose queue got lanes of its own, or lost them, when they did not wait.
SELECT jobs.seq
FROM jobs
WHERE jobs.id = ANY (:ids::TEXT[]) AND (jobs.lane NOT IN (SELECT lanes.id
FROM lanes
WHERE lanes.queue = jobs.queue)) AND ((EXISTS (SELECT lanes.id
FROM lanes
WHERE lanes.queue = jobs.queue)) OR NOT (jobs.lane = 0 OR jobs.lane IN (SELECT lanes.id
FROM lanes
WHERE lanes.queue = '')));

-- name: waiting_elsewhere :many
-- Of the jobs of a queue in a state, those that stand in lanes of all queues, after a number.
SELECT jobs.seq, jobs.key
FROM jobs
WHERE jobs.state = :state::VARCHAR AND jobs.seq > :after::BIGINT AND jobs.queue = :queue::VARCHAR AND (jobs.lane NOT IN
    (SELECT lanes.id
FROM lanes
WHERE lanes.queue = :queue::VARCHAR)) ORDER BY jobs.seq
 LIMIT :limit::BIGINT + 0;

-- name: move_to_lane :run
-- These jobs stand in that lane from now on; those that were parked are free to be claimed there.
UPDATE jobs SET lane=:lane::INTEGER, waits_for=nullif(jobs.waits_for, 'key') WHERE jobs.seq = ANY (:seqs::BIGINT[]);

-- name: counts :many
-- The number of jobs in each state.
SELECT jobs.state, count(*) AS total
FROM jobs GROUP BY jobs.state;

-- name: due_by_queue :many
-- The number of jobs of each queue that are due at a moment.
SELECT jobs.queue, count(*) AS total
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.waits_for IS NULL AND jobs.run_at <= :at::BIGINT GROUP BY jobs.queue;

-- name: backlog :many
-- The jobs that wait, run or are dead, by queue, state and needs.
SELECT jobs.queue, jobs.state, jobs.needs, count(*) AS total, count(*) FILTER (WHERE jobs.run_at <= :at::BIGINT AND
    jobs.state IN ('pending', 'failed') AND NOT (jobs.waits_for IS NOT NULL AND jobs.waits_for != 'key')) AS due,
    min(jobs.run_at) FILTER (WHERE jobs.run_at <= :at::BIGINT AND jobs.state IN ('pending', 'failed') AND NOT
    (jobs.waits_for IS NOT NULL AND jobs.waits_for != 'key')) AS first_due_at
FROM jobs
WHERE jobs.state IN ('pending', 'failed', 'processing', 'dead') GROUP BY jobs.queue, jobs.state, jobs.needs;

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
-- Due jobs in claim order: taken by a worker, and their attempts started, or else the candidates, locked.
WITH owner AS (
    SELECT host FROM workers WHERE id = :by_worker::VARCHAR AND state = 'running' AND lease_expires_at > :now::BIGINT
    FOR KEY SHARE
), served AS MATERIALIZED (
    SELECT lane.id, lane.queue, own.concurrency, own.rate_count, greatest(
        CASE WHEN every.paused_at IS NULL THEN 0 ELSE coalesce(every.paused_until, 9223372036854775807) END,
        CASE WHEN own.paused_at IS NULL THEN 0 ELSE coalesce(own.paused_until, 9223372036854775807) END,
        CASE WHEN own.rate_count IS NULL THEN 0 ELSE (
            SELECT coalesce(min(free_at), 9223372036854775807) FROM slots WHERE slots.queue = own.name AND kind =
    'start'
        ) END,
        CASE WHEN own.concurrency <= (
            SELECT count(*) FROM jobs WHERE queue = own.name AND state = 'processing' AND slot IS NOT NULL
        ) THEN 9223372036854775807 ELSE 0 END
    ) AS opens_at
    FROM (SELECT 0 AS id, '' AS queue, '[]' AS needs UNION ALL SELECT id, queue, needs FROM lanes) AS lane
    LEFT JOIN queues AS own ON own.name = lane.queue AND lane.queue <> ''
    LEFT JOIN queues AS every ON every.name = ''
    WHERE CASE WHEN :queues::TEXT[] IS NULL THEN own.reserved IS NOT TRUE ELSE lane.queue = ANY (:queues::TEXT[]) END
        AND NOT EXISTS (SELECT FROM json_array_elements_text(lane.needs::json) AS need WHERE need <> ALL
    (:labels::TEXT[]))
), due AS MATERIALIZED (
    SELECT merged.*, merged.key IS NOT NULL OR is_stray OR concurrency IS NOT NULL OR rate_count IS NOT NULL AS
    needs_more
    FROM generate_series(10, 1, -1) AS level (priority) CROSS JOIN LATERAL (
        SELECT probe.*, concurrency, rate_count, served.queue = ''
                AND EXISTS (SELECT FROM lanes WHERE lanes.queue = probe.queue) AS is_stray
        FROM served CROSS JOIN LATERAL (
            SELECT coalesce(max(run_at), -9223372036854775808) AS run_at, coalesce(max(seq), -9223372036854775808) AS
    seq
            FROM unnest(:cursor_lanes::INTEGER[], :cursor_priorities::INTEGER[], :cursor_run_ats::BIGINT[],
    :cursor_seqs::BIGINT[])
                AS position (lane, priority, run_at, seq)
            WHERE position.lane = served.id AND position.priority = level.priority
        ) AS start CROSS JOIN LATERAL (
            SELECT seq, run_at, priority, lane, queue, key, key_limit FROM jobs
            WHERE state IN ('pending', 'failed') AND waits_for IS NULL AND lane = served.id
                AND priority = level.priority AND run_at <= :now::BIGINT AND (run_at, seq) >= (start.run_at, start.seq)
                AND (:with_suspects OR NOT suspect) AND (key IS NULL OR key <> ALL (:busy_keys::TEXT[]))
            ORDER BY run_at, seq
            LIMIT :limit::INTEGER
            FOR UPDATE SKIP LOCKED
        ) AS probe
        WHERE served.opens_at <= :now::BIGINT AND served.queue <> ALL (:full_queues::TEXT[])
        ORDER BY probe.run_at, probe.seq LIMIT :limit::INTEGER
    ) AS merged
    LIMIT :limit::INTEGER
), claimed AS (
    UPDATE jobs SET state = 'processing', worker = :by_worker::VARCHAR, lease_id = :by_lease::VARCHAR, started_at =
    :now::BIGINT, updated_at = :now::BIGINT,
        finished_at = NULL, attempts = least(attempts, 2147483646) + 1,
        unique_held = CASE WHEN unique_until = 'started' THEN NULL ELSE unique_held END
    WHERE seq = ANY (ARRAY(SELECT seq FROM due))
        AND EXISTS (SELECT FROM owner) AND :at_once
        AND NOT EXISTS (SELECT FROM due WHERE needs_more)
    RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
    attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at,
    cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for, unique_key, unique_until,
    unique_held, unique_expires_at, batch, blockers, has_dependents
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
SELECT claimed.*, (SELECT json_agg(json_build_array(queue, key, value))::text FROM config) AS settings, job_id IS NOT
    NULL AS is_started, claimed.seq IS NOT NULL AS is_taken, due.*,
    due.key IS NULL OR pg_try_advisory_xact_lock(7105, hashtext(due.key) & 1023) AS is_key_locked
FROM due LEFT JOIN claimed ON claimed.seq = due.seq LEFT JOIN started ON job_id = claimed.id
WHERE claimed.seq IS NOT NULL OR NOT :at_once OR EXISTS (SELECT FROM due WHERE needs_more);

-- name: claim_suspects :many
-- The suspects among the candidates, locked.
WITH owner AS (
    SELECT host FROM workers WHERE id = :by_worker::VARCHAR AND state = 'running' AND lease_expires_at > :now::BIGINT
    FOR KEY SHARE
), served AS MATERIALIZED (
    SELECT lane.id, lane.queue, own.concurrency, own.rate_count, greatest(
        CASE WHEN every.paused_at IS NULL THEN 0 ELSE coalesce(every.paused_until, 9223372036854775807) END,
        CASE WHEN own.paused_at IS NULL THEN 0 ELSE coalesce(own.paused_until, 9223372036854775807) END,
        CASE WHEN own.rate_count IS NULL THEN 0 ELSE (
            SELECT coalesce(min(free_at), 9223372036854775807) FROM slots WHERE slots.queue = own.name AND kind =
    'start'
        ) END,
        CASE WHEN own.concurrency <= (
            SELECT count(*) FROM jobs WHERE queue = own.name AND state = 'processing' AND slot IS NOT NULL
        ) THEN 9223372036854775807 ELSE 0 END
    ) AS opens_at
    FROM (SELECT 0 AS id, '' AS queue, '[]' AS needs UNION ALL SELECT id, queue, needs FROM lanes) AS lane
    LEFT JOIN queues AS own ON own.name = lane.queue AND lane.queue <> ''
    LEFT JOIN queues AS every ON every.name = ''
    WHERE CASE WHEN :queues::TEXT[] IS NULL THEN own.reserved IS NOT TRUE ELSE lane.queue = ANY (:queues::TEXT[]) END
        AND NOT EXISTS (SELECT FROM json_array_elements_text(lane.needs::json) AS need WHERE need <> ALL
    (:labels::TEXT[]))
), due AS MATERIALIZED (
    SELECT jobs.seq, jobs.run_at, jobs.priority, jobs.lane, jobs.queue, jobs.key, jobs.key_limit, concurrency,
    rate_count,
        served.queue = '' AND EXISTS (SELECT FROM lanes WHERE lanes.queue = jobs.queue) AS is_stray,
        jobs.key IS NOT NULL OR concurrency IS NOT NULL OR rate_count IS NOT NULL
            OR served.queue = '' AND EXISTS (SELECT FROM lanes WHERE lanes.queue = jobs.queue) AS needs_more
    FROM jobs JOIN served ON served.id = jobs.lane
    WHERE suspect AND worker IS NULL AND waits_for IS NULL AND jobs.run_at <= :now::BIGINT AND opens_at <= :now::BIGINT
        AND served.queue <> ALL (:full_queues::TEXT[]) AND (jobs.key IS NULL OR jobs.key <> ALL (:busy_keys::TEXT[]))
    ORDER BY jobs.priority DESC, jobs.run_at, jobs.seq LIMIT :limit::INTEGER FOR UPDATE OF jobs SKIP LOCKED
), claimed AS (
    UPDATE jobs SET state = 'processing', worker = :by_worker::VARCHAR, lease_id = :by_lease::VARCHAR, started_at =
    :now::BIGINT, updated_at = :now::BIGINT,
        finished_at = NULL, attempts = least(attempts, 2147483646) + 1,
        unique_held = CASE WHEN unique_until = 'started' THEN NULL ELSE unique_held END
    WHERE seq = ANY (ARRAY(SELECT seq FROM due))
        AND EXISTS (SELECT FROM owner) AND :at_once
        AND NOT EXISTS (SELECT FROM due WHERE needs_more)
    RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
    attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at,
    cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for, unique_key, unique_until,
    unique_held, unique_expires_at, batch, blockers, has_dependents
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
SELECT claimed.*, (SELECT json_agg(json_build_array(queue, key, value))::text FROM config) AS settings, job_id IS NOT
    NULL AS is_started, claimed.seq IS NOT NULL AS is_taken, due.*,
    due.key IS NULL OR pg_try_advisory_xact_lock(7105, hashtext(due.key) & 1023) AS is_key_locked
FROM due LEFT JOIN claimed ON claimed.seq = due.seq LEFT JOIN started ON job_id = claimed.id
WHERE claimed.seq IS NOT NULL OR NOT :at_once OR EXISTS (SELECT FROM due WHERE needs_more);

-- name: take_chosen :many
-- The chosen of the candidates, taken by a worker, and their attempts, started.
WITH owner AS (
    SELECT host FROM workers WHERE id = :by_worker::VARCHAR AND state = 'running' AND lease_expires_at > :now::BIGINT
    FOR KEY SHARE
), claimed AS (
    UPDATE jobs SET state = 'processing', worker = :by_worker::VARCHAR, lease_id = :by_lease::VARCHAR, started_at =
    :now::BIGINT, updated_at = :now::BIGINT,
        finished_at = NULL, attempts = least(attempts, 2147483646) + 1,
        unique_held = CASE WHEN unique_until = 'started' THEN NULL ELSE unique_held END, slot =
    (:slots::INTEGER[])[array_position(:seqs::BIGINT[], seq)]
    WHERE seq = ANY (:seqs::BIGINT[]) AND EXISTS (SELECT FROM owner)
    RETURNING seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
    attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at,
    cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for, unique_key, unique_until,
    unique_held, unique_expires_at, batch, blockers, has_dependents
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
    UPDATE slots SET free_at = :now::BIGINT + rate_period
    FROM unnest(:start_queues::TEXT[], :starts::INTEGER[]) AS chosen (of_queue, start) JOIN queues ON name = of_queue
    WHERE slots.queue = of_queue AND kind = 'start' AND slots.slot = start AND EXISTS (SELECT FROM owner)
)
SELECT seq, id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
    attempts, failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error, cancel_requested_at,
    cancel_requested_by, suspect, stdin, tags, needs, lane, slot, key, key_limit, waits_for, unique_key, unique_until,
    unique_held, unique_expires_at, batch, blockers, has_dependents, (SELECT json_agg(json_build_array(queue, key,
    value))::text FROM config) AS settings, job_id IS NOT NULL AS is_started FROM claimed LEFT JOIN started ON job_id =
    id;

-- name: running_with_keys :many
-- The number of jobs that run with each of these keys.
SELECT listed.key, (
    SELECT count(*) FROM jobs WHERE jobs.key = listed.key AND jobs.state = 'processing' AND jobs.key_limit = 1
) + (
    SELECT count(*) FROM jobs WHERE jobs.key = listed.key AND jobs.state = 'processing' AND jobs.key_limit > 1
) AS running
FROM unnest(:keys::TEXT[]) AS listed (key);

-- name: first_due :only
-- The earliest moment at which a waiting job may start, and that of suspects.
WITH served AS MATERIALIZED (
    SELECT lane.id, lane.queue, own.concurrency, own.rate_count, greatest(
        CASE WHEN every.paused_at IS NULL THEN 0 ELSE coalesce(every.paused_until, 9223372036854775807) END,
        CASE WHEN own.paused_at IS NULL THEN 0 ELSE coalesce(own.paused_until, 9223372036854775807) END,
        CASE WHEN own.rate_count IS NULL THEN 0 ELSE (
            SELECT coalesce(min(free_at), 9223372036854775807) FROM slots WHERE slots.queue = own.name AND kind =
    'start'
        ) END,
        CASE WHEN own.concurrency <= (
            SELECT count(*) FROM jobs WHERE queue = own.name AND state = 'processing' AND slot IS NOT NULL
        ) THEN 9223372036854775807 ELSE 0 END
    ) AS opens_at
    FROM (SELECT 0 AS id, '' AS queue, '[]' AS needs UNION ALL SELECT id, queue, needs FROM lanes) AS lane
    LEFT JOIN queues AS own ON own.name = lane.queue AND lane.queue <> ''
    LEFT JOIN queues AS every ON every.name = ''
    WHERE CASE WHEN :queues::TEXT[] IS NULL THEN own.reserved IS NOT TRUE ELSE lane.queue = ANY (:queues::TEXT[]) END
        AND NOT EXISTS (SELECT FROM json_array_elements_text(lane.needs::json) AS need WHERE need <> ALL
    (:labels::TEXT[]))
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
) AS suspect_run_at;

-- name: first_suspects :many
-- The earliest `run_at` of the suspects that wait in each lane.
SELECT jobs.lane, min(jobs.run_at) AS run_at
FROM jobs
WHERE suspect AND jobs.worker IS NULL AND jobs.waits_for IS NULL GROUP BY jobs.lane;

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
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.worker = :worker::VARCHAR AND jobs.state = 'processing' ORDER BY jobs.seq;

-- name: cancel_requests :many
-- Of these jobs, those whose cancel was asked for; what has ended since may be among them.
--
-- Found by id alone: where somebody holds a snapshot open, the other indexes keep all that a worker has held.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.id = ANY (:ids::TEXT[]) AND jobs.cancel_requested_at IS NOT NULL;

-- name: jobs_to_settle :many
-- These jobs, locked in the order in which whoever enqueues locks parents.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.id = ANY (:ids::TEXT[]) ORDER BY jobs.seq FOR UPDATE;

-- name: store_settled :run
-- Store locked jobs as the ends of their attempts have made them.
UPDATE jobs SET state = ended.state, run_at = ended.run_at, updated_at = ended.updated_at, failures = ended.failures,
    losses = ended.losses, finished_at = ended.finished_at, exit_code = ended.exit_code,
    last_error = ended.last_error, suspect = ended.suspect, unique_held = ended.unique_held, slot = NULL, worker = NULL,
    lease_id = NULL
FROM unnest(
    :id::TEXT[], :state::TEXT[], :run_at::BIGINT[], :updated_at::BIGINT[], :failures::INTEGER[], :losses::INTEGER[],
    :finished_at::BIGINT[], :exit_code::INTEGER[], :last_error::TEXT[], :suspect::BOOLEAN[], :unique_held::TEXT[]
) AS ended (id, state, run_at, updated_at, failures, losses, finished_at, exit_code, last_error, suspect,
    unique_held)
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
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
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

-- name: queues_set :many
-- The settings of all queues of which something was set.
SELECT queues.name, queues.concurrency, queues.rate_count, queues.rate_period, queues.reserved, queues.paused_at,
    queues.paused_until, queues.paused_by, queues.pause_reason
FROM queues;

-- name: add_queue :run
-- The row of a queue, unless it is there.
INSERT INTO queues (name) VALUES (:name::VARCHAR) ON CONFLICT DO NOTHING;

-- name: queue_to_change :one
-- The settings of a queue, locked.
SELECT queues.name, queues.concurrency, queues.rate_count, queues.rate_period, queues.reserved, queues.paused_at,
    queues.paused_until, queues.paused_by, queues.pause_reason
FROM queues
WHERE queues.name = :name::VARCHAR FOR UPDATE;

-- name: store_queue :run
-- The settings of a queue.
UPDATE queues SET concurrency=:concurrency::INTEGER, rate_count=:rate_count::INTEGER, rate_period=:rate_period::BIGINT,
    reserved=:reserved, paused_at=:paused_at::BIGINT, paused_until=:paused_until::BIGINT, paused_by=:paused_by::VARCHAR,
    pause_reason=:pause_reason::VARCHAR WHERE queues.name = :name::VARCHAR;

-- name: delete_queue :run
-- The row of a queue.
DELETE FROM queues WHERE queues.name = :queue::VARCHAR;

-- name: slots_of :many
-- The slots of a queue, or its starts, locked.
SELECT slots.slot, slots.free_at
FROM slots
WHERE slots.queue = :queue::VARCHAR AND slots.kind = :kind::VARCHAR ORDER BY slots.slot FOR UPDATE;

-- name: add_slots :load
-- More slots or starts of a queue.
INSERT INTO slots (queue, kind, slot, free_at) VALUES (:queue::VARCHAR, :kind::VARCHAR, :slot::INTEGER,
    :free_at::BIGINT);

-- name: delete_starts :run
-- These starts of a queue.
DELETE FROM slots WHERE slots.queue = :queue::VARCHAR AND slots.kind = :kind::VARCHAR AND slots.slot = ANY
    (:slots::INTEGER[]);

-- name: shift_starts :run
-- All starts of a queue are free so much later than they were.
UPDATE slots SET free_at=(slots.free_at + :by::BIGINT) WHERE slots.queue = :queue::VARCHAR AND slots.kind =
    :kind::VARCHAR;

-- name: delete_slots :run
-- All slots and starts of a queue.
DELETE FROM slots WHERE slots.queue = :queue::VARCHAR;

-- name: delete_lanes :run
-- The lanes of a queue.
DELETE FROM lanes WHERE lanes.queue = :queue::VARCHAR;

-- name: clear_settings_of :run
-- The policy of a queue: that of all counts for it again.
DELETE FROM config WHERE config.queue = :queue::VARCHAR;

-- name: starts_used :many
-- The starts of each queue with a rate that are not free yet at a moment, and when the first of all is.
SELECT slots.queue, count(*) FILTER (WHERE slots.free_at > :at::BIGINT) AS used, min(slots.free_at) AS free_at
FROM slots
WHERE slots.kind = 'start' GROUP BY slots.queue;

-- name: waiting_of :many
-- The next jobs of a queue that wait in that state, after a number.
SELECT jobs.seq, jobs.key
FROM jobs
WHERE jobs.state = :state::VARCHAR AND jobs.seq > :after::BIGINT AND jobs.queue = :queue::VARCHAR ORDER BY jobs.seq
 LIMIT :limit::BIGINT + 0;

-- name: move_to_queue :run
-- These jobs, as far as they wait, belong to that queue from now on.
UPDATE jobs SET queue=:queue::VARCHAR, updated_at=:at::BIGINT WHERE jobs.seq = ANY (:seqs::BIGINT[]) AND jobs.state IN
    ('pending', 'failed');

-- name: unfinished :only
-- The number of jobs of a queue that wait or run.
SELECT count(*) AS count_1
FROM jobs
WHERE jobs.queue = :queue::VARCHAR AND (jobs.state IN ('pending', 'failed') OR jobs.state = 'processing');

-- name: lane_readers :many
-- The transactions under way that have read the lanes: they may store jobs by what they read.
SELECT DISTINCT virtualtransaction AS reader FROM pg_locks WHERE locktype = 'relation' AND relation = 'lanes'::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid();

-- name: places_of :many
-- The places of these jobs in their lines.
SELECT jobs.seq, jobs.id, jobs.state, jobs.lane, jobs.queue, jobs.priority, jobs.run_at, jobs.key, jobs.waits_for
FROM jobs
WHERE jobs.id = ANY (:job_ids::TEXT[]);

-- name: parents_to_come :many
-- The jobs and batches whose ends these jobs still wait for, and the states of the jobs.
SELECT dependencies.parent, dependencies.child, dependencies.met_by, parent.state AS state
FROM dependencies LEFT OUTER JOIN jobs AS parent ON parent.id = dependencies.parent
WHERE dependencies.child = ANY (:seqs::BIGINT[]) AND dependencies.is_met IS false ORDER BY dependencies.child,
    dependencies.parent;

-- name: limits_now :many
-- The number of jobs in the slots of each of these queues, and the moment from which on its rate allows a start.
SELECT queues.name, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.queue = queues.name AND jobs.state = 'processing' AND jobs.slot IS NOT NULL) AS running, (SELECT
    min(slots.free_at) AS min_1
FROM slots
WHERE slots.queue = queues.name AND slots.kind = 'start') AS next_start
FROM queues
WHERE queues.name = ANY (:names::TEXT[]);

-- name: holders_of_slots :many
-- The jobs that run in the first slots of a queue.
SELECT jobs.id, jobs.worker, jobs.started_at
FROM jobs
WHERE jobs.queue = :queue::VARCHAR AND jobs.state = 'processing' AND jobs.slot IS NOT NULL ORDER BY jobs.slot
 LIMIT :limit::BIGINT + 0;

-- name: holder_of_key :many
-- The job that runs with a key that one job at a time may have.
SELECT jobs.id, jobs.worker, jobs.started_at
FROM jobs
WHERE jobs.key = :key::VARCHAR AND jobs.state = 'processing' AND jobs.key_limit = 1;

-- name: holders_of_key :many
-- Jobs that run with a key that several may have at a time.
SELECT jobs.id, jobs.worker, jobs.started_at
FROM jobs
WHERE jobs.key = :key::VARCHAR AND jobs.state = 'processing' AND jobs.key_limit > 1
 LIMIT :limit::BIGINT + 0;

-- name: before_in_lane :only
-- The number of jobs of a lane and a priority that are claimed before that place, counted up to a limit.
SELECT count(*) AS total
FROM (SELECT jobs.seq AS seq
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.waits_for IS NULL AND jobs.lane = :lane::INTEGER AND jobs.priority =
    :priority::INTEGER AND (jobs.run_at, jobs.seq) < (:run_at::BIGINT, :seq::BIGINT)
 LIMIT :limit::BIGINT + 0) AS earlier;

-- name: first_in_lane :one
-- The first due job of a lane and a priority.
SELECT jobs.seq
FROM jobs
WHERE jobs.state IN ('pending', 'failed') AND jobs.waits_for IS NULL AND jobs.lane = :lane::INTEGER AND jobs.priority =
    :priority::INTEGER AND jobs.run_at <= :run_at::BIGINT ORDER BY jobs.run_at, jobs.seq
 LIMIT 1;

-- name: before_for_key :only
-- The number of jobs of a lane that wait for a key before that place, among the first up to a limit.
SELECT count(*) AS total
FROM (SELECT jobs.priority AS priority, jobs.run_at AS run_at, jobs.seq AS seq
FROM jobs
WHERE jobs.waits_for = 'key' AND jobs.key = :key::VARCHAR AND jobs.lane = :lane::INTEGER ORDER BY jobs.priority DESC,
    jobs.run_at, jobs.seq
 LIMIT :limit::BIGINT + 0) AS line
WHERE line.priority > :priority::INTEGER OR line.priority = :priority::INTEGER AND (line.run_at, line.seq) <
    (:run_at::BIGINT, :seq::BIGINT);

-- name: latest_runs :many
-- The run times of the last attempts of a queue that ran to an end: of those among the `most` that ended last.
SELECT latest.ran
FROM (SELECT attempts.queue AS queue, attempts.ran AS ran, attempts.outcome AS outcome, attempts.finished_at AS
    finished_at
FROM attempts
WHERE attempts.finished_at IS NOT NULL ORDER BY attempts.finished_at DESC
 LIMIT :most::BIGINT + 0) AS latest
WHERE latest.queue = :queue::VARCHAR AND latest.outcome IN ('succeeded', 'failed', 'timeout') ORDER BY
    latest.finished_at DESC
 LIMIT :limit::BIGINT + 0;

-- name: hold_unique_keys :only
-- Have nobody else enqueue jobs with these unique keys until the transaction ends.
--
-- By locks like those of `hold_keys`, which are taken after them.
SELECT count(pg_advisory_xact_lock(7106, lock)) AS total FROM (SELECT DISTINCT hashtext(key) & 1023 AS lock FROM
    unnest(:keys::TEXT[]) AS listed (key) ORDER BY 1) AS locks;

-- name: unique_holders :many
-- The jobs that hold these unique keys.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.unique_held IS NOT NULL AND jobs.unique_held = ANY (:keys::TEXT[]);

-- name: jobs_to_replace :many
-- These jobs, locked in the order in which all that lock several do it.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.seq = ANY (:seqs::BIGINT[]) ORDER BY jobs.seq FOR UPDATE;

-- name: jobs_of_ids :many
-- The jobs of these ids.
SELECT jobs.seq, jobs.id, jobs.command, jobs.queue, jobs.priority, jobs.max_retries, jobs.timeout, jobs.run_at,
    jobs.created_at, jobs.updated_at, jobs.cwd, jobs.env, jobs.state, jobs.attempts, jobs.failures, jobs.losses,
    jobs.started_at, jobs.finished_at, jobs.worker, jobs.lease_id, jobs.exit_code, jobs.last_error,
    jobs.cancel_requested_at, jobs.cancel_requested_by, jobs.suspect, jobs.stdin, jobs.tags, jobs.needs, jobs.lane,
    jobs.slot, jobs.key, jobs.key_limit, jobs.waits_for, jobs.unique_key, jobs.unique_until, jobs.unique_held,
    jobs.unique_expires_at, jobs.batch, jobs.blockers, jobs.has_dependents
FROM jobs
WHERE jobs.id = ANY (:ids::TEXT[]);

-- name: give_up_unique_keys :run
-- These jobs hold their unique keys no more.
UPDATE jobs SET unique_held=NULL WHERE jobs.id = ANY (:ids::TEXT[]);

-- name: replace_job :each
-- Store another job under this one's number.
UPDATE jobs SET command=:command::VARCHAR, queue=:queue::VARCHAR, priority=:priority::INTEGER,
    max_retries=:max_retries::INTEGER, timeout=:timeout::BIGINT, run_at=:run_at::BIGINT, updated_at=:updated_at::BIGINT,
    cwd=:cwd::VARCHAR, env=:env::VARCHAR, state=:state::VARCHAR, attempts=:attempts::INTEGER,
    failures=:failures::INTEGER, losses=:losses::INTEGER, started_at=:started_at::BIGINT,
    finished_at=:finished_at::BIGINT, exit_code=:exit_code::INTEGER, last_error=:last_error::VARCHAR,
    cancel_requested_at=:cancel_requested_at::BIGINT, cancel_requested_by=:cancel_requested_by::VARCHAR,
    suspect=:suspect, stdin=:stdin::VARCHAR, tags=:tags::VARCHAR, needs=:needs::VARCHAR, lane=:lane::INTEGER,
    slot=:slot::INTEGER, key=:key::VARCHAR, key_limit=:key_limit::INTEGER, waits_for=:waits_for::VARCHAR,
    unique_key=:unique_key::VARCHAR, unique_until=:unique_until::VARCHAR, unique_held=:unique_held::VARCHAR,
    unique_expires_at=:unique_expires_at::BIGINT, batch=:batch::VARCHAR, blockers=:blockers::INTEGER,
    has_dependents=:has_dependents WHERE jobs.id = :job_id::VARCHAR;

-- name: add_worker :each
-- Workers, with their leases.
INSERT INTO workers (id, host, machine, pid, pid_started, supervisor_pid, supervisor_started, queues, concurrency,
    state, started_at, renewed_at, lease_expires_at, ended_at, labels) VALUES (:id::VARCHAR, :host::VARCHAR,
    :machine::VARCHAR, :pid::INTEGER, :pid_started::BIGINT, :supervisor_pid::INTEGER, :supervisor_started::BIGINT,
    :queues::VARCHAR, :concurrency::INTEGER, :state::VARCHAR, :started_at::BIGINT, :renewed_at::BIGINT,
    :lease_expires_at::BIGINT, :ended_at::BIGINT, :labels::VARCHAR);

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
    workers.renewed_at, workers.lease_expires_at, workers.ended_at, workers.labels, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') ORDER BY workers.started_at, workers.id;

-- name: expired_or_local_workers :many
-- Of the live ones, those whose lease has run out at a moment, or ends beyond another, and all on a machine.
SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid,
    workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at,
    workers.renewed_at, workers.lease_expires_at, workers.ended_at, workers.labels, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE workers.state IN ('running', 'stopping') AND (workers.lease_expires_at <= :at::BIGINT OR workers.lease_expires_at
    > :beyond::BIGINT OR workers.machine = :machine::VARCHAR) ORDER BY workers.started_at, workers.id;

-- name: stopped_workers_on :many
-- Those on a machine that were stopped or given up.
SELECT workers.id, workers.host, workers.machine, workers.pid, workers.pid_started, workers.supervisor_pid,
    workers.supervisor_started, workers.queues, workers.concurrency, workers.state, workers.started_at,
    workers.renewed_at, workers.lease_expires_at, workers.ended_at, workers.labels, (SELECT count(*) AS count_1
FROM jobs
WHERE jobs.worker = workers.id AND jobs.state = 'processing') AS jobs
FROM workers
WHERE (workers.state NOT IN ('running', 'stopping')) AND workers.machine = :machine::VARCHAR ORDER BY
    workers.started_at, workers.id;

-- name: settings :many
-- All that were set.
SELECT config.queue, config.key, config.value
FROM config;

-- name: add_setting :each
-- Settings that were not set.
INSERT INTO config (queue, key, value) VALUES (:queue::VARCHAR, :key::VARCHAR, :value::VARCHAR);

-- name: clear_setting :run
-- Back to the default.
DELETE FROM config WHERE config.queue = :queue::VARCHAR AND config.key = :key::VARCHAR;

-- name: clear_settings :run
-- All of them.
DELETE FROM config;
