-- name: served_lanes
-- The lanes that the worker serves, and when each is open: not while its queue, or every one, is paused, has no start left
-- of its rate, or as many jobs run as its concurrency. Another writer's transaction comes before this one or after.
SELECT lane.id, lane.queue, own.concurrency, own.rate_count, max(
    CASE WHEN every.paused_at IS NULL THEN 0 ELSE coalesce(every.paused_until, 9223372036854775807) END,
    CASE WHEN own.paused_at IS NULL THEN 0 ELSE coalesce(own.paused_until, 9223372036854775807) END,
    CASE WHEN own.rate_count IS NULL THEN 0 ELSE (
        SELECT coalesce(min(free_at), 9223372036854775807) FROM slots WHERE slots.queue = own.name AND kind = 'start'
    ) END,
    CASE WHEN own.concurrency <= (
        SELECT count(*) FROM jobs WHERE jobs.queue = own.name AND jobs.state = 'processing' AND jobs.slot IS NOT NULL
    ) THEN 9223372036854775807 ELSE 0 END
) AS opens_at,
    CASE WHEN :queues IS NULL THEN own.reserved IS NOT TRUE ELSE lane.queue IN (SELECT value FROM json_each(:queues)) END
        AND NOT EXISTS (
            SELECT 1 FROM json_each(lane.needs) AS need WHERE need.value NOT IN (SELECT value FROM json_each(:labels))
        ) AS is_served
FROM (SELECT 0 AS id, '' AS queue, '[]' AS needs UNION ALL SELECT id, queue, needs FROM lanes) AS lane
LEFT JOIN queues AS own ON own.name = lane.queue AND lane.queue <> ''
LEFT JOIN queues AS every ON every.name = '';

-- name: due_jobs
-- Up to :limit due jobs of a lane and a priority, from the earliest on. `claim.py` asks for one priority after the other,
-- high first, until it has enough: so jobs that are scheduled for later cost nothing, however many.
SELECT seq, run_at, queue, "key", key_limit FROM jobs
WHERE state IN ('pending', 'failed') AND waits_for IS NULL -- word for word as the index has it: SQLite compares texts
    AND lane = :lane AND priority = :priority AND run_at <= :now AND (:with_suspects OR NOT suspect)
ORDER BY run_at, seq LIMIT :limit + 0; -- for each value of a bare LIMIT, SQLite would prepare the statement anew

-- name: due_suspects
-- The same of the suspects alone, which are few: not by their state, by which SQLite would walk over all that wait.
SELECT lane, seq, run_at, queue, "key", key_limit FROM jobs
WHERE suspect AND worker IS NULL AND waits_for IS NULL AND run_at <= :now
    AND lane IN (SELECT value FROM json_each(:lanes))
ORDER BY priority DESC, run_at, seq LIMIT :limit + 0;

-- name: take_jobs
-- The chosen go to :by_worker under :by_lease, if it is not given up, each in its slot. With each come the settings.
UPDATE jobs SET state = 'processing', worker = :by_worker, lease_id = :by_lease, started_at = :now,
    updated_at = :now, finished_at = NULL, slot = json_extract(:slots, '$[' || chosen."key" || ']'),
    attempts = min(attempts, 2147483646) + 1, -- a number that was written by hand may be the last one
    unique_held = CASE WHEN unique_until = 'started' THEN NULL ELSE unique_held END
FROM json_each(:seqs) AS chosen
WHERE seq = chosen.value AND EXISTS (
    SELECT 1 FROM workers WHERE id = :by_worker AND state = 'running' AND lease_expires_at > :now
)
RETURNING {columns}, (SELECT json_group_array(json_array(queue, "key", value)) FROM config) AS settings;

-- name: start_attempts
-- Their attempts, unless they are there already. The worker's host is copied: the history outlives its row.
INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, output_truncated)
SELECT jobs.id, attempts, queue, worker, host, lease_id, jobs.started_at, jobs.started_at - run_at, 0
FROM jobs JOIN workers ON workers.id = worker
WHERE seq IN (SELECT value FROM json_each(:seqs)) AND lease_id = :by_lease
ON CONFLICT DO NOTHING RETURNING job_id;

-- name: running_with_keys
-- The jobs of a key stand in one of two indexes.
SELECT listed.value AS "key", (
    SELECT count(*) FROM jobs WHERE jobs."key" = listed.value AND jobs.state = 'processing' AND jobs.key_limit = 1
) + (
    SELECT count(*) FROM jobs WHERE jobs."key" = listed.value AND jobs.state = 'processing' AND jobs.key_limit > 1
) AS running
FROM json_each(:keys) AS listed;

-- name: first_run_at
-- The earliest run_at of the jobs that wait in a lane.
SELECT min(run_at) AS run_at
FROM (
    SELECT (
        SELECT run_at FROM jobs
        WHERE state IN ('pending', 'failed') AND waits_for IS NULL AND lane = :lane AND priority = level.value
            AND NOT suspect
        ORDER BY run_at LIMIT 1
    ) AS run_at FROM json_each('[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]') AS level
);
