"""`kill -9` of workers, supervisors and everything: no job is lost, none runs twice at a time, nothing is left over."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.probe import FaultProbe, Tree
from tests.integration.conftest import HeldUp
from tests.integration.driver import Cli, Workers, is_running, kill, wait_until, workers_of
from tests.integration.ledger import Ledger

RESCUED_WITHIN = 2.0


RESCUE_FROM_ANOTHER_HOST = """
from datetime import timedelta
from itertools import count
from dependency_injector import providers
from queuectl.application.duties.lease_watch import LeaseWatch
from queuectl.container import Container
from queuectl.domain.policy import Policy
from queuectl.settings import load_settings

container = Container(settings=load_settings())
container.storage().open()
container.machine_id.override(providers.Object("another"))
policy = Policy.of(container.config().stored())
hours = count()
rescue = container.rescue(
    clock=lambda: container.clock()() + timedelta(minutes=10), watch=LeaseWatch(lambda: timedelta(hours=next(hours)))
)
rescue(policy)
rescue(policy)
"""
"""A process of its own: two SQLite libraries in one process would break each other's locks on the file."""


WORKER_ELSEWHERE = """
import sys
from datetime import timedelta
from queuectl.domain.ports.work import Claim
from queuectl.domain.worker import Lease
from queuectl.domain.worker import Process, WorkerRecord, WorkerState
from queuectl.settings import load_settings
from queuectl.container import Container

container = Container(settings=load_settings())
container.storage().open()
now = container.clock()()
there = Process(machine="elsewhere", pid=1, started=1)
worker = WorkerRecord(
    id="elsewhere", host="elsewhere", process=there, supervisor=there, queues=(), concurrency=1,
    state=WorkerState.RUNNING, started_at=now, renewed_at=now, lease_expires_at=now + timedelta(seconds=4),
)
container.workers().register(worker)
[run] = container.work().claim(Claim(Lease(id="0" * 32, worker="elsewhere"), queues=["lost"], limit=1, at=now))
print(run.job.id)
"""
"""A worker of another host that claims a job and is never heard of again."""

TAKES_UP_A_POLICY_WITHIN = 2.0
"""Seconds in which a worker with the shortest lease has looked several times for what has changed."""


def running(cli: Cli) -> list[int]:
    """The pids of the workers that can claim."""
    return [worker["pid"] for worker in cli.json("worker", "status") if is_running(worker["pid"])]


@pytest.mark.fault("F01")
def test_the_job_of_a_killed_worker_runs_again_at_once_and_only_when_its_command_is_dead(
    cli: Cli, ledger: Ledger, probe: FaultProbe, held_up: HeldUp
) -> None:
    job_id = probe.enqueue_endless()
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
    assert is_running(workers.supervisor)
    cli.log.wait_for(f"worker process {workers.pids[0]} ended unexpectedly (killed by SIGKILL)")
    probe.check()


@pytest.mark.fault("F01")
def test_other_workers_take_over_at_once_where_the_next_one_starts_only_after_a_pause(
    cli: Cli, ledger: Ledger, probe: FaultProbe, held_up: HeldUp
) -> None:
    cli.start_workers(2)
    for _ in range(5):  # each time, the supervisor waits twice as long before it starts others
        wait_until(lambda: len(running(cli)) == 2)
        kill(*running(cli))
    wait_until(lambda: len(running(cli)) == 2)
    probe.enqueue_endless()
    wait_until(lambda: ledger.entries("alive"))
    [holder] = [worker["pid"] for worker in cli.json("worker", "status") if worker["jobs"]]
    killed_at = time.time()
    kill(holder)
    wait_until(lambda: ledger.started(2))
    assert ledger.entries("start")[1].at - killed_at < RESCUED_WITHIN + held_up()
    probe.healed()
    probe.check()


@pytest.mark.fault("F85")
def test_the_job_of_a_worker_that_is_replaced_later_and_later_is_taken_back_at_once_all_the_same(
    cli: Cli, ledger: Ledger, probe: FaultProbe, held_up: HeldUp
) -> None:
    workers = cli.start_workers()
    for kills in range(1, 7):  # by then, the supervisor waits for more than six seconds
        kill(*wait_until(lambda: running(cli)))
        workers.log.wait_for("ended unexpectedly", kills)
    job_id = probe.enqueue_endless()
    wait_until(lambda: ledger.entries("alive"))
    killed_at = time.monotonic()
    kill(*running(cli))
    wait_until(lambda: probe.rows().jobs[job_id].state == "pending")
    assert time.monotonic() - killed_at < RESCUED_WITHIN + held_up()
    probe.healed()
    probe.check()


