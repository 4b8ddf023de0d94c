"""A queue with a past and a future, stored quickly: much that is over, much that waits for later, little to do now."""

from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.adapters.sql.engine.values import writer
from tests.builders import DAY, HOUR, NOON

SCHEDULED = COMPLETED = 20_000
DUE, HELD, DEAD, RETRIED, RARE = 2_000, 3_000, 500, 500, 10

NUMBERS = (
    "WITH RECURSIVE numbers(n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
)

JOBS = """
INSERT INTO jobs (id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state,
                  attempts, failures, losses, started_at, finished_at, worker, lease_id)
SELECT '{name}-' || n, '"make thumbnail"', '{queue}', {priority}, 3, 300000000, {run_at}, {at}, {at}, '/srv/thumbnails',
       '{{}}', '{state}', {attempts}, 0, 0, CASE WHEN {attempts} > 0 THEN {at} END,
       CASE WHEN '{state}' IN ('completed', 'dead') THEN {at} END, {worker},
       CASE WHEN '{state}' = 'processing' THEN 'lease-' || n END
FROM numbers
"""

ATTEMPTS = """
INSERT INTO attempts (job_id, number, queue, worker, host, lease_id, started_at, waited, finished_at, ran, outcome,
                      output_truncated)
SELECT id, 1, queue, 'filler-' || (seq % 3), 'host-1', 'lease-' || seq, started_at, 1000 * (seq % 1000),
       CASE state WHEN 'processing' THEN NULL ELSE updated_at END, 1000 * (seq % 777),
       CASE state WHEN 'completed' THEN 'succeeded' WHEN 'processing' THEN NULL ELSE 'failed' END, false
FROM jobs WHERE attempts > 0
"""

TAGS = """
INSERT INTO tags (tag, seq) SELECT queue, seq FROM jobs WHERE state <> 'pending'
"""

WORKERS = """
INSERT INTO workers (id, host, machine, pid, pid_started, supervisor_pid, supervisor_started, queues, concurrency,
                     state, started_at, renewed_at, lease_expires_at)
SELECT 'filler-' || (n - 1), 'host-1', 'machine-1', n, 1, 1, 1, '[]', 10, 'running', {noon}, {noon}, {noon} + {hour}
FROM numbers
"""


def fill(database: Database) -> None:
    """Fill an empty queue: the oldest jobs are in a queue that has had no new ones since, the newest wait for later."""
    noon = int(str(writer("moment")(NOON)))
    hour, day = (int(str(writer("span")(span))) for span in (HOUR, DAY))
    past = f"{noon} - {30 * day} + n * {30 * day // COMPLETED}"  # a month of work, evenly
    statements = [
        _jobs("rare", "completed", RARE, 5, past, queue="rare"),
        _jobs("over", "completed", COMPLETED, 5, past),
        _jobs("dead", "dead", DEAD, 5, f"{noon} - n * {hour}"),
        _jobs("retried", "failed", RETRIED, 3, past, run_at=f"{noon} + n * {hour}"),
        _jobs("held", "processing", HELD, 5, f"{noon} - n", worker="'filler-' || (n % 3)"),
        _jobs("due", "pending", DUE, 3, f"{noon} - {hour} - n", attempts=0),
        _jobs("later", "pending", SCHEDULED, 10, f"{noon} + {day} + n", attempts=0),
        ATTEMPTS,
        TAGS,
        NUMBERS.format(count=3) + WORKERS.format(noon=noon, hour=hour),
    ]

    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    database.write(work)
    looked_over(database)


def looked_over(database: Database) -> None:
    """As the server's autovacuum does by itself. On SQLite nobody does: there the planner knows nothing of the data."""
    if database.dialect.language == "postgresql":
        database.outside_transactions(lambda it: it.execute("VACUUM (ANALYZE) jobs, attempts, tags, workers, config"))


def _jobs(
    name: str,
    state: str,
    count: int,
    priority: int,
    at: str,
    *,
    run_at: str | None = None,
    queue: str = "default",
    attempts: int = 1,
    worker: str = "NULL",
) -> str:
    return NUMBERS.format(count=count) + JOBS.format(
        name=name,
        state=state,
        priority=priority,
        at=at,
        run_at=run_at or at,
        queue=queue,
        attempts=attempts,
        worker=worker,
    )
