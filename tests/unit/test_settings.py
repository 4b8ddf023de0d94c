"""Local settings: which of flag, variable, file and default wins, what fits, and what is said of what does not."""

import os
import pwd
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from queuectl.domain.errors import DatabaseUnreachable, InvalidSetting, QueueError
from queuectl.settings import LOCAL, Settings, checked_url, config_file, has_password, in_force, load_settings

WriteConfig = Callable[[str], dict[str, str]]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in os.environ:
        if name.startswith(("QUEUECTL_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> object:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)


@pytest.fixture
def config(tmp_path: Path) -> WriteConfig:
    """Writes the config file; the environment that names it."""

    def write(text: str) -> dict[str, str]:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return {"QUEUECTL_CONFIG": str(path)}

    return write


def refused(environ: dict[str, str]) -> QueueError:
    with pytest.raises(QueueError) as caught:
        load_settings(environ)
    return caught.value


def test_without_any_setting_all_is_in_the_users_directories(home: Path) -> None:
    assert load_settings({}) == Settings(
        database_url=f"sqlite:///{home}/.local/share/queuectl/queue.db",
        log_dir=home / ".local/state/queuectl/log",
        spool_dir=home / ".local/state/queuectl/spool",
        busy_timeout=timedelta(seconds=20),
        output="auto",
        color="auto",
    )
    assert {found.origin for found in in_force({}).values()} == {"default"}


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(config: WriteConfig) -> None:
    environ = config('output = "json"\n')
    assert in_force(environ)["output"] == ("json", environ["QUEUECTL_CONFIG"])
    environ["QUEUECTL_OUTPUT"] = "id"
    assert in_force(environ)["output"] == ("id", "QUEUECTL_OUTPUT")
    assert in_force(environ, output="table")["output"] == ("table", "--output")
    assert load_settings(environ, output="table").output == "table"


def test_an_empty_variable_counts_as_unset(config: WriteConfig) -> None:
    environ = config('busy-timeout = "7s"') | dict.fromkeys((each.variable or "" for each in LOCAL.values()), "")
    assert load_settings(environ).busy_timeout == timedelta(seconds=7)
    assert in_force({"QUEUECTL_CONFIG": ""})["output"].origin == "default"


def test_db_path_says_the_same_as_an_sqlite_url(config: WriteConfig) -> None:
    environ = config('db-path = "/srv/50%?.db"')
    origin = environ["QUEUECTL_CONFIG"]
    found = in_force(environ)
    assert found["database-url"] == ("sqlite:////srv/50%25%3F.db", origin)
    assert found["db-path"] == ("/srv/50%?.db", origin)


def test_a_variable_wins_over_both_words_for_the_database(config: WriteConfig) -> None:
    found = in_force(config('db-path = "/srv/q.db"') | {"QUEUECTL_DATABASE_URL": "postgresql://db/queue"})
    assert found["database-url"] == ("postgresql://db/queue", "QUEUECTL_DATABASE_URL")
    assert found["db-path"] == (None, "QUEUECTL_DATABASE_URL")


def test_a_home_directory_is_put_in_wherever_a_path_begins_with_one(config: WriteConfig, home: Path) -> None:
    stored = load_settings(config('db-path = "~/q.db"\nlog-dir = "~/log"\nspool-dir = "~root/spool"'))
    assert stored.database_url == f"sqlite:///{home}/q.db"
    assert stored.log_dir == home / "log"
    assert stored.spool_dir == Path("~root/spool").expanduser()
    given = load_settings({"QUEUECTL_DATABASE_URL": "sqlite:///~/q.db", "QUEUECTL_LOG_DIR": "~/log"})
    assert (given.database_url, given.log_dir) == (stored.database_url, stored.log_dir)
    assert load_settings({}, database_url="sqlite:///~/q.db").database_url == stored.database_url
    assert checked_url("sqlite:///~/q.db") == stored.database_url
    assert config_file({"QUEUECTL_CONFIG": "~/c.toml"}) == home / "c.toml"
    assert load_settings({"QUEUECTL_LOG_DIR": "$HOME/log"}).log_dir == Path("$HOME/log").absolute()


def test_a_relative_path_of_a_flag_or_variable_is_of_the_present_directory(tmp_path: Path) -> None:
    found = load_settings({"QUEUECTL_DATABASE_URL": "sqlite:///q.db", "QUEUECTL_SPOOL_DIR": "spool"})
    assert found.database_url == f"sqlite:///{tmp_path}/q.db"
    assert found.spool_dir == tmp_path / "spool"


@pytest.mark.parametrize(
    "environ", [{"QUEUECTL_DATABASE_URL": "sqlite:///q.db"}, {"QUEUECTL_CONFIG": "q.toml"}, {"QUEUECTL_LOG_DIR": "log"}]
)
def test_a_relative_path_needs_a_present_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environ: dict[str, str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    problem = "must be an absolute path: the present directory does not exist any more"
    assert refused(environ).message == f"{next(iter(environ))} {problem}"


@pytest.mark.parametrize(
    ("key", "value"),
    [("db-path", "q.db"), ("log-dir", "log"), ("spool-dir", "./s"), ("database-url", "sqlite:///q.db")],
)
def test_a_relative_path_in_the_config_file_is_refused(config: WriteConfig, key: str, value: str) -> None:
    environ = config(f'{key} = "{value}"')
    text = f"{key} in {environ['QUEUECTL_CONFIG']} must be an absolute path, or begin with ~"
    assert refused(environ).message.startswith(text)


@pytest.mark.parametrize("url", ["postgres://db/queue", "postgresql://u:p@h/d?sslmode=require"])
def test_a_url_of_a_server_stays_as_it_is(url: str) -> None:
    assert checked_url(url) == url
    assert Settings(database_url=url, log_dir=Path()).backend == "postgresql"


def test_a_path_whose_name_is_not_utf8_stays_as_it_is() -> None:
    assert checked_url("sqlite:////srv/\udcff.db") == "sqlite:////srv/\udcff.db"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"QUEUECTL_OUTPUT": "xml"}, "QUEUECTL_OUTPUT must be one of auto, table, plain, json, jsonl, id, not 'xml'"),
        ({"QUEUECTL_COLOR": "pink"}, "QUEUECTL_COLOR must be one of auto, always, never, not 'pink'"),
        (
            {"QUEUECTL_BUSY_TIMEOUT": "soon"},
            """QUEUECTL_BUSY_TIMEOUT must be seconds or a duration such as "30s", "5m" or "1h30m", not 'soon'""",
        ),
        ({"QUEUECTL_LOG_DIR": "~nosuchuser/x"}, "QUEUECTL_LOG_DIR is ~nosuchuser/x, but there is no user nosuchuser"),
        ({"QUEUECTL_CONFIG": "~nosuchuser/x"}, "QUEUECTL_CONFIG is ~nosuchuser/x, but there is no user nosuchuser"),
        ({"QUEUECTL_CONFIG": "/nowhere/c.toml"}, "the config file /nowhere/c.toml does not exist"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_variable_is_named(environ: dict[str, str], message: str) -> None:
    error = refused(environ)
    assert (type(error), error.message) == (InvalidSetting, message)
    assert "HOME" not in (error.hint or "")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://u:secret@h/q", "must begin with sqlite:/// or postgresql://; it has mysql://"),
        ("queue.db", "must begin with sqlite:/// or postgresql://; it has no scheme"),
        ("sqlite:///~nosuchuser/q.db", "is ~nosuchuser/q.db, but there is no user nosuchuser"),
    ],
)
def test_a_bad_database_url_names_its_origin_and_no_password(config: WriteConfig, url: str, problem: str) -> None:
    given, stored = {"QUEUECTL_DATABASE_URL": url}, config(f'database-url = "{url}"')
    for environ, origin in (
        (given, "QUEUECTL_DATABASE_URL"),
        (stored, f"database-url in {stored['QUEUECTL_CONFIG']}"),
    ):
        error = refused(environ)
        assert (type(error), error.message) == (DatabaseUnreachable, f"{origin} {problem}")
        assert "secret" not in f"{error.message} {error.hint}"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('output = "xml"', "output in {} must be one of auto, table, plain, json, jsonl, id, not 'xml'", None),
        ('log-dir = ""', "log-dir in {} must be a path, not ''", None),
        ('db-path = "a\\u0000b"', "db-path in {} must be a path, not 'a\\x00b'", None),
        ("busy-timeout = 20", "busy-timeout in {} must be a text in quotes, not the number 20", 'busy-timeout = "20"'),
        ("output = true", "output in {} must be a text in quotes, not true", None),
        ("database-url = ['postgresql://u:secret@h']", "database-url in {} must be a text in quotes, not a list", None),
        ("busy_timeout = 20", "the config file {} has an unknown key busy_timeout", "did you mean busy-timeout?"),
        ('db_path = "/q"', "the config file {} has an unknown key db_path", "did you mean db-path?"),
        ('url = "/q"', "the config file {} has an unknown key url", "did you mean database-url?"),
        ("[queuectl]", "the config file {} has an unknown key queuectl", "the keys are database-url, db-path"),
        (
            "max_retries = 5",
            "the config file {} has an unknown key max_retries",
            "`queuectl config set max-retries VALUE`",
        ),
        ('db-path = "/q"\ndatabase-url = "x"', "the config file {} has both db-path and database-url", "remove one"),
        ("output = ", "the config file {} is not valid TOML: Invalid value (at end of document)", None),
        (f"output = {'[' * 9999}", "the config file {} is not valid TOML: maximum recursion depth exceeded", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_mistake_in_the_config_file_is_told_with_what_is_expected(
    config: WriteConfig, text: str, message: str, hint: str | None
) -> None:
    environ = config(text)
    error = refused(environ)
    assert type(error) is InvalidSetting
    assert error.message.startswith(message.format(environ["QUEUECTL_CONFIG"]))
    assert hint is None or hint in (error.hint or "")
    assert "secret" not in f"{error.message} {error.hint}"


def test_what_is_no_readable_text_file_is_no_config_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    environ = {"QUEUECTL_CONFIG": str(path)}
    path.mkdir()
    assert refused(environ).message == f"the config file {path} is not a file but a directory"
    path.rmdir()
    os.mkfifo(path)
    assert refused(environ).message == f"the config file {path} is not a file"
    path.unlink()
    path.write_bytes(b"\x7fELF\xff")
    assert refused(environ).message == f"the config file {path} is not text in UTF-8, which TOML is written in"
    path.unlink()
    path.symlink_to(path)
    assert refused(environ).message == f"the config file {path} cannot be read: too many levels of symbolic links"


def test_the_null_device_is_an_empty_config_file() -> None:
    assert in_force({"QUEUECTL_CONFIG": os.devnull})["output"].origin == "default"


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_is_told_what_to_give_instead() -> None:
    error = refused({})
    assert "nobody knows the home directory: HOME is not set, and uid" in error.message
    assert error.hint == "set HOME, or give --database-url or QUEUECTL_DATABASE_URL"


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_needs_directories_for_workers_only_when_they_are_used(tmp_path: Path) -> None:
    (tmp_path / "~" / ".config" / "queuectl").mkdir(parents=True)
    (tmp_path / "~" / ".config" / "queuectl" / "config.toml").write_text("not = to be read")
    settings = load_settings({"QUEUECTL_DATABASE_URL": "sqlite:////srv/q.db", "QUEUECTL_LOG_DIR": "/log"})
    assert settings.directory("log-dir") == Path("/log")
    with pytest.raises(InvalidSetting) as caught:
        settings.directory("spool-dir")
    assert caught.value.hint == "set HOME, or give QUEUECTL_SPOOL_DIR"


@pytest.mark.parametrize(
    ("url", "has"),
    [
        ("postgresql://ann:secret@db/queue", True),
        ("postgresql://ann@db/queue?password=secret", True),
        ("postgresql://ann:p%40ss@h1:1,h2:2/queue", True),
        ("postgresql://ann@db/queue?sslmode=require", False),
        ("sqlite:////srv/a:b@c.db", False),
    ],
)
def test_a_password_in_a_url_is_noticed(url: str, has: bool) -> None:
    assert has_password(url) is has


@pytest.mark.parametrize("home", ["", "relative"])
def test_a_home_that_is_empty_or_relative_counts_as_unset(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("HOME", home)
    real = pwd.getpwuid(os.getuid()).pw_dir
    assert load_settings({"QUEUECTL_LOG_DIR": "~/log"}).log_dir == Path(real, "log")
    assert load_settings({}).spool_dir == Path(real, ".local/state/queuectl/spool")


def test_every_default_fits() -> None:
    for key, setting in LOCAL.items():
        assert setting.normal(setting.default(), False) == setting.default(), key


def test_labels_are_listed_with_commas_and_kept_in_one_order(config: WriteConfig) -> None:
    environ = config('labels = " zone=eu,gpu, gpu"')
    assert load_settings(environ).labels == ("gpu", "zone=eu")
    assert load_settings({**environ, "QUEUECTL_LABELS": "fast"}).labels == ("fast",)
    assert load_settings({}).labels == ()


def test_what_is_no_label_is_refused_where_it_stands() -> None:
    error = refused({"QUEUECTL_LABELS": "gpu,zone eu"})
    assert error.message.startswith("QUEUECTL_LABELS must be labels such as gpu or zone=eu")
    assert error.message.endswith("not 'zone eu'")
