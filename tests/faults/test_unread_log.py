"""A log that takes nothing: a terminal stopped by Ctrl-S, a pipe or socket of which nobody reads, a disk that hangs."""

import contextlib
import os
import pty
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.probe import FaultProbe
from tests.faults.tracing import strace
from tests.integration.driver import PATIENCE, QUEUECTL, Cli
from tests.integration.ledger import Ledger

pytestmark = [pytest.mark.sqlite_only, pytest.mark.fault("F90")]

CTRL_S, CTRL_Q = b"\x13", b"\x11"
FILLING = b"." * 99 + b"\n"


class FullLog:
    """A log that takes nothing until it is read."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        if kind == "terminal":
            self._reader, self.writer = pty.openpty()
            os.write(self._reader, CTRL_S)
        elif kind == "pipe":
            self._reader, self.writer = os.pipe()
        else:
            reader, writer = socket.socketpair()
            self._reader, self.writer = reader.detach(), writer.detach()
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(self.writer, FILLING) > 0:
                pass
        os.set_blocking(self.writer, True)

    def read(self) -> str:
        """Take all that its writers have, until the last one has ended."""
        if self._kind == "terminal":
            os.write(self._reader, CTRL_Q)
        os.close(self.writer)
        content = b""
        with contextlib.suppress(OSError):  # of a terminal whose other end is closed
            while chunk := os.read(self._reader, 65536):
                content += chunk
        os.close(self._reader)
        return content.decode(errors="replace").replace("\r\n", "\n").replace(FILLING.decode(), "")


@contextlib.contextmanager
def workers(cli: Cli, log: int, program: Sequence[str] = ()) -> Iterator["subprocess.Popen[bytes]"]:
    """Two slots in the foreground that log to there."""
    process = subprocess.Popen(
        [*program, QUEUECTL, "worker", "start", "--foreground", "--concurrency=2"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=cli.environ,
        cwd=cli.directory,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(PATIENCE)


def work_goes_on(cli: Cli, ledger: Ledger, probe: FaultProbe) -> None:
    """Timeouts, cancels and the next jobs: whatever becomes of the log."""
    limited = probe.enqueue_silent("sleep 600", timeout=0.5, max_retries=0)
    endless = probe.enqueue_silent("sleep 600")
    assert cli.wait_for(limited, "dead")["history"][0]["outcome"] == "timeout"
    cli.wait_for(endless, "processing")
    probe.note_asked(endless)
    cli.run("cancel", endless)
    assert cli.job(endless)["state"] == "cancelled"
    cli.wait_for(probe.enqueue(), "completed")


@pytest.mark.parametrize("how", ["", "--force"])
@pytest.mark.parametrize("kind", ["terminal", "pipe", "socket"])
def test_work_goes_on_and_stops_though_nobody_reads_the_log(
    cli: Cli, ledger: Ledger, probe: FaultProbe, kind: str, how: str
) -> None:
    log = FullLog(kind)
    with workers(cli, log.writer) as process:
        work_goes_on(cli, ledger, probe)
        released = probe.enqueue_endless() if how else None
        if released:
            cli.wait_for(released, "processing")
        cli.run("worker", "stop", *how.split(), "--timeout", str(PATIENCE))
        assert process.wait(PATIENCE) == 0
    log.read()
    assert not cli.own_processes()
    probe.check(waiting=[released] if released else [])


@pytest.mark.parametrize("kind", ["terminal", "pipe", "socket"])
def test_what_waited_is_in_the_log_once_somebody_reads_it(
    cli: Cli, ledger: Ledger, probe: FaultProbe, kind: str
) -> None:
    log = FullLog(kind)
    with workers(cli, log.writer) as process:
        job_id = probe.enqueue("sleep 1")
        cli.wait_for(job_id, "processing")
        process.terminate()
        lines = log.read().splitlines()  # the last ones are written at the end
        assert process.wait(PATIENCE) == 0
    assert any(f"job {job_id} attempt 1 started" in line for line in lines)
    assert any(f"job {job_id} attempt 1 succeeded" in line for line in lines)
    assert lines[-1].endswith("stopped")
    probe.check(faultless=True)


def test_work_goes_on_while_the_disk_of_the_log_hangs(
    cli: Cli, ledger: Ledger, probe: FaultProbe, tmp_path: Path
) -> None:
    path = tmp_path / "hung"
    path.touch()
    # Each write to that file takes a minute, as long as strace is there.
    hung = strace("-o", "/dev/null", f"--trace-path={path}", "--trace=write", "--inject=write:delay_enter=60s")
    with path.open("ab") as file, workers(cli, file.fileno(), hung):
        work_goes_on(cli, ledger, probe)
    cli.run("worker", "stop")
    assert not cli.own_processes()
    probe.check()