@pytest.mark.fault("F85")
def test_dead_workers_are_looked_for_by_the_leases_that_they_have_whatever_the_policy_has_been_since(
    cli: Cli, probe: FaultProbe
) -> None:
    cli.run("config", "set", "lease", "2s")
    cli.start_workers(queues=["default"])
    cli.run("config", "set", "lease", "1h")
    job_id = probe.enqueue(queue="lost")
    assert cli.run("-c", WORKER_ELSEWHERE, program=[sys.executable]).stdout.strip() == job_id
    time.sleep(TAKES_UP_A_POLICY_WITHIN)
    cli.run("config", "set", "lease", "2s")
    assert cli.wait_for(job_id, "pending")["losses"] == 1
    cli.start_workers(queues=["lost"])
    probe.check()


@pytest.mark.fault("F01")
@pytest.mark.parametrize(
    ("jobs", "kills", "longest_pause"),
    [pytest.param(40, 3, 1.0, id="few"), pytest.param(500, 12, 2.0, id="many", marks=pytest.mark.slow)],
)
def test_workers_that_are_killed_at_random_lose_nothing(
    cli: Cli, ledger: Ledger, probe: FaultProbe, jobs: int, kills: int, longest_pause: float
) -> None:
    cli.run("config", "set", "max-losses", str(kills + 1))
    probe.enqueue_some(jobs, "sleep 0.2")
    workers = cli.start_workers(4)
    wait_until(lambda: ledger.started(4))
    for number in range(kills):
        if number:
            time.sleep(random.uniform(0.5, longest_pause))
        alive = wait_until(lambda: workers_of(workers.supervisor))
        kill(random.choice(alive))
    probe.healed()
    history = probe.check(within=60, max_losses=kills + 1)
    assert {job.state for job in history.jobs.values()} == {"completed"}
    assert 1 <= sum(job.losses for job in history.jobs.values()) <= kills


