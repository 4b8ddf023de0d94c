"""The spool's files: whose they are, how much room they take, and what becomes of files that are not its own."""

import errno
import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.adapters.spool import FileOutcomeSpool, directory_for
from queuectl.domain.attempt import Output
from queuectl.domain.ports.host import AttemptEnd
from tests.builders import a_result
from tests.contracts.test_spool import an_outcome


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool"


@pytest.fixture
def spool(directory: Path) -> FileOutcomeSpool:
    return FileOutcomeSpool(directory)


@pytest.fixture
def wide_open() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def with_output(size: int, attempt: int = 1) -> AttemptEnd:
    return an_outcome(attempt=attempt, result=a_result(output=b"x" * size))


def without_output(outcome: AttemptEnd) -> AttemptEnd:
    return outcome._replace(result=outcome.result._replace(output=Output(truncated=True)))


def test_the_spools_of_two_databases_never_mix(tmp_path: Path) -> None:
    places = {directory_for(tmp_path, name) for name in ("/a/queue.db", "/b/queue.db", "postgresql://db/queue")}
    assert len(places) == 3
    assert {place.parent for place in places} == {tmp_path}


@pytest.mark.usefixtures("wide_open")
def test_only_its_owner_may_look_into_it(spool: FileOutcomeSpool, directory: Path) -> None:
    assert spool.spool(an_outcome())
    [file] = files(directory)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (directory, directory.parent)}
    assert (modes, stat.S_IMODE(file.stat().st_mode)) == ({0o700}, 0o600)


def test_looking_makes_no_directory(spool: FileOutcomeSpool, directory: Path) -> None:
    assert list(spool.spooled()) == []
    assert not directory.exists()


@pytest.mark.parametrize("trap", ["a link", "open to others"])
def test_a_directory_that_others_could_have_made_is_not_used(
    spool: FileOutcomeSpool, directory: Path, tmp_path: Path, trap: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory.parent.mkdir()
    if trap == "a link":
        (tmp_path / "elsewhere").mkdir()
        directory.symlink_to(tmp_path / "elsewhere")
    else:
        directory.mkdir()
        directory.chmod(0o777)
    assert [spool.spool(an_outcome(attempt=number)) for number in (1, 2)] == [False, False]
    assert (list(spool.spooled()), list(spool.spooled())) == ([], [])
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "only in memory" in caplog.messages[0]
    assert not list(directory.iterdir())


def test_another_users_directory_is_not_used(
    spool: FileOutcomeSpool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spool.spool(an_outcome())
    owner = directory.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert not spool.spool(an_outcome(attempt=2))
    assert list(spool.spooled()) == []
    monkeypatch.undo()
    assert list(spool.spooled()) == [an_outcome()]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]\n",
        b"\xff\xfe\n",
        b"not JSON\n",
        b'{"version": 2}\n',
        "the end is missing",
        "more than was written",
        *[{name: value} for name in ("job", "lease", "worker", "error") for value in ("\0", 7, "\ud800")],
        *[{name: value} for name in ("attempt", "ended_at", "signal") for value in ("1", True, 2**60)],
        {"outcome": "unheard of"},
        {"output_bytes": None},
        "a link",
        "a pipe",
        "a directory",
    ],
    ids=str,
)
def test_what_is_no_outcome_is_set_aside_and_told_once(
    spool: FileOutcomeSpool, directory: Path, content: bytes | str | dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    spool.spool(an_outcome(attempt=2))
    [good] = files(directory)
    bad = directory / ("0" * 32 + ".outcome")
    header, _, output = good.read_bytes().partition(b"\n")
    match content:
        case "a link":
            bad.symlink_to(good)
        case "a pipe":
            os.mkfifo(bad)
        case "a directory":
            bad.mkdir()
        case "the end is missing":
            bad.write_bytes(header + b"\n" + output[:-1] if output else header[:-1])
        case "more than was written":
            bad.write_bytes(good.read_bytes() + b"!")
        case dict():
            bad.write_text(json.dumps(json.loads(header) | content) + "\n")
        case bytes():
            bad.write_bytes(content)
    for _ in range(3):
        assert list(spool.spooled()) == [an_outcome(attempt=2)]
    [line] = caplog.messages
    assert str(bad) in line
    assert [path.suffix for path in files(directory)] == [".set-aside", ".outcome"]


def test_the_output_is_left_out_when_the_room_is_used_up_and_then_nothing_more_is_kept(
    spool: FileOutcomeSpool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("queuectl.adapters.spool.ROOM", 3000)
    monkeypatch.setattr("queuectl.adapters.spool.ROOM_WITHOUT_OUTPUT", 4000)
    kept = [spool.spool(with_output(1000, attempt)) for attempt in range(1, 12)]
    assert kept.index(False) > 4
    assert not any(kept[kept.index(False) :])
    sizes = [len(each.result.output.content) for each in sorted(spool.spooled(), key=lambda each: each.number)]
    assert sizes == [1000, 1000] + [0] * (kept.index(False) - 2)
    assert sum(path.stat().st_size for path in files(spool._directory)) <= 4000
    assert len(caplog.messages) == 1


def test_a_full_disk_costs_the_output_and_leaves_no_rubbish(
    spool: FileOutcomeSpool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 1000

    def sync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_size > room:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", sync)
    outcome = with_output(2000)
    assert spool.spool(outcome)
    assert list(spool.spooled()) == [without_output(outcome)]
    room = 0
    assert not spool.spool(with_output(10, attempt=2))
    assert len(files(directory)) == 1


def test_what_a_killed_worker_did_not_finish_is_removed_after_a_while(spool: FileOutcomeSpool, directory: Path) -> None:
    spool.spool(an_outcome())
    old, new = directory / "old.part", directory / "new.part"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    assert list(spool.spooled()) == [an_outcome()]
    assert [path.suffix for path in files(directory)].count(".part") == 1
    assert new.exists()
