"""`queuectl config` for the local settings, and for both kinds side by side."""

import tomllib
from pathlib import Path

import pytest

from queuectl.domain.errors import DatabaseUnreachable
from queuectl.domain.policy import SETTINGS
from queuectl.settings import LOCAL
from tests.unit.cli.conftest import CommandLine

KEYS = ["key", "value", "default", "from", "range", "meaning"]


@pytest.fixture
def home(queuectl: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's, who says nothing of where the queue is."""
    for name in ("QUEUECTL_DATABASE_URL", "QUEUECTL_BUSY_TIMEOUT", "QUEUECTL_LOG_DIR", "QUEUECTL_SPOOL_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def file(home: Path) -> Path:
    return home / ".config" / "queuectl" / "config.toml"


def stored(file: Path) -> dict[str, object]:
    return tomllib.loads(file.read_text())


def test_a_local_setting_is_set_shown_and_unset_without_a_database(queuectl: CommandLine, file: Path) -> None:
    queuectl.storage.trouble = DatabaseUnreachable("there is none")
    answer = queuectl("config", "set", "busy-timeout", "90")
    assert (answer.code, answer.out, answer.err) == (0, "busy-timeout\t1m30s\n", "")
    assert stored(file) == {"busy-timeout": "1m30s"}
    assert queuectl("config", "get", "busy-timeout").out == "1m30s\n"
    answer = queuectl("config", "unset", "busy-timeout")
    assert (answer.code, answer.out) == (0, "busy-timeout\t20s\n")
    assert stored(file) == {}
    assert set(queuectl.storage.calls) == {"close"}


def test_a_person_reads_where_a_value_went(queuectl: CommandLine, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert queuectl("--output", "table", "config", "set", "color", "never").lines == [f"color is now never, in {file}"]
    monkeypatch.setenv("QUEUECTL_COLOR", "always")
    unset = queuectl("--output", "table", "config", "unset", "color")
    assert unset.lines == ["color is now always, from QUEUECTL_COLOR"]
    monkeypatch.delenv("QUEUECTL_COLOR")
    assert queuectl("--output", "table", "config", "unset", "color").lines == ["color is now auto, the default"]


def test_the_json_of_a_local_setting_has_the_keys_of_a_policys(queuectl: CommandLine, file: Path) -> None:
    policy = queuectl("--output", "json", "config", "set", "max-retries", "5").document
    local = queuectl("--output", "json", "config", "set", "output", "id").document
    assert list(policy) == list(local) == KEYS
    assert (local["key"], local["value"], local["default"], local["from"]) == ("output", "id", "auto", str(file))
    assert queuectl("--output", "json", "config", "get", "output").document["from"] == "--output"
    assert queuectl("config", "get", "output").out == "id\n"


@pytest.mark.parametrize(
    ("key", "value", "result"),
    [
        ("db-path", "~/jobs.db", "{home}/jobs.db"),
        ("db-path", "jobs.db", "{here}/jobs.db"),
        ("db-path", "$HOME/jobs.db", "{here}/$HOME/jobs.db"),
        ("log-dir", "~root/log", "{root}/log"),
        ("spool-dir", "./spool", "{here}/spool"),
        ("database-url", "sqlite:///~/jobs.db", "sqlite:///{home}/jobs.db"),
        ("database-url", "sqlite:///jobs.db", "sqlite:///{here}/jobs.db"),
    ],
)
def test_a_path_is_stored_absolute(
    queuectl: CommandLine, home: Path, file: Path, tmp_path: Path, key: str, value: str, result: str
) -> None:
    queuectl("config", "set", key, value)
    assert stored(file) == {key: result.format(home=home, here=tmp_path, root=Path("~root").expanduser())}


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("busy-timeout", "soon", 'busy-timeout must be seconds or a duration such as "30s", "5m" or "1h30m"'),
        ("output", "xml", "output must be one of auto, table, plain, json, jsonl, id, not 'xml'"),
        ("color", "pink", "color must be one of auto, always, never, not 'pink'"),
        ("database-url", "mysql://h/q", "database-url must begin with sqlite:/// or postgresql://; it has mysql://"),
        ("database-url", "postgresql://u:secret@[h/q", "the database URL has an IPv6 address without its ]"),
        ("db-path", "", "db-path must be a path, not ''"),
        ("log-dir", "~nosuchuser/log", "log-dir is ~nosuchuser/log, but there is no user nosuchuser"),
    ],
)
def test_a_value_that_would_not_be_read_is_not_set(
    queuectl: CommandLine, file: Path, key: str, value: str, problem: str
) -> None:
    answer = queuectl("config", "set", key, value)
    assert answer.code == 5
    assert answer.err.startswith(f"error: {problem}")
    assert "secret" not in answer.err
    assert not file.exists()


def test_one_word_for_the_database_replaces_the_other_and_says_so(queuectl: CommandLine, file: Path) -> None:
    queuectl("config", "set", "database-url", "sqlite:////srv/old.db")
    answer = queuectl("config", "set", "db-path", "/srv/new.db")
    assert answer.err == f"note: database-url is removed from {file}: db-path replaces it\n"
    assert stored(file) == {"db-path": "/srv/new.db"}
    assert queuectl("config", "get", "database-url").out == "sqlite:////srv/new.db\n"


def test_a_password_is_stored_with_a_hint_and_shown_to_nobody(queuectl: CommandLine, file: Path) -> None:
    url = "postgresql://ann:secret@db.example/queue"
    answer = queuectl("config", "set", "database-url", url)
    assert answer.out == "database-url\tpostgresql://ann@db.example/queue\n"
    assert answer.err == "hint: ~/.pgpass or PGPASSWORD is a better place for the password\n"
    assert stored(file) == {"database-url": url}
    for args in (["get", "database-url"], ["get"], ["show"], ["show", "--output", "json"], ["get", "db-path"]):
        answer = queuectl("config", *args)
        assert answer.code == 0
        assert "secret" not in answer.out + answer.err
    assert answer.out == "\n"


def test_a_variable_that_wins_is_named(queuectl: CommandLine, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUECTL_OUTPUT", "table")
    answer = queuectl("config", "set", "output", "json")
    assert answer.err == "note: QUEUECTL_OUTPUT=table wins over it\n"
    assert answer.lines == [f"output is set to json, in {file}"]
    monkeypatch.setenv("QUEUECTL_DATABASE_URL", "postgresql://ann:secret@db/queue")
    answer = queuectl("config", "set", "database-url", "sqlite:////srv/q.db")
    assert answer.err == "note: QUEUECTL_DATABASE_URL=postgresql://ann@db/queue wins over it\n"
    answer = queuectl("config", "set", "db-path", "/srv/q.db")
    assert "note: QUEUECTL_DATABASE_URL wins over it\n" in answer.err
    assert "secret" not in answer.out + answer.err


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("max_retries", "max-retries"),
        ("db_path", "db-path"),
        ("DB-PATH", "db-path"),
        ("database", "database-url"),
        ("db", "database-url"),
        ("url", "database-url"),
        ("colour", "color"),
        ("log_directory", "log-dir"),
    ],
)
@pytest.mark.parametrize("args", [("set", "KEY", "1"), ("get", "KEY"), ("unset", "KEY")], ids=lambda args: args[0])
def test_an_unknown_key_suggests_one_of_either_kind(
    queuectl: CommandLine, word: str, meant: str, args: tuple[str, ...]
) -> None:
    answer = queuectl("config", *(word if arg == "KEY" else arg for arg in args))
    assert answer.code == 5
    assert answer.err == f"error: there is no setting {word}\nhint: did you mean {meant}?\n"


