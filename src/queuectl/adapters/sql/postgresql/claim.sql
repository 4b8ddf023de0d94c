-- A claim is one statement: the first due jobs are taken by :by_worker under :by_lease, and their attempts started. There
-- are three, as what is asked for stands in three indexes. One text with a condition for each would be planned anew for
-- every claim, as PostgreSQL finds it dearer than what is left of it when the values are known.

-- part: owner
owner AS (
    -- A rescue locks this row FOR UPDATE: so each sees the other's end, and no job is claimed for a worker that is
    -- being given up. FOR KEY SHARE does not stand in the heartbeat's way.
    SELECT host FROM workers WHERE id = :by_worker AND state = 'running' AND lease_expires_at > :now FOR KEY SHARE
)

-- part: take
claimed AS (
    UPDATE jobs SET state = 'processing', worker = :by_worker, lease_id = :by_lease, started_at = :now,
        updated_at = :now, finished_at = NULL,
        attempts = least(attempts, 2147483646) + 1 -- a number that was written by hand may be the last one
    WHERE seq IN (SELECT seq FROM due) AND EXISTS (SELECT FROM owner)
    RETURNING {columns}
), started AS (
    INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, output_truncated)
    SELECT id, attempts, queue, worker,
        host, -- copied: the history outlives the worker's row
        lease_id, started_at,
        started_at - greatest(run_at, -30610224000000000), -- likewise, a moment by hand may be none
        false
    FROM claimed CROSS JOIN owner
    ON CONFLICT DO NOTHING RETURNING job_id
)
SELECT {columns}, (SELECT json_object_agg(key, value)::text FROM config) AS settings, job_id IS NOT NULL AS is_started
FROM claimed LEFT JOIN started ON job_id = id

-- name: claim_jobs
WITH {owner}, due AS MATERIALIZED (
    SELECT probe.seq
    -- One walk for each priority, high first, from where an earlier claim left off. The LIMIT at the end stops them: so
    -- jobs that are scheduled for later cost nothing, however many.
    FROM unnest(:run_ats, :seqs) WITH ORDINALITY AS start (run_at, seq, rank) CROSS JOIN LATERAL (
        SELECT jobs.seq FROM jobs
        WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = 11 - start.rank AND jobs.run_at <= :now
            AND (jobs.run_at, jobs.seq) >= (start.run_at, start.seq) AND (:with_suspects OR NOT jobs.suspect)
        ORDER BY jobs.run_at, jobs.seq
        LIMIT 24 -- a constant: of a parameter the planner expects a tenth of all rows
        FOR UPDATE SKIP LOCKED
    ) AS probe
    LIMIT :limit
), {take};

-- name: claim_jobs_of_queues
WITH {owner}, due AS MATERIALIZED (
    SELECT merged.seq
    FROM unnest(:run_ats, :seqs) WITH ORDINALITY AS start (run_at, seq, rank) CROSS JOIN LATERAL (
        SELECT probe.seq FROM unnest(:queues) AS listed (queue) CROSS JOIN LATERAL (
            SELECT jobs.seq, jobs.run_at FROM jobs
            WHERE jobs.state IN ('pending', 'failed') AND jobs.queue = listed.queue
                AND jobs.priority = 11 - start.rank AND jobs.run_at <= :now
                AND (jobs.run_at, jobs.seq) >= (start.run_at, start.seq) AND (:with_suspects OR NOT jobs.suspect)
            ORDER BY jobs.run_at, jobs.seq
            LIMIT :limit -- a merge takes, and so locks, all that a probe gives: no more than is asked for
            FOR UPDATE SKIP LOCKED
        ) AS probe ORDER BY probe.run_at, probe.seq LIMIT :limit
    ) AS merged
    LIMIT :limit
), {take};

-- name: claim_suspects
-- Those alone, which are few: not by their state, by which they would be looked for among all that wait.
WITH {owner}, due AS MATERIALIZED (
    SELECT seq FROM jobs
    WHERE suspect AND worker IS NULL AND run_at <= :now AND (:queues IS NULL OR queue = ANY (:queues))
    ORDER BY priority DESC, run_at, seq LIMIT :limit FOR UPDATE SKIP LOCKED
), {take};

-- name: first_due
-- The earliest run_at of the waiting jobs: the same walks, without locks; that of suspects apart.
SELECT min(earliest.run_at) AS run_at, (
    SELECT min(run_at) FROM jobs WHERE suspect AND worker IS NULL AND (:queues IS NULL OR queue = ANY (:queues))
) AS suspect_run_at
FROM (
    SELECT (
        SELECT jobs.run_at FROM jobs
        WHERE jobs.state IN ('pending', 'failed') AND jobs.priority = level.priority AND NOT jobs.suspect
        ORDER BY jobs.run_at LIMIT 1
    ) AS run_at FROM generate_series(1, 10) AS level (priority) WHERE :queues IS NULL
    UNION ALL
    SELECT (
        SELECT jobs.run_at FROM jobs
        WHERE jobs.state IN ('pending', 'failed') AND jobs.queue = listed.queue AND jobs.priority = level.priority
            AND NOT jobs.suspect
        ORDER BY jobs.run_at LIMIT 1
    ) AS run_at FROM generate_series(1, 10) AS level (priority) CROSS JOIN unnest(:queues) AS listed (queue)
) AS earliest;
