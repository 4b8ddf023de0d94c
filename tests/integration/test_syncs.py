"""What a job costs the disk, counted in syncs: however quick the rest is, a job takes as long as they do."""

import contextlib
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.tracing import Trace, kill_group, started
from tests.integration.driver import PATIENCE, QUEUECTL, Cli
from tests.integration.log import Log

pytestmark = pytest.mark.sqlite_only  # PostgreSQL's commits are counted by tests/contracts/test_costs.py

JOBS = 30
BESIDES = 15
"""Syncs for the first claim, for what a worker says of itself (it has started, it stops, it has stopped), and for what
SQLite does for its files when they are opened and closed: eleven, and some in reserve."""


def test_a_busy_worker_syncs_once_for_each_job(cli: Cli, tmp_path: Path) -> None:
    """Its end and the claim of the next one are one commit, and nothing else that it does for a job is written."""
    cli.run("config", "set", "lease", "1h")  # no heartbeat meanwhile, however slow the machine
    cli.enqueue_all([{"command": ["true"]}] * JOBS)
    trace, log = Trace(tmp_path / "trace"), cli.directory / "traced.log"
    command = [*trace.command, QUEUECTL, "worker", "start", "--foreground"]
    traced = started(command, log=log, env=cli.environ, cwd=cli.directory)
    try:
        Log.at(log).wait_for(" succeeded after ", JOBS)
        for pid in cli.own_processes():
            if pid != traced.pid:
                with contextlib.suppress(ProcessLookupError):  # the worker ends with its supervisor's signal
                    os.kill(pid, signal.SIGTERM)
        traced.wait(PATIENCE)
    finally:
        kill_group(traced)
    synced = Counter(Path(call.path).name for call in trace.calls() if "sync" in call.name)
    assert synced["queue.db-wal"] >= JOBS
    assert synced.total() <= JOBS + BESIDES, synced
