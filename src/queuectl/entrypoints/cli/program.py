"""The program itself: the list of commands, and the end of every error."""

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import click

from queuectl import __version__
from queuectl.domain.errors import QueueError
from queuectl.domain.exit_codes import DONE, INTERRUPTED
from queuectl.entrypoints.cli.app import App
from queuectl.entrypoints.cli.commands import Group
from queuectl.entrypoints.cli.failures import discard

SHORT_HELP = """\
queuectl is a job queue for shell commands: it stores them, runs them, tries
again what fails, stops what runs too long, and keeps what they wrote.

  queuectl enqueue -c 'make backup'   add a job
  queuectl worker start               start a worker in the background
  queuectl status                     jobs by state, and the live workers
  queuectl list                       the jobs, the newest first
  queuectl info ID                    one job: its attempts and its output

`queuectl --help` lists all commands, `queuectl help COMMAND` explains one.
"""


class ReaderGone(Exception):
    """The reader of stdout is gone: no failure of ours."""


@contextmanager
def _noticing_a_closed_pipe() -> Iterator[None]:
    """Click itself would end the program with exit code 1."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone from None


class Program(Group):
    """The top of the command line."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:  # noqa: ANN401  # click's signature
        """Take the arguments apart, which may print help."""
        with _noticing_a_closed_pipe():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        with _noticing_a_closed_pipe():
            return super().invoke(ctx)

    lazy: Mapping[str, tuple[str, str]] = {
        "init": ("admin:init", "Create the queue's database, or bring it up to date."),
        "enqueue": ("enqueue:enqueue", "Add jobs to the queue."),
        "worker": ("worker:worker", "Start and stop the workers that run jobs."),
        "status": ("status:status", "Jobs by state, and the live workers."),
        "list": ("jobs:list_jobs", "List jobs, the newest first."),
        "info": ("jobs:info", "Everything about one job: settings, history, output. Also: show."),
        "show": ("jobs:info", ""),
        "why": ("why:why", "Why a job waits, what to do about it, when it may start."),
        "cancel": ("cancel:cancel", "Cancel jobs, whether they wait or run."),
        "retry": ("jobs:retry", "Run jobs again that have ended."),
        "batch": ("batches:batch", "Batches of jobs, and how far they have come."),
        "dlq": ("dlq:dlq", "The dead letter queue: jobs that used up their retries."),
        "queue": ("queue:queue", "Queues: what waits in each, limits, pauses, moves."),
        "pause": ("queue:pause", "Have no job of a queue, or of all, start."),
        "resume": ("queue:resume", "Open a queue again, or all."),
        "config": ("config:config", "The settings: retries, timeouts; where the queue is."),
        "metrics": ("status:metrics", "What the queue got done lately, and how fast."),
        "transfer": ("transfer:transfer", "Copy a queue from one database to another."),
        "drill": ("drill:drill", "Prove that no job is lost: kill workers of a scratch queue."),
        "doctor": ("admin:doctor", "Check the database and this installation."),
        "help": ("help:help_", "The help of a command, or of a topic."),
    }


@click.group(
    "queuectl",
    cls=Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Completion of commands and options in bash: eval "$(_QUEUECTL_COMPLETE=bash_source queuectl)"; '
    "the same with zsh_source, or `_QUEUECTL_COMPLETE=fish_source queuectl | source`.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def program(ctx: click.Context) -> None:
    """A job queue for shell commands.

    Examples:
      queuectl enqueue -c 'make -C /srv/site && echo made' --max-retries 2
      queuectl enqueue --delay 10m -- tar czf /tmp/home.tgz /home/me
      queuectl worker start --count 2
      queuectl status
    """
    if ctx.invoked_subcommand is None:
        click.echo(SHORT_HELP, nl=False)


def main() -> None:
    """Run the command line of this process, and exit."""
    _fill_closed_descriptors()
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # between the places where click waits for it
        code = INTERRUPTED
    sys.exit(code)


def _fill_closed_descriptors() -> None:
    """Have nothing that is opened from now on become stdin, stdout or stderr, of this process or of what it starts."""
    with suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(descriptor)


def run(args: list[str], app: App | None = None) -> int:
    """Run one command line; its exit code. Whatever a user can cause ends here as a message."""
    app = app or App(args)
    if sys.stdout is None:
        return app.reporter.trouble("stdout is closed; redirect it to /dev/null if it is not wanted")
    _never_fail_to_encode()
    try:
        code = _run(args, app)
        sys.stdout.flush()
    except (ReaderGone, BrokenPipeError):
        discard(sys.stdout)
        return DONE
    except OSError as error:
        discard(sys.stdout)
        what = f"use {error.filename}" if error.filename else "write the output"
        return app.reporter.trouble(f"cannot {what}: {error.strerror}")
    finally:
        app.close()
        _flush_stderr()
    return code


def _run(args: list[str], app: App) -> int:
    try:
        code = program.main(args, prog_name="queuectl", standalone_mode=False, obj=app)
    except QueueError as error:
        return app.reporter.queue_error(error)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return app.reporter.usage_error(error)
    except click.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else DONE


def _flush_stderr() -> None:
    """At exit, the interpreter would make a failure of it (exit code 120)."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def _never_fail_to_encode() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
