"""The result of a run: its exit code or signal, and one line that says what went wrong."""

import errno
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from queuectl.adapters.host.files import printable
from queuectl.adapters.host.identity import EXHAUSTED
from queuectl.adapters.processes import program_trouble
from queuectl.adapters.processes.input import NoInput
from queuectl.domain.attempt import Outcome, Output, RunResult
from queuectl.domain.duration import format_duration
from queuectl.domain.errors import reason_of
from queuectl.domain.exit_codes import signal_name
from queuectl.domain.ports.work import Run

MEANINGS = {126: " (cannot be executed)", 127: " (command not found)"}
"""The meanings that a shell gives to these exit codes."""

MAX_LINE_LENGTH = 200
"""Characters of a command's last line of output that are repeated in its error."""

LEFT_BEHIND = "left background processes, which were killed"


def start_failed(run: Run, error: OSError | ValueError | MemoryError) -> RunResult:
    """The result of a run whose command could not be started, by its own fault or by the worker's."""
    if isinstance(error, MemoryError):
        error = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    if isinstance(error, ValueError):  # a row that was written by hand
        return RunResult(outcome=Outcome.FAILED, exit_code=126, error=f"exit code 126 (cannot be executed): {error}")
    reason = reason_of(error)
    if isinstance(error, NoInput):
        return RunResult(outcome=Outcome.RELEASED, error=f"the worker could not make a file for its stdin: {reason}")
    if error.errno in EXHAUSTED:
        return RunResult(outcome=Outcome.RELEASED, error=f"the worker could not start the command: {reason}")
    cwd = run.job.cwd
    if cwd is not None and not (_directory(run).is_dir() and os.access(_directory(run), os.X_OK)):
        why = f"the working directory {printable(cwd)} cannot be entered: {reason}"
        return RunResult(outcome=Outcome.FAILED, error=why)
    exit_code = 127 if error.errno == errno.ENOENT else 126
    why = _why_not_started(run, error, reason)
    return RunResult(outcome=Outcome.FAILED, exit_code=exit_code, error=f"exit code {exit_code} {why}")


def _why_not_started(run: Run, error: OSError, reason: str) -> str:
    """Explain why the program was not started, and what would mend it."""
    command = run.job.command
    program, directory = "/bin/sh" if isinstance(command, str) else command[0], _directory(run)
    trouble = program_trouble.of_start(error, directory)
    name = program_trouble.named(program)
    if trouble is not None and trouble.missing:
        return f"({trouble.missing} is missing): {trouble.words}"
    said = f"(command not found): {name}" if error.errno == errno.ENOENT else f"(cannot be executed): {name}: {reason}"
    if trouble is not None:
        return f"{said}; {trouble.words}"
    if isinstance(command, str) or error.errno not in (errno.ENOENT, errno.ENAMETOOLONG):
        return said
    return said + program_trouble.hint_for(program, directory, is_whole_command=len(command) == 1)


def _directory(run: Run) -> Path:
    """The directory of the command; a job without one runs where the worker does."""
    return Path(os.fsdecode((run.job.cwd or ".").encode(errors="surrogateescape")))


def not_started(run: Run, stopped_as: Outcome, *, hangs: bool = False) -> RunResult:
    """The result of a run that was stopped before its command had started.

    `hangs`: the system still looks for its program or its directory.
    """
    why = "its program or its directory does not answer" if hangs else "its command had not been started"
    return RunResult(outcome=stopped_as, error=_stopped(run, stopped_as, why))


def stuck(run: Run, code: int | None, output: Output, *, stopped_as: Outcome | None, pid: int) -> RunResult:
    """The result of a run whose process has ended and cannot be reaped (`code` as far as known), or does not end."""
    held = f"process {pid} cannot be reaped: a tracer holds it"
    if code is not None:
        result = ended(run, code, output, stopped_as=stopped_as)
        return result._replace(error=f"{result.error}; {held}" if result.error else held)
    if stopped_as is None:
        return RunResult(outcome=Outcome.FAILED, error=f"nobody knows how it ended: {held}", output=output)
    ending = f"SIGKILL has not ended process {pid}: it waits in the kernel, or is frozen"
    return RunResult(outcome=stopped_as, error=_stopped(run, stopped_as, ending), output=output)


def may_be_explained(code: int) -> bool:
    """Return whether `explanation_of` may have something to add to that exit code."""
    return code in MEANINGS


def explanation_of(run: Run, output: Output) -> str:
    """Explain an exit code by a look at the job's files, which may be where nothing answers; "": not sure."""
    return program_trouble.after_shell(output.content, _directory(run))


def ended(
    run: Run,
    code: int,
    output: Output,
    *,
    stopped_as: Outcome | None = None,
    left_behind: bool = False,
    cannot_be_killed: Sequence[int] = (),
    explanation: str = "",
) -> RunResult:
    """The result of a run by its `code`: an exit code, or a negative signal.

    `stopped_as` is why it was stopped, if it was; `left_behind` that processes of it had to be killed after its end,
    and `cannot_be_killed` are those that live on; `explanation` is that of `explanation_of`.
    """
    exit_code, number = (code, None) if code >= 0 else (None, -code)
    ending = _ending(code, output.content) + explanation
    outcome = stopped_as or (Outcome.FAILED if code else Outcome.SUCCEEDED)
    if stopped_as is not None:
        ending = _stopped(run, stopped_as, ending)
    said = [ending] if outcome is not Outcome.SUCCEEDED else []
    if cannot_be_killed:
        pids = ", ".join(map(str, cannot_be_killed))
        said.append(f"processes of it live on that could not be killed, another user's perhaps: pid {pids}")
    elif left_behind:
        said.append(LEFT_BEHIND)
    error = "; ".join(said) or None
    return RunResult(outcome=outcome, exit_code=exit_code, signal=number, error=error, output=output)


def _stopped(run: Run, outcome: Outcome, why: str) -> str:
    if outcome is not Outcome.TIMEOUT:
        return f"was stopped ({why})"
    timeout = format_duration(run.job.timeout or timedelta())
    return f"ran longer than its timeout of {timeout} and was stopped ({why})"


def _ending(code: int, output: bytes) -> str:
    if code < 0:
        return f"killed by {signal_name(-code)}"
    meaning = MEANINGS.get(code, "")
    last_line = output[-2000:].decode(errors="replace").replace("\0", "\ufffd").strip().rpartition("\n")[2].strip()
    return f"exit code {code}{meaning}" + (f": {last_line[:MAX_LINE_LENGTH]}" if last_line and code else "")
