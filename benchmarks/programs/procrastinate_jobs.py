"""Procrastinate on PostgreSQL. It keeps no results: the output is captured, and dropped."""

import functools
import os

import psycopg
from command import run_command
from procrastinate import App, PsycopgConnector

URL = os.environ["BENCHMARK_POSTGRES"]
app = App(connector=PsycopgConnector(conninfo=URL), import_paths=["procrastinate_jobs"])


@app.task(name="run")
def run(command: str) -> tuple[int, str]:
    return run_command(command)


def enqueue(command: str, number: int) -> None:
    with app.open():
        app.schema_manager.apply_schema()
        run.batch_defer(*({"command": command} for _ in range(number)))


@functools.cache
def watching() -> "psycopg.Connection[tuple[int]]":
    return psycopg.connect(URL, autocommit=True)


def count_done() -> int:
    row = watching().execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'").fetchone()
    return row[0] if row else 0
