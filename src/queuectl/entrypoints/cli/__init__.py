"""The command line. `main` is the program; each group of commands has a file, imported when it is called."""

import gc


def main() -> None:
    """Run the command line of this process, and exit."""
    # What an import makes is there to stay: that the collector looks through it, again and again as it grows, is a
    # tenth of the time of a command.
    gc.disable()
    from queuectl.entrypoints.cli.program import main as run_and_exit  # while the collector rests

    gc.freeze()
    gc.enable()
    run_and_exit()
