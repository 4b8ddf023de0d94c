-- Keys. These are the same on both databases, but for one detail. A job that is parked for its key has waits_for = 'key'; one that waits for
-- nothing but its time is exposed: a claim may take it. Whoever changes either has the key's lock.

-- part: every_lane
(SELECT 0 AS id UNION ALL SELECT id FROM lanes) AS lane

-- part: first_of_each_lane
SELECT (
        SELECT parked.seq FROM jobs AS parked
        WHERE parked.waits_for = 'key' AND parked."key" = :key AND parked.lane = lane.id
            AND parked.state IN ('pending', 'failed')
        ORDER BY parked.priority DESC, parked.run_at, parked.seq LIMIT 1
    ) FROM {every_lane}

-- name: expose_on_sqlite
-- Of the jobs that are parked for that key, the first of each lane: so one that waits on in a paused queue holds up none
-- elsewhere.
UPDATE jobs SET waits_for = NULL WHERE waits_for = 'key' AND seq IN ({first_of_each_lane});

-- name: expose_on_postgresql
-- The same: of an array the planner expects ten, so it asks the primary key, and does not read a table it knows nothing of.
UPDATE jobs SET waits_for = NULL WHERE waits_for = 'key' AND seq = ANY (ARRAY({first_of_each_lane}));

-- name: parked_keys
-- Up to :limit keys after :after for which jobs are parked, and whether those of a lane are stranded: where fewer run with
-- the key, or may be claimed in that lane, than the first of them is content with.
WITH RECURSIVE listed ("key", number) AS (
    SELECT (
        SELECT jobs."key" FROM jobs
        WHERE jobs.waits_for = 'key' AND jobs."key" > :after AND jobs.state IN ('pending', 'failed')
        ORDER BY jobs."key" LIMIT 1
    ), 1
    UNION ALL
    SELECT (
        SELECT jobs."key" FROM jobs
        WHERE jobs.waits_for = 'key' AND jobs."key" > listed."key" AND jobs.state IN ('pending', 'failed')
        ORDER BY jobs."key" LIMIT 1
    ), number + 1 FROM listed WHERE listed."key" IS NOT NULL AND number < :limit
)
SELECT running."key", EXISTS (
    SELECT 1 FROM {every_lane}
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
            LIMIT 100 -- the highest limit of a key
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
