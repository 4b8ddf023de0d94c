"""The config file as `config set` leaves it."""

import multiprocessing
import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuectl.domain.errors import InvalidSetting, QueueError
from queuectl.entrypoints.cli import config_file
from queuectl.entrypoints.cli.config_file import change


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "queuectl" / "config.toml"


@pytest.fixture
def written(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text("# mine\noutput = 'json'  # for jq\r\n\n# colours\ncolor = \"never\"\n")
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_and_its_directories_are_their_owners_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        change(path, "output", "json")
    finally:
        os.umask(before)
    assert path.read_text() == 'output = "json"\n'
    assert (mode(path), mode(path.parent), mode(path.parent.parent)) == (0o600, 0o700, 0o700)


def test_comments_order_and_line_ends_stay(written: Path) -> None:
    change(written, "output", "id")
    change(written, "busy-timeout", "5s")
    change(written, "color", None)
    assert written.read_bytes() == b'# mine\noutput = "id"  # for jq\r\n\n# colours\nbusy-timeout = "5s"\n'


def test_a_file_keeps_its_mode_unless_it_gets_a_password(written: Path) -> None:
    written.chmod(0o644)
    change(written, "database-url", "postgresql://ann@db/queue")
    assert mode(written) == 0o644
    change(written, "database-url", "postgresql://ann:secret@db/queue")
    assert mode(written) == 0o600


def test_one_word_for_the_database_replaces_the_other(path: Path) -> None:
    assert change(path, "db-path", "/srv/q.db") == []
    assert change(path, "database-url", "postgresql://db/queue") == ["db-path"]
    assert change(path, "db-path", "/srv/q.db") == ["database-url"]
    assert path.read_text() == 'db-path = "/srv/q.db"\n'


def test_what_is_not_there_need_not_be_removed(path: Path, written: Path) -> None:
    change(written, "db-path", None)
    assert "db-path" not in written.read_text()
    change(path.with_name("other.toml"), "db-path", None)
    assert {each.name for each in path.parent.iterdir()} == {"config.toml", ".config.toml.lock"}


def test_a_link_stays_a_link_and_its_target_is_changed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "queuectl.toml"
    path.parent.mkdir(parents=True)
    path.symlink_to("../../dotfiles/queuectl.toml")
    change(path, "output", "json")
    assert path.is_symlink()
    assert target.read_text() == 'output = "json"\n'
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = written.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(QueueError, match=f"the config file {written} cannot be written: no space left on device"):
        change(written, "output", "id")
    assert written.read_bytes() == before
    assert {each.name for each in written.parent.iterdir()} == {"config.toml", ".config.toml.lock"}


def _set_many(path: Path, key: str) -> None:
    for number in range(20):
        change(path, key, f"{key} {number}")


def test_nothing_is_lost_when_several_change_it_at_once(path: Path) -> None:
    keys = ["output", "color", "log-dir", "spool-dir"]
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_set_many, args=(path, key)) for key in keys]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert tomllib.loads(path.read_text()) == {key: f"{key} 19" for key in keys}


def test_a_change_that_never_ends_is_not_waited_for(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_file, "LOCK_TIMEOUT", 0.0)
    with config_file._locked(written), pytest.raises(QueueError, match="cannot be written: another queuectl"):
        change(written, "output", "id")


@pytest.mark.parametrize("content", [b"output = ", b"a = [" + 5000 * b"["], ids=["half", "deep"])
def test_a_file_that_is_not_toml_is_left_as_it_is(written: Path, content: bytes) -> None:
    written.write_bytes(content)
    with pytest.raises(InvalidSetting, match="is not valid TOML"):
        change(written, "output", "id")
    assert written.read_bytes() == content


def test_what_is_no_file_is_not_replaced_by_one(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(InvalidSetting, match="is not a file but a directory"):
        change(path, "output", "id")


@pytest.mark.parametrize("text", ["id", None])
def test_the_null_device_is_not_replaced_by_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Root could: so it is not tried on the machine's own, should the check ever be lost."""

    def lock(target: Path) -> None:
        pytest.fail(f"{target} would be changed")

    monkeypatch.setattr(config_file, "_locked", lock)
    monkeypatch.setattr(config_file, "config_text", lambda _path: "")
    pipe = tmp_path / "null"
    os.mkfifo(pipe)
    with pytest.raises(InvalidSetting, match="is not a file that can be changed"):
        change(pipe, "output", text)


def test_a_path_that_is_not_utf8_cannot_be_stored(written: Path) -> None:
    with pytest.raises(InvalidSetting, match="db-path is not text in UTF-8"):
        change(written, "db-path", "/srv/\udcff.db")


def test_without_a_home_directory_no_directory_of_that_name_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidSetting) as caught:
        change(Path("~/.config/queuectl/config.toml"), "output", "id")
    assert caught.value.hint == "set HOME, or give QUEUECTL_CONFIG"
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=30)  # each is some writes to the disk
@given(text=st.text(st.characters(codec="utf-8")))
def test_any_text_is_read_as_it_was_set(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "config.toml"
    change(path, "log-dir", text)
    change(path, "output", "json")
    assert tomllib.loads(path.read_bytes().decode()) == {"log-dir": text, "output": "json"}
