"""The writers' line: one after the other, and never a reason not to go on."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from queuectl.adapters.sql.sqlite.write_lock import WriteLock

LONG, SHORT = timedelta(seconds=30), timedelta(milliseconds=20)
HOLD = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "queue.db-lock"


@contextmanager
def held_by_another(file: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        yield other
        other.kill()


def is_free(file: Path) -> bool:
    with file.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_turn_is_one_writers_alone(file: Path) -> None:
    queue, inside, most = WriteLock(file, longest=LONG), 0, 0

    def write() -> None:
        nonlocal inside, most
        for _ in range(20):
            with queue.turn():
                inside += 1
                most = max(most, inside)
                time.sleep(0.0001)
                inside -= 1

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert is_free(file)


def test_a_turn_ends_with_the_process_that_has_it(file: Path) -> None:
    with held_by_another(file) as other:
        threading.Timer(0.05, other.kill).start()
        with WriteLock(file, longest=LONG).turn():
            assert other.wait() != 0


def test_who_has_waited_too_long_goes_on_and_stands_in_nobodys_way_later(file: Path) -> None:
    with held_by_another(file):
        with WriteLock(file, longest=SHORT).turn():
            pass
        waiting = [thread for thread in threading.enumerate() if thread.name == "write turn"]
        assert len(waiting) == 1
    waiting[0].join()
    assert is_free(file)


def test_as_long_as_a_turn_that_was_given_up_has_not_come_nobody_else_of_the_process_waits(file: Path) -> None:
    queue = WriteLock(file, longest=SHORT)
    with held_by_another(file):
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one call
        for _ in range(5):
            with queue.turn():
                pass
        [waiting] = [thread for thread in threading.enumerate() if thread.name == "write turn"]
        assert len(os.listdir("/proc/self/fd")) == descriptors + 1  # noqa: PTH208 - one call
    waiting.join()
    with queue.turn():
        assert not is_free(file)
    assert is_free(file)


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [(os, "dup", OSError(errno.EMFILE, "too many")), (threading.Thread, "start", RuntimeError("no more threads"))],
)
def test_who_cannot_even_wait_goes_on(
    file: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    with held_by_another(file):
        monkeypatch.setattr(owner, name, fail)
        with WriteLock(file, longest=LONG).turn():
            pass
        monkeypatch.undo()
    assert is_free(file)


def test_an_error_ends_the_turn(file: Path) -> None:
    with pytest.raises(ZeroDivisionError), WriteLock(file, longest=LONG).turn():
        _ = 1 / 0
    assert is_free(file)


def test_the_file_is_its_owners_alone(file: Path) -> None:
    umask = os.umask(0)
    try:
        with WriteLock(file, longest=LONG).turn():
            assert file.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(umask)


def test_without_a_place_for_the_file_there_is_no_line(file: Path) -> None:
    with WriteLock(file / "not-there", longest=LONG).turn():
        pass
    assert not file.exists()
