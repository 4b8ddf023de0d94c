"""Signals and descriptors: what a command, or whoever started the workers, does to them by mistake."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import QUEUECTL, Cli, Workers, is_running, kill, wait_until
from tests.integration.ledger import Ledger

pytestmark = pytest.mark.fault("F81")

BLOCKED = """
import signal, subprocess, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""
"""Starts a program with every signal held back, as threads of some programs do."""

WRITE_TO_ALL = """
import contextlib, os
for name in os.listdir(f"/proc/{os.getppid()}/fd"):
    with contextlib.suppress(OSError):
        if os.readlink(path := f"/proc/{os.getppid()}/fd/{name}").startswith(("pipe:", "socket:", "anon_inode:")):
            with contextlib.suppress(OSError):
                os.write(os.open(path, os.O_WRONLY | os.O_NONBLOCK), b"f\\0\\n")
"""


@pytest.fixture
def workers_with_signals_held_back(cli: Cli) -> Workers:
    before = set(cli.logs.glob("*"))
    cli.run(QUEUECTL, "worker", "start", program=[sys.executable, "-c", BLOCKED])
    (log,) = set(cli.logs.glob("*")) - before
    [worker] = cli.json("worker", "status")
    stat = Path(f"/proc/{worker['pid']}/stat").read_text()
    return Workers(int(stat.rpartition(")")[2].split()[1]), [worker["pid"]], log)


def test_workers_are_stopped_whatever_signals_their_starter_held_back(
    cli: Cli, probe: FaultProbe, workers_with_signals_held_back: Workers
) -> None:
    probe.enqueue()
    cli.run("worker", "stop", "--timeout", "20")
    assert cli.processes() == {}
    cli.start_workers()
    probe.check(faultless=True)


def test_a_killed_worker_is_replaced_whatever_signals_its_starter_held_back(
    probe: FaultProbe, workers_with_signals_held_back: Workers
) -> None:
    kill(*workers_with_signals_held_back.pids)
    probe.enqueue()
    probe.check()


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "ALRM", "RTMIN", "XCPU", "TSTP"])
def test_a_command_that_signals_its_worker_does_not_end_it_for_good(
    cli: Cli, ledger: Ledger, probe: FaultProbe, name: str
) -> None:
    workers = cli.start_workers(concurrency=2)
    neighbour = probe.enqueue("sleep 1")
    wait_until(ledger.started)
    killer = probe.enqueue(f"kill -{name} $PPID")
    cli.wait_for(killer)
    after = probe.enqueue()
    history = probe.check()
    assert [history.jobs[job_id].state for job_id in (neighbour, killer, after)] == ["completed"] * 3
    assert [history.jobs[job_id].attempts for job_id in (neighbour, after)] == [1, 1]
    assert is_running(workers.supervisor)
    if name != "TSTP":  # which stops nothing in a session without a terminal
        said = "signal 34" if name == "RTMIN" else f"SIG{name}"
        workers.log.wait_for(f"was sent {'SIGRTMIN' if name == 'RTMIN' else said}, and not by its supervisor")
        workers.log.wait_for("replaced in")


def test_a_command_that_signals_its_own_group_reaches_nobody_else(cli: Cli, probe: FaultProbe) -> None:
    workers = cli.start_workers()
    job_id = probe.enqueue_silent("kill 0; sleep 60", max_retries=0)
    assert cli.wait_for(job_id)["state"] == "dead"
    after = probe.enqueue()
    assert cli.wait_for(after)["state"] == "completed"
    assert all(is_running(pid) for pid in [workers.supervisor, *workers.pids])
    probe.check()


def test_what_a_command_writes_to_its_workers_descriptors_is_no_order(cli: Cli, probe: FaultProbe) -> None:
    workers = cli.start_workers()
    write = [sys.executable, "-c", WRITE_TO_ALL]
    job_id = probe.enqueue_silent(write)
    assert cli.wait_for(job_id)["state"] == "completed"
    after = probe.enqueue()
    assert cli.wait_for(after)["state"] == "completed"
    assert all(is_running(pid) for pid in [workers.supervisor, *workers.pids])
    workers.log.assert_without("stopping")
    probe.check(faultless=True)


def test_the_supervisor_may_be_signalled_by_anybody(cli: Cli, ledger: Ledger, probe: FaultProbe) -> None:
    job_id = probe.enqueue("sleep 1")
    workers = cli.start_workers(2)
    wait_until(ledger.started)
    os.kill(workers.supervisor, signal.SIGTERM)
    wait_until(lambda: not cli.processes())
    assert cli.job(job_id)["state"] == "completed"
    probe.check(faultless=True)
