"""What `doctor` looks at on this machine: directories, and who has an SQLite file locked."""

import os
from pathlib import Path

import pytest

from queuectl.adapters.host import checks
from queuectl.adapters.host.checks import trouble_of
from queuectl.adapters.sql.sqlite.checks import lock_holders
from queuectl.domain.ports.storage import Finding, Grade


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database file with the shared memory of its log."""
    path = tmp_path / "queue.db"
    path.touch()
    (tmp_path / "queue.db-shm").touch()
    return path


def holders(database: Path, *rows: str) -> list[str]:
    """Who is named by /proc/locks with these rows; MAIN and SHM stand for the files."""

    def identity(path: Path) -> str:
        status = path.stat()
        return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"

    text = "\n".join(f"{number}: {row}" for number, row in enumerate(rows, start=1))
    text = text.replace("MAIN", identity(database)).replace("SHM", identity(Path(f"{database}-shm")))
    (database.parent / "locks").write_text(text + "\n")
    return list(lock_holders(database, database.parent / "locks"))


class TestWhoHasItLocked:
    def test_the_writer_of_a_write_ahead_log(self, database: Path) -> None:
        assert holders(database, "POSIX  ADVISORY  WRITE 999999999 SHM 120 120") == ["pid 999999999"]

    def test_one_that_has_the_whole_file(self, database: Path) -> None:
        assert holders(database, "POSIX  ADVISORY  WRITE 999999999 MAIN 1073741824 1073742335") == ["pid 999999999"]
        assert holders(database, "POSIX  ADVISORY  WRITE 999999999 MAIN 0 EOF") == ["pid 999999999"]

    def test_a_process_has_its_name(self, database: Path) -> None:
        [holder] = holders(database, f"POSIX  ADVISORY  WRITE {os.getpid()} SHM 120 120")
        assert holder.startswith(f"pid {os.getpid()} (")

    def test_each_is_named_once(self, database: Path) -> None:
        row = "POSIX  ADVISORY  WRITE 999999999 SHM 120 120"
        assert holders(database, row, row, row.replace("999999999", "999999998")) == ["pid 999999999", "pid 999999998"]

    @pytest.mark.parametrize(
        "row",
        [
            "POSIX  ADVISORY  READ 999999999 SHM 120 120",
            "POSIX  ADVISORY  WRITE 999999999 SHM 123 127",
            "POSIX  ADVISORY  WRITE 999999999 00:00:1 120 120",
            "-> POSIX  ADVISORY  WRITE 999999999 SHM 120 120",
            "FLOCK  ADVISORY  WRITE 999999999 SHM 0 EOF",
            "OFDLCK ADVISORY  WRITE -1 SHM 120 120",
            "POSIX  ADVISORY  WRITE 0 SHM 120 120",
            "POSIX  ADVISORY  WRITE x SHM 120 120",
            "",
        ],
    )
    def test_nobody_is_named_who_is_not_sure_to_be_it(self, database: Path, row: str) -> None:
        assert holders(database, row) == []

    def test_a_system_that_does_not_tell(self, database: Path) -> None:
        assert list(lock_holders(database, Path("/nowhere/locks"))) == []


class TestDirectories:
    def test_one_that_can_be_written_is_left_as_it_was(self, tmp_path: Path) -> None:
        before = tmp_path.stat().st_mtime_ns
        assert trouble_of(tmp_path) is None
        assert not list(tmp_path.iterdir())
        assert tmp_path.stat().st_mtime_ns == before

    def test_one_that_is_absent_is_not_made(self, tmp_path: Path) -> None:
        assert trouble_of(tmp_path / "new" / "log") is None
        assert not list(tmp_path.iterdir())

    def test_one_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to("/nowhere/log")
        for absent, said in {
            "/proc/queuectl/log": "cannot be made: /proc cannot be written: no such file or directory",
            f"{tmp_path}/file/log": "file/log cannot be reached: not a directory",
            f"{tmp_path}/link": "is a link to /nowhere/log, which does not exist",
            f"{tmp_path}/file": "is not a directory",
        }.items():
            assert said in (trouble_of(Path(absent)) or "")

    def test_a_log_that_cannot_be_written_is_broken_and_a_spool_a_warning(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        grades = [each.grade for each in checks.examine(tmp_path / "file", tmp_path / "file")]
        assert grades == [Grade.FAIL, Grade.WARN]

    def test_others_who_can_write_are_told(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o777)
        [log, _] = checks.examine(tmp_path, tmp_path)
        assert log == Finding(
            subject="log directory",
            grade=Grade.WARN,
            message=f"other users can write to {tmp_path} (mode 0777)",
            hint=f"chmod go-w {tmp_path}",
        )
