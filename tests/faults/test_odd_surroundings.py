"""Machines and shells as nobody would set them up: no command ends in a traceback, and what was stored stays."""

import os
import resource
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.driver import PATIENCE, QUEUECTL, Cli, wait_until

pytestmark = [pytest.mark.sqlite_only, pytest.mark.fault("F94")]

NAMELESS = """\
import pwd
def nobody(*_):
    raise KeyError("no such user")
pwd.getpwuid = pwd.getpwnam = nobody
"""
"""Python's start-up file of a machine on which the user has no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is odd: variables (None: unset; %T: a directory of the test's own), and what is done before the start."""

    variables: Mapping[bytes, bytes | None] = field(default_factory=dict)
    before: Callable[[], object] | None = None
    code: int | None = 0
    """The exit code of every command, if there is one for all."""


def limited(kind: int, most: int) -> Callable[[], object]:
    return lambda: resource.setrlimit(kind, (most, most))


def without(*descriptors: int) -> Callable[[], object]:
    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


def in_a_deleted_directory() -> None:
    directory = Path(f"/tmp/queuectl-deleted-{os.getpid()}")
    directory.mkdir()
    os.chdir(directory)
    directory.rmdir()


ODD: Mapping[str, Surroundings] = {
    "no HOME, no name": Surroundings(variables={b"HOME": None, b"PYTHONPATH": b"%T/nameless"}),
    "an empty HOME and no name": Surroundings(variables={b"HOME": b"", b"PYTHONPATH": b"%T/nameless"}),
    "HOME in Latin-1": Surroundings(variables={b"HOME": b"%T/caf\xe9"}),
    "TMPDIR in Latin-1": Surroundings(variables={b"TMPDIR": b"%T/caf\xe9"}),
    "a database in Latin-1": Surroundings(variables={b"QUEUECTL_DATABASE_URL": b"sqlite:///%T/caf\xe9.db"}),
    "a log directory in Latin-1": Surroundings(variables={b"QUEUECTL_LOG_DIR": b"%T/caf\xe9-log"}),
    "no locale": Surroundings(variables={b"LANG": None}),
    "a locale that is not there": Surroundings(variables={b"LC_ALL": b"xx_YY.nothing"}),
    "ASCII": Surroundings(variables={b"LC_ALL": b"C", b"PYTHONUTF8": b"0", b"PYTHONCOERCECLOCALE": b"0"}),
    "no columns": Surroundings(variables={b"COLUMNS": b"0", b"QUEUECTL_OUTPUT": b"table"}),
    "columns that are no number": Surroundings(variables={b"COLUMNS": b"abc", b"QUEUECTL_OUTPUT": b"table"}),
    "umask 0777": Surroundings(before=lambda: os.umask(0o777)),
    "umask 0": Surroundings(before=lambda: os.umask(0)),
    "no files larger than nothing": Surroundings(before=limited(resource.RLIMIT_FSIZE, 0), code=None),
    "six descriptors": Surroundings(before=limited(resource.RLIMIT_NOFILE, 6), code=None),
    "ten descriptors": Surroundings(before=limited(resource.RLIMIT_NOFILE, 10), code=None),
    "a deleted directory": Surroundings(before=in_a_deleted_directory),
    "stdin closed": Surroundings(before=without(0)),
    "stderr closed": Surroundings(before=without(2)),
    "stdin and stderr closed": Surroundings(before=without(0, 2)),
    "stdout closed": Surroundings(before=without(1), code=1),
    "stdin and stdout closed": Surroundings(before=without(0, 1), code=1),
    "all closed": Surroundings(before=without(0, 1, 2), code=1),
}

COMMANDS: Sequence[Sequence[str]] = [
    ["--help"],
    ["enqueue", "--id", "odd", "--cwd", "/", "--", "true"],
    ["list"],
    ["status"],
    ["worker", "start"],
    ["doctor"],
    ["worker", "stop"],
]


@pytest.mark.parametrize("odd", ODD)
def test_every_command_does_its_work_or_says_in_a_line_why_not(cli: Cli, tmp_path: Path, odd: str) -> None:
    surroundings, here = ODD[odd], os.fsencode(tmp_path)
    (tmp_path / "nameless").mkdir()
    (tmp_path / "nameless" / "sitecustomize.py").write_text(NAMELESS)
    os.mkdir(here + b"/caf\xe9")  # noqa: PTH102 - a name that is no text
    environ: dict[bytes, bytes] = {os.fsencode(name): os.fsencode(text) for name, text in cli.environ.items()}
    environ[b"QUEUECTL_SPOOL_DIR"] = here + b"/spool"
    for name, text in surroundings.variables.items():
        environ.pop(name, None)
        if text is not None:
            environ[name] = text.replace(b"%T", here)
    before = cli.enqueue("true", run_at="2100-01-01T00:00:00Z")

    def call(command: Sequence[str]) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [QUEUECTL, *command],
            env=environ,
            cwd=cli.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            preexec_fn=surroundings.before,
            timeout=2 * PATIENCE,
            check=False,
        )

    for command in COMMANDS:
        done = call(command)
        said = done.stderr.decode(errors="replace")
        assert "Traceback" not in said, said
        assert "Exception ignored" not in said, said
        assert done.returncode in ((0, 1, 6) if surroundings.code is None else (surroundings.code,)), (command, said)
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        if command != ["doctor"]:  # which may have said what is broken where it says all else
            assert len(errors) == (done.returncode != 0 and odd != "all closed"), said
    wait_until(lambda: not cli.own_processes())
    if b"QUEUECTL_DATABASE_URL" not in surroundings.variables:
        jobs = cli.jobs()
        assert before in jobs
        assert "odd" in jobs or surroundings.code != 0
