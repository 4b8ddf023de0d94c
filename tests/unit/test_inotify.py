"""Events of a file, as they wake whoever waits for them."""

import os
import threading
from pathlib import Path

import pytest

from queuectl.adapters.host.inotify import IN_ATTRIB, IN_DELETE_SELF, watch


def test_what_happens_to_a_file_ends_a_wait_also_when_it_happened_before(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with watch(file, IN_ATTRIB | IN_DELETE_SELF) as wait:
        os.utime(file)
        wait()
        waiting = threading.Thread(target=wait)
        waiting.start()
        file.unlink()
        waiting.join(10)
        assert not waiting.is_alive()


def test_a_file_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    before = os.listdir("/dev/fd")  # noqa: PTH208 - names alone
    with pytest.raises(FileNotFoundError, match="nowhere"), watch(tmp_path / "nowhere", IN_ATTRIB):
        pass
    assert len(os.listdir("/dev/fd")) == len(before)  # noqa: PTH208
