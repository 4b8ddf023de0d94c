"""A thousand histories of the real core, each under faults of its own, in simulated time.

`make simulate RUNS=100000` runs more of them; a seed that breaks a promise is told with the command that shows how.
"""

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.simulate import FAULTS_FOR, Mode, reported, simulate

RUNS = {Mode.CALM: 100, Mode.SAFETY: 500, Mode.LIVENESS: 400, Mode.POISON: 50}
CHUNK = 50

SEEDS_TO_FIND_A_MUTANT = 4000
"""Most take a few; two need what happens once in hundreds, such as an answer that comes when the lease is over."""


@pytest.mark.parametrize(
    ("mode", "first"), [(mode, first) for mode, count in RUNS.items() for first in range(0, count, CHUNK)]
)
def test_every_promise_is_kept_whatever_happens(mode: Mode, first: int) -> None:
    for seed in range(first, first + CHUNK):
        if violation := simulate(seed, mode).violation:
            trace = "\n".join(simulate(seed, mode, traced=True).trace[-200:])
            pytest.fail(f"{trace}\n{reported(seed, mode, violation)}", pytrace=False)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_part_that_breaks_a_promise_is_found_out(mutant: str) -> None:
    parts, modes = MUTANTS[mutant]
    assert any(simulate(seed, mode, parts).violation for seed in range(SEEDS_TO_FIND_A_MUTANT) for mode in modes), (
        f"{mutant} broke nothing in {SEEDS_TO_FIND_A_MUTANT} histories of each of {modes}"
    )


def test_the_faults_bite() -> None:
    """A simulator in which nothing goes wrong finds nothing."""
    verdicts = [simulate(seed, Mode.SAFETY) for seed in range(CHUNK)]
    assert sum(verdict.double_runs for verdict in verdicts) > CHUNK
    assert {verdict.simulated for verdict in verdicts} == {FAULTS_FOR}


def test_the_exceptions_to_no_overlap_happen_and_only_under_faults() -> None:
    assert sum(simulate(seed, Mode.SAFETY).outlived for seed in range(100)) > 0
    assert sum(simulate(seed, Mode.CALM).outlived for seed in range(20)) == 0


@pytest.mark.parametrize("mode", Mode)
def test_a_seed_is_one_history(mode: Mode) -> None:
    assert simulate(7, mode, traced=True) == simulate(7, mode, traced=True)
