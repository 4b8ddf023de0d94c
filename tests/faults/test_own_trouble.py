"""Trouble of the worker's own, and of its machine: no job pays for it."""

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.probe import FaultProbe
from tests.faults.tracing import strace
from tests.integration.driver import QUEUECTL, Cli, kill, processes_with, wait_until
from tests.integration.ledger import Ledger
from tests.requirements import require

pytestmark = pytest.mark.sqlite_only


def with_descriptors(soft: int, hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def limit_of(pid: int) -> tuple[int, int]:
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)


@pytest.mark.fault("F22")
@pytest.mark.parametrize("how", [(), ("--foreground",)])
def test_slots_that_cannot_be_had_are_refused_in_one_line(cli: Cli, how: tuple[str, ...]) -> None:
    cli.enqueue("true", id="waits")
    line = ["worker", "start", "--concurrency", "60", *how]
    result = cli.run(*line, check=False, preexec_fn=with_descriptors(128, 128))
    assert result.code == 1
    [error] = result.errors
    assert "60 commands at once need 184 file descriptors, and the limit is 128 (ulimit -Hn): " in error
    assert error.endswith("--concurrency can be 32 at most")
    assert (cli.job("waits")["state"], cli.job("waits")["attempts"]) == ("pending", 0)


@pytest.mark.fault("F22")
def test_the_soft_limit_is_raised_to_what_the_slots_need(cli: Cli) -> None:
    cli.enqueue_all([{"command": "sleep 1"}] * 60)
    started = cli.run("worker", "start", "--concurrency", "60", preexec_fn=with_descriptors(64, 512))
    assert limit_of(int(started.stdout.split()[0])) == (184, 512)
    jobs = cli.wait_for_all()
    assert {(job["state"], job["attempts"]) for job in jobs.values()} == {("completed", 1)}


@pytest.mark.fault("F22")
def test_descriptors_that_run_out_later_cost_no_job_anything(cli: Cli) -> None:
    long = cli.enqueue("sleep 8 & wait")
    [pid] = cli.start_workers(concurrency=20).pids
    cli.wait_for(long, "processing")
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, limit_of(pid)[1]))
    ids = cli.enqueue_all([{"command": "true", "max_retries": 0}] * 40)
    cli.log.wait_for("gives jobs back, and claims more rarely: the worker could not start the command: too many open")
    assert cli.wait_for(long)["state"] == "completed"
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limit_of(pid)[1:] * 2)
    jobs = cli.wait_for_all(timeout=90)
    assert {(jobs[each]["state"], jobs[each]["failures"], jobs[each]["losses"]) for each in ids} == {
        ("completed", 0, 0)
    }
    assert max(job["attempts"] for job in jobs.values()) < 8
    assert [worker["pid"] for worker in cli.json("worker", "status")] == [pid]
    cli.log.assert_at_most("gives jobs back", 2)


