"""What each kind of command loads, which is nearly all of the time that it takes: counted here, not timed."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from queuectl.entrypoints.cli.program import Program, program

CLI = "entrypoints.cli."

LIBRARIES = frozenset(
    {
        "alembic",
        "asyncio",
        "ctypes",
        "dataclasses",
        "dependency_injector",
        "difflib",
        "hashlib",
        "json",
        "logging",
        "msgspec",
    }
    | {"pathlib", "psycopg", "rich", "secrets", "shutil", "sqlalchemy", "subprocess", "tempfile", "tomlkit", "tomllib"}
)
"""Those that take a while to load."""

CLICKS_OWN = {"shutil"}
"""What click itself loads to format help."""

BY_SETTINGS = {"dataclasses", "pathlib", "shutil", "tempfile"}
"""What the settings load: platformdirs the last two."""

BY_CONTAINER = {"asyncio", "dependency_injector", "logging", "subprocess"}
"""What dependency_injector loads, with itself."""

ALWAYS = {CLI + name for name in ("app", "commands", "failures", "program", "wording")} | {
    "domain.errors",
    "domain.suggestion",
    "formats",
}

DECLARING = {"domain.state", "domain.duration", CLI + "params"}
"""What the options of some command are declared with."""

OPERATING = (
    {f"domain.{name}" for name in ("duration", "job", "outcome", "policy", "ports", "retry", "state")}
    | {f"adapters.sql.{name}" for name in ("compiled", "database", "jobs", "measurements", "migration", "prepared")}
    | {f"adapters.sql.{name}" for name in ("sqlite", "sqlite_announcements", "sqlite_storage", "values", "workers")}
    | {
        "adapters.sql.claiming",
        "adapters.sql.log",
        "adapters.sql.reading",
        "adapters.sql.write_queue",
        "adapters.system",
        "application.queue",
        "container",
        "settings",
    }
)
"""What a command needs to ask a queue on SQLite."""


def loaded_by(*lines: str, database: Path | None = None) -> tuple[set[str], set[str]]:
    """What a process that runs these command lines loads: our modules, but for empty packages, and of `LIBRARIES`."""
    code = """if True:
        import sys
        before = set(sys.modules)  # an environment may load some at the start of every Python
        import contextlib, os
        from queuectl.entrypoints.cli.program import run
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            for line in sys.argv[1:]:
                run(line.split())
        loaded = {name: module for name, module in sys.modules.items() if name not in before}
        print(*(name for name, module in loaded.items() if "queuectl" not in name or not hasattr(module, "__path__")))
    """
    environ = {**os.environ, "XDG_CONFIG_HOME": "/nowhere", "QUEUECTL_DATABASE_URL": f"sqlite:///{database}"}
    command = [sys.executable, "-c", code, *lines]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    return {name.removeprefix("queuectl.") for name in loaded if name.startswith("queuectl.")}, LIBRARIES & loaded


def lines_of_all(group: click.Group, path: str = "") -> list[str]:
    """The names of all commands, with those of their groups."""
    lines = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        lines += [
            f"{path}{name}",
            *(lines_of_all(command, f"{path}{name} ") if isinstance(command, click.Group) else []),
        ]
    return lines


COMMANDS = {target.removeprefix("queuectl.").partition(":")[0] for target, _ in Program.lazy.values()}
"""The modules that declare the commands."""


@pytest.mark.parametrize("line", ["--help", "--version", ""])
def test_the_programs_own_help_loads_no_command(line: str) -> None:
    ours, libraries = loaded_by(line)
    assert ours == ALWAYS
    assert libraries <= CLICKS_OWN


LISTS_KEYS = "config set"
"""The one command whose help is made from what the program knows, not only from its declaration."""


def test_the_help_of_commands_loads_what_declares_them_and_nothing_that_they_work_with() -> None:
    ours, libraries = loaded_by(*(f"{line} --help" for line in lines_of_all(program) if line != LISTS_KEYS))
    assert ours == ALWAYS | DECLARING | COMMANDS
    assert libraries <= CLICKS_OWN


def test_the_help_that_lists_the_settings_loads_their_tables() -> None:
    ours, libraries = loaded_by(f"{LISTS_KEYS} --help")
    assert ours - ALWAYS - DECLARING - COMMANDS == {"settings", "domain.policy", "domain.retry"}
    assert libraries <= BY_SETTINGS


def test_a_local_setting_is_changed_without_what_speaks_to_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_CONFIG", str(tmp_path / "config.toml"))
    ours, libraries = loaded_by("config set output json", database=tmp_path / "queue.db")
    assert not {name for name in ours if name.startswith(("adapters", "container"))}
    assert "tomlkit" in libraries
    assert not libraries & {"asyncio", "dependency_injector", "rich", "sqlalchemy"}


@pytest.mark.parametrize("line", ["bogus", "list --bogus", "info", "enqueue --priority high", "worker start --count 0"])
def test_a_usage_error_loads_the_settings_too_which_know_the_output(line: str) -> None:
    ours, libraries = loaded_by(line)
    assert ours - ALWAYS - DECLARING - COMMANDS - {CLI + "foreign_words"} == {"settings"}
    assert libraries <= BY_SETTINGS | {"difflib"}


@pytest.mark.parametrize(
    ("line", "besides", "shown_by"),
    [
        ("enqueue -- true", {"domain.document"}, {"enqueuing", "batch", "views"}),
        ("status", set(), {"tables", "views"}),
        ("worker status", set(), {"tables", "views"}),
        ("list", set(), {"listing", "tables", "views"}),
        ("dlq list", set(), {"listing", "tables", "views"}),
        ("info j", set(), {"tables", "views"}),
        ("config get", set(), {"tables", "views"}),
    ],
)
def test_a_command_loads_what_it_asks_the_queue_with_and_nothing_of_a_workers(
    line: str, besides: set[str], shown_by: set[str], tmp_path: Path
) -> None:
    loaded_by("init", database=tmp_path / "queue.db")
    ours, libraries = loaded_by(line, database=tmp_path / "queue.db")
    assert ours - ALWAYS - DECLARING - COMMANDS - OPERATING == besides | {
        f"{CLI}{name}" for name in {"output", *shown_by}
    }
    assert libraries <= BY_CONTAINER | BY_SETTINGS | {"json"}


@pytest.mark.parametrize(
    ("queues", "are_compiled_ahead"), [([], True), (["--queue=a"], True), (["--queue=a", "--queue=b"], False)]
)
def test_a_supervisor_has_all_loaded_that_its_workers_run_before_it_forks(
    queues: list[str], are_compiled_ahead: bool, tmp_path: Path
) -> None:
    """Else a worker that is replaced after an upgrade would be of two versions; and each would load it for itself."""
    code = """if True:
        import os, sys
        from queuectl.entrypoints.cli.program import run

        def fork():
            print(*sys.modules, flush=True)
            os._exit(0)

        os.fork = fork
        run(["worker", "start", "--foreground", *sys.argv[1:]])
    """
    environ = {**os.environ, "XDG_CONFIG_HOME": "/nowhere", "QUEUECTL_DATABASE_URL": f"sqlite:///{tmp_path}/queue.db"}
    done = subprocess.run(
        [sys.executable, "-c", code, *queues], env=environ, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    worker = {"application.worker", "application.rescue", "application.settling", "adapters.outcome_spool"}
    worker |= {"adapters.subprocess_runner", "adapters.containment", "adapters.event_log", "adapters.log_stream"}
    worker |= {"domain.events"}
    assert {f"queuectl.{name}" for name in worker} <= loaded
    assert ("sqlalchemy" in loaded) is not are_compiled_ahead
