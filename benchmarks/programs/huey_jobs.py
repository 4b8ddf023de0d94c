"""huey on SQLite: a result row per task, every commit synced."""

import os

from command import run_command
from huey import SqliteHuey

huey = SqliteHuey("benchmark", filename=os.environ["BENCHMARK_PLACE"] + "/huey.db", fsync=True)


@huey.task()
def run(command: str) -> tuple[int, str]:
    return run_command(command)


def enqueue(command: str, number: int) -> None:
    for _ in range(number):
        run(command)


def count_done() -> int:
    return int(huey.storage.result_store_size())
