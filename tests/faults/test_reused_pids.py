"""The pid of a dead worker belongs to somebody else by now: a bystander, whom nobody may harm.

In a pid namespace of its own, where the kernel can be told which pid to give next and nobody else takes it.
"""

import os
import shlex
from pathlib import Path

import pytest

from tests.faults.witness import Witness
from tests.integration.driver import QUEUECTL, Cli
from tests.integration.hosts import WITHOUT
from tests.integration.ledger import Ledger

pytestmark = [pytest.mark.sqlite_only, pytest.mark.fault("F21")]

NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]

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
        [ $((tries += 1)) -le 50 ] || exit 98
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


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    if os.environ.get(WITHOUT) == "1":
        pytest.skip(f"{WITHOUT}=1: no pid is used again")


def test_a_bystander_with_a_dead_workers_pid_is_left_alone(
    cli: Cli, ledger: Ledger, witness: Witness, tmp_path: Path
) -> None:
    job_id = witness.enqueue_endless()
    script = SCRIPT.format(
        queuectl=shlex.quote(QUEUECTL),
        ledger=shlex.quote(str(tmp_path / "ledger")),
        log=shlex.quote(str(cli.directory / "foreground.log")),
    )
    result = cli.run(program=[*NAMESPACE, "bash", "-c", script], check=False)
    if "unshare" in result.stderr or result.code == 99:
        pytest.fail(
            f"no pid can be chosen here: {result.stderr.strip()}\nThis takes Linux and root (in a container: docker run"
            f" --privileged). {WITHOUT}=1 leaves the test out.",
            pytrace=False,
        )
    assert (result.stdout, result.code) == ("both bystanders live\n", 0), result.stderr
    witness.check()
    assert witness.outcomes(job_id) == ["lost", "succeeded"]
