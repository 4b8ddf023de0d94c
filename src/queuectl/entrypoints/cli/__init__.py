"""The command line. `main` is the program; each group of commands has a file, imported when it is called."""

from queuectl.entrypoints.cli.program import main

__all__ = ["main"]
