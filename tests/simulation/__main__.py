"""`python -m tests.simulation`: many seeds at once, or one with its trace.

python -m tests.simulation --runs 20000
python -m tests.simulation --mode liveness --seed 17
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from tests.simulation.simulate import Mode, Verdict, reported, simulate

CHUNK = 50


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulate the core under faults.")
    parser.add_argument("--mode", type=Mode, choices=list(Mode), help="only this mode")
    parser.add_argument("--seed", type=int, help="one history, with its trace")
    parser.add_argument("--runs", type=int, default=1000, help="histories of each mode (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    args = parser.parse_args()
    modes = [args.mode] if args.mode else list(Mode)
    if args.seed is not None:
        return max(_one(mode, args.seed) for mode in modes)
    return max(_many(mode, range(args.first, args.first + args.runs)) for mode in modes)


def _one(mode: Mode, seed: int) -> int:
    verdict = simulate(seed, mode, traced=True)
    print(*verdict.trace, sep="\n")
    print(f"{mode} {seed}: {verdict.violation or 'every promise was kept'}")
    return int(verdict.violation is not None)


def _many(mode: Mode, seeds: range) -> int:
    began, broken, runs, double = time.monotonic(), 0, 0, 0
    for seed, verdict in zip(seeds, _verdicts(mode, seeds), strict=True):
        runs, double = runs + verdict.runs, double + verdict.double_runs
        if verdict.violation:
            broken += 1
            print(reported(seed, mode, verdict.violation), file=sys.stderr)
    print(
        f"{mode}: {len(seeds)} histories with {runs} runs, {double} of them a job's second or later, in "
        f"{time.monotonic() - began:.0f} s: {broken} broke a promise"
    )
    return int(broken > 0)


def _verdicts(mode: Mode, seeds: range) -> Iterator[Verdict]:
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(simulate, seeds, repeat(mode), chunksize=CHUNK)


if __name__ == "__main__":
    sys.exit(main())
