"""What every LocalProcesses promises; see its docstrings in queuectl.domain.ports."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queuectl.adapters.host import identity
from queuectl.adapters.host.registry import FileLocalProcesses
from queuectl.domain.errors import HostTrouble
from queuectl.domain.ports.host import LocalProcess, LocalProcesses
from queuectl.domain.worker import Process
from tests.builders import HOUR, SECOND, a_process
from tests.fakes import InMemoryLocalProcesses

SUPERVISOR = a_process(machine=identity.machine_id(), pid=99)

ANOTHER = """
import sys
from datetime import timedelta
from pathlib import Path
from queuectl.adapters.host.registry import FileLocalProcesses

local = FileLocalProcesses(Path(sys.argv[1]))
local.join(None, worker="w2")
local.renew(timedelta(hours=1), kill_grace=timedelta(seconds=1), fit_until=timedelta(hours=2))
local.note(1, 50, 7)
print("joined", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["memory", "files"])
def open_local(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], LocalProcesses]:
    """Opens the registrations of the same machine, as another part of this process would."""
    machine: dict[Process, LocalProcess] = {}
    own = identity.current_process()
    if request.param == "memory":
        return lambda: InMemoryLocalProcesses(machine, own)
    return lambda: FileLocalProcesses(tmp_path / "spool" / "queue")


@pytest.fixture
def local(open_local: Callable[[], LocalProcesses]) -> LocalProcesses:
    return open_local()


@pytest.mark.parametrize("ask", ["registered", "send", "kill", "forget"])
def test_a_process_that_cannot_be_looked_at_now_is_not_taken_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    """As with no descriptor left: its jobs are another's only once it is known to be gone."""
    directory = tmp_path / "spool" / "queue"
    local = FileLocalProcesses(directory)
    with subprocess.Popen(
        [sys.executable, "-c", ANOTHER, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as another:
        assert another.stdout is not None
        assert another.stdout.readline() == b"joined\n"
        [found] = local.registered()
        calls = {
            "registered": local.registered,
            "send": lambda: local.send(found, signal.SIGKILL),
            "kill": lambda: local.kill(found),
            "forget": lambda: local.forget(found),
        }
        opens = os.open

        def refused(path: str | Path, *rest: int, **more: int) -> int:
            if str(path) == found.file:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return opens(path, *rest, **more)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refused)
            with pytest.raises(HostTrouble, match="too many open files"):
                calls[ask]()
        assert another.poll() is None
        assert [it.is_alive for it in local.registered()] == [True]
        another.kill()


def test_nobody_is_registered_at_first(local: LocalProcesses) -> None:
    assert list(local.registered()) == []


def test_who_has_joined_is_alive(local: LocalProcesses, open_local: Callable[[], LocalProcesses]) -> None:
    assert local.join(SUPERVISOR, worker="w1")
    for _ in range(2):  # a look must not cost it its registration
        [found] = open_local().registered()
        assert (found.process, found.supervisor, found.worker) == (identity.current_process(), SUPERVISOR, "w1")
        assert found.is_alive


def test_a_supervisor_is_its_own_and_has_no_id(local: LocalProcesses) -> None:
    assert local.join(None)
    [found] = local.registered()
    assert (found.supervisor, found.worker) == (found.process, "")


def test_a_worker_says_how_long_its_lease_is_and_which_commands_run(local: LocalProcesses) -> None:
    local.join(SUPERVISOR, worker="w1")
    local.renew(HOUR, kill_grace=SECOND, fit_until=2 * HOUR)
    local.note(0, 50, 7)
    local.note(2, 0, 9)
    [found] = local.registered()
    assert (found.lease_ends, found.kill_grace, found.fit_until) == (HOUR, SECOND, 2 * HOUR)
    assert [(it.pid, it.output) for it in found.commands] == [(50, 7), (0, 9)]
    local.note(0, 0, 0)
    [found] = local.registered()
    assert [(it.pid, it.output) for it in found.commands] == [(0, 9)]


def test_the_living_are_not_forgotten(local: LocalProcesses) -> None:
    local.join(SUPERVISOR, worker="w1")
    [found] = local.registered()
    local.forget(found)
    assert len(local.registered()) == 1


class TestFiles:
    """What only processes can show."""

    @pytest.fixture
    def another(self, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
        process = subprocess.Popen(
            [sys.executable, "-c", ANOTHER, str(tmp_path / "queue")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"joined\n"
        yield process
        process.kill()
        process.communicate()

    @pytest.fixture
    def files(self, tmp_path: Path) -> FileLocalProcesses:
        return FileLocalProcesses(tmp_path / "queue")

    def test_another_process_is_seen_and_can_be_killed_and_then_forgotten(
        self, files: FileLocalProcesses, another: "subprocess.Popen[bytes]"
    ) -> None:
        [found] = files.registered()
        assert (found.process.pid, found.is_alive, found.lease_ends) == (another.pid, True, HOUR)
        assert files.kill(found)
        [found] = files.registered()
        assert not found.is_alive
        assert [(it.pid, it.output) for it in found.commands] == [(50, 7)]
        assert not files.send(found, signal.SIGTERM)
        files.forget(found)
        assert files.registered() == []

    def test_a_frozen_process_is_alive(self, files: FileLocalProcesses, another: "subprocess.Popen[bytes]") -> None:
        another.send_signal(signal.SIGSTOP)
        [found] = files.registered()
        assert found.is_alive
        assert files.kill(found)

    def test_its_children_do_not_keep_it_alive(self, files: FileLocalProcesses, tmp_path: Path) -> None:
        fork = ANOTHER.replace("print(", "import os, time\nif os.fork() == 0: time.sleep(60); os._exit(0)\nprint(")
        parent = subprocess.Popen(
            [sys.executable, "-c", fork, str(tmp_path / "queue")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"joined\n"
        parent.kill()
        parent.wait()
        for pipe in (parent.stdin, parent.stdout):
            assert pipe is not None
            pipe.close()
        [found] = files.registered()
        assert not found.is_alive
        os.killpg(parent.pid, signal.SIGKILL)

    def test_a_worker_that_knows_the_database_by_another_name_is_found_by_its_id(
        self, tmp_path: Path, another: "subprocess.Popen[bytes]"
    ) -> None:
        elsewhere = FileLocalProcesses(tmp_path / "same-queue")
        assert elsewhere.registered() == []
        [found] = elsewhere.registered(of=["w2"])
        assert (found.process.pid, found.is_alive) == (another.pid, True)

    def test_what_others_write_into_a_file_changes_nothing_but_what_it_says(
        self, files: FileLocalProcesses, another: "subprocess.Popen[bytes]", tmp_path: Path
    ) -> None:
        [path] = (tmp_path / "queue").glob("run/*/*")
        path.write_text("x\n")
        [found] = files.registered()
        assert (found.process.pid, found.is_alive, found.lease_ends, found.commands) == (another.pid, True, None, ())

    def test_the_files_are_private(self, another: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
        assert another.pid
        [path] = (tmp_path / "queue").glob("run/*/*")
        assert [each.stat().st_mode & 0o777 for each in (path, path.parent, path.parent.parent)] == [
            0o600,
            0o700,
            0o700,
        ]

    def test_where_others_may_write_nobody_registers(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "queue").mkdir(mode=0o777)
        (tmp_path / "queue").chmod(0o777)
        assert not FileLocalProcesses(tmp_path / "queue").join(None)
        assert "cannot be registered" in caplog.text
