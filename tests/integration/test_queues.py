"""Queues with limits and pauses, with real workers: nobody runs more, and what may start again does so at once."""

import time
from datetime import datetime
from itertools import pairwise

import pytest

from tests.integration.driver import Cli

QUEUE = [
    "queue", "pending", "due", "processing", "failed", "dead", "concurrency", "running", "rate", "started_in_period",
    "next_start_at", "reserved", "paused", "paused_at", "paused_until", "paused_by", "pause_reason", "oldest_due_age",
    "settings", "lanes", "workers",
]  # fmt: skip


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def spans(cli: Cli) -> list[tuple[float, float]]:
    """The beginnings and ends of all jobs, in the order of their beginnings."""
    jobs = cli.wait_for_all().values()
    return sorted((moment(job["started_at"]), moment(job["finished_at"])) for job in jobs)


def test_of_a_limited_queue_no_two_jobs_overlap_and_the_next_one_follows_at_once(cli: Cli) -> None:
    cli.run("queue", "set", "gpu", "concurrency=1")
    cli.start_workers(count=2, concurrency=4)
    cli.enqueue_all([{"command": "sleep 0.1", "queue": "gpu"}] * 8)
    runs = spans(cli)
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(runs)]
    assert min(gaps) >= 0
    assert max(gaps) < 0.9, "it waited for the next look, which each worker takes once a second"


def test_no_more_jobs_start_in_a_span_than_the_rate_allows(cli: Cli) -> None:
    cli.run("queue", "set", "api", "rate=3/700ms")
    cli.start_workers(count=2, concurrency=4)
    cli.enqueue_all([{"command": "true", "queue": "api"}] * 9)
    starts = [start for start, _ in spans(cli)]
    waits = [later - earlier for earlier, later in zip(starts, starts[3:], strict=False)]
    assert min(waits) >= 0.7
    assert starts[-1] - starts[0] < 6, "each worker looks again when the next start is free"


def test_a_paused_queue_starts_nothing_and_goes_on_at_once_when_it_is_resumed(cli: Cli) -> None:
    cli.start_workers()
    cli.run("queue", "pause", "api", "--reason", "maintenance")
    waits = cli.enqueue("true", queue="api")
    cli.wait_for(cli.enqueue("true"))
    assert cli.job(waits)["state"] == "pending"
    queue = cli.json("queue", "show", "api")
    assert list(queue) == QUEUE
    assert (queue["paused"], queue["pause_reason"], queue["due"]) == (True, "maintenance", 1)
    resumed_at = time.time()
    cli.run("queue", "resume", "api")
    ended = cli.wait_for(waits)
    assert moment(ended["started_at"]) - resumed_at < 0.9, "a resume wakes idle workers"


def test_a_pause_that_ends_by_itself_ends_in_time(cli: Cli) -> None:
    cli.start_workers()
    until = moment(cli.json("queue", "pause", "api", "--for", "700ms")["paused_until"])
    ended = cli.wait_for(cli.enqueue("true", queue="api"))
    assert 0 <= moment(ended["started_at"]) - until < 0.9


def test_a_drain_returns_when_nothing_of_the_queue_runs(cli: Cli) -> None:
    cli.start_workers()
    job = cli.enqueue("sleep 2", queue="api")
    cli.wait_for(job, "processing")
    later = cli.enqueue("true", queue="api")
    assert cli.json("queue", "drain", "api")["running"] == 0
    assert (cli.job(job)["state"], cli.job(later)["state"]) == ("completed", "pending")
    cli.run("queue", "move", "api", "--to", "other", "--yes")
    assert cli.wait_for(later)["queue"] == "other"
    cli.run("queue", "forget", "api")
    assert cli.error("queue", "show", "nowhere")["code"] == "not_found"


@pytest.mark.parametrize("queues", [[], ["--queue", "gpu"]], ids=["all", "named"])
def test_a_reserved_queue_is_served_by_workers_that_name_it(cli: Cli, queues: list[str]) -> None:
    cli.run("queue", "set", "gpu", "reserved=true")
    gpu, plain = cli.enqueue("true", queue="gpu"), cli.enqueue("true")
    cli.run("worker", "start", *queues)
    served, other = (gpu, plain) if queues else (plain, gpu)
    cli.wait_for(served)
    assert cli.job(other)["state"] == "pending"
    workers = {it["queue"]: it["workers"] for it in cli.json("status")["queues"]}
    assert workers["gpu"] == len(queues) // 2
