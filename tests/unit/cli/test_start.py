"""What each kind of command loads, which is nearly all of the time that it takes: counted here, not timed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import queuectl
from queuectl.entrypoints.cli.program import program

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

BY_DECLARATIONS = {"dataclasses"}
"""What the options of some command are declared with."""

BY_SETTINGS = {"dataclasses", "pathlib", "shutil", "tempfile"}
"""What the settings load: platformdirs the last two."""

BY_CONTAINER = {"asyncio", "dependency_injector", "logging", "subprocess"}
"""What dependency_injector loads, with itself."""

SOURCE = Path(queuectl.__file__).parent

KIB = 1024


class Loaded(NamedTuple):
    """What a process has loaded: of `LIBRARIES`, and of our own modules by name, with the bytes of their sources."""

    libraries: set[str]
    ours: dict[str, int]

    def assert_within(self, *, modules: int, kib: int) -> None:
        """The ceiling is a little above what there is: whoever raises it knows what a start costs."""
        size = sum(self.ours.values())
        assert len(self.ours) <= modules, sorted(self.ours)
        assert size <= kib * KIB, f"{size / KIB:.1f} KiB in {sorted(self.ours)}"


def loaded_by(*lines: str, database: Path | None = None) -> Loaded:
    """What a process that runs these command lines loads."""
    code = """if True:
        import sys
        before = set(sys.modules)  # an environment may load some at the start of every Python
        import contextlib, os
        from queuectl.entrypoints.cli.program import run
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            for line in sys.argv[1:]:
                run(line.split())
        print(*(name for name in sys.modules if name not in before))
    """
    environ = {**os.environ, "XDG_CONFIG_HOME": "/nowhere", "QUEUECTL_DATABASE_URL": f"sqlite:///{database}"}
    command = [sys.executable, "-c", code, *lines]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    return Loaded(LIBRARIES & loaded, {name: _size_of(name) for name in loaded if name.split(".")[0] == "queuectl"})


def _size_of(module: str) -> int:
    path = SOURCE.joinpath(*module.split(".")[1:])
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).stat().st_size


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


@pytest.mark.parametrize("line", ["--help", "--version", ""])
def test_the_programs_own_help_loads_no_command(line: str) -> None:
    loaded = loaded_by(line)
    loaded.assert_within(modules=16, kib=75)
    assert loaded.libraries <= CLICKS_OWN


SPEAKS_JSON = ("enqueue",)
"""Its options are those of the job document."""

KNOW_THE_SETTINGS = ("config", "init", "doctor", "transfer")


def test_the_help_of_commands_loads_no_library_that_they_work_with() -> None:
    others = [line for line in lines_of_all(program) if line.split()[0] not in SPEAKS_JSON + KNOW_THE_SETTINGS]
    loaded = loaded_by(*(f"{line} --help" for line in others))
    loaded.assert_within(modules=68, kib=310)
    assert loaded.libraries <= CLICKS_OWN | BY_DECLARATIONS


def test_the_help_of_enqueue_loads_the_job_document() -> None:
    loaded = loaded_by(*(f"{line} --help" for line in SPEAKS_JSON))
    loaded.assert_within(modules=56, kib=260)
    assert loaded.libraries <= CLICKS_OWN | BY_DECLARATIONS | {"json", "pathlib"}


def test_the_help_that_lists_the_settings_loads_their_tables() -> None:
    loaded = loaded_by(*(f"{line} --help" for line in KNOW_THE_SETTINGS))
    loaded.assert_within(modules=60, kib=275)
    assert loaded.libraries <= BY_SETTINGS


def test_a_local_setting_is_changed_without_what_speaks_to_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_CONFIG", str(tmp_path / "config.toml"))
    loaded = loaded_by("config set output json", database=tmp_path / "queue.db")
    assert not {name for name in loaded.ours if name.startswith(("queuectl.adapters", "queuectl.container"))}
    assert "tomlkit" in loaded.libraries
    assert not loaded.libraries & {"asyncio", "dependency_injector", "rich", "sqlalchemy"}


@pytest.mark.parametrize("line", ["bogus", "list --bogus", "info", "enqueue --priority high", "worker start --count 0"])
def test_a_usage_error_loads_the_settings_too_which_know_the_output(line: str) -> None:
    loaded = loaded_by(line)
    loaded.assert_within(modules=56, kib=270)
    assert loaded.libraries <= BY_SETTINGS | {"difflib", "json"}


@pytest.mark.parametrize(
    "line", ["enqueue -- true", "status", "worker status", "list", "dlq list", "info j", "config get"]
)
def test_a_command_loads_what_it_asks_the_queue_with_and_nothing_of_a_workers(line: str, tmp_path: Path) -> None:
    loaded_by("init", database=tmp_path / "queue.db")
    loaded = loaded_by(line, database=tmp_path / "queue.db")
    loaded.assert_within(modules=96, kib=680)
    assert not {name for name in loaded.ours if name.startswith(("queuectl.adapters.processes", "queuectl.drill"))}
    assert loaded.libraries <= BY_CONTAINER | BY_SETTINGS | {"json"}


@pytest.mark.parametrize("framework", ["fastapi", "starlette", "werkzeug"])
def test_the_container_loads_no_web_framework_that_happens_to_be_installed(framework: str, tmp_path: Path) -> None:
    """dependency_injector would: it takes up to a quarter of a second."""
    (tmp_path / framework).mkdir()
    (tmp_path / framework / "__init__.py").write_text("print('loaded')")
    code = f"import queuectl.container, sys; print({framework!r} in sys.modules); import {framework}"
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "loaded"]


@pytest.mark.parametrize("queues", [[], ["--queue=a"], ["--queue=a", "--queue=b"]])
def test_a_supervisor_has_all_loaded_that_its_workers_run_before_it_forks(queues: list[str], tmp_path: Path) -> None:
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
    worker = {"application.work.worker", "application.work.settle", "application.duties.rescue", "domain.events"}
    worker |= {"adapters.processes.runner", "adapters.processes.tree", "adapters.spool"}
    worker |= {"adapters.observers.log", "adapters.observers.log_stream"}
    assert {f"queuectl.{name}" for name in worker} <= loaded
    assert "sqlalchemy" not in loaded
