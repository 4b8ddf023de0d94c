"""The JSON that programs read: its keys are a promise, they may only grow in number."""

from typing import Any

from tests.integration.driver import Cli

JOB = [
    "id", "queue", "command", "state", "priority", "max_retries", "timeout", "run_at", "created_at", "updated_at",
    "started_at", "finished_at", "cwd", "env", "stdin", "key", "key_limit", "needs", "tags", "waits_for", "slot",
    "unique", "unique_until", "attempts", "failures", "losses", "worker", "worker_lost", "exit_code",
    "last_error", "output", "cancel_requested_at", "cancel_requested_by",
    "batch", "after", "suspect",
]  # fmt: skip
ATTEMPT = [
    "attempt", "outcome", "exit_code", "signal", "started_at", "finished_at", "worker", "host", "error", "output",
    "output_truncated", "late",
]  # fmt: skip
STATES = ["pending", "processing", "completed", "failed", "dead", "cancelled"]
WORKER = ["id", "host", "pid", "supervisor_pid", "state", "jobs", "heartbeat_age", "concurrency", "queues"]
WORKER += ["labels", "started_at", "lease_expires_at", "lost", "lost_since"]
SETTINGS = ["max-retries", "backoff-base", "backoff-max", "backoff-jitter", "default-timeout", "output-limit"]
SETTINGS += ["max-losses", "lease", "kill-grace"]
LOCAL = ["database-url", "db-path", "busy-timeout", "output", "color", "log-dir", "spool-dir", "labels"]


def test_a_job_has_all_its_keys_whether_it_waits_or_has_ended(working: Cli) -> None:
    waits = working.job(working.enqueue("true", run_at="2100-01-01T00:00:00Z", timeout=None, cwd=None))
    assert list(waits) == [*JOB, "why", "history"]
    assert (waits["state"], waits["timeout"], waits["cwd"], waits["output"]) == ("pending", None, None, None)
    assert (waits["run_at"], waits["history"]) == ("2100-01-01T00:00:00.000000Z", [])

    ended = working.wait_for(working.enqueue(["echo", "x"], timeout="1m30s", queue="mail", priority=7))
    assert list(ended) == [*JOB, "why", "history"]
    (attempt,) = ended["history"]
    assert list(attempt) == ATTEMPT
    assert (ended["command"], ended["timeout"], ended["cwd"]) == (["echo", "x"], 90, str(working.directory))
    assert ended["worker"] == attempt["worker"]
    listed = working.json("list", "--queue", "mail", "--state", "completed")
    assert [list(job) for job in listed] == [JOB]
    assert listed[0]["output"] == "x\n"


def test_status_counts_every_state_and_describes_each_worker(working: Cli) -> None:
    status = working.json("status")
    assert list(status) == ["jobs", "pause", "queues", "workers", "at"]
    assert list(status["jobs"]) == STATES
    (worker,) = status["workers"]
    assert list(worker) == WORKER
    assert (worker["state"], worker["concurrency"], worker["queues"]) == ("running", 4, [])
    assert 0 <= worker["heartbeat_age"] < 30
    assert [list(each) for each in working.json("worker", "status")] == [WORKER]


def test_metrics_have_all_their_keys_even_of_an_empty_queue(cli: Cli) -> None:
    keys = ["since", "window", "completed", "failed", "dead", "success_rate", "throughput_per_minute", "wait", "run"]
    keys += ["retries", "attempts"]
    metrics: dict[str, Any] = cli.json("metrics")
    assert list(metrics) == keys
    assert (metrics["window"], metrics["completed"], metrics["success_rate"]) == (86400, 0, None)
    assert metrics["wait"] == metrics["run"] == {"p50": None, "p95": None}
    assert list(cli.json("metrics", "--detailed")) == [*keys, "workers", "queues"]


def test_metrics_count_what_was_done(cli: Cli) -> None:
    cli.run("config", "set", "backoff-max", "0s")
    commands = ["true", "true", '[ "$QUEUECTL_ATTEMPT" = 2 ]', "exit 1"]
    cli.enqueue_all([{"command": command, "max_retries": 1} for command in commands])
    cli.start_workers()
    cli.wait_for_all()
    metrics = cli.json("metrics", "--detailed")
    assert (metrics["completed"], metrics["failed"], metrics["dead"]) == (3, 3, 1)
    assert metrics["success_rate"] == 0.75
    assert metrics["retries"] == {"completed_after_retry": 1, "most_attempts": 2}
    assert (metrics["attempts"]["succeeded"], metrics["attempts"]["failed"]) == (3, 3)
    assert metrics["run"]["p50"] > 0
    for totals in (*metrics["workers"], *metrics["queues"]):
        assert list(totals) == ["name", "succeeded", "failed", "busy"]
        assert (totals["succeeded"], totals["failed"]) == (3, 3)


def test_config_gives_all_settings_and_where_they_are_from(cli: Cli) -> None:
    assert list(cli.json("config", "get")) == [*SETTINGS, *LOCAL]
    changed = cli.json("config", "set", "max-retries", "5")
    assert list(changed) == ["key", "value", "default", "from", "range", "meaning"]
    assert (changed["value"], changed["default"], changed["from"]) == ("5", "3", "database")
    shown = cli.json("config", "show")
    assert list(shown) == ["policy", "local"]
    assert [setting["key"] for setting in shown["local"]] == [*LOCAL, "config file"]
    assert [setting["key"] for setting in shown["policy"]] == SETTINGS
    assert cli.json("config", "unset", "max-retries")["from"] == "default"


def test_worker_start_and_enqueue_tell_what_they_made(cli: Cli) -> None:
    job = cli.json("enqueue", "--unique", "k", "--", "true")
    assert list(job) == [*JOB, "enqueued"]
    again = cli.json("enqueue", "--unique", "k", "--", "true")
    assert [(it["id"], it["enqueued"]) for it in (job, again)] == [(job["id"], "new"), (job["id"], "existing")]
    started = cli.json("worker", "start", "--count", "2")
    assert list(started) == ["supervisor_pid", "log", "workers", "running"]
    assert [list(worker) for worker in started["workers"]] == [["pid", "id"]] * 2
    cli.wait_for(job["id"])
