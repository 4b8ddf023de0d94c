"""How the end of a command is told: its exit code or signal, and one line that says what went wrong."""

import errno
import os
import signal
from datetime import timedelta
from pathlib import Path

from queuectl.adapters.system import printable
from queuectl.domain.duration import format_duration
from queuectl.domain.outcome import Outcome, Output, RunResult
from queuectl.domain.ports import Run

OWN_TROUBLE = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
"""Why a command cannot be started through no fault of its own: no memory, no process, no descriptor."""

MEANINGS = {126: " (cannot be executed)", 127: " (command not found)"}
"""What the shell says by these exit codes."""

LONGEST_LINE = 200
"""Characters of a command's last line of output that are repeated in its error."""

LEFT_BEHIND = "left background processes, which were killed"


def spawn_failure(run: Run, error: OSError) -> RunResult:
    """The command could not be started: by its own fault, as the shell would number it, or by the worker's."""
    reason = (error.strerror or str(error)).lower()
    if error.errno in OWN_TROUBLE:
        return RunResult(outcome=Outcome.RELEASED, error=f"the worker could not start the command: {reason}")
    cwd = run.job.cwd
    if cwd is not None and not _can_be_entered(cwd):
        return RunResult(
            outcome=Outcome.FAILED, error=f"the working directory {printable(cwd)} cannot be entered: {reason}"
        )
    program = printable(run.job.command if isinstance(run.job.command, str) else run.job.command[0])
    if error.errno == errno.ENOENT:
        return RunResult(outcome=Outcome.FAILED, exit_code=127, error=f"exit code 127 (command not found): {program}")
    return RunResult(
        outcome=Outcome.FAILED, exit_code=126, error=f"exit code 126 (cannot be executed): {program}: {reason}"
    )


def _can_be_entered(cwd: str) -> bool:
    directory = Path(os.fsdecode(cwd.encode(errors="surrogateescape")))
    return directory.is_dir() and os.access(directory, os.X_OK)


def told(
    run: Run, returncode: int, output: Output, *, stopped_as: Outcome | None = None, left_behind: bool = False
) -> RunResult:
    """The result of a run by what `subprocess` calls its returncode: an exit code, or a negative signal.

    `stopped_as` is why it was stopped, if it was; `left_behind` that processes of it had to be killed after its end.
    """
    exit_code, number = (returncode, None) if returncode >= 0 else (None, -returncode)
    ending = _ending(exit_code, number, output.content)
    match stopped_as:
        case None if returncode == 0:
            outcome, error = Outcome.SUCCEEDED, None
        case None:
            outcome, error = Outcome.FAILED, ending
        case Outcome.TIMEOUT:
            limit = format_duration(run.job.timeout or timedelta())
            outcome, error = Outcome.TIMEOUT, f"ran longer than its timeout of {limit} and was stopped ({ending})"
        case stopped:
            outcome, error = stopped, f"was stopped ({ending})"
    if left_behind:
        error = LEFT_BEHIND if error is None else f"{error}; {LEFT_BEHIND}"
    return RunResult(outcome=outcome, exit_code=exit_code, signal=number, error=error, output=output)


def _ending(exit_code: int | None, number: int | None, output: bytes) -> str:
    if number is not None:
        try:
            return f"killed by {signal.Signals(number).name}"
        except ValueError:  # a real-time signal
            return f"killed by signal {number}"
    meaning = MEANINGS.get(exit_code or 0, "")
    last_line = output[-2000:].decode(errors="replace").replace("\0", "\ufffd").strip().rpartition("\n")[2].strip()
    return f"exit code {exit_code}{meaning}" + (f": {last_line[:LONGEST_LINE]}" if last_line and exit_code else "")
