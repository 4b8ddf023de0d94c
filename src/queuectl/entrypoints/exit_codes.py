"""The one table of exit codes: their meanings, and the errors that end a command with each."""

from typing import NamedTuple

from queuectl.domain.errors import Conflict, DatabaseUnavailable, InvalidJob, InvalidSetting, JobNotFound, QueueError

DONE, FAILED, USAGE, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 6, 130


class ExitCode(NamedTuple):
    """An exit code, its meaning in lines of a terminal, and the errors that it stands for."""

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
    ExitCode(3, "there is no such job", (JobNotFound,)),
    ExitCode(4, "conflict: the id is taken, or the job's state does not allow it", (Conflict,)),
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
