"""Changes to the user's config file: comments and order stay, and nothing is lost when two change it at once."""

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from queuectl.domain.errors import InvalidSetting, QueueError, reason_of
from queuectl.settings import LOCAL, config_text, has_password

LOCK_TIMEOUT = 10.0
"""Seconds to wait for another process that changes the file: it takes milliseconds, unless it is frozen."""


def change(path: Path, key: str, text: str | None) -> Sequence[str]:
    """Set the key to that text, or remove it (None); the keys that had to go because they say the same.

    Creates the file and its directory for their owner alone. Raises InvalidSetting for a file that cannot be read or
    a text that TOML cannot hold, and QueueError when the file cannot be written.
    """
    if str(path).startswith("~"):
        raise InvalidSetting(
            "nobody knows the home directory, where the config file would be", hint="set HOME, or give QUEUECTL_CONFIG"
        )
    if config_text(path) is None and text is None:
        return []
    target = path.resolve()  # what a link names is replaced, not the link
    if target.exists() and not target.is_file():  # /dev/null can be read as an empty file, and must not become one
        raise InvalidSetting(f"the config file {path} is not a file that can be changed")
    try:
        for directory in reversed((target.parent, *target.parent.parents)):
            directory.mkdir(0o700, exist_ok=True)
        with _locked(target):
            return _change(path, target, key, text)
    except OSError as error:
        raise QueueError(
            f"the config file {path} cannot be written: {reason_of(error)}", hint="QUEUECTL_CONFIG names another"
        ) from error


def _change(path: Path, target: Path, key: str, text: str | None) -> Sequence[str]:
    import tomlkit  # a library that only a change of the file needs
    from tomlkit.exceptions import TOMLKitError  # the same

    before = config_text(path) or ""
    try:
        document = tomlkit.parse(before)
    except (TOMLKitError, RecursionError) as error:
        raise InvalidSetting(f"the config file {path} is not valid TOML: {error}", hint="correct it first") from error
    if text is None:
        document.pop(key, None)
    else:
        document[key] = text
    gone = []
    if text is not None and (other := LOCAL[key].replaces) and other in document:
        document.remove(other)
        gone.append(other)
    try:
        content = tomlkit.dumps(document).encode()
    except UnicodeEncodeError:
        raise InvalidSetting(f"{key} is not text in UTF-8, which a config file must be") from None
    if content != before.encode():
        _replace(target, content, private=key == "database-url" and has_password(text or ""))
    return gone


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """While the body runs, no other process changes the file.

    The lock is a file of its own: the config file is replaced, and on NFS a directory cannot be locked.
    """
    lock = target.with_name(f".{target.name}.lock")
    with os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "rb") as file:
        _give(file.fileno(), target.parent.stat())
        give_up_at = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise OSError(errno.EAGAIN, "another queuectl is changing it") from None
                time.sleep(0.01)
        yield


def _replace(target: Path, content: bytes, *, private: bool) -> None:
    """Write beside, and rename: whoever reads meanwhile, or after a power cut, finds the whole of one or the other."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if target.exists():
                status = target.stat()
                _give(descriptor, status)
                os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & (0o600 if private else 0o777))
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.replace(target)
    except BaseException:
        beside.unlink()
        raise
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _give(descriptor: int, like: os.stat_result) -> None:
    """Let the owner of that other file own this one: root may change the settings of a user who must read them."""
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, like.st_uid, like.st_gid)
