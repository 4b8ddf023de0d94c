"""RQ on a Redis that syncs its log at every write."""

import os

from command import run_command
from redis import Redis
from rq import Queue

REDIS = Redis.from_url(os.environ["BENCHMARK_REDIS"])
QUEUE = Queue(connection=REDIS)


def enqueue(command: str, number: int) -> None:
    QUEUE.enqueue_many([Queue.prepare_data(run_command, (command,), result_ttl=86400) for _ in range(number)])


def count_done() -> int:
    return QUEUE.finished_job_registry.get_job_count(cleanup=False)
