"""Clients that are killed while they enqueue, and batches with a mistake in them: all or nothing, and never twice."""

import random
import signal
import subprocess
import time

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import QUEUECTL, Cli, Result

pytestmark = pytest.mark.fault("F59")


@pytest.mark.parametrize("rounds", [8, pytest.param(16, marks=pytest.mark.slow)])
def test_a_client_killed_while_it_enqueues_has_stored_all_or_nothing(cli: Cli, probe: FaultProbe, rounds: int) -> None:
    batches = [[f"{number}-{each}" for each in range(1 if number % 2 else 50)] for number in range(rounds)]
    begun = time.monotonic()
    probe.enqueue()
    usual = time.monotonic() - begun
    for ids in batches:
        _enqueue_and_be_killed(probe, ids, after=random.uniform(0.4, 1.3) * usual)

    # Enqueueing again with the same ids settles what became of a batch, and doubles nothing.
    stored_before = probe.rows().jobs.keys()
    for ids in batches:
        found = stored_before & set(ids)
        again = probe.try_enqueue("-", ids=ids, stdin=_lines(probe, ids))
        assert again.code == (4 if found else 0)
    cli.start_workers(2, concurrency=4)
    probe.healed()
    history = probe.check(within=60)
    assert len(history.attempts) == len(history.jobs) == 1 + sum(map(len, batches))


def test_a_batch_with_one_bad_line_stores_nothing(cli: Cli, probe: FaultProbe) -> None:
    ids = [f"line-{number}" for number in range(1000)]
    lines = _lines(probe, ids).splitlines()
    lines[777] = '{"id": "line-777", "command": ""}'
    refused = probe.try_enqueue("-", ids=ids, stdin="\n".join(lines))
    assert refused.code == 5
    assert "778" in refused.errors[0]
    taken = probe.enqueue(id="line-500")
    refused = probe.try_enqueue("-", ids=ids, stdin=_lines(probe, ids))
    assert refused.code == 4
    assert list(probe.rows().jobs) == [taken]
    cli.start_workers()
    probe.check(faultless=True)


def _enqueue_and_be_killed(probe: FaultProbe, ids: list[str], *, after: float) -> None:
    client = subprocess.Popen(
        [QUEUECTL, "enqueue", "-"],
        env=probe.cli.environ,
        cwd=probe.cli.directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        stdout, stderr = client.communicate(_lines(probe, ids), timeout=after)
    except subprocess.TimeoutExpired:
        client.send_signal(signal.SIGKILL)
        stdout, stderr = client.communicate()
    probe.note_call(ids, Result(stdout, stderr, client.returncode))


def _lines(probe: FaultProbe, ids: list[str]) -> str:
    return "".join(probe.document(job_id) + "\n" for job_id in ids)