def test_a_mistake_in_the_file_can_be_repaired_by_setting_the_key(queuectl: CommandLine, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text('output = "xml"\ncolor = "pink"\n')
    answer = queuectl("config", "set", "output", "json")
    assert answer.code == 5
    assert answer.err.startswith(f"error: output is set, but color in {file} must be one of")
    answer = queuectl("config", "unset", "color")
    assert answer.code == 0
    assert stored(file) == {"output": "json"}


def test_no_escape_sequence_in_a_path_reaches_the_terminal(queuectl: CommandLine, home: Path) -> None:
    for args in (["set", "log-dir", "/\x1b[2J"], ["get", "log-dir"], ["get"], ["show"]):
        answer = queuectl("--output", "table", "config", *args)
        assert "\\x1b[2J" in answer.out
        assert "\x1b" not in answer.out + answer.err


def test_get_gives_both_kinds(queuectl: CommandLine, home: Path) -> None:
    document = queuectl("config", "get", "--output", "json").document
    assert list(document) == [*SETTINGS, *LOCAL]
    assert (document["max-retries"], document["db-path"]) == ("3", f"{home}/.local/share/queuectl/queue.db")


def test_show_gives_both_kinds_each_with_its_origin(queuectl: CommandLine, file: Path) -> None:
    queuectl("config", "set", "db-path", "/srv/q.db")
    queuectl("config", "set", "lease", "1m")
    document = queuectl("config", "show", "--output", "json").document
    assert [view["key"] for view in document["policy"]] == list(SETTINGS)
    assert [view["key"] for view in document["local"]] == [*LOCAL, "config file"]
    origins = {view["key"]: view["from"] for view in [*document["policy"], *document["local"]]}
    assert (origins["lease"], origins["max-retries"]) == ("database", "default")
    assert (origins["db-path"], origins["database-url"], origins["output"]) == (str(file), str(file), "--output")
    assert all(list(view) == KEYS for view in document["local"])


def test_show_without_a_database_gives_the_local_settings(queuectl: CommandLine, home: Path) -> None:
    queuectl.storage.trouble = DatabaseUnreachable("the server is down", hint="start it")
    answer = queuectl("config", "show")
    assert answer.code == 6
    assert answer.err == "error: the settings of the queue cannot be read: the server is down\nhint: start it\n"
    assert [line.partition("\t")[0] for line in answer.lines] == [*LOCAL, "config file"]
    answer = queuectl("config", "show", "--output", "json")
    assert (answer.code, answer.document["policy"], answer.error["code"]) == (6, None, "database_unreachable")
    assert set(queuectl.storage.calls) == {"open what is there", "close"}


def test_show_in_a_pipe_is_one_line_for_each_setting(queuectl: CommandLine, home: Path) -> None:
    queuectl("config", "set", "db-path", "~/jobs.db")
    lines = queuectl("config", "show").lines
    assert lines[0] == (
        "max-retries\t3\t3\tdefault\tretries after the first attempt, for jobs that do not say; taken at enqueue"
    )
    file = home / ".config" / "queuectl" / "config.toml"
    data, state = home / ".local" / "share" / "queuectl", home / ".local" / "state" / "queuectl"
    own = {line.partition("\t")[0]: line.split("\t")[1:] for line in lines[len(SETTINGS) :]}
    assert list(own) == [*LOCAL, "config file"]
    assert own["db-path"] == [
        f"{home}/jobs.db",
        f"{data}/queue.db",
        str(file),
        "the same as the path of a SQLite file",
    ]
    assert own["database-url"][0:3] == [f"sqlite:///{home}/jobs.db", f"sqlite:///{data}/queue.db", str(file)]
    assert own["output"] == ["auto", "auto", "default", "the format of results; --output, QUEUECTL_OUTPUT"]
    assert own["log-dir"][0:3] == [f"{state}/log", f"{state}/log", "default"]
    assert own["config file"] == [str(file), str(file), "default", "the file of these settings; QUEUECTL_CONFIG"]


@pytest.fixture
def short_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in every run, so that the whole of what is drawn can be compared; nothing is there."""
    monkeypatch.setenv("HOME", "/home/nobody-at-all")


@pytest.mark.usefixtures("short_home")
def test_show_fits_into_80_columns(queuectl: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("QUEUECTL_LOG_DIR", "/var/log/queuectl")
    queuectl("config", "set", "max-retries", "5")
    drawn = queuectl("--output", "table", "config", "show").lines
    assert max(len(line) for line in drawn) <= 80
    assert (
        "\n".join(line.rstrip() for line in drawn)
        == """\
POLICY           VALUE    DEFAULT  RANGE              FROM
max-retries      5        3        0-1000             database
  retries after the first attempt, for jobs that do not say; taken at enqueue
backoff-base     2        2        1-1000             default
  the wait after the n-th failure is this to the power of n, in seconds
backoff-max      1h       1h       0s-365d            default
  the longest wait between two attempts
backoff-jitter   0        0        0-1                default
  stretches each wait by a random part of this fraction, so that retries spread
  out
default-timeout  none     none     1ms-365d, or none  default
  how long a command may run, for jobs that do not say; taken at enqueue
output-limit     1048576  1048576  0-67108864         default
  bytes of output kept of each attempt: the head and the tail of what is more
max-losses       3        3        1-1000             default
  how often a job that runs alone may lose its worker before it is dead
lease            30s      30s      2s-1h              default
  how long a worker that falls silent keeps its jobs
kill-grace       5s       5s       0s-1h              default
  the time between SIGTERM and SIGKILL when a command is stopped

LOCAL         VALUE                                             FROM
database-url  sqlite:////home/nobody-at-all/.local/share/queue  default
              ctl/queue.db
  the database of the queue; --database-url, QUEUECTL_DATABASE_URL
db-path       /home/nobody-at-all/.local/share/queuectl/queue.  default
              db
  the same as the path of a SQLite file
busy-timeout  20s                                               default
  the longest wait for a locked or restarting database; QUEUECTL_BUSY_TIMEOUT
output        table                                             --output
  the format of results; --output, QUEUECTL_OUTPUT
color         auto                                              default
  when to colour; auto heeds NO_COLOR and FORCE_COLOR; --color, QUEUECTL_COLOR
log-dir       /var/log/queuectl                                 QUEUECTL_LOG_DIR
  the directory of the logs of workers in the background; QUEUECTL_LOG_DIR
spool-dir     /home/nobody-at-all/.local/state/queuectl/spool   default
  the directory of outcomes that the database cannot take; QUEUECTL_SPOOL_DIR
labels                                                          default
  the labels of the workers that are started here; QUEUECTL_LABELS
config file   /home/nobody-at-all/.config/queuectl/config.toml  default
  the file of these settings; QUEUECTL_CONFIG; there is none, and none is needed"""
    )


def test_the_help_of_set_lists_every_key_with_its_range(queuectl: CommandLine, file: Path) -> None:
    shown = queuectl("config", "set", "--help").out
    for key, setting in {**SETTINGS, **LOCAL}.items():
        assert any(line.split() == [key, *setting.range.split()] for line in shown.splitlines()), key
    assert f"kept in {file}:" in shown


def test_a_setting_of_one_queue_wins_there_over_that_of_all(queuectl: CommandLine, home: Path) -> None:
    queuectl("config", "set", "max-retries", "5")
    answer = queuectl("--output", "table", "config", "set", "--queue", "api", "max-retries", "9")
    assert answer.lines == ["max-retries is now 9, from queue api"]
    assert queuectl("config", "get", "max-retries", "--queue", "api").lines == ["9"]
    assert queuectl("config", "get", "max-retries").lines == ["5"]
    shown = queuectl("config", "show", "--queue", "api", "--output", "json").document["policy"]
    assert [(it["key"], it["from"]) for it in shown][:2] == [("max-retries", "queue api"), ("backoff-base", "default")]
    queuectl("config", "unset", "--queue", "api", "max-retries")
    assert queuectl("config", "get", "--queue", "api", "max-retries").lines == ["5"]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (["set", "--queue", "api", "lease", "1m"], 5, "lease holds for all queues: a worker has one lease"),
        (["set", "--queue", "api", "output", "json"], 5, "output is a setting of this user, not of a queue"),
        (["get", "--queue", "api", "output"], 5, "output is a setting of this user, not of a queue"),
        (["set", "--queue", "a b", "max-retries", "1"], 2, "a queue is 1 to 64 letters"),
    ],
)
def test_what_is_no_setting_of_a_queue_is_refused(
    queuectl: CommandLine, home: Path, line: list[str], code: int, words: str
) -> None:
    answer = queuectl("config", *line)
    assert (answer.code, words in answer.err) == (code, True), answer.err
