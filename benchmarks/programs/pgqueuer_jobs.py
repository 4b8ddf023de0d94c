"""PgQueuer on PostgreSQL. Each worker process takes batches of ten, and runs one command at a time."""

import asyncio
import functools
import os

import asyncpg
from command import run_command
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

URL = os.environ["BENCHMARK_POSTGRES"]
BATCH = 10  # the default


# Ended jobs leave the queue's table for the log, whose rows a worker sums up now and then.
ENDED = """
    SELECT (SELECT count(*) FROM pgqueuer_log WHERE status = 'successful' AND NOT aggregated)
         + (SELECT coalesce(sum(count), 0) FROM pgqueuer_statistics WHERE status = 'successful')
"""


async def _work() -> None:
    pgq = PgQueuer(AsyncpgDriver(await asyncpg.connect(URL)))
    one_at_a_time = asyncio.Semaphore(1)

    @pgq.entrypoint("run")
    async def run(job: Job) -> None:
        async with one_at_a_time:
            await asyncio.to_thread(run_command, (job.payload or b"").decode())

    await pgq.run(batch_size=BATCH)


async def _enqueue(command: str, number: int) -> None:
    connection = await asyncpg.connect(URL)
    await Queries(AsyncpgDriver(connection)).enqueue(["run"] * number, [command.encode()] * number, [0] * number)
    await connection.close()


@functools.cache
def watching() -> tuple[asyncio.AbstractEventLoop, asyncpg.Connection]:
    loop = asyncio.new_event_loop()
    return loop, loop.run_until_complete(asyncpg.connect(URL))


def count_done() -> int:
    loop, connection = watching()
    return int(loop.run_until_complete(connection.fetchval(ENDED)))


def enqueue(command: str, number: int) -> None:
    asyncio.run(_enqueue(command, number))


def work() -> None:
    asyncio.run(_work())
