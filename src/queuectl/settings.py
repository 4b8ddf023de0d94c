"""Local settings: where the queue is and how output looks.

`LOCAL` is the one table of them. A flag wins over a variable, a variable over the config file, the file over the
default.
"""

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import platformdirs

from queuectl.domain.duration import format_duration, parse_duration
from queuectl.domain.errors import DatabaseUnreachable, InvalidSetting, QueueError, nearest, reason_of
from queuectl.domain.formats import COLORS, FORMATS
from queuectl.domain.policy import SETTINGS
from queuectl.domain.worker import labels_of

SCHEMES = {"sqlite": "sqlite", "postgresql": "postgresql", "postgres": "postgresql"}
"""URL schemes, and the backend that each means."""

CONFIG = "QUEUECTL_CONFIG"
"""The variable that names the config file."""

DEFAULT = "default"
"""The origin of a value that nobody chose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The local settings in force. The URL is kept out of `repr`: it may hold a password."""

    database_url: str = field(repr=False)
    log_dir: Path
    spool_dir: Path = field(default_factory=lambda: Path(LOCAL["spool-dir"].default()))
    """The directory in which workers spool outcomes that the database cannot take."""
    busy_timeout: timedelta = timedelta(seconds=20)
    """The longest wait of a command for a database that others have locked, or that is about to serve again."""
    output: str = "auto"
    color: str = "auto"
    labels: tuple[str, ...] = ()
    """The labels of the workers that are started here."""

    @property
    def backend(self) -> str:
        """`sqlite` or `postgresql`."""
        return SCHEMES[self.database_url.split(":", 1)[0]]

    def directory(self, key: str) -> Path:
        """The directory of `log-dir` or `spool-dir`. Raises InvalidSetting where nobody chose one and HOME is unknown.

        The error waits until a worker needs the directory: all other commands do without it.
        """
        path = {"log-dir": self.log_dir, "spool-dir": self.spool_dir}[key]
        return Path(_checked(key, str(path), where=key, here=True)) if _is_of_a_home(str(path)) else path


class InForce(NamedTuple):
    """The text of a setting in force, None where it says nothing, and its origin: a flag, a variable, a file, default.

    The text of `database-url` may hold a password.
    """

    text: str | None
    origin: str


class LocalSetting(NamedTuple):
    """One key of the config file, and the flag and variable that win over it.

    `normal` turns a user's text into the one in force, or raises ValueError with words that follow the key. With
    `here`, a relative path is below the present directory; without, it is refused. A default path begins with `~`
    where nobody knows the home directory.
    """

    default: Callable[[], str]
    range: str
    meaning: str
    normal: Callable[[str, bool], str]
    flag: str | None = None
    variable: str | None = None
    replaces: str | None = None
    """The key that says the same in other words, so that a file has one of the two."""
    error: type[QueueError] = InvalidSetting

    @property
    def winners(self) -> Sequence[str]:
        """The flag and the variable that win over the config file."""
        return [name for name in (self.flag, self.variable) if name]


def load_settings(environ: Mapping[str, str] = os.environ, /, **flags: str | None) -> Settings:
    """The settings that flags (`database_url`, `output`, `color`), variables, the config file and defaults say.

    Raises InvalidSetting for a value that does not fit and for a config file that cannot be read or has an unknown
    key, and DatabaseUnreachable for a database URL that does not fit.
    """
    texts = {key: found.text or "" for key, found in in_force(environ, **flags).items()}
    return Settings(
        database_url=_checked("database-url", texts["database-url"], where="database-url", here=True),
        log_dir=Path(texts["log-dir"]),
        spool_dir=Path(texts["spool-dir"]),
        busy_timeout=parse_duration(texts["busy-timeout"]),
        output=texts["output"],
        color=texts["color"],
        labels=tuple(filter(None, texts["labels"].split(","))),
    )


