"""Types of options that more than one command has."""

from datetime import timedelta

import click

from queuectl.domain.duration import parse_duration


class Duration(click.ParamType[timedelta]):
    """A duration on the command line: `90`, `"1h30m"`; longer than zero unless `zero` says that it may be that."""

    name = "duration"

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The span that the text says, or a usage error."""
        try:
            span = value if isinstance(value, timedelta) else parse_duration(value)
        except ValueError as error:
            self.fail(f"{error}, not '{value}'", param, ctx)
        if not (span or self._zero):
            self.fail("must be longer than 0 seconds", param, ctx)
        return span
