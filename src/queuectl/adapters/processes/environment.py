"""The environment of a command: the worker's, less what is its own, and what the job says."""

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from queuectl.domain.ports.work import Run
from queuectl.domain.worker import JOB_MARK, WORKER_MARK

PRIVATE = ("QUEUECTL_", "PG", "NOTIFY_SOCKET")
"""Variables with these prefixes are the worker's own: the way to the database, passwords included, and to systemd."""


def inherited(environ: Mapping[str, str], handed_on: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return what every command gets: `environ` without what is `PRIVATE`, and what is `handed_on`."""
    shared = {name: text for name, text in environ.items() if not name.startswith(PRIVATE) and name != "OLDPWD"}
    variables = {os.fsencode(name): os.fsencode(text) for name, text in (shared | dict(handed_on)).items()}
    said = variables.pop(b"PWD", b"")
    return variables | _present_directory(said)


def variables_of(run: Run, slot: int) -> dict[bytes, bytes]:
    """Return what this command alone gets: its job's variables, its slots, and the marks by which it is known."""
    job = run.job
    variables = ({} if job.cwd is None else {"PWD": job.cwd}) | dict(job.env)
    variables |= {
        JOB_MARK: job.id,
        "QUEUECTL_ATTEMPT": str(job.attempts),
        "QUEUECTL_QUEUE": job.queue,
        "QUEUECTL_SLOT": str(slot),
        "QUEUECTL_LEASE_ID": _mark(run),
        WORKER_MARK: run.lease.worker,
    }
    if job.slot is not None:
        variables["QUEUECTL_QUEUE_SLOT"] = str(job.slot)
    return {encoded(name): encoded(text) for name, text in variables.items()}


def encoded(text: str) -> bytes:
    """Encode in UTF-8 whatever the worker's locale is, bytes that are no UTF-8 as they were enqueued."""
    return text.encode(errors="surrogateescape")


def _mark(run: Run) -> str:
    """Make the attempt's own mark. It does not give the lease id away, which allows to say how its neighbours ended."""
    return hashlib.sha256(f"mark {run.lease.id} {run.job.attempts} {run.job.id}".encode()).hexdigest()[:32]


def _present_directory(said: bytes) -> dict[bytes, bytes]:
    """Return `PWD` of this process: as `said`, through links perhaps, if that is right; nothing where it is gone."""
    with contextlib.suppress(OSError):
        if said.startswith(b"/") and Path(os.fsdecode(said)).samefile("."):
            return {b"PWD": said}
    with contextlib.suppress(OSError):
        return {b"PWD": os.fsencode(Path.cwd())}
    return {}