def handed_on(settings: Settings, url: str, environ: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """The variables by which a job's command finds the queue that runs it; `url` is the database's without secrets.

    A password that stands in the config file is found there, by the same user.
    """
    found = {"QUEUECTL_BUSY_TIMEOUT": format_duration(settings.busy_timeout)}
    if not _is_of_a_home(str(settings.spool_dir)):
        found["QUEUECTL_SPOOL_DIR"] = str(settings.spool_dir)
    path = config_file(environ)
    if config_text(path) is not None:
        found[CONFIG] = str(path)
        if has_password(settings.database_url) and _leads_to(settings.database_url, path):
            return found
    return found | {"QUEUECTL_DATABASE_URL": url}


def _leads_to(url: str, path: Path) -> bool:
    return in_force({CONFIG: str(path)})["database-url"].text == url


def in_force(environ: Mapping[str, str] = os.environ, /, **flags: str | None) -> Mapping[str, InForce]:
    """Each local setting that is in force, by key. Raises as `load_settings` does."""
    path = config_file(environ)
    stored = _stored(path, is_named=bool(environ.get(CONFIG)))
    found = {key: _found(key, flags, environ, stored, path) for key in LOCAL}
    url, file = found["database-url"], found["db-path"]
    if url.origin == DEFAULT and file.text:
        url = found["database-url"] = InForce(_sqlite_url(file.text), file.origin)
    found["db-path"] = InForce(_sqlite_file(url.text or ""), url.origin)
    return found


def _found(
    key: str, flags: Mapping[str, str | None], environ: Mapping[str, str], stored: Mapping[str, str], path: Path
) -> InForce:
    setting = LOCAL[key]
    if setting.flag and (text := flags.get(setting.flag.removeprefix("--").replace("-", "_"))):
        return InForce(_checked(key, text, where=setting.flag, here=True), setting.flag)
    if setting.variable and (text := environ.get(setting.variable)):
        return InForce(_checked(key, text, where=setting.variable, here=True), setting.variable)
    if key in stored:
        return InForce(_checked(key, stored[key], where=f"{key} in {path}", here=False), str(path))
    if key == "db-path":
        return InForce(None, DEFAULT)
    return InForce(setting.default(), DEFAULT)


def storable(key: str, text: str) -> str:
    """The text to store for `key` in the config file. Raises InvalidSetting for one that does not fit."""
    try:
        return _checked(key, text, where=key, here=True)
    except DatabaseUnreachable as error:
        raise InvalidSetting(error.message, hint=error.hint) from None


def has_password(url: str) -> bool:
    """Say whether a database URL holds a password."""
    parts = urlsplit(url)
    return parts.password is not None or "password" in parse_qs(parts.query)


def checked_url(url: str) -> str:
    """The URL, its SQLite file absolute. Raises DatabaseUnreachable unless its scheme is one of `SCHEMES`."""
    return _checked("database-url", url, where="the database URL", here=True)


def unknown_key(what: str, key: str, known: Iterable[str]) -> InvalidSetting:
    """The error that something has no such key, with the known one that was probably meant."""
    known, word = list(known), key.lower().replace("_", "-")
    meant = MEANT.get(word) or nearest(word, known)
    hint = f"did you mean {meant}?" if meant in known else f"the keys are {', '.join(known)}"
    return InvalidSetting(f"{what} {key}", hint=hint)


MEANT = dict.fromkeys(("db", "url", "database", "dsn"), "database-url")
"""Words for a key that are too unlike it to be found by likeness."""


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The path of the config file, be it there or not: `QUEUECTL_CONFIG`, or one in the user's config directory.

    Begins with `~` where nobody knows that directory. Raises InvalidSetting for a `QUEUECTL_CONFIG` of that kind.
    """
    if not (named := environ.get(CONFIG)):
        return Path(_users(platformdirs.user_config_path, "~/.config/queuectl"), "config.toml")
    try:
        return Path(_path(named, True))
    except ValueError as error:
        raise InvalidSetting(f"{CONFIG} {error}", hint="it names the config file") from None


def config_text(path: Path) -> str | None:
    """The text of the config file; None where there is none. Raises InvalidSetting for one that cannot be read."""
    if _is_of_a_home(str(path)):
        return None
    try:
        # Looked at first: to open a pipe would be to wait for whoever writes into it.
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and path.resolve() != Path(os.devnull):
            raise InvalidSetting(f"the config file {path} is not a file{' but a directory' * stat.S_ISDIR(mode)}")
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidSetting(f"the config file {path} cannot be read: {reason_of(error)}") from error
    except UnicodeDecodeError as error:
        raise InvalidSetting(f"the config file {path} is not text in UTF-8, which TOML is written in") from error


def _stored(path: Path, *, is_named: bool) -> Mapping[str, str]:
    text = config_text(path)
    if text is None:
        if is_named:
            hint = f"{CONFIG} names it; `queuectl config set KEY VALUE` creates it"
            raise InvalidSetting(f"the config file {path} does not exist", hint=hint)
        return {}
    import tomllib  # most users have no config file

    try:
        stored = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidSetting(f"the config file {path} is not valid TOML: {error}") from error
    for key, value in stored.items():
        if key not in LOCAL:
            raise _misplaced(path, key)
        if not isinstance(value, str):
            raise InvalidSetting(
                f"{key} in {path} must be a text in quotes, not {_kind(value)}",
                hint=f'for example {key} = "{value}"' if isinstance(value, int | float) else None,
            )
        if (other := LOCAL[key].replaces) in stored:
            raise InvalidSetting(f"the config file {path} has both {key} and {other}", hint="remove one of them")
    return stored


def _misplaced(path: Path, key: str) -> InvalidSetting:
    error = unknown_key(f"the config file {path} has an unknown key", key, LOCAL)
    if (policy := key.replace("_", "-")) in SETTINGS:
        error.hint = f"{policy} is a setting of the queue: remove it here, and run `queuectl config set {policy} VALUE`"
    return error


def _kind(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case dict():
            return "a table"
    return "a time"  # what else TOML has


class NoHome(ValueError):
    """A path below a home directory that nobody knows."""


def _checked(key: str, text: str, *, where: str, here: bool) -> str:
    setting = LOCAL[key]
    try:
        return setting.normal(text, here)
    except NoHome as error:
        hint = f"set HOME, or give {' or '.join(setting.winners) or key}"
        raise setting.error(f"{where} {error}", hint=hint) from None
    except ValueError as error:
        also = "" if setting.range in str(error) else f" ({setting.range})"
        raise setting.error(f"{where} {error}", hint=f"{key}: {setting.meaning}{also}") from None


def _word(allowed: tuple[str, ...]) -> Callable[[str, bool], str]:
    def normal(text: str, _here: bool) -> str:
        if text.strip() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}, not {text!r}")
        return text.strip()

    return normal


def _duration(text: str, _here: bool) -> str:
    try:
        return format_duration(parse_duration(text))
    except ValueError as error:
        raise ValueError(f"{error}, not {text!r}") from None


def _labels(text: str, _here: bool) -> str:
    return ",".join(labels_of(filter(None, map(str.strip, text.split(",")))))


def _path(text: str, here: bool) -> str:
    if not text or "\0" in text:
        raise ValueError(f"must be a path, not {text!r}")
    path = _expanded(text)
    if _is_of_a_home(path):
        if user := text[1:].partition("/")[0]:
            raise ValueError(f"is {text}, but there is no user {user}")
        raise NoHome(
            f"is {text}, but nobody knows the home directory: HOME is not set, and uid {os.getuid()} has no name"
        )
    if not here and not path.startswith("/"):
        # Relative to what? To the present directory, each directory would have a queue of its own.
        raise ValueError(f"must be an absolute path, or begin with ~, not {text!r}")
    try:
        return str(Path(path).absolute())
    except FileNotFoundError:
        raise ValueError("must be an absolute path: the present directory does not exist any more") from None


def _expanded(text: str) -> str:
    first, slash, rest = text.partition("/")
    if first != "~" or os.environ.get("HOME", "").startswith("/"):
        return os.path.expanduser(text)  # noqa: PTH111  # which leaves what it does not know as it is
    import pwd  # platformdirs too takes a HOME that is empty or relative for none

    try:
        return pwd.getpwuid(os.getuid()).pw_dir + slash + rest
    except KeyError:
        return text


def _is_of_a_home(path: str) -> bool:
    return path.startswith("~")


def _url(text: str, here: bool) -> str:
    url = text.strip()
    scheme, separator, _ = url.partition("://")
    if scheme not in SCHEMES:
        found = f"it has {scheme}://" if separator else "it has no scheme"
        raise ValueError(f"must begin with sqlite:/// or postgresql://; {found}")
    file = _sqlite_file(url)
    return url if file is None else _sqlite_url(_path(file, here))


def _sqlite_file(url: str) -> str | None:
    if not url.startswith("sqlite:///") or "?" in url or url == "sqlite:///":
        return None  # the adapter says what is wrong
    return unquote(url.removeprefix("sqlite:///"), errors="surrogateescape")


def _sqlite_url(path: str) -> str:
    # No more is quoted than must be: quoting needs UTF-8, and a path may be any bytes.
    return "sqlite:///" + path.replace("%", "%25").replace("?", "%3F")


def _users(directory: Callable[[str], Path], homeless: str) -> str:
    """The user's own directory of a kind; `homeless` where nobody knows the home directory, as older versions say."""
    try:
        return str(directory("queuectl"))
    except RuntimeError:
        return homeless


LOCAL: Mapping[str, LocalSetting] = {
    "database-url": LocalSetting(
        flag="--database-url",
        variable="QUEUECTL_DATABASE_URL",
        default=lambda: _sqlite_url(LOCAL["db-path"].default()),
        range="sqlite:///PATH or postgresql://USER@HOST/DATABASE",
        meaning="the database of the queue",
        normal=_url,
        replaces="db-path",
        error=DatabaseUnreachable,
    ),
    "db-path": LocalSetting(
        default=lambda: _users(platformdirs.user_data_path, "~/.local/share/queuectl") + "/queue.db",
        range="a path",
        meaning="the same as the path of a SQLite file",
        normal=_path,
        replaces="database-url",
    ),
    "busy-timeout": LocalSetting(
        variable="QUEUECTL_BUSY_TIMEOUT",
        default=lambda: "20s",
        range="0s-3650d",
        meaning="the longest wait for a locked or restarting database",
        normal=_duration,
    ),
    "output": LocalSetting(
        flag="--output",
        variable="QUEUECTL_OUTPUT",
        default=lambda: "auto",
        range=", ".join(FORMATS),
        meaning="the format of results",
        normal=_word(FORMATS),
    ),
    "color": LocalSetting(
        flag="--color",
        variable="QUEUECTL_COLOR",
        default=lambda: "auto",
        range=", ".join(COLORS),
        meaning="when to colour; auto heeds NO_COLOR and FORCE_COLOR",
        normal=_word(COLORS),
    ),
    "log-dir": LocalSetting(
        variable="QUEUECTL_LOG_DIR",
        default=lambda: _users(platformdirs.user_log_path, "~/.local/state/queuectl/log"),
        range="a path",
        meaning="the directory of the logs of workers in the background",
        normal=_path,
    ),
    "spool-dir": LocalSetting(
        variable="QUEUECTL_SPOOL_DIR",
        default=lambda: _users(platformdirs.user_state_path, "~/.local/state/queuectl") + "/spool",
        range="a path",
        meaning="the directory of outcomes that the database cannot take",
        normal=_path,
    ),
    "labels": LocalSetting(
        variable="QUEUECTL_LABELS",
        default=lambda: "",
        range="labels such as gpu,zone=eu",
        meaning="the labels of the workers that are started here",
        normal=_labels,
    ),
}
