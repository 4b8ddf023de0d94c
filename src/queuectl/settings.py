"""Local settings: where the queue is and how output looks. Flags beat variables, variables beat the config file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import platformdirs

from queuectl.domain.duration import parse_duration
from queuectl.domain.errors import DatabaseUnreachable, InvalidSetting

SCHEMES = {"sqlite": "sqlite", "postgresql": "postgresql", "postgres": "postgresql"}
"""URL schemes, and the backend that each means."""

FILE_KEYS = frozenset({"database-url", "db-path", "busy-timeout", "output", "color", "log-dir", "spool-dir"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The local settings in force. The URL is kept out of `repr`: it may hold a password."""

    database_url: str = field(repr=False)
    log_dir: Path
    spool_dir: Path = field(default_factory=lambda: platformdirs.user_state_path("queuectl") / "spool")
    """Where workers keep outcomes that the database cannot take."""
    busy_timeout: timedelta = timedelta(seconds=20)
    """How long a command waits for a database that others have locked, or that is about to serve again."""
    output: str = "auto"
    color: str = "auto"

    @property
    def backend(self) -> str:
        """`sqlite` or `postgresql`."""
        return SCHEMES[self.database_url.split(":", 1)[0]]


def load_settings(
    environ: Mapping[str, str] = os.environ,
    *,
    database_url: str | None = None,
    output: str | None = None,
    color: str | None = None,
) -> Settings:
    """The settings that flags (the keyword arguments), `QUEUECTL_*` variables, the config file and defaults say.

    Raises InvalidSetting for a config file that cannot be read or has an unknown key, and DatabaseUnreachable for a
    URL of an unknown scheme.
    """
    stored = _config_file(environ)
    url = database_url or environ.get("QUEUECTL_DATABASE_URL") or stored.get("database-url")
    if not url and (path := stored.get("db-path")):
        url = _sqlite_url(Path(path).expanduser())
    return Settings(
        database_url=checked_url(url or _sqlite_url(platformdirs.user_data_path("queuectl") / "queue.db")),
        log_dir=Path(
            environ.get("QUEUECTL_LOG_DIR") or stored.get("log-dir") or platformdirs.user_log_path("queuectl")
        ),
        spool_dir=Path(
            environ.get("QUEUECTL_SPOOL_DIR")
            or stored.get("spool-dir")
            or platformdirs.user_state_path("queuectl") / "spool"
        ),
        busy_timeout=_duration(environ.get("QUEUECTL_BUSY_TIMEOUT") or stored.get("busy-timeout", "20s")),
        output=output or environ.get("QUEUECTL_OUTPUT") or stored.get("output", "auto"),
        color=color or environ.get("QUEUECTL_COLOR") or stored.get("color", "auto"),
    )


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the config file is, or would be: `QUEUECTL_CONFIG`, or `config.toml` in the user's config directory."""
    return Path(environ.get("QUEUECTL_CONFIG") or platformdirs.user_config_path("queuectl") / "config.toml")


def _config_file(environ: Mapping[str, str]) -> Mapping[str, str]:
    path = config_file(environ)
    try:
        text = path.read_text()
    except FileNotFoundError:
        if "QUEUECTL_CONFIG" in environ:
            raise InvalidSetting(f"the config file {path} does not exist", hint="QUEUECTL_CONFIG names it") from None
        return {}
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    import tomllib  # most users have no config file

    try:
        stored = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, error) from error
    for key, value in stored.items():
        if key not in FILE_KEYS or not isinstance(value, str):
            keys = ", ".join(sorted(FILE_KEYS))
            raise InvalidSetting(
                f"the config file {path} has a bad key {key}", hint=f"keys are {keys}; values are text"
            )
    return stored


def _unreadable(path: Path, error: Exception) -> InvalidSetting:
    return InvalidSetting(f"the config file {path} cannot be read: {error}")


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidSetting(f"busy-timeout {error}, not {text!r}") from None


def checked_url(url: str) -> str:
    """The URL, if its scheme is one of `SCHEMES`. Raises DatabaseUnreachable."""
    scheme, separator, _ = url.partition("://")
    if scheme not in SCHEMES:
        found = f"{scheme}://" if separator else "no scheme"
        raise DatabaseUnreachable(
            f"the database URL must begin with sqlite:/// or postgresql://; it has {found}",
            hint="for example sqlite:////var/lib/queuectl/queue.db or postgresql://user@host/queue",
        )
    return url


def _sqlite_url(path: Path) -> str:
    return f"sqlite:///{quote(str(path.absolute()))}"
