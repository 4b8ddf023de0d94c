"""`queuectl cancel` of jobs that run: all their processes are stopped, by whatever worker, and one outcome is told."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from tests.integration.conftest import HeldUp
from tests.integration.driver import PATIENCE, QUEUECTL, Cli, Result, kill, wait_until
from tests.integration.ledger import Ledger

PROMPTLY = 0.7
"""Seconds: less than the second in which a worker that heard no wake-up asks by itself."""

TREE = "setsid sh -c 'sleep 9771 & sleep 9772' & (sleep 9773 &) ; sleep 9774"
IGNORES = "trap '' TERM INT HUP; while :; do sleep 0.05; done"


def last_attempt(cli: Cli, job_id: str) -> dict[str, Any]:
    attempt: dict[str, Any] = cli.job(job_id)["history"][-1]
    return attempt


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def sleeping(cli: Cli) -> list[str]:
    return [command for command in cli.processes().values() if "sleep 977" in command and "sh -c" not in command]


def start_cancelling(cli: Cli, *args: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [QUEUECTL, "cancel", *args],
        env=cli.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def freeze(cli: Cli, pid: int) -> None:
    """Stop the process at a moment when it holds no lock of SQLite's, which nobody could take from it."""

    def is_writable() -> bool:
        os.kill(pid, signal.SIGSTOP)
        if cli.run("config", "set", "max-losses", "3", check=False, env={"QUEUECTL_BUSY_TIMEOUT": "0.1s"}).code == 0:
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    wait_until(is_writable)


@pytest.fixture
def running(cli: Cli, ledger: Ledger) -> Iterator[str]:
    """A job that runs and, in its first run, does not end by itself."""
    cli.run("config", "set", "lease", "2s")
    job_id = cli.enqueue(ledger.endless())
    cli.start_workers()
    wait_until(ledger.started)
    yield job_id
    ledger.assert_no_overlap()


def test_it_returns_when_nothing_of_the_command_is_left_and_says_what_killed_it(cli: Cli) -> None:
    job_id = cli.enqueue(TREE)
    cli.start_workers()
    wait_until(lambda: len(sleeping(cli)) == 4)
    result = cli.run("cancel", job_id, "--output", "table")
    assert sleeping(cli) == []
    assert result == Result(f"cancelled job {job_id}: its command was killed by SIGTERM\n", "", 0)
    job = cli.job(job_id)
    assert (job["state"], job["attempts"], job["failures"]) == ("cancelled", 1, 0)
    assert job["cancel_requested_at"] <= job["finished_at"]
    (attempt,) = job["history"]
    assert (attempt["outcome"], attempt["signal"], attempt["exit_code"]) == ("cancelled", 15, None)
    assert attempt["error"] == f"cancelled by {job['cancel_requested_by']}: was stopped (killed by SIGTERM)"
    cli.log.wait_for("is to be cancelled")


def test_the_worker_hears_of_it_at_once(cli: Cli, running: str, held_up: HeldUp) -> None:
    cli.run("cancel", running)
    job = cli.job(running)
    assert moment(job["finished_at"]) - moment(job["cancel_requested_at"]) < PROMPTLY + held_up()


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(cli: Cli, ledger: Ledger) -> None:
    cli.run("config", "set", "kill-grace", "0.5s")
    job_id = cli.enqueue(f"{ledger.note('start')}; {IGNORES}")
    cli.start_workers()
    wait_until(ledger.started)
    assert cli.run("cancel", job_id, "--output", "table").stdout.endswith("killed by SIGKILL\n")
    assert (last_attempt(cli, job_id)["outcome"], last_attempt(cli, job_id)["signal"]) == ("cancelled", 9)


def test_a_command_may_end_in_its_own_way_and_its_output_is_kept(cli: Cli, ledger: Ledger) -> None:
    job_id = cli.enqueue(f"trap 'echo bye; exit 0' TERM; {ledger.note('start')}; while :; do sleep 0.05; done")
    cli.start_workers()
    wait_until(ledger.started)
    cli.run("cancel", job_id)
    job = cli.job(job_id)
    assert (job["state"], job["exit_code"], job["output"].endswith("bye\n")) == ("cancelled", 0, True)


