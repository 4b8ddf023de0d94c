"""Fills a queue with rows directly: what years of use would leave, in a minute. The same SQL on both databases."""

from benchmarks.queue import Queue

CHUNK = 100_000

JOB_COLUMNS = (
    "id, command, queue, priority, max_retries, timeout, run_at, created_at, updated_at, cwd, env, state, attempts, "
    "failures, losses, started_at, finished_at, worker, lease_id, exit_code, last_error"
)
ATTEMPT_COLUMNS = (
    "job_id, number, queue, worker, host, lease_id, started_at, waited, finished_at, ran, outcome, exit_code, signal, "
    "error, late, output_truncated, output"
)
SECOND = 1_000_000
DAY = 86_400 * SECOND


def scheduled(queue: Queue, count: int) -> None:
    """Jobs due tomorrow, at the highest priority: what a careless claim would walk past each time."""
    now = _now(queue)
    _jobs(queue, count, "scheduled", f"10, 3, 300000000, {now + DAY} + i, {now}, {now}", "'pending', 0", "NULL, NULL")


def due(queue: Queue, count: int) -> None:
    """Jobs due now, at a low priority."""
    now = _now(queue)
    _jobs(queue, count, "due", f"3, 3, 300000000, {now - DAY} + i, {now}, {now}", "'pending', 0", "NULL, NULL")


def finished(queue: Queue, count: int) -> None:
    """Completed jobs with one attempt each, all of them ended within the last 20 hours."""
    now = _now(queue)
    step = 20 * 3600 * SECOND // max(count, 1)
    ended = f"({now - count * step} + i * {step})"
    times = f"5, 3, 300000000, {ended} - 9000, {ended} - 9000, {ended}"
    _jobs(queue, count, "finished", times, "'completed', 1", f"{ended} - 4000, {ended}", exit_code="0")
    false, empty = ("false", "''::bytea") if queue.url.startswith("postgres") else ("0", "x''")
    for first in range(1, count + 1, CHUNK):
        queue.tell(
            f"INSERT INTO attempts ({ATTEMPT_COLUMNS}) {_numbers(first, count)} SELECT 'finished-' || i, 1, 'default', "
            f"'worker' || (i % 8), 'host', 'lease-' || i, {ended} - 4000, 5000, {ended}, 4000, 'succeeded', 0, NULL, "
            f"NULL, NULL, {false}, {empty} FROM n"
        )


def settled_down(queue: Queue) -> None:
    """What PostgreSQL does by itself within a minute of such a change."""
    if queue.url.startswith("postgres"):
        import psycopg

        with psycopg.connect(queue.url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")


def _jobs(queue: Queue, count: int, name: str, times: str, state: str, ran: str, exit_code: str = "NULL") -> None:
    """`times`: priority, max_retries, timeout, run_at, created_at, updated_at. `ran`: started_at, finished_at."""
    for first in range(1, count + 1, CHUNK):
        queue.tell(
            f"INSERT INTO jobs ({JOB_COLUMNS}) {_numbers(first, count)} SELECT '{name}-' || i, '\"true\"', 'default', "
            f"{times}, '/', '{{}}', {state}, 0, 0, {ran}, NULL, NULL, {exit_code}, NULL FROM n"
        )


def _numbers(first: int, count: int) -> str:
    last = min(first + CHUNK - 1, count)
    start = f"CAST({first} AS bigint)"
    return f"WITH RECURSIVE n(i) AS (SELECT {start} UNION ALL SELECT i + 1 FROM n WHERE i < {last})"


def _now(queue: Queue) -> int:
    return int(queue.container.clock()().timestamp() * SECOND)
