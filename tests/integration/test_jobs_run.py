"""The core promise: what is enqueued runs to a recorded outcome, in order, when due, and once."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import HeldUp
from tests.integration.driver import Cli, wait_until
from tests.integration.ledger import Ledger

PROMPTLY = 0.5
"""Seconds: the latest that a due job may start on an idle worker."""


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def due_in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def outcomes(job: dict[str, Any]) -> list[str]:
    return [attempt["outcome"] for attempt in job["history"]]


def test_a_job_succeeds(working: Cli) -> None:
    job_id = working.enqueue("echo Hello World")
    job = working.wait_for(job_id)
    assert (job["state"], job["exit_code"], job["output"]) == ("completed", 0, "Hello World\n")
    assert (job["attempts"], job["failures"], job["last_error"]) == (1, 0, None)
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert outcomes(job) == ["succeeded"]


def test_a_job_that_fails_twice_succeeds_at_its_third_attempt(working: Cli, ledger: Ledger) -> None:
    job_id = working.enqueue(ledger.command('echo "run $QUEUECTL_ATTEMPT"; [ "$QUEUECTL_ATTEMPT" = 3 ]'))
    job = working.wait_for(job_id)
    assert (job["state"], job["attempts"], job["failures"]) == ("completed", 3, 2)
    assert outcomes(job) == ["failed", "failed", "succeeded"]
    assert [attempt["output"] for attempt in job["history"]] == ["run 1\n", "run 2\n", "run 3\n"]
    assert [entry.attempt for entry in ledger.entries("start")] == [1, 2, 3]


def test_a_failing_job_runs_again_after_2_and_4_and_8_seconds_and_then_is_dead(
    cli: Cli, ledger: Ledger, held_up: HeldUp
) -> None:
    cli.start_workers()
    job_id = cli.enqueue(ledger.command("exit 1"), max_retries=3)
    wait_until(lambda: len(ledger.entries("end")) == 4)
    job = cli.wait_for(job_id)
    assert (job["state"], job["exit_code"], job["attempts"], job["failures"]) == ("dead", 1, 4, 4)
    assert [dead["id"] for dead in cli.json("dlq", "list")] == [job_id]

    starts = [entry.at for entry in ledger.entries("start")]
    ends = [moment(attempt["finished_at"]) for attempt in job["history"]]
    waits = [starts[0] - moment(job["created_at"])]
    waits += [start - end for start, end in zip(starts[1:], ends, strict=False)]
    for wait, promised in zip(waits, [0, 2, 4, 8], strict=True):
        assert promised <= wait <= promised + PROMPTLY + held_up()


def test_a_command_that_does_not_exist_ends_in_the_dead_letter_queue(working: Cli) -> None:
    by_shell, by_itself = working.enqueue_all(
        [
            {"command": "nonexistent_command_xyz", "max_retries": 0},
            {"command": ["nonexistent_command_xyz"], "max_retries": 0},
        ]
    )
    working.wait_for(by_shell)
    working.wait_for(by_itself)
    dead = {job["id"]: job for job in working.json("dlq", "list")}
    for job in (dead[by_shell], dead[by_itself]):
        assert job["exit_code"] == 127
        assert job["last_error"].startswith("exit code 127 (command not found)")
        assert "nonexistent_command_xyz" in job["last_error"]


def test_ten_jobs_on_three_workers_all_complete_and_none_runs_twice(cli: Cli, ledger: Ledger) -> None:
    ids = cli.enqueue_all([{"command": ledger.command("sleep 0.1")}] * 10)
    workers = cli.start_workers(3)
    jobs = cli.wait_for_all()
    assert {job["state"] for job in jobs.values()} == {"completed"}
    assert Counter(entry.job for entry in ledger.entries("start")) == dict.fromkeys(ids, 1)
    assert len(set(workers.pids)) == 3
    assert len({attempt["worker"] for job_id in ids[:4] for attempt in cli.job(job_id)["history"]}) > 1


def test_jobs_survive_a_restart_of_everything(cli: Cli) -> None:
    done = cli.enqueue("echo before")
    cli.start_workers()
    cli.wait_for(done)
    cli.run("worker", "stop")
    assert cli.processes() == {}
    waiting = cli.enqueue("echo after")
    cli.start_workers()
    assert cli.wait_for(waiting)["output"] == "after\n"
    assert cli.job(done)["output"] == "before\n"


def test_high_priority_runs_first_then_what_is_due_longest_then_what_came_first(cli: Cli, ledger: Ledger) -> None:
    command = ledger.command()
    order = ["ten", "five-overdue", "five-first", "five-second", "one-overdue", "one"]
    documents: dict[str, dict[str, object]] = {
        "one": {"priority": 1},
        "one-overdue": {"priority": 1, "run_at": due_in(-3600)},
        "five-first": {},
        "five-second": {"priority": 5},
        "five-overdue": {"priority": 5, "run_at": due_in(-60)},
        "ten": {"priority": 10},
    }
    cli.enqueue_all([{"id": job_id, "command": command, **fields} for job_id, fields in documents.items()])
    cli.start_workers()
    wait_until(lambda: len(ledger.entries("end")) == len(order))
    assert [entry.job for entry in ledger.entries("start")] == order


def test_delayed_and_scheduled_jobs_start_when_due_not_early_and_not_late(
    cli: Cli, ledger: Ledger, held_up: HeldUp
) -> None:
    cli.start_workers()
    by_option = cli.run("enqueue", "--delay", "2s", json.dumps({"command": ledger.command()})).stdout.strip()
    scheduled = cli.enqueue(ledger.command(), run_at=due_in(3))
    local = (datetime.now() + timedelta(seconds=4)).isoformat()
    in_local_time = cli.run("enqueue", "--run-at", local, json.dumps({"command": ledger.command()})).stdout.strip()
    wait_until(lambda: len(ledger.entries("end")) == 3)
    jobs = cli.wait_for_all()
    started = {entry.job: entry.at for entry in ledger.entries("start")}
    for job_id in (by_option, scheduled, in_local_time):
        assert 0 <= started[job_id] - moment(jobs[job_id]["run_at"]) <= PROMPTLY + held_up()
    waited = moment(jobs[by_option]["run_at"]) - moment(jobs[by_option]["created_at"])
    assert waited == pytest.approx(2, abs=1e-3)


def test_a_job_that_runs_longer_than_its_timeout_is_killed(working: Cli, held_up: HeldUp) -> None:
    job_id = working.enqueue("echo begun; sleep 9771 & sleep 9772", timeout=1, max_retries=0)
    job = working.wait_for(job_id)
    (attempt,) = job["history"]
    assert (job["state"], attempt["outcome"], attempt["exit_code"], attempt["signal"]) == ("dead", "timeout", None, 15)
    assert job["last_error"] == "ran longer than its timeout of 1s and was stopped (killed by SIGTERM)"
    assert job["output"] == "begun\n"
    assert 1 <= moment(attempt["finished_at"]) - moment(attempt["started_at"]) <= 1 + PROMPTLY + held_up()
    assert not [command for command in working.processes().values() if "sleep 977" in command]


def test_max_retries_of_the_config_holds_for_jobs_enqueued_afterwards(cli: Cli) -> None:
    before = cli.enqueue("true")
    cli.run("config", "set", "max-retries", "5")
    after = cli.enqueue("true")
    jobs = cli.jobs()
    assert (jobs[before]["max_retries"], jobs[after]["max_retries"]) == (3, 5)
    assert cli.run("config", "get", "max-retries").stdout == "5\n"


def test_a_dead_job_runs_again_when_told_to_and_keeps_its_history(working: Cli, tmp_path: Path) -> None:
    repaired = tmp_path / "repaired"
    job_id = working.enqueue(f"test -e {repaired}", max_retries=0)
    assert working.wait_for(job_id)["state"] == "dead"
    repaired.touch()
    assert working.run("dlq", "retry", job_id).stdout == f"{job_id}\n"
    job = working.wait_for(job_id)
    assert (job["state"], job["attempts"], job["failures"]) == ("completed", 2, 0)
    assert outcomes(job) == ["failed", "succeeded"]
    assert job_id not in working.run("dlq", "list", "--output", "id").stdout


def test_a_cancelled_job_does_not_run_until_it_is_told_to(cli: Cli, ledger: Ledger) -> None:
    cancelled = cli.enqueue(ledger.command())
    cli.run("cancel", cancelled)
    other = cli.enqueue(ledger.command())
    cli.start_workers()
    cli.wait_for(other)
    assert [entry.job for entry in ledger.entries("start")] == [other]
    cli.run("retry", cancelled)
    assert cli.wait_for(cancelled)["state"] == "completed"


def test_a_worker_serves_only_the_queues_it_was_given(cli: Cli, ledger: Ledger) -> None:
    command = ledger.command()
    lanes = ["default", "mail", "reports", "mail"]
    ids = cli.enqueue_all([{"id": f"{n}-{lane}", "command": command, "queue": lane} for n, lane in enumerate(lanes)])
    cli.start_workers(queues=["mail", "reports"])
    wait_until(lambda: len(ledger.entries("end")) == 3)
    cli.wait_for(ids[3])
    assert [entry.job for entry in ledger.entries("start")] == ids[1:]
    assert cli.job(ids[0])["state"] == "pending"
    cli.start_workers(queues=["default"])
    assert cli.wait_for(ids[0])["state"] == "completed"


def test_a_worker_runs_as_many_jobs_at_once_as_its_concurrency(cli: Cli, ledger: Ledger, tmp_path: Path) -> None:
    barrier = (
        f"touch {tmp_path}/here-$QUEUECTL_JOB_ID; until [ $(ls {tmp_path} | grep -c here-) -ge 4 ]; do sleep 0.05; done"
    )
    cli.enqueue_all([{"command": ledger.command(barrier), "timeout": "20s", "max_retries": 0}] * 6)
    cli.start_workers(concurrency=4)
    jobs = cli.wait_for_all()
    assert {job["state"] for job in jobs.values()} == {"completed"}
    running = most = 0
    for entry in ledger.entries():
        running += 1 if entry.what == "start" else -1
        most = max(most, running)
    assert most == 4


def test_an_idle_worker_takes_a_new_job_up_at_once(working: Cli, ledger: Ledger, held_up: HeldUp) -> None:
    delays = []
    for count in (1, 2, 3):
        job = working.json("enqueue", "--", "sh", "-c", ledger.command())
        wait_until(lambda: len(ledger.entries("end")) == count)  # noqa: B023 - called before the next turn
        delays.append(ledger.entries("start")[-1].at - moment(job["created_at"]))
    # The enqueueing itself is in it, from the clock read to the commit; it is polling by the second that is excluded.
    assert min(delays) < PROMPTLY + held_up()


def test_a_new_policy_reaches_running_workers(cli: Cli) -> None:
    first = cli.enqueue("true")
    cli.start_workers()
    cli.wait_for(first)
    cli.run("config", "set", "output-limit", "10")
    job_id = cli.enqueue("seq 1000")
    (attempt,) = cli.wait_for(job_id)["history"]
    assert attempt["output_truncated"] is True