def test_others_of_the_same_worker_go_on(cli: Cli, ledger: Ledger) -> None:
    jobs = cli.enqueue_all([{"command": ledger.endless()}] * 3)
    cli.start_workers(concurrency=3)
    wait_until(lambda: ledger.started(3))
    assert cli.run("cancel", jobs[1]).stdout == f"{jobs[1]}\n"
    alive = len(ledger.entries("alive", job=jobs[0]))
    wait_until(lambda: len(ledger.entries("alive", job=jobs[0])) > alive)
    assert [cli.jobs()[job_id]["state"] for job_id in jobs] == ["processing", "cancelled", "processing"]


def test_several_are_asked_at_once_and_waiting_ones_are_cancelled_too(cli: Cli, ledger: Ledger) -> None:
    cli.run("config", "set", "kill-grace", "1s")
    running = cli.enqueue_all([{"command": f"{ledger.note('start')}; {IGNORES}"}] * 4)
    cli.start_workers(2, concurrency=2)
    wait_until(lambda: ledger.started(4))
    waiting, unknown = cli.enqueue("true"), "nope"
    result = cli.run("cancel", *running, unknown, waiting, check=False)
    assert (result.code, result.stdout.split()) == (3, [*running, waiting])
    assert {job["state"] for job in cli.jobs().values()} == {"cancelled"}
    asked = [job["cancel_requested_at"] for job in cli.jobs().values()]
    assert max(asked) < min(cli.job(job_id)["finished_at"] for job_id in running)


def test_without_waiting_the_request_is_there_and_seen_until_it_is_heeded(cli: Cli, ledger: Ledger) -> None:
    cli.run("config", "set", "kill-grace", "3s")
    job_id = cli.enqueue(f"{ledger.note('start')}; {IGNORES}")
    cli.start_workers()
    wait_until(ledger.started)
    result = cli.run("cancel", "--no-wait", job_id)
    assert "did not wait" in result.stderr
    job = cli.job(job_id)
    assert (job["state"], job["cancel_requested_at"] is not None) == ("processing", True)
    assert cli.json("list")[0]["cancel_requested_by"] == job["cancel_requested_by"]
    assert cli.wait_for(job_id)["state"] == "cancelled"


def test_a_job_of_a_worker_that_is_stopping_is_cancelled(cli: Cli, ledger: Ledger) -> None:
    job_id = cli.enqueue(ledger.endless())
    cli.start_workers()
    wait_until(ledger.started)
    assert cli.run("worker", "stop", "--timeout", "0.1", check=False).code == 1
    cli.run("cancel", job_id)
    assert cli.job(job_id)["state"] == "cancelled"
    wait_until(lambda: not cli.processes())


def test_it_is_cancelled_and_not_given_back_when_the_worker_is_stopped_by_force_meanwhile(
    cli: Cli, ledger: Ledger
) -> None:
    job_id = cli.enqueue(f"{ledger.note('start')}; {IGNORES}")
    cli.run("config", "set", "kill-grace", "1s")
    cli.start_workers()
    wait_until(ledger.started)
    with ThreadPoolExecutor() as pool:
        stopping = pool.submit(cli.run, "worker", "stop", "--force")
        cancelling = pool.submit(cli.run, "cancel", job_id, check=False)
        assert stopping.result().code == cancelling.result().code == 0
    assert cli.job(job_id)["state"] == "cancelled"
    assert len(cli.job(job_id)["history"]) == 1


def test_ctrl_c_ends_the_waiting_and_leaves_the_request(cli: Cli, ledger: Ledger) -> None:
    cli.run("config", "set", "kill-grace", "3s")
    job_id = cli.enqueue(f"{ledger.note('start')}; {IGNORES}")
    cli.start_workers()
    wait_until(ledger.started)
    waiting = start_cancelling(cli, job_id)
    wait_until(lambda: cli.job(job_id)["cancel_requested_at"])
    waiting.send_signal(signal.SIGINT)
    _, told = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, "what was asked for stands" in told) == (130, True)
    assert cli.wait_for(job_id)["state"] == "cancelled"


