"""The exit codes of queuectl's processes, and how those of others are read."""

FAILED = 1
USAGE = 2
NOT_FOUND = 3
CONFLICT = 4
INVALID = 5
UNAVAILABLE = 6
"""The database cannot be used: also of a worker or supervisor that could not start for that reason."""

LEASE_LOST = 75
"""A worker has lost its lease, and another one takes its place: temporary failure, as in sysexits.h."""

SIGNALLED = 128
"""Plus a signal's number: a command as its shell reports it, or a worker, was ended by that signal."""

INTERRUPTED = SIGNALLED + 2
"""SIGINT, that is Ctrl-C."""
