"""What is the same in every peer that runs functions: the command, and `command.py PEER enqueue|wait|work …`.

What the command wrote comes back with its exit code.
"""

import importlib
import subprocess
import sys
import time
from collections.abc import Callable

LOOK_AGAIN = 0.02


def run_command(command: str) -> tuple[int, str]:
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
        text=True,
    )
    return done.returncode, done.stdout


def wait(number: int, longest: float, count_done: Callable[[], int]) -> int:
    """How many jobs have ended well when all have, or when the time is up."""
    count_done()
    print("ready", flush=True)
    give_up_at = time.monotonic() + longest
    while (done := count_done()) < number and time.monotonic() < give_up_at:
        time.sleep(LOOK_AGAIN)
    return done


if __name__ == "__main__":
    peer, verb, *values = sys.argv[1:]
    module = importlib.import_module(peer)  # by its name, as the workers import it
    match verb:
        case "enqueue":
            module.enqueue(values[0], int(values[1]))
        case "wait":
            print(wait(int(values[0]), float(values[1]), module.count_done), flush=True)
        case "work":
            module.work()
