"""The one table of exit codes: their meanings, and the errors that end a command with each."""

import signal
from typing import NamedTuple

from queuectl.domain.errors import Conflict, DatabaseUnavailable, InvalidJob, InvalidSetting, NotFound, QueueError

DONE, FAILED, USAGE = 0, 1, 2

CONFLICT = 4
"""The request does not fit the queue: of an enqueue, that a job of that id is stored already."""

UNAVAILABLE = 6
"""The database cannot be used: also of a worker or supervisor that could not start for that reason."""

LEASE_LOST = 75
"""A worker has lost its lease, and another one takes its place: temporary failure, as in sysexits.h."""

SIGNALLED = 128
"""Plus a signal's number: a command as its shell reports it, or a worker, was ended by that signal."""

INTERRUPTED = SIGNALLED + 2
"""SIGINT, that is Ctrl-C."""


def signal_name(number: int) -> str:
    """The name of a signal, such as SIGTERM; a real-time signal has only its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class ExitCode(NamedTuple):
    """An exit code of a command, its meaning in lines of a terminal, and the errors that it stands for."""

    code: int
    meaning: str
    errors: tuple[type[QueueError], ...] = ()


EXIT_CODES = (
    ExitCode(DONE, "done"),
    ExitCode(
        FAILED,
        "failed: doctor found something broken, worker stop --timeout ran out,\na file or pipe gave trouble",
    ),
    ExitCode(USAGE, "the command line cannot be understood"),
    ExitCode(3, "there is no such job, queue or batch", (NotFound,)),
    ExitCode(
        CONFLICT, "conflict: the id or the unique key is taken, or the job's state does not\nallow it", (Conflict,)
    ),
    ExitCode(5, "the job document or a setting is not valid", (InvalidJob, InvalidSetting)),
    ExitCode(
        UNAVAILABLE,
        "the database is unreachable, locked for too long, or has another schema\nversion; or there is no queue yet",
        (DatabaseUnavailable,),
    ),
    ExitCode(INTERRUPTED, "interrupted by Ctrl-C"),
)


def exit_code(error: QueueError) -> int:
    """The exit code of that error."""
    return exit_code_of(type(error))


def exit_code_of(kind: type[QueueError]) -> int:
    """The exit code of errors of that kind."""
    return next((row.code for row in EXIT_CODES if issubclass(kind, row.errors)), FAILED)