@pytest.mark.fault("F75")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_every_process_at_once_is_no_jobs_fault(cli: Cli, number: signal.Signals) -> None:
    """As a machine sends that goes down, or the end of a session."""
    handler = "trap 'sleep 0.3; trap - TERM; kill -TERM $$' TERM; sleep 60 & wait"
    commands = ["sleep 60", "exec sleep 60", ["sleep", "60"], handler, "sleep 60; sleep 60"]
    ids = cli.enqueue_all([{"command": command, "max_retries": 0} for command in commands * 4])
    workers = cli.start_workers(2, concurrency=10)
    wait_until(lambda: all(any(processes_with(f"QUEUECTL_JOB_ID={each}")) for each in ids))
    everyone = sorted(pid for pid in cli.processes() if is_there(pid))
    assert {workers.supervisor, *workers.pids} < set(everyone)
    # The commands first: their ends are seen before anybody has told the workers.
    for pid in sorted(everyone, key=lambda pid: pid in (workers.supervisor, *workers.pids)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    wait_until(lambda: not is_there(workers.supervisor))
    jobs = cli.jobs()
    assert {jobs[each]["state"] for each in ids} == {"pending"}
    outcomes = [cli.job(each)["history"][0]["outcome"] for each in ids]
    assert set(outcomes) <= {"released", "lost"}
    assert sum(jobs[each]["failures"] for each in ids) == 0


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.fault("F16")
def test_what_was_there_before_the_workers_is_none_of_their_business(cli: Cli) -> None:
    noted = cli.directory / "bystander"
    supervisor = cli.start_in_foreground(before=["bash", "-c", f'sleep 7771 & echo $! >{noted}; exec "$@"', "bash"])
    bystander = int(noted.read_text())
    try:
        [worker] = cli.json("worker", "status")
        os.kill(worker["pid"], signal.SIGKILL)
        wait_until(lambda: [it["pid"] for it in cli.json("worker", "status") if it["pid"] != worker["pid"]])
        assert is_there(bystander)
        supervisor.terminate()
        supervisor.wait(30)
        assert is_there(bystander)
    finally:
        os.kill(bystander, signal.SIGKILL)


WITHOUT_ROOTS_EYES = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""The command line before a program that may enter and read no more than its user, though that is root."""

WITHOUT_ROOTS_HANDS = ["setpriv", "--bounding-set=-kill"]
"""The command line before a program that may signal no processes but those of its own user, though that is root."""


@pytest.mark.fault("F22")
def test_a_worker_whose_own_directory_cannot_be_entered_any_more_runs_each_job_once(
    cli: Cli, ledger: Ledger, probe: FaultProbe, tmp_path: Path
) -> None:
    require("users")
    start = tmp_path / "start"
    start.mkdir()
    cli.start_in_foreground(before=WITHOUT_ROOTS_EYES, cwd=start)
    start.chmod(0)
    ids = probe.enqueue_some(3, "sleep 0.3", cwd="/", max_retries=0)
    history = probe.check(faultless=True)
    assert {(history.jobs[each].state, history.jobs[each].attempts) for each in ids} == {("completed", 1)}


@pytest.mark.fault("F17")
def test_what_became_another_users_process_is_named_when_it_cannot_be_killed(cli: Cli, tmp_path: Path) -> None:
    require("users")
    cli.run("config", "set", "kill-grace", "1s")
    cli.start_in_foreground(before=WITHOUT_ROOTS_HANDS)
    pid_file = tmp_path / "pid"
    job_id = cli.enqueue(f"setpriv --reuid=65534 --clear-groups sleep 600 & echo $! >{pid_file}; wait")
    pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text().strip()))
    wait_until(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0])
    try:
        said = cli.run("cancel", job_id, "--output", "table").stdout
        error = cli.job(job_id)["history"][0]["error"]
        assert f"processes of it live on that could not be killed, another user's perhaps: pid {pid}" in error
        assert f"pid {pid}" in said
    finally:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.fault("F04")
@pytest.mark.parametrize("hop", ["", "os.setsid()"], ids=["in one session", "each in a session of its own"])
def test_a_chain_of_processes_that_fork_their_successor_is_killed_with_the_rest(cli: Cli, hop: str) -> None:
    loop = f"while time.time() < end:\n if os.fork(): os._exit(0)\n {hop or 'pass'}"
    chain = f"import os, time\nend = time.time() + 90\n{loop}"
    job_id = cli.enqueue(["sh", "-c", f'{sys.executable} -c "$0" & sleep 600', chain])
    workers = cli.start_workers()
    cli.wait_for(job_id, "processing")
    wait_until(lambda: chain_forks(3))
    kill(workers.supervisor, *workers.pids)
    assert chain_forks(3)
    cli.run("worker", "stop")
    assert not chain_forks(1, within=1.0)


def chain_forks(links: int, within: float = 5.0) -> bool:
    """Whether so many links of the chain are met, each the newest process of the system for a moment."""
    met, end = set(), time.monotonic() + within
    while len(met) < links and time.monotonic() < end:
        pid = int(Path("/proc/sys/kernel/ns_last_pid").read_text())
        with contextlib.suppress(OSError):
            if b"os._exit(0)" in Path(f"/proc/{pid}/cmdline").read_bytes():
                met.add(pid)
    return len(met) >= links


@pytest.mark.fault("F02")
def test_where_pidfds_are_refused_everything_is_killed_all_the_same(cli: Cli) -> None:
    """As by an old kernel, or the filter of a sandbox."""
    job_id = cli.enqueue("sleep 600 & sleep 600")
    workers = cli.start_workers()
    cli.wait_for(job_id, "processing")
    kill(workers.supervisor, *workers.pids)
    refused = strace("-o", "/dev/null", "--trace=pidfd_open", "--inject=pidfd_open:error=EPERM")
    stopped = cli.run("worker", "stop", program=[*refused, QUEUECTL])
    assert "taken back, now pending" in stopped.stderr
    assert [line for line in cli.processes().values() if "sleep" in line] == []
    cli.start_in_foreground(before=refused)
    cli.wait_for(job_id, "processing")
    cli.run("cancel", job_id)
    cli.run("worker", "stop", program=[*refused, QUEUECTL])
    assert cli.processes() == {}
