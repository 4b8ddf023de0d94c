"""`kill -9` of workers, supervisors and everything: no job is lost, none runs twice at a time, nothing is left over."""

import time

from tests.integration.conftest import HeldUp
from tests.integration.driver import Cli, is_running, kill, wait_until
from tests.integration.ledger import Ledger

RESCUED_WITHIN = 2.0


def outcomes(cli: Cli, job_id: str) -> list[str]:
    return [attempt["outcome"] for attempt in cli.job(job_id)["history"]]


def test_the_job_of_a_killed_worker_runs_again_at_once_and_only_when_its_command_is_dead(
    cli: Cli, ledger: Ledger, held_up: HeldUp
) -> None:
    job_id = cli.enqueue(ledger.endless())
    workers = cli.start_workers()
    wait_until(lambda: ledger.entries("alive"))
    killed_at = time.time()
    kill(*workers.pids)
    wait_until(lambda: ledger.started(2))
    assert ledger.entries("start")[1].at - killed_at < RESCUED_WITHIN + held_up()
    job = cli.wait_for(job_id)
    assert (job["state"], job["attempts"], job["failures"], job["losses"]) == ("completed", 2, 0, 1)
    lost, succeeded = job["history"]
    assert (lost["outcome"], succeeded["outcome"]) == ("lost", "succeeded")
    assert "died" in lost["error"]
    assert lost["worker"] != succeeded["worker"]
    ledger.assert_no_overlap()
    assert is_running(workers.supervisor)
    assert f"worker process {workers.pids[0]} ended unexpectedly (signal SIGKILL)" in cli.log()


def test_a_worker_takes_over_what_another_one_left_when_it_was_killed(cli: Cli, ledger: Ledger) -> None:
    ids = cli.enqueue_all([{"command": ledger.endless()}] * 3)
    workers = cli.start_workers(3)
    wait_until(lambda: len({entry.job for entry in ledger.entries("alive")}) == 3)
    kill(*workers.pids)
    jobs = cli.wait_for_all()
    assert jobs.keys() == set(ids)
    assert {(job["state"], job["losses"]) for job in jobs.values()} == {("completed", 1)}
    ledger.assert_no_overlap()


def test_workers_whose_supervisor_is_killed_finish_their_jobs_and_stop(cli: Cli, ledger: Ledger) -> None:
    ids = cli.enqueue_all([{"command": ledger.command("sleep 1")}] * 2)
    workers = cli.start_workers(2)
    wait_until(lambda: ledger.started(2))
    kill(workers.supervisor)
    wait_until(lambda: not cli.processes())
    jobs = cli.jobs()
    assert [(jobs[job_id]["state"], jobs[job_id]["attempts"]) for job_id in ids] == [("completed", 1)] * 2
    assert cli.json("status")["workers"] == []


def test_after_everything_was_killed_the_next_start_clears_up_and_takes_the_jobs_back(cli: Cli, ledger: Ledger) -> None:
    ids = cli.enqueue_all([{"command": ledger.endless()}, {"command": ledger.endless()}])
    workers = cli.start_workers(2)
    wait_until(lambda: len({entry.job for entry in ledger.entries("alive")}) == 2)
    kill(workers.supervisor, *workers.pids)
    wait_until(lambda: not any(is_running(pid) for pid in [workers.supervisor, *workers.pids]))
    assert "died" in cli.run("worker", "stop").stderr
    cli.start_workers(2)
    cli.wait_for_all()
    assert [outcomes(cli, job_id) for job_id in ids] == [["lost", "succeeded"]] * 2
    ledger.assert_no_overlap()


def test_a_job_that_kills_its_workers_does_not_run_for_ever(cli: Cli) -> None:
    cli.run("config", "set", "max-losses", "2")
    job_id = cli.enqueue("kill -9 $PPID; sleep 9776")
    cli.start_workers()
    job = cli.wait_for(job_id)
    assert (job["state"], job["losses"], job["failures"]) == ("dead", 2, 0)
    assert job["last_error"].startswith("lost 2 times, the most that max-losses allows")
    assert outcomes(cli, job_id) == ["lost", "lost"]
