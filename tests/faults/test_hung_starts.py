"""Programs, directories and tracers that hold up whoever touches them: their own job, and nobody else."""

import ctypes
import fcntl
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.driver import Cli, wait_until
from tests.requirements import lack, require

LEASE = 4

TRACER = """if True:
    import ctypes, os, sys, time
    pid = int(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0x4206, pid, 0, 0):  # PTRACE_SEIZE
        sys.exit(os.strerror(ctypes.get_errno()))
    print("holds it", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def leased_program(tmp_path: Path) -> Iterator[Path]:
    """A program that nobody can open before the holder of a lease on it lets go: for the system's 45 seconds."""
    path = tmp_path / "leased"
    path.write_text("#!/bin/sh\necho started\n")
    path.chmod(0o755)
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    file = os.open(path, os.O_RDWR)
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    yield path
    os.close(file)
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def dead_mount(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system whose server never answers."""
    require("mounts")
    directory = tmp_path / "dead"
    directory.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    assert libc.mount(b"dead", bytes(directory), b"fuse", 0, options.encode()) == 0, os.strerror(ctypes.get_errno())
    yield directory
    os.close(device)  # whoever waits gets an error
    libc.umount2(bytes(directory), 2)


def check_neighbours(cli: Cli, hung: str) -> None:
    """While that job's start is held up for longer than the lease, its neighbours start, time out and are cancelled."""
    cli.wait_for(hung, "processing")
    endless, limited = cli.enqueue("sleep 600"), cli.enqueue("sleep 600", timeout="1s", max_retries=0)
    cli.wait_for(endless, "processing")
    assert cli.wait_for(limited)["history"][0]["outcome"] == "timeout"
    cli.run("cancel", endless)
    for _ in range(LEASE + 2):
        assert cli.wait_for(cli.enqueue("sleep 1"))["state"] == "completed"
    job = cli.job(hung)
    assert (job["state"], job["attempts"], job["losses"]) == ("processing", 1, 0)


@pytest.fixture
def slots(cli: Cli) -> Cli:
    """Workers with a short lease, and slots for neighbours."""
    for key, value in {"lease": f"{LEASE}s", "kill-grace": "1s"}.items():
        cli.run("config", "set", key, value)
    cli.start_workers(concurrency=4)
    return cli


@pytest.mark.sqlite_only
@pytest.mark.fault("F73")
def test_a_program_that_cannot_be_opened_holds_up_its_own_job_alone(slots: Cli, leased_program: Path) -> None:
    hung = slots.enqueue([str(leased_program)], max_retries=0)
    check_neighbours(slots, hung)
    slots.run("cancel", hung)
    assert slots.job(hung)["history"][0]["outcome"] == "cancelled"
    slots.run("worker", "stop")


@pytest.mark.sqlite_only
@pytest.mark.fault("F73")
def test_a_directory_on_a_dead_mount_holds_up_its_own_job_alone(slots: Cli, dead_mount: Path) -> None:
    hung = slots.enqueue("true", cwd=str(dead_mount), max_retries=0)
    check_neighbours(slots, hung)
    limited = slots.enqueue("true", cwd=str(dead_mount / "below"), timeout="1s", max_retries=0)
    assert slots.wait_for(limited)["history"][0]["outcome"] == "timeout"
    slots.run("worker", "stop", "--force")
    job = slots.job(hung)
    assert (job["state"], [each["outcome"] for each in job["history"]]) == ("pending", ["released"])


@pytest.mark.sqlite_only
@pytest.mark.fault("F73")
def test_words_about_a_programs_end_do_not_wait_for_a_dead_mount(slots: Cli, dead_mount: Path) -> None:
    at_root = slots.enqueue(f"cd /; {dead_mount}/x & sleep 0.2; exec nosuch-program", max_retries=0)
    job = slots.wait_for(at_root, timeout=30)
    assert job["last_error"].startswith("exit code 127 (command not found)")


@pytest.mark.sqlite_only
@pytest.mark.fault("F74")
@pytest.mark.parametrize("ending", ["by itself", "cancelled"])
def test_a_dead_process_that_a_tracer_holds_keeps_its_slot_and_nothing_else(
    slots: Cli, tmp_path: Path, ending: str
) -> None:
    # A program that gets no signal until it ends: its tracer would have to pass it on.
    command = (
        f"echo $$ >{shlex.quote(str(tmp_path / 'pid'))}; exec {sys.executable} -c 'import time; time.sleep(3); exit(3)'"
    )
    job_id = slots.enqueue(command, max_retries=0)
    pid = int(wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()))
    with held_by_a_tracer(pid):
        if ending == "cancelled":
            slots.run("cancel", job_id)
            assert slots.job(job_id)["history"][0]["outcome"] == "cancelled"
        else:
            job = slots.wait_for(job_id)
            assert (job["state"], job["exit_code"]) == ("dead", 3)
            assert f"process {pid} cannot be reaped: a tracer holds it" in job["last_error"]
        others = [slots.enqueue("sleep 1") for _ in range(3)]
        assert {slots.wait_for(each)["state"] for each in others} == {"completed"}
        used = cpu_seconds(slots)
        assert slots.wait_for(slots.enqueue("sleep 1"))["state"] == "completed"
        assert cpu_seconds(slots) - used < 0.5
    slots.run("worker", "stop")


@contextmanager
def held_by_a_tracer(pid: int) -> Iterator[None]:
    command = [sys.executable, "-c", TRACER, str(pid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tracer:
        assert tracer.stdout is not None
        if tracer.stdout.readline() != "holds it\n":
            lack("strace", "this process may not trace others")
        yield
        assert tracer.stdin is not None
        tracer.stdin.close()


def cpu_seconds(cli: Cli) -> float:
    """The processor time of the workers themselves."""
    pids = [worker["pid"] for worker in cli.json("worker", "status")]
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")
