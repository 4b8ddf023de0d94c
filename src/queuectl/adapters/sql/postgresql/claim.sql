-- A claim walks the lanes that the worker serves and in which something may start, one priority after the other. Jobs
-- without a key, in queues without limits, are taken by the same statement. Where others are among the first, it takes
-- none: `stores/claims.py` locks what they need, chooses, and has `take_chosen` take those.

-- part: owner
owner AS (
    -- A rescue locks this row FOR UPDATE: so each sees the other's end, and no job is claimed for a worker that is
    -- being given up. FOR KEY SHARE does not stand in the heartbeat's way.
    SELECT host FROM workers WHERE id = :by_worker AND state = 'running' AND lease_expires_at > :now FOR KEY SHARE
)

-- part: served
served AS MATERIALIZED (
    -- The lanes that the worker serves, and when each is open: not while its queue, or every one, is paused, has no
    -- start left of its rate, or as many jobs run as its concurrency.
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
    WHERE CASE WHEN :queues IS NULL THEN own.reserved IS NOT TRUE ELSE lane.queue = ANY (:queues) END
        AND NOT EXISTS (SELECT FROM json_array_elements_text(lane.needs::json) AS need WHERE need <> ALL (:labels))
)

-- part: started
started AS (
    INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, output_truncated)
    SELECT id, attempts, queue, worker,
        host, -- copied: the history outlives the worker's row
        lease_id, started_at,
        started_at - greatest(run_at, -30610224000000000), -- a moment by hand may be none
        false
    FROM claimed CROSS JOIN owner
    ON CONFLICT DO NOTHING RETURNING job_id
)

-- part: taken
state = 'processing', worker = :by_worker, lease_id = :by_lease, started_at = :now, updated_at = :now,
        finished_at = NULL, attempts = least(attempts, 2147483646) + 1, -- a number by hand may be the last one
        unique_held = CASE WHEN unique_until = 'started' THEN NULL ELSE unique_held END

-- part: settings
(SELECT json_agg(json_build_array(queue, key, value))::text FROM config) AS settings

-- part: at_once
claimed AS (
    UPDATE jobs SET {taken}
    WHERE seq = ANY (ARRAY(SELECT seq FROM due)) -- of an array the planner expects ten: so it asks the primary key
        AND EXISTS (SELECT FROM owner) AND :at_once
        AND NOT EXISTS (SELECT FROM due WHERE needs_more)
    RETURNING {columns}
), {started}
SELECT claimed.*, {settings}, job_id IS NOT NULL AS is_started, claimed.seq IS NOT NULL AS is_taken, due.*,
    -- One of 1024 locks: who decides about a key has it until the transaction ends.
    due.key IS NULL OR pg_try_advisory_xact_lock(7105, hashtext(due.key) & 1023) AS is_key_locked
FROM due LEFT JOIN claimed ON claimed.seq = due.seq LEFT JOIN started ON job_id = claimed.id
WHERE claimed.seq IS NOT NULL OR NOT :at_once OR EXISTS (SELECT FROM due WHERE needs_more)

-- name: claim_jobs
WITH {owner}, {served}, due AS MATERIALIZED (
    SELECT merged.*, merged.key IS NOT NULL OR is_stray OR concurrency IS NOT NULL OR rate_count IS NOT NULL AS needs_more
    -- One walk for each priority and lane, high first. The LIMIT at the end stops them: so jobs that are scheduled for
    -- later cost nothing, however many.
    FROM generate_series(10, 1, -1) AS level (priority) CROSS JOIN LATERAL (
        SELECT probe.*, concurrency, rate_count, served.queue = ''
                AND EXISTS (SELECT FROM lanes WHERE lanes.queue = probe.queue) AS is_stray
        FROM served CROSS JOIN LATERAL (
            -- From where an earlier claim left off.
            SELECT coalesce(max(run_at), -9223372036854775808) AS run_at, coalesce(max(seq), -9223372036854775808) AS seq
            FROM unnest(:cursor_lanes, :cursor_priorities, :cursor_run_ats, :cursor_seqs)
                AS position (lane, priority, run_at, seq)
            WHERE position.lane = served.id AND position.priority = level.priority
        ) AS start CROSS JOIN LATERAL (
            SELECT seq, run_at, priority, lane, queue, key, key_limit FROM jobs
            WHERE state IN ('pending', 'failed') AND waits_for IS NULL AND lane = served.id
                AND priority = level.priority AND run_at <= :now AND (run_at, seq) >= (start.run_at, start.seq)
                AND (:with_suspects OR NOT suspect) AND (key IS NULL OR key <> ALL (:busy_keys))
            ORDER BY run_at, seq
            LIMIT :limit -- a merge takes, and so locks, all that a probe gives: no more than is asked for
            FOR UPDATE SKIP LOCKED
        ) AS probe
        WHERE served.opens_at <= :now AND served.queue <> ALL (:full_queues)
        ORDER BY probe.run_at, probe.seq LIMIT :limit
    ) AS merged
    LIMIT :limit
), {at_once};

-- name: claim_suspects
-- Those alone, which are few: not by their lanes, in which they would be looked for among all that wait.
WITH {owner}, {served}, due AS MATERIALIZED (
    SELECT jobs.seq, jobs.run_at, jobs.priority, jobs.lane, jobs.queue, jobs.key, jobs.key_limit, concurrency, rate_count,
        served.queue = '' AND EXISTS (SELECT FROM lanes WHERE lanes.queue = jobs.queue) AS is_stray,
        jobs.key IS NOT NULL OR concurrency IS NOT NULL OR rate_count IS NOT NULL
            OR served.queue = '' AND EXISTS (SELECT FROM lanes WHERE lanes.queue = jobs.queue) AS needs_more
    FROM jobs JOIN served ON served.id = jobs.lane
    WHERE suspect AND worker IS NULL AND waits_for IS NULL AND jobs.run_at <= :now AND opens_at <= :now
        AND served.queue <> ALL (:full_queues) AND (jobs.key IS NULL OR jobs.key <> ALL (:busy_keys))
    ORDER BY jobs.priority DESC, jobs.run_at, jobs.seq LIMIT :limit FOR UPDATE OF jobs SKIP LOCKED
), {at_once};

-- name: take_chosen
-- The chosen of the candidates, each in its slot, and the starts of their queues' rates.
WITH {owner}, claimed AS (
    UPDATE jobs SET {taken}, slot = (:slots)[array_position(:seqs, seq)]
    WHERE seq = ANY (:seqs) AND EXISTS (SELECT FROM owner)
    RETURNING {columns}
), {started}, used AS (
    UPDATE slots SET free_at = :now + rate_period
    FROM unnest(:start_queues, :starts) AS chosen (of_queue, start) JOIN queues ON name = of_queue
    WHERE slots.queue = of_queue AND kind = 'start' AND slots.slot = start AND EXISTS (SELECT FROM owner)
)
SELECT {columns}, {settings}, job_id IS NOT NULL AS is_started FROM claimed LEFT JOIN started ON job_id = id;

-- name: running_with_keys
-- Seen after the keys were locked. The jobs of a key stand in one of two indexes.
SELECT listed.key, (
    SELECT count(*) FROM jobs WHERE jobs.key = listed.key AND jobs.state = 'processing' AND jobs.key_limit = 1
) + (
    SELECT count(*) FROM jobs WHERE jobs.key = listed.key AND jobs.state = 'processing' AND jobs.key_limit > 1
) AS running
FROM unnest(:keys) AS listed (key);

-- name: first_due
-- The earliest moment at which something may start in the lanes served: the same walks, without locks; that of suspects
-- apart.
WITH {served}
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
