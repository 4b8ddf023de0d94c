"""One call of the program: the global options, the queue, and the output, which its commands share."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import click

from queuectl.domain.errors import DatabaseUnavailable, QueueError
from queuectl.entrypoints.cli.failures import Reporter, say, wants_json
from queuectl.presentation.formatting import LINES, escaped

if TYPE_CHECKING:
    # Heavy, and imported late at run time: help needs none of them.
    from queuectl.application.operate.queue import Queue
    from queuectl.container import Container
    from queuectl.domain.events import Event
    from queuectl.domain.job import Job
    from queuectl.domain.ports.storage import Storage
    from queuectl.entrypoints.cli.output import Out
    from queuectl.settings import Settings

T = TypeVar("T")


class App:
    """One call of the program, with these arguments; everything is made when it is first asked for.

    `flags` holds the global options that were given: `database_url`, `output`, `color`.
    """

    def __init__(self, args: Sequence[str] = ()) -> None:
        self.args = args
        self.flags: dict[str, str] = {}

    @cached_property
    def settings(self) -> "Settings":
        """The local settings in force. Raises InvalidSetting."""
        from queuectl.settings import load_settings  # which help does without: platformdirs, pathlib

        return load_settings(**self.flags)

    @cached_property
    def out(self) -> "Out":
        """The stream of results, and their format. Raises InvalidSetting."""
        from queuectl.entrypoints.cli.output import Out  # which help does without: json

        return Out.chosen(self.settings.output, self.settings.color, sys.stdout)

    @cached_property
    def container(self) -> "Container":
        """The composition root."""
        from queuectl.container import Container  # which help and mistakes do without: all adapters

        return Container(settings=self.settings)

    @cached_property
    def storage(self) -> "Storage":
        """The database, not opened yet."""
        storage: Storage = self.container.storage()
        return storage

    @cached_property
    def queue(self) -> "Queue":
        """The queue, its database opened. Raises DatabaseUnavailable, also where there is no queue."""
        return self._opened(create=False)

    @cached_property
    def queue_made_if_absent(self) -> "Queue":
        """The queue, opened for commands that may make one where there is none: an absent SQLite file."""
        return self._opened(create=True)

    def _opened(self, *, create: bool) -> "Queue":
        _ = self.out  # a bad output setting is reported before anything is done
        self.storage.open(create=create)
        return self.container.queue()

    def note(self, text: str) -> None:
        """Write to the user what is not data: on stderr."""
        say(escaped(text, keep=LINES))

    def pause(self, seconds: float) -> None:
        """Let that time pass."""
        time.sleep(seconds)

    def rescue(self) -> "Sequence[Job]":
        """Take back the jobs of workers that are lost, as any worker would, but with no log; these jobs."""
        from queuectl.application.operate.configure import policy_of  # a use case, and help needs none
        from queuectl.domain.events import JobRescued  # the same

        heard: list[Event] = []
        self.container.events.override(heard.append)
        self.container.rescue()(policy_of(self.queue))
        return [event.job for event in heard if isinstance(event, JobRescued)]

    @cached_property
    def reporter(self) -> Reporter:
        """Reports what goes wrong, as the output that was asked for wants it."""
        as_json = wants_json(self.args, lambda: self.settings.output)
        return Reporter(as_json=as_json, color=self.flags.get("color", "auto"))

    def progress(self, text: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A bar on a terminal's stderr while the body runs, which calls what it is given with each step's size."""
        if not sys.stderr.isatty():
            return nullcontext(lambda _steps: None)
        from queuectl.entrypoints.cli.terminal import progress_bar  # rich, which only a long task needs

        return progress_bar(text, total)

    def each(self, names: Sequence[str], action: Callable[[str], T]) -> tuple[list[T], int]:
        """Do `action` for every name and report each failure; the results, and the exit code of the first failure."""
        done, codes = [], []
        for name in dict.fromkeys(names):
            try:
                done.append(action(name))
            except DatabaseUnavailable:
                raise
            except QueueError as error:
                codes.append(self.reporter.queue_error(error))
        return done, codes[0] if codes else 0

    def close(self) -> None:
        """Close the database, if it was opened."""
        if "storage" in vars(self):
            self.storage.close()


pass_app = click.make_pass_decorator(App, ensure=True)
