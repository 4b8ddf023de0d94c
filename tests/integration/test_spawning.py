"""posix_spawn(3) by the C library, with a directory and without."""

import os
import signal
from pathlib import Path

import pytest

from queuectl.adapters.processes import spawn
from queuectl.adapters.processes.spawn import Spawn


def output_of(*args: str, directory: Path | None, environ: dict[bytes, bytes] | None = None) -> tuple[str, int]:
    """What the program wrote, and its exit code."""
    reads, writes = os.pipe()
    try:
        order = Spawn(
            [os.fsencode(arg) for arg in args],
            environ or {b"LANG": b"C"},
            directory=None if directory is None else bytes(directory),
            descriptors={1: writes},
        )
        pid = order.start(os.fsencode(args[0]))
        os.close(writes)
        writes = -1
        with os.fdopen(reads, "rb") as output:
            reads = -1
            return output.read().decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        for descriptor in {reads, writes} - {-1}:
            os.close(descriptor)


@pytest.fixture(params=["the library takes a directory", "an older library"], autouse=True)
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "an older library":
        monkeypatch.setattr(spawn, "_add_directory", None)
    else:
        assert spawn._add_directory is not None


@pytest.mark.parametrize("is_elsewhere", [True, False])
def test_a_program_starts_in_its_directory(tmp_path: Path, is_elsewhere: bool) -> None:
    here = Path.cwd()
    assert output_of("/bin/pwd", directory=tmp_path if is_elsewhere else None) == (
        f"{tmp_path.resolve() if is_elsewhere else here}\n",
        0,
    )
    assert Path.cwd() == here


def test_it_leads_a_session_and_has_the_environment_and_the_signals_of_any_program(tmp_path: Path) -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGTERM])
    try:
        script = "echo $NAME; ps -o sid= -p $$ | tr -d ' '; echo $$; grep -E 'Sig(Blk|Ign)' /proc/self/status; exit 3"
        said, code = output_of("/bin/sh", "-c", script, directory=tmp_path, environ={b"NAME": b"caf\xc3\xa9"})
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    name, session, pid, blocks, ignores = said.splitlines()
    assert (name, session, code) == ("café", pid, 3)
    assert int(blocks.split()[1], 16) == 0
    assert not int(ignores.split()[1], 16) & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))


@pytest.mark.parametrize(
    ("program", "directory", "error"),
    [("/bin/nosuch", "", FileNotFoundError), ("/bin/true", "gone", FileNotFoundError), ("/etc", "", PermissionError)],
)
def test_what_cannot_be_started_raises_the_systems_own_error(
    tmp_path: Path, program: str, directory: str, error: type[OSError]
) -> None:
    with pytest.raises(error):
        output_of(program, directory=tmp_path / directory)
