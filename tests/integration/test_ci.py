"""What CI runs a second time is said, and what fails then fails the run."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.requirements import DEMANDED, REQUIREMENTS

ROOT = Path(__file__).parents[2]

# Ends as the next line of `runs` says, after it has left pytest's list of what failed.
MAKE = """#!/bin/sh
echo "$*" >>calls
code=$(head -n 1 runs); sed -i 1d runs
if [ "$code" = 1 ]; then mkdir -p .pytest_cache/v/cache; cp failed .pytest_cache/v/cache/lastfailed; fi
exit "$code"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "make").write_text(MAKE)
    (tmp_path / "make").chmod(0o755)
    (tmp_path / "failed").write_text(
        json.dumps({"tests/test_a.py::test_one[x, y]": True, "tests/test_b.py::test": True})
    )
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    return tmp_path


def run(checkout: Path, runs: Sequence[int]) -> int:
    (checkout / "runs").write_text("".join(f"{code}\n" for code in runs))
    environ = os.environ | {"PATH": f"{checkout}:{os.environ['PATH']}"}
    command = [ROOT / ".ci/tests", "names", "-k", "postgres"]
    return subprocess.run(command, cwd=checkout, env=environ, capture_output=True, check=False).returncode


def names(checkout: Path) -> list[str]:
    return (checkout / "names").read_text().splitlines() if (checkout / "names").exists() else []


def test_a_green_run_is_not_repeated(checkout: Path) -> None:
    assert (run(checkout, [0]), names(checkout)) == (0, [])
    assert (checkout / "calls").read_text() == "test PYTEST_ARGS=-k postgres\n"


def test_what_passes_at_the_second_try_is_named_after_each_run(checkout: Path) -> None:
    both = ["tests/test_a.py::test_one[x, y]", "tests/test_b.py::test"]
    assert (run(checkout, [1, 0]), names(checkout)) == (0, both)
    assert "-k postgres --last-failed" in (checkout / "calls").read_text().splitlines()[1]
    assert (run(checkout, [1, 0]), names(checkout)) == (0, both * 2)


def test_what_fails_twice_fails_the_run(checkout: Path) -> None:
    assert (run(checkout, [1, 1]) != 0, names(checkout)) == (True, [])


def test_a_run_that_breaks_before_its_tests_is_not_repeated(checkout: Path) -> None:
    (checkout / ".pytest_cache/v/cache").mkdir(parents=True)
    (checkout / ".pytest_cache/v/cache/lastfailed").write_text('{"tests/test_old.py::test": true}')
    assert (run(checkout, [2, 0]) != 0, names(checkout)) == (True, [])
    assert len((checkout / "calls").read_text().splitlines()) == 1


def function(name: str) -> str:
    """The text of a function of .ci/run."""
    found = re.search(rf"^{name}\(\) \{{\n.*?^\}}\n", (ROOT / ".ci/run").read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[0]


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ("", ""),
        ("a::x\n", "passed at the second try: a::x\n"),
        ("a::x[1, 2]\nb\n", "passed at the second try: a::x[1, 2], b\n"),
    ],
)
def test_the_last_line_of_ci_names_what_passed_at_the_second_try(tmp_path: Path, names: str, line: str) -> None:
    (tmp_path / "names").write_text(names)
    command = ["bash", "-euc", f"{function('second_tries')}second_try=names; second_tries"]
    assert subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True).stdout == line


TOOLS = ["git", "gzip", "ip", "make", "pgbouncer", "sha256sum", "strace", "unshare", "python3"]


@pytest.mark.parametrize("missing", [None, *TOOLS])
def test_ci_notices_each_tool_that_is_missing(tmp_path: Path, missing: str | None) -> None:
    for tool in TOOLS:
        if tool != missing:
            (tmp_path / tool).symlink_to(sys.executable)
    command = [str(shutil.which("bash")), "-c", f"{function('has_tools')}has_tools"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, check=False)
    assert (done.returncode == 0) == (missing is None), done.stderr


def test_ci_leaves_out_nothing_for_want_of_what_a_machine_may_lack() -> None:
    assert f"export {DEMANDED}={','.join(REQUIREMENTS)}\n" in (ROOT / ".ci/run").read_text()
