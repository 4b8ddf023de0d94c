"""Handing a password on to the processes of workers, where nobody else can read it.

Not by an argument, which everybody may read, nor by the environment, which the workers' commands may.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence

from queuectl.settings import has_password


def secrets_of(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The variables that hold a password."""
    url = environ.get("QUEUECTL_DATABASE_URL", "")
    found = {"QUEUECTL_DATABASE_URL": url} if has_password(url) else {}
    return found | ({"PGPASSWORD": environ["PGPASSWORD"]} if environ.get("PGPASSWORD") else {})


def in_a_pipe(secrets: Mapping[str, str]) -> int:
    """A descriptor to read them from, once."""
    reader, writer = os.pipe()
    os.write(writer, json.dumps(dict(secrets)).encode())
    os.close(writer)
    return reader


def take_secrets(descriptor: int) -> None:
    """Have the variables that were handed over; the environment that others see has them not (proc_pid_environ(5))."""
    with os.fdopen(descriptor, "rb") as pipe:
        os.environ.update(json.loads(pipe.read()))


def hide_secrets(arguments: Sequence[str]) -> None:
    """Start this program anew where its environment holds a password, which commands could read from there."""
    if secrets := secrets_of(os.environ):
        descriptor = in_a_pipe(secrets)
        os.set_inheritable(descriptor, True)
        environ = {name: text for name, text in os.environ.items() if name not in secrets}
        again = [sys.executable, "-P", "-m", "queuectl", *arguments, "--secrets-fd", str(descriptor)]
        os.execve(sys.executable, again, environ)  # noqa: S606 - this program itself
