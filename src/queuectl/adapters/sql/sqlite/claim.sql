-- name: due_jobs
-- Up to :limit due jobs of one priority, from the earliest on. `claim.py` asks for one priority after the other, high
-- first, until it has enough: so jobs that are scheduled for later cost nothing, however many.
SELECT seq, run_at FROM jobs
WHERE state IN ('pending', 'failed') -- word for word as the index has it: SQLite compares the texts
    AND priority = :priority AND run_at <= :now AND (:with_suspects OR NOT suspect)
ORDER BY run_at, seq LIMIT :limit + 0; -- for each value of a bare LIMIT, SQLite would prepare the statement anew

-- name: due_jobs_in_queue
SELECT seq, run_at FROM jobs
WHERE state IN ('pending', 'failed')
    AND queue = :queue AND priority = :priority AND run_at <= :now AND (:with_suspects OR NOT suspect)
ORDER BY run_at, seq LIMIT :limit + 0;

-- name: due_suspects
-- The same of the suspects alone, which are few: not by their state, by which SQLite would walk over all that wait.
SELECT seq, run_at FROM jobs
WHERE suspect AND worker IS NULL AND run_at <= :now
    AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
ORDER BY priority DESC, run_at, seq LIMIT :limit + 0;

-- name: take_jobs
-- These jobs go to :by_worker under :by_lease, if it is not given up. With each come the settings.
UPDATE jobs SET state = 'processing', worker = :by_worker, lease_id = :by_lease, started_at = :now,
    updated_at = :now, finished_at = NULL,
    attempts = min(attempts, 2147483646) + 1 -- a number that was written by hand may be the last one
WHERE seq IN (SELECT value FROM json_each(:seqs)) AND EXISTS (
    SELECT 1 FROM workers WHERE id = :by_worker AND state = 'running' AND lease_expires_at > :now
)
RETURNING {columns}, (SELECT json_group_object("key", value) FROM config) AS settings;

-- name: start_attempts
-- Their attempts, unless they are there already. The worker's host is copied: the history outlives its row.
INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, output_truncated)
SELECT jobs.id, attempts, queue, worker, host, lease_id, jobs.started_at, jobs.started_at - run_at, 0
FROM jobs JOIN workers ON workers.id = worker
WHERE seq IN (SELECT value FROM json_each(:seqs)) AND lease_id = :by_lease
ON CONFLICT DO NOTHING RETURNING job_id;

-- name: first_due
-- The earliest run_at of the waiting jobs: the same walks; that of suspects apart.
SELECT min(run_at) AS run_at, (
    SELECT min(run_at) FROM jobs
    WHERE suspect AND worker IS NULL AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
) AS suspect_run_at
FROM (
    SELECT (
        SELECT run_at FROM jobs
        WHERE state IN ('pending', 'failed') AND priority = level.value AND NOT suspect
        ORDER BY run_at LIMIT 1
    ) AS run_at FROM json_each('[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]') AS level WHERE :queues IS NULL
    UNION ALL
    SELECT (
        SELECT run_at FROM jobs
        WHERE state IN ('pending', 'failed') AND queue = listed.value AND priority = level.value AND NOT suspect
        ORDER BY run_at LIMIT 1
    ) AS run_at FROM json_each('[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]') AS level CROSS JOIN json_each(:queues) AS listed
);
