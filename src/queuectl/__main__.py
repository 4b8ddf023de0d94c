"""`python -m queuectl`."""

from queuectl.entrypoints.cli import main

if __name__ == "__main__":
    main()
