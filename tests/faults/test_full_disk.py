"""A disk that fills up under a queue at work: nothing is damaged, nobody is lied to, and it goes on when there is room.

The disk is a small file system of its own. It goes with the process that holds it, and that with the tests' process.
"""

import contextlib
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.conftest import NewDatabase
from tests.integration.driver import Cli, json_lines, wait_until
from tests.integration.ledger import Ledger
from tests.requirements import require

pytestmark = pytest.mark.sqlite_only  # on PostgreSQL it is the server's disk: see test_postgres_trouble.py

BIG_BATCH = json_lines([{"id": f"big-{number}", "command": f": {'x' * 10_000}"} for number in range(300)])
BIG_IDS = [f"big-{number}" for number in range(300)]
BIGGER_IDS = [job_id.replace("big-", "bigger-") for job_id in BIG_IDS]
"""Three megabytes of jobs, and as many more."""

HOLDER = 'mount -t tmpfs -o size="$1",mode=700 tmpfs "$2" && echo up && read -r _; umount -l "$2"'


class SmallDisk:
    """A file system of that size, mounted at `path`."""

    def __init__(self, directory: Path, size: str) -> None:
        self.path = directory / "disk"
        self.path.mkdir()
        self._filler = self.path / "filler"
        self._holder = subprocess.Popen(
            ["sh", "-c", HOLDER, "holder", size, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C ends the tests, which then give the disk back
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "up\n":
            _, said = self._holder.communicate(timeout=10)
            raise RuntimeError(f"no small disk was made: {said.strip()}")

    def fill(self) -> None:
        """Leave no room at all."""
        with contextlib.suppress(OSError), self._filler.open("ab", buffering=0) as filler:
            for size in (65536, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        filler.write(b"x" * size)

    def free(self) -> None:
        """Give back what `fill` has taken."""
        self._filler.unlink()

    def close(self) -> None:
        self._holder.communicate(timeout=10)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    require("mounts")
    disk = SmallDisk(tmp_path, "4m")
    yield disk
    disk.close()


@pytest.fixture
def on_small_disk(disk: SmallDisk, new_database: NewDatabase) -> str:
    return new_database(disk.path)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path: Path) -> str:
    if "disk" in request.fixturenames:
        return request.getfixturevalue("on_small_disk")
    return new_database(tmp_path)


@pytest.mark.fault("F38")
@pytest.mark.parametrize("seconds", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_outcomes_are_tried_until_there_is_room_for_them(
    cli: Cli, ledger: Ledger, probe: FaultProbe, disk: SmallDisk, tmp_path: Path, seconds: float
) -> None:
    go = tmp_path / "go"
    running = probe.enqueue_some(2, f"until [ -e {go} ]; do sleep 0.05; done; head -c 100000 /dev/zero", priority=9)
    waiting = probe.enqueue_some(3)
    cli.start_workers(2)
    wait_until(lambda: ledger.started(2))

    disk.fill()
    refused = probe.try_enqueue("-", ids=BIG_IDS, stdin=BIG_BATCH, env={"QUEUECTL_BUSY_TIMEOUT": "1s"})
    assert refused.code == 6
    assert "cannot grow: the disk is full" in refused.errors[0]
    assert f"the disk of {disk.path} is full" in cli.run("doctor", check=False).stdout
    go.touch()
    wait_until(lambda: len(ledger.entries("end")) >= 2)
    cli.log.wait_for("cannot use the database")
    time.sleep(seconds)
    # No flood; what a checkpoint frees is soon full again.
    cli.log.assert_at_most_lines(20 + seconds / 2, besides=["started", "succeeded after"])

    disk.free()
    probe.healed()
    history = probe.check()
    assert {history.jobs[job_id].state for job_id in [*running, *waiting]} == {"completed"}


@pytest.mark.fault("F38")
def test_on_a_full_disk_nothing_is_stored_and_what_was_there_stays(
    cli: Cli, probe: FaultProbe, disk: SmallDisk
) -> None:
    first = probe.enqueue()
    refused = probe.try_enqueue(
        "-", ids=[*BIG_IDS, *BIGGER_IDS], stdin=BIG_BATCH + BIG_BATCH.replace("big-", "bigger-")
    )
    assert refused.errors == [f"the database file {disk.path}/queue.db cannot grow: the disk is full"]
    assert list(cli.jobs()) == [first]
    cli.start_workers()
    probe.check(faultless=True)


@pytest.mark.fault("F38")
def test_when_the_file_cannot_grow_nothing_is_stored(cli: Cli, probe: FaultProbe) -> None:
    """By a limit on the size of files, which needs no rights."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    first = probe.enqueue()
    result = cli.run("enqueue", "-", stdin=BIG_BATCH, preexec_fn=limit, check=False)
    probe.note_call(BIG_IDS, result)
    assert result.code == 6
    assert list(cli.jobs()) == [first]
    cli.start_workers()
    probe.check(faultless=True)
