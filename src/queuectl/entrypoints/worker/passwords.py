"""Handing a password on to the processes of workers, where nobody else can read it.

Not by an argument, which everybody may read, nor by the environment, which the workers' commands may.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence

from queuectl.settings import has_password


def without_secrets(environ: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """The variables but those that hold a password, and a descriptor to read those from, once."""
    secrets = _secrets_of(environ)
    reader, writer = os.pipe()
    os.write(writer, json.dumps(secrets).encode())
    os.close(writer)
    return {name: text for name, text in environ.items() if name not in secrets}, reader


def _secrets_of(environ: Mapping[str, str]) -> Mapping[str, str]:
    found = {name: environ.get(name, "") for name in ("QUEUECTL_DATABASE_URL", "PGPASSWORD")}
    return {name: text for name, text in found.items() if text and (name == "PGPASSWORD" or has_password(text))}


def take_secrets(descriptor: int) -> None:
    """Have the variables that were handed over; the environment that others see has them not (proc_pid_environ(5))."""
    with os.fdopen(descriptor, "rb") as pipe:
        os.environ.update(json.loads(pipe.read()))


def hide_secrets(arguments: Sequence[str]) -> None:
    """Start this program anew where its environment holds a password, which commands could read from there."""
    if _secrets_of(os.environ):
        environ, descriptor = without_secrets(os.environ)
        os.set_inheritable(descriptor, True)
        again = [sys.executable, "-P", "-m", "queuectl", *arguments, "--secrets-fd", str(descriptor)]
        os.execve(sys.executable, again, environ)  # noqa: S606 - this program itself
