"""What waits for the log: written in order and whole, dropped and counted where nothing takes it."""

import contextlib
import io
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from select import PIPE_BUF

import pytest

from queuectl.adapters.observers import log_stream

LINES = 20


class Pipe:
    """A pipe, and the stream that leads into it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        with os.fdopen(self.writer, "w", closefd=False) as stream:
            self.stream = log_stream.unblocked(stream)

    def fill(self) -> None:
        """Leave no room in it, as somebody who writes to it as well."""
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"." * PIPE_BUF)
        os.set_blocking(self.writer, True)

    def read(self, lines: int) -> str:
        """That many lines, without what has filled it."""
        text = ""
        while text.count("\n") < lines:
            text += os.read(self.reader, 65536).decode()
        return text.lstrip(".")


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """A pipe for which few lines wait."""
    monkeypatch.setattr(log_stream, "MAX_LINES", LINES)
    pipe = Pipe()
    yield pipe
    os.close(pipe.reader)  # which lets go of the thread, if it still waits
    pipe.stream.flush()
    os.close(pipe.writer)


def test_lines_come_in_order_and_flush_waits_for_them(pipe: Pipe) -> None:
    for number in range(10):
        print(f"line {number}", file=pipe.stream)
    pipe.stream.flush()
    assert os.read(pipe.reader, 65536).decode() == "".join(f"line {number}\n" for number in range(10))


def test_what_nothing_takes_is_dropped_and_counted_in_its_place(pipe: Pipe) -> None:
    pipe.fill()
    pipe.stream.write("first\n")  # on its way, and held up
    pipe.stream.flush()
    for number in range(LINES + 5):
        pipe.stream.write(f"line {number}\n")
    kept = [f"line {number}" for number in range(5, LINES + 5)]
    said = ["first", "... 5 lines were dropped: nobody read the log", *kept]
    assert pipe.read(len(said)).splitlines() == said


def test_a_line_that_a_pipe_would_take_in_two_pieces_is_cut(pipe: Pipe) -> None:
    pipe.stream.write("x" * PIPE_BUF + "\n")
    line = pipe.read(1)
    assert (len(line), line[-6:]) == (PIPE_BUF, "xx...\n")


def test_a_full_disk_is_told_of_when_there_is_room_again(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log, open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        assert isinstance(full, io.TextIOWrapper)
        stream = log_stream.unblocked(full)
        for _ in range(3):
            stream.write("lost\n")
            stream.flush()
        os.dup2(log.fileno(), full.fileno())
        stream.write("kept\n")
        stream.flush()
    assert (tmp_path / "log").read_text() == "... 3 lines were dropped: no space left on device\nkept\n"


def test_a_fork_has_a_thread_and_lines_of_its_own(pipe: Pipe) -> None:
    pipe.fill()
    pipe.stream.write("the parent's\n")
    pid = os.fork()
    if pid == 0:
        pipe.stream.write("the fork's\n")
        pipe.stream.flush()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0  # as nobody reads yet, its line is lost
    pipe.stream.write("the parent's last\n")
    assert re.findall(r"the .+", pipe.read(2)) == ["the parent's", "the parent's last"]


def test_the_thread_takes_no_signals(pipe: Pipe) -> None:
    pipe.stream.write("line\n")
    pipe.read(1)
    thread = [each for each in threading.enumerate() if each.name == "log"][-1]
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    [blocked] = re.findall(r"SigBlk:\s+(\w+)", status)
    assert int(blocked, 16) & (1 << 14)  # SIGTERM
