"""A test whose machine lacks something is left out by name, and fails where that is demanded."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requirements import DEMANDED, REQUIREMENTS

ROOT = Path(__file__).parents[2]

NEEDY = """
import pytest
from tests.requirements import require

@pytest.fixture(scope="session")
def pooler():
    require("pgbouncer")

def test_one(pooler): ...
def test_two(pooler): ...
def test_of_its_own():
    require("strace")
def test_that_needs_nothing(): ...
"""


@pytest.fixture
def bare_machine(tmp_path: Path) -> Path:
    """A directory for PATH that has nothing of what may be required."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to(str(shutil.which("sh")))
    return tmp_path / "bin"


def run(directory: Path, path: Path, *options: str, demanded: str = "") -> "subprocess.CompletedProcess[str]":
    (directory / "test_needy.py").write_text(NEEDY)
    hidden = f"import tests.requirements as r; r.program = lambda name: r.shutil.which(name, path={str(path)!r})"
    (directory / "conftest.py").write_text(f"{hidden}\n")
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.requirements",
            "-p",
            "no:cacheprovider",
            *options,
            "test_needy.py",
        ],
        cwd=directory,
        env={**os.environ, "PATH": str(path), "PYTHONPATH": str(ROOT), DEMANDED: demanded},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("processes", ["-n0", "-n2"])
def test_what_the_machine_lacks_is_skipped_and_named_in_the_last_lines(
    tmp_path: Path, bare_machine: Path, processes: str
) -> None:
    done = run(tmp_path, bare_machine, processes)
    assert done.returncode == 0, done.stdout
    counts, pooler, tracer, how = done.stdout.splitlines()[-4:]
    assert "1 passed, 3 skipped" in counts
    assert pooler == "LEFT OUT: test_needy.py (2): needs PgBouncer: apt install pgbouncer"
    assert tracer.startswith("LEFT OUT: test_needy.py (1): needs strace and the right to trace: apt install strace")
    assert how == f"{DEMANDED}=pgbouncer,strace turns what was left out into failures"


def test_a_demanded_requirement_that_is_missing_is_a_failure(tmp_path: Path, bare_machine: Path) -> None:
    done = run(tmp_path, bare_machine, demanded="pgbouncer, docker")
    assert done.returncode == 1
    assert "1 passed, 1 skipped, 2 errors" in done.stdout
    assert "needs PgBouncer (pgbouncer is not there): apt install pgbouncer" in done.stdout
    assert done.stdout.splitlines()[-1] == f"{DEMANDED}=strace turns what was left out into failures"


def test_an_unknown_word_among_the_demanded_is_an_error(tmp_path: Path, bare_machine: Path) -> None:
    done = run(tmp_path, bare_machine, demanded="pgbouncer,pgbounce")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"{DEMANDED} names the unknown pgbounce; it can name {', '.join(REQUIREMENTS)}" in done.stderr


@pytest.mark.parametrize("word", [word for word in REQUIREMENTS if word not in ("docker", "postgres")])
def test_a_bare_machine_lacks_everything(word: str, bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(bare_machine))
    monkeypatch.setattr("tests.requirements.program", lambda name: shutil.which(name, path=str(bare_machine)))
    assert REQUIREMENTS[word].missing()


def test_contributing_explains_every_word() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert explained == list(REQUIREMENTS)
