"""The fault suite and its documentation say the same, and the mutants find what they replace."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
FAULTS = ROOT / "tests" / "faults"
SLOW = "†"
"""The documentation's mark of a test that is slow, or has a slow variant."""


def in_the_code() -> Iterator[tuple[str, str]]:
    """Each fault with each test that injects it, `file::name`; slow ones are marked."""
    for path in sorted(FAULTS.glob("test_*.py")):
        tree = ast.parse(path.read_text())
        of_module = [numbers_in(node) for node in tree.body if isinstance(node, ast.Assign) and is_pytestmark(node)]
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                numbers = set().union(*of_module, *map(numbers_in, node.decorator_list))
                assert numbers, f"{path.name}::{node.name} injects no fault"
                is_slow = any("mark.slow" in ast.unparse(decorator) for decorator in node.decorator_list)
                for number in numbers:
                    yield number, f"{path.name}::{node.name}{SLOW if is_slow else ''}"


def numbers_in(node: ast.AST) -> set[str]:
    return {call.args[0].value for call in ast.walk(node) if is_fault(call)}  # type: ignore[attr-defined]


def is_fault(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault"


def is_pytestmark(node: ast.Assign) -> bool:
    return ast.unparse(node.targets[0]) == "pytestmark"


def in_the_docs() -> Iterator[tuple[str, str]]:
    for line in (ROOT / "docs" / "reliability.md").read_text().splitlines():
        if row := re.match(r"\| (F\d\d) \|", line):
            yield from ((row[1], name + slow) for name, slow in re.findall(rf"`(test_\w+\.py::\w+)`({SLOW}?)", line))


def grouped(pairs: Iterator[tuple[str, str]]) -> dict[str, set[str]]:
    found = defaultdict(set)
    for number, test in pairs:
        found[number].add(test)
    return dict(found)


def test_the_table_of_faults_names_exactly_the_tests_that_there_are() -> None:
    assert grouped(in_the_docs()) == grouped(in_the_code())


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_a_mutant_fits_the_sources_and_names_tests_that_there_are(mutant: Mutant) -> None:
    undo = mutant.apply()
    for each in undo:
        each()
    tests = {test.removesuffix(SLOW) for _, test in in_the_code()}
    assert undo
    assert {test.partition("[")[0] for test in mutant.tests} <= tests