@pytest.mark.fault("F01")
def test_a_worker_takes_over_what_another_one_left_when_it_was_killed(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    ids = [probe.enqueue_endless() for _ in range(3)]
    workers = cli.start_workers(3)
    wait_until(lambda: len({entry.job for entry in ledger.entries("alive")}) == 3)
    kill(*workers.pids)
    probe.healed()
    history = probe.check()
    assert [(history.jobs[job_id].state, history.jobs[job_id].losses) for job_id in ids] == [("completed", 1)] * 3


@pytest.mark.fault("F03")
def test_workers_whose_supervisor_is_killed_finish_their_jobs_and_stop(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    ids = probe.enqueue_some(2, "sleep 1")
    workers = cli.start_workers(2)
    wait_until(lambda: ledger.started(2))
    kill(workers.supervisor)
    wait_until(lambda: not cli.processes())
    jobs = cli.jobs()
    assert [(jobs[job_id]["state"], jobs[job_id]["attempts"]) for job_id in ids] == [("completed", 1)] * 2
    assert cli.json("status")["workers"] == []
    probe.check()


@pytest.mark.fault("F03")
def test_workers_without_a_supervisor_leave_what_waits_to_those_that_are_started_next(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    long, *_ = probe.enqueue_some(1, "sleep 3", priority=9)
    workers = cli.start_workers(1)
    wait_until(ledger.started)
    kill(workers.supervisor)
    cli.log.wait_for("stopping, finishing 1 job")
    waiting = probe.enqueue_some(4)
    cli.start_workers(1)
    history = probe.check(faultless=True)  # nothing was lost: the bereft worker has finished what it had
    assert {history.jobs[job_id].state for job_id in [long, *waiting]} == {"completed"}
    ran_by = {job_id: cli.job(job_id)["worker"] for job_id in [long, *waiting]}
    assert len({ran_by[job_id] for job_id in waiting} - {ran_by[long]}) == 1
    assert not is_running(workers.pids[0])


@pytest.mark.fault("F03")
def test_worker_stop_without_a_supervisor_stops_the_worker_itself(cli: Cli, ledger: Ledger, probe: FaultProbe) -> None:
    workers = cli.start_workers()
    kill(workers.supervisor)
    cli.run("worker", "stop")
    assert cli.processes() == {}
    probe.check(faultless=True)


@pytest.mark.fault("F04")
def test_after_everything_was_killed_the_next_start_clears_up_and_takes_the_jobs_back(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    ids = [probe.enqueue_endless() for _ in range(2)]
    workers = cli.start_workers(2)
    wait_until(lambda: len({entry.job for entry in ledger.entries("alive")}) == 2)
    kill_all(workers)
    cli.start_workers(2)
    probe.healed()
    probe.check()
    assert [probe.outcomes(job_id) for job_id in ids] == [["lost", "succeeded"]] * 2


@pytest.mark.fault("F04")
def test_a_start_clears_up_what_another_host_could_not_when_it_took_the_jobs_back(cli: Cli, probe: FaultProbe) -> None:
    cli.run("config", "set", "max-losses", "1")  # so that it does not run again
    job_id, tree = probe.enqueue_tree()
    workers = cli.start_workers()
    wait_until(lambda: tree.is_complete)
    kill_all(workers)
    cli.run("-c", RESCUE_FROM_ANOTHER_HOST, program=[sys.executable])
    assert cli.job(job_id)["state"] == "dead"
    assert tree.is_complete
    cli.start_workers()
    wait_until(lambda: tree.alive == [])
    probe.healed()
    probe.check(max_losses=1)


@pytest.mark.fault("F04")
@pytest.mark.parametrize("clears", ["start", "stop"])
def test_the_next_start_or_stop_kills_the_whole_tree_that_was_left_running(
    cli: Cli, probe: FaultProbe, clears: str
) -> None:
    cli.run("config", "set", "max-losses", "1")  # so that it does not run again
    job_id, tree = probe.enqueue_tree()
    workers = cli.start_workers()
    wait_until(lambda: tree.is_complete)
    kill_all(workers)
    assert tree.is_complete  # nobody is there who could kill it
    if clears == "start":
        cli.start_workers()
    else:
        died, taken_back, *_ = cli.run("worker", "stop").stderr.splitlines()
        assert died == "1 worker of this machine died: taking their jobs back"
        assert taken_back == f"job {job_id}: taken back, now dead"
    probe.healed()
    probe.check(max_losses=1)
    assert cli.job(job_id)["state"] == "dead"
    assert tree.alive == []


@pytest.mark.fault("F86")
@pytest.mark.parametrize("left", ["the command", "a child"])
def test_after_everything_was_killed_a_command_without_a_mark_is_killed_before_its_job_runs_again(
    cli: Cli, probe: FaultProbe, tmp_path: Path, left: str
) -> None:
    tree, overlap = Tree(), tmp_path / "overlap"
    endless, other, *_ = tree.lengths = tree.lengths[:2]
    unmarked = (
        f"exec env -i sleep {endless}" if left == "the command" else f"env -i sh -c 'sleep {endless} & sleep {other}'"
    )
    job_id = probe.enqueue_silent(
        f"[ $QUEUECTL_ATTEMPT = 1 ] || {{ pgrep -xf 'sleep {endless}' >{overlap}; exit 0; }}; {unmarked}"
    )
    probe.watch_tree(job_id, tree)
    workers = cli.start_workers()
    wait_until(lambda: endless in tree.alive)
    kill_all(workers)
    if left == "a child":  # its session is all that tells whose it is
        subprocess.run(["pkill", "-KILL", "-xf", f"sleep {other}"], check=True)
    assert endless in tree.alive
    cli.start_workers()
    probe.healed()
    probe.check()
    assert probe.outcomes(job_id) == ["lost", "succeeded"]
    assert overlap.read_text() == ""


HEADLESS = """
import ctypes, os, sys, threading, time
def live():
    while True:
        open(sys.argv[1], "a").write(os.environ["QUEUECTL_ATTEMPT"])
        time.sleep(0.05)
if os.environ["QUEUECTL_ATTEMPT"] == "1":
    threading.Thread(target=live).start()
    ctypes.CDLL(None).pthread_exit(None)
"""
"""A process whose main thread ends and leaves it to another: it looks like a zombie, and lives."""


@pytest.mark.fault("F86")
def test_after_everything_was_killed_a_command_whose_main_thread_has_ended_is_killed_too(
    cli: Cli, probe: FaultProbe, tmp_path: Path
) -> None:
    signs = tmp_path / "signs"
    job_id = probe.enqueue_silent([sys.executable, "-c", HEADLESS, str(signs)])
    workers = cli.start_workers()
    wait_until(signs.exists)
    kill_all(workers)
    before = wait_until(lambda: signs.stat().st_size)
    wait_until(lambda: signs.stat().st_size > before)  # it lives
    cli.start_workers()
    assert cli.wait_for(job_id)["state"] == "completed"
    after = signs.stat().st_size
    time.sleep(0.5)
    assert signs.stat().st_size == after
    probe.healed()
    probe.check()
    assert probe.outcomes(job_id) == ["lost", "succeeded"]


@pytest.mark.fault("F01")
def test_a_job_that_kills_its_workers_does_not_run_for_ever(cli: Cli, probe: FaultProbe) -> None:
    cli.run("config", "set", "max-losses", "2")
    job_id = probe.enqueue_silent("kill -9 $PPID; sleep 9776")
    cli.start_workers()
    probe.check(max_losses=2)
    job = cli.job(job_id)
    assert (job["state"], job["losses"], job["failures"]) == ("dead", 2, 0)
    assert job["last_error"].startswith("lost 2 times, the most that max-losses allows")
    assert probe.outcomes(job_id) == ["lost", "lost"]


@pytest.mark.fault("F01")
@pytest.mark.parametrize("count", [1, 3])
def test_a_job_that_kills_its_workers_takes_none_of_its_neighbours_with_it(
    cli: Cli, ledger: Ledger, probe: FaultProbe, count: int
) -> None:
    """Eight run at a time; the poison job waits until its neighbours run too."""
    healthy = probe.enqueue_some(7 * count, "sleep 2")
    poison = [probe.enqueue_silent("sleep 1; kill -9 $PPID; sleep 9776") for _ in range(count)]
    cli.start_workers(count, concurrency=8)
    history = probe.check(within=120)
    assert {history.jobs[job_id].state for job_id in healthy} == {"completed"}
    assert {history.jobs[job_id].losses for job_id in healthy} == {0}
    assert [(history.jobs[job_id].state, history.jobs[job_id].losses) for job_id in poison] == [("dead", 3)] * count
    runs = {job_id: probe.outcomes(job_id) for job_id in [*healthy, *poison]}
    assert all(set(runs[job_id][:-1]) <= {"lost"} and runs[job_id][-1] == "succeeded" for job_id in healthy)
    assert all(set(runs[job_id]) == {"lost"} for job_id in poison)
    job = cli.job(poison[0])
    assert job["last_error"].startswith("lost 3 times, the most that max-losses allows")
    assert not job["suspect"]


@pytest.mark.fault("F01")
def test_what_was_lost_with_others_runs_apart_also_where_every_worker_has_other_work(
    cli: Cli, ledger: Ledger, probe: FaultProbe
) -> None:
    cli.run("config", "set", "lease", "2s")
    lost = [probe.enqueue_endless() for _ in range(2)]
    holders = cli.start_workers(concurrency=2)
    wait_until(lambda: len({entry.job for entry in ledger.entries("alive")}) == 2)
    more = probe.enqueue_some(3000, "sleep 0.3", priority=9)
    cli.start_workers(2, concurrency=3)
    wait_until(lambda: ledger.started(8))
    kill_all(holders)
    probe.healed()
    wait_until(lambda: all(cli.job(job_id)["state"] == "completed" for job_id in lost), 60)
    assert cli.job(more[-1])["state"] == "pending", "the others were not at work any more"
    cli.run("worker", "stop", "--force")  # so that what the probe reads belongs to one moment
    history = probe.check(waiting=more)
    assert [history.jobs[job_id].losses for job_id in lost] == [0, 0]


def kill_all(workers: Workers) -> None:
    """`kill -9` for a supervisor and its workers, in one burst."""
    kill(workers.supervisor, *workers.pids)
    wait_until(lambda: not any(is_running(pid) for pid in [workers.supervisor, *workers.pids]))