def test_a_race_with_the_natural_end_has_one_outcome_and_the_command_line_tells_it(cli: Cli, ledger: Ledger) -> None:
    """Ends and requests meet at all distances: what is recorded, what is told and what ran must agree."""
    cli.run("config", "set", "backoff-base", "100")
    ids = cli.enqueue_all(
        [{"command": ledger.command(f"sleep {number * 0.25}; exit {number % 2}")} for number in range(12)]
    )
    cli.start_workers(2, concurrency=6)
    wait_until(lambda: ledger.started(12))
    result = cli.run("cancel", *ids, check=False)
    jobs = {job_id: cli.job(job_id) for job_id in ids}
    cancelled = [job_id for job_id in ids if jobs[job_id]["state"] == "cancelled"]
    assert result.stdout.split() == [job_id for job_id in cancelled if job_id in result.stdout.split()]
    for job_id, job in jobs.items():
        (attempt,) = job["history"]
        ended = bool(ledger.entries("end", job=job_id))
        match job["state"], attempt["outcome"]:
            case "completed", "succeeded":
                assert ended
            case "cancelled", "failed":
                assert ended
                assert attempt["exit_code"] == 1
            case "cancelled", "cancelled":
                assert not ended
            case state, outcome:
                raise AssertionError((job_id, state, outcome))
    assert (set(cancelled) == set(ids)) == (result.code == 0)


def test_a_job_whose_worker_is_killed_after_the_request_is_cancelled_and_not_run_again(
    cli: Cli, ledger: Ledger
) -> None:
    job_id = cli.enqueue(f"{ledger.note('start')}; {IGNORES}")
    workers = cli.start_workers()
    wait_until(ledger.started)
    freeze(cli, workers.pids[0])
    cli.run("cancel", "--no-wait", job_id)
    kill(*workers.pids)
    job = cli.wait_for(job_id)
    assert (job["state"], job["losses"]) == ("cancelled", 1)
    assert [attempt["outcome"] for attempt in job["history"]] == ["lost"]
    assert len(ledger.entries("start")) == 1
    assert cli.run("retry", job_id).code == 0
    retried = cli.wait_for(job_id, "processing")
    assert retried["cancel_requested_at"] is None


def test_a_frozen_worker_loses_the_job_with_its_lease_and_the_command_takes_it_back_itself(
    cli: Cli, running: str
) -> None:
    workers = cli.json("worker", "status")
    os.kill(workers[0]["supervisor_pid"], signal.SIGSTOP)
    freeze(cli, workers[0]["pid"])
    result = cli.run("cancel", running, "--output", "table")
    assert result.stdout.startswith(f"cancelled job {running}, which will not run again; its attempt had ended oth")
    assert "did not renew its lease" in result.stdout
    assert f"worker {workers[0]['id']} (pid {workers[0]['pid']}" in result.stderr
    job = cli.job(running)
    assert (job["state"], [attempt["outcome"] for attempt in job["history"]]) == ("cancelled", ["lost"])
    assert not [command for command in cli.processes().values() if "alive" in command]


def test_with_all_workers_dead_the_command_takes_the_job_back_itself(cli: Cli, running: str) -> None:
    (worker,) = cli.json("worker", "status")
    kill(worker["supervisor_pid"], worker["pid"])
    cli.run("cancel", running)
    job = cli.job(running)
    assert (job["state"], [attempt["outcome"] for attempt in job["history"]]) == ("cancelled", ["lost"])
    assert cli.processes() == {}


def test_a_worker_that_hears_no_wake_up_hears_of_it_by_asking(cli: Cli, ledger: Ledger) -> None:
    """A change that nobody announces, as after a lost notification."""
    job_id = cli.enqueue(ledger.endless())
    cli.start_workers()
    wait_until(ledger.started)
    code = """if True:
        import sys
        from dependency_injector import providers
        from queuectl.application.operate.cancel import cancel_job
        from queuectl.container import Container
        from queuectl.settings import load_settings
        container = Container(settings=load_settings())
        container.notify.override(providers.Object(lambda: None))
        container.storage().open()
        cancel_job(container.queue(), sys.argv[1])
    """
    cli.run("-c", code, job_id, program=[sys.executable])
    assert cli.wait_for(job_id)["state"] == "cancelled"
