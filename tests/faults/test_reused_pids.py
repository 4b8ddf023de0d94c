"""The pid of a dead worker belongs to somebody else by now: a bystander, whom nobody may harm.

In a pid namespace of its own, where the kernel can be told which pid to give next and nobody else takes it.
"""

import shlex
from pathlib import Path

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import QUEUECTL, Cli
from tests.integration.ledger import Ledger
from tests.requirements import NEW_PIDS, require

pytestmark = [pytest.mark.sqlite_only, pytest.mark.fault("F21")]

SCRIPT = """
children() {{ cat /proc/$1/task/$1/children; }}
{queuectl} worker start --foreground 2>{log} & supervisor=$!
until grep -q ' start ' {ledger} 2>/dev/null; do sleep 0.1; done
worker=$(children $supervisor | tr -d ' ')
kill -9 $supervisor $worker
wait
for pid in $supervisor $worker; do
    tries=0
    while [ "$bystander" != $pid ]; do
        [ $((tries += 1)) -le 1000 ] || exit 98
        echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid || exit 99
        sleep 600 & bystander=$!
        [ $bystander = $pid ] || kill $bystander
    done
    bystanders="$bystanders $bystander"
done
[ "$bystanders" = " $supervisor $worker" ] || exit 97
{queuectl} worker stop || exit 96
{queuectl} worker start --count 1 >/dev/null || exit 95
until grep -q ' end ' {ledger}; do sleep 0.1; done
{queuectl} worker stop --force >/dev/null || exit 94
kill -0 $supervisor && kill -0 $worker && echo both bystanders live
"""


def test_a_bystander_with_a_dead_workers_pid_is_left_alone(
    cli: Cli, ledger: Ledger, probe: FaultProbe, tmp_path: Path
) -> None:
    require("pids")
    job_id = probe.enqueue_endless()
    script = SCRIPT.format(
        queuectl=shlex.quote(QUEUECTL),
        ledger=shlex.quote(str(tmp_path / "ledger")),
        log=shlex.quote(str(cli.directory / "foreground.log")),
    )
    result = cli.run(program=[*NEW_PIDS, "bash", "-c", script], check=False)
    assert (result.stdout, result.code) == ("both bystanders live\n", 0), result.stderr
    probe.check()
    assert probe.outcomes(job_id) == ["lost", "succeeded"]
