"""Errors as the user sees them: lines on stderr or, in JSON mode, one object."""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

import click

from queuectl.domain.errors import InvalidJob, QueueError
from queuectl.domain.exit_codes import FAILED, USAGE, exit_code
from queuectl.domain.formats import is_coloured
from queuectl.presentation.formatting import escaped


class WrongUsage(click.UsageError):
    """A usage error that knows a better hint than where the help is."""

    def __init__(self, message: str, *, hint: str, ctx: click.Context | None = None) -> None:
        super().__init__(message, ctx)
        self.hint = hint


def say(text: str, *, color: bool | None = None) -> None:
    """Write a line on stderr. Raises nothing: what was done must not be lost because nobody reads."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, err=True, color=color)


def discard(stream: TextIO) -> None:
    """Have what is still buffered, and all to come, go nowhere: the interpreter would try to write it at exit."""
    descriptor = stream.fileno()
    os.close(descriptor)  # first: there may be no other descriptor to be had
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def error_view(code: str, message: str, hint: str | None = None, problems: Sequence[str] = ()) -> dict[str, object]:
    """The JSON document of an error; `problems` is a key only when there are some."""
    error: dict[str, object] = {"code": code, "message": message, "hint": hint}
    return {"error": error | ({"problems": list(problems)} if problems else {})}


def wants_json(args: Sequence[str], set_output: Callable[[], str]) -> bool:
    """Say whether errors are to be JSON. Looks at the arguments themselves: a usage error comes before they are parsed.

    `set_output` gives the output that the settings say, or raises QueueError; it is not asked without need.
    """
    asked = ""
    if "--" in args:
        args = args[: args.index("--")]
    for index, arg in enumerate(args):
        if arg.startswith("--output="):
            asked = arg.partition("=")[2]
        elif arg == "--output":
            asked = "".join(args[index + 1 : index + 2])
    if not asked:
        try:
            asked = set_output()
        except QueueError:
            asked = os.environ.get("QUEUECTL_OUTPUT", "")
    return asked in ("json", "jsonl")


class Reporter:
    """Reports on stderr what went wrong, in one way for all commands; each method returns the exit code."""

    def __init__(self, *, as_json: bool, color: str) -> None:
        self._as_json = as_json
        self._colour = is_coloured(color, os.environ, terminal=sys.stderr is not None and sys.stderr.isatty())

    def queue_error(self, error: QueueError) -> int:
        """An error in the queue's own words: a line for each problem, and the next step."""
        problems = error.problems if isinstance(error, InvalidJob) else ()
        self._write(
            error_view(error.code, error.message, error.hint, problems), problems or (error.message,), error.hint
        )
        return exit_code(error)

    def usage_error(self, error: click.ClickException) -> int:
        """A command line that cannot be understood, and where its help is."""
        message = error.format_message()
        message = message[:1].lower() + message[1:].rstrip(".")
        ctx = error.ctx if isinstance(error, click.UsageError) else None
        if isinstance(error, WrongUsage):
            hint: str | None = error.hint
        else:
            hint = f"`{ctx.command_path} --help` shows how it is used" if ctx else None
        self._write(error_view("usage", message, hint), (message,), hint)
        return USAGE

    def trouble(self, message: str) -> int:
        """Trouble that is not the queue's: a file, a pipe, the terminal."""
        self._write(error_view("failed", message), (message,), None)
        return FAILED

    def _write(self, view: dict[str, object], lines: Sequence[str], hint: str | None) -> None:
        if self._as_json:
            import json  # which errors in words do without

            say(json.dumps(view))
            return
        for line in lines:
            self._line("error:", "red", line)
        if hint:
            self._line("hint:", "cyan", hint)

    def _line(self, label: str, color: str, text: str) -> None:
        say(f"{click.style(label, fg=color, bold=True)} {escaped(text)}", color=self._colour)
