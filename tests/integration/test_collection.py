"""The tests of a run are the same in every process of it, as xdist demands, whatever the order of a set is there."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEEDS = (1, 2, 4)
"""Of Python's hashes: texts in a set rarely have the same order under all three."""


def collection(seed: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.Popen(
        [*command, "tests"], cwd=ROOT, env={**environ, "PYTHONHASHSEED": str(seed)}, stdout=subprocess.PIPE, text=True
    )


def test_every_process_collects_the_same_tests_in_the_same_order() -> None:
    first, *others = [collection(seed).communicate(timeout=100)[0].splitlines() for seed in SEEDS]
    ids = [line for line in first if "::" in line]
    assert len(ids) > 1000
    for other in others:
        assert [line for line in other if "::" in line] == ids
