"""A grace of an hour, and commands that ignore SIGTERM: who asks again, or lowers the grace, does not wait for it."""

import os
import signal
from collections.abc import Callable

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import Cli, Workers, wait_until

pytestmark = pytest.mark.fault("F93")

DEAF = "trap '' TERM; while :; do sleep 0.2; done"


def running(cli: Cli, probe: FaultProbe, **fields: object) -> tuple[str, Workers]:
    """A job that ignores SIGTERM, and its worker."""
    cli.run("config", "set", "kill-grace", "1h")
    cli.run("config", "set", "lease", "6s")
    job_id = probe.enqueue_silent(f"echo deaf > deaf; {DEAF}", **fields)
    workers = cli.start_workers()
    wait_until((cli.directory / "deaf").exists)
    return job_id, workers


def is_killed(cli: Cli, job_id: str, outcome: str) -> bool:
    [attempt] = cli.job(job_id)["history"]
    return (attempt["outcome"], attempt["signal"]) == (outcome, signal.SIGKILL)


@pytest.mark.parametrize("asked", [["--no-wait"], ["--now"]])
def test_a_second_cancel_or_one_now_kills_at_once(cli: Cli, probe: FaultProbe, asked: list[str]) -> None:
    job_id, _ = running(cli, probe)
    probe.note_asked(job_id)
    cli.run("cancel", *asked, job_id)
    if asked == ["--no-wait"]:
        assert cli.job(job_id)["state"] == "processing"
        cli.run("cancel", job_id)
    assert cli.job(job_id)["state"] == "cancelled"
    assert is_killed(cli, job_id, "cancelled")
    probe.check()


def cancelled(cli: Cli, probe: FaultProbe, job_id: str, _workers: Workers) -> None:
    probe.note_asked(job_id)
    cli.run("cancel", "--no-wait", job_id)
    cli.log.wait_for("stopping it")


def timed_out(cli: Cli, probe: FaultProbe, job_id: str, workers: Workers) -> None:
    """Nothing is to be done: it has a time limit."""


@pytest.mark.sqlite_only
@pytest.mark.parametrize(("stop", "outcome"), [(cancelled, "cancelled"), (timed_out, "timeout")])
def test_a_grace_that_is_lowered_is_lowered_for_what_is_being_stopped(
    cli: Cli, probe: FaultProbe, stop: Callable[[Cli, FaultProbe, str, Workers], None], outcome: str
) -> None:
    job_id, workers = running(cli, probe, timeout=1, max_retries=0)
    stop(cli, probe, job_id, workers)
    cli.run("config", "set", "kill-grace", "0s")
    cli.wait_for(job_id)
    assert is_killed(cli, job_id, outcome)
    probe.check()


@pytest.mark.sqlite_only
def test_a_forced_stop_ends_when_the_grace_is_lowered(cli: Cli, probe: FaultProbe) -> None:
    job_id, workers = running(cli, probe)
    os.kill(workers.supervisor, signal.SIGQUIT)
    cli.log.wait_for("forced")
    cli.run("config", "set", "kill-grace", "0s")
    wait_until(lambda: not cli.own_processes())
    assert cli.job(job_id)["state"] == "pending"
    assert is_killed(cli, job_id, "released")
    probe.check(waiting=[job_id])
