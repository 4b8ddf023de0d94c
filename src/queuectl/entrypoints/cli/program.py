"""The program itself: the list of commands, and the one place where every error ends."""

import io
import os
import sys
from collections.abc import Mapping

import click

from queuectl import __version__
from queuectl.domain.errors import QueueError
from queuectl.entrypoints.cli.app import App
from queuectl.entrypoints.cli.commands import Group
from queuectl.entrypoints.cli.failures import FAILED, INTERRUPTED

COMMANDS = "queuectl.entrypoints.cli"


class Program(Group):
    """The top of the command line."""

    lazy: Mapping[str, tuple[str, str]] = {
        "init": (f"{COMMANDS}.admin:init", "Create the queue's database, or bring it up to date."),
        "enqueue": (f"{COMMANDS}.enqueue:enqueue", "Add jobs to the queue."),
        "worker": (f"{COMMANDS}.worker:worker", "Start and stop the workers that run jobs."),
        "status": (f"{COMMANDS}.status:status", "Jobs by state, and the live workers."),
        "list": (f"{COMMANDS}.jobs:list_jobs", "List jobs, the newest first."),
        "info": (f"{COMMANDS}.jobs:info", "Everything about one job: settings, history, output. Also: show."),
        "show": (f"{COMMANDS}.jobs:info", ""),
        "cancel": (f"{COMMANDS}.cancel:cancel", "Cancel jobs, whether they wait or run."),
        "retry": (f"{COMMANDS}.jobs:retry", "Run jobs again that have ended."),
        "dlq": (f"{COMMANDS}.dlq:dlq", "The dead letter queue: jobs that used up their retries."),
        "config": (f"{COMMANDS}.config:config", "Retries, backoff, timeouts: the settings of the queue."),
        "metrics": (f"{COMMANDS}.status:metrics", "What the queue got done lately, and how fast."),
        "transfer": (f"{COMMANDS}.transfer:transfer", "Copy a queue from one database to another."),
        "drill": (f"{COMMANDS}.drill:drill", "Prove that no job is lost: kill workers of a scratch queue."),
        "doctor": (f"{COMMANDS}.admin:doctor", "Check the database and this installation."),
    }


@click.group(
    "queuectl",
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Completion of commands and options in bash: eval "$(_QUEUECTL_COMPLETE=bash_source queuectl)"; '
    "the same with zsh_source, or `_QUEUECTL_COMPLETE=fish_source queuectl | source`.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def program() -> None:
    """A job queue for shell commands.

    Examples:
      queuectl enqueue '{"command": "make -C /srv/site", "max_retries": 2}'
      queuectl enqueue --delay 10m -- tar czf /tmp/home.tgz /home/me
      queuectl worker start --count 2
      queuectl status
    """


def main() -> None:
    """Run the command line of this process, and exit."""
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # between the places where click waits for it
        code = INTERRUPTED
    sys.exit(code)


def run(args: list[str], app: App | None = None) -> int:
    """Run one command line; its exit code. Whatever a user can cause ends here as a message."""
    app = app or App(args)
    if sys.stdout is None:
        # The next file to be opened, perhaps the database, would become descriptor 1.
        return app.reporter.trouble("stdout is closed; redirect it to /dev/null if it is not wanted")
    _never_fail_to_encode()
    try:
        code = _run(args, app)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
        return FAILED
    except OSError as error:
        _discard_stdout()
        what = f"use {error.filename}" if error.filename else "write the output"
        return app.reporter.trouble(f"cannot {what}: {error.strerror}")
    finally:
        app.close()
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
    return code if isinstance(code, int) else 0


def _never_fail_to_encode() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_stdout() -> None:
    """What is still buffered cannot be written either: keep the interpreter from trying it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
