"""The first call makes the queue: in the right place, for its owner's eyes only, whatever the umask."""

import json
import stat
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.integration.driver import Cli

pytestmark = pytest.mark.sqlite_only


def modes(paths: Iterable[Path]) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}


def test_the_first_call_makes_the_queue_in_the_users_data_directory(newcomer: Cli) -> None:
    home = newcomer.home / ".local" / "share"
    home.mkdir(parents=True)
    job_id = newcomer.run("enqueue", '{"command": "true"}', umask=0).stdout.strip()
    directory = home / "queuectl"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert modes(directory.iterdir()) == {"queue.db": 0o600, "queue.db-lock": 0o600}
    assert list(newcomer.jobs()) == [job_id]


READERS = (
    *("status", "list", "info x", "cancel x", "retry x", "dlq list", "dlq retry x", "dlq remove x", "metrics"),
    *("config get", "config show", "config set max-retries 1", "config unset lease", "worker status"),
)


def test_no_other_command_makes_a_queue_where_there_is_none(newcomer: Cli) -> None:
    path = newcomer.directory / "new" / "queue.db"
    newcomer.environ["QUEUECTL_DATABASE_URL"] = f"sqlite:///{path}"
    transfer = f"transfer --from sqlite:///{path} --to sqlite:///{newcomer.directory}/copy.db"
    for command in (*READERS, transfer):
        result = newcomer.run(*command.split(), check=False)
        assert result.code == 6, command
        assert [error.endswith(f"there is no queue at {path}") for error in result.errors] == [True], command
        assert "`queuectl init` or `queuectl enqueue` creates it" in result.stderr
        assert not list(newcomer.directory.iterdir())


def test_worker_stop_needs_no_queue_says_that_there_is_none_and_makes_none(newcomer: Cli) -> None:
    path = newcomer.directory / "new" / "queue.db"
    newcomer.environ["QUEUECTL_DATABASE_URL"] = f"sqlite:///{path}"
    result = newcomer.run("worker", "stop")
    assert f"there is no queue at {path}" in result.stderr
    assert "no workers are running on this machine\n" in result.stderr
    assert not list(newcomer.directory.iterdir())


@pytest.mark.parametrize("command", ["init", "enqueue -- true", "worker start"])
def test_these_do(newcomer: Cli, command: str) -> None:
    path = newcomer.directory / "new" / "queue.db"
    newcomer.environ["QUEUECTL_DATABASE_URL"] = f"sqlite:///{path}"
    newcomer.run(*command.split())
    assert newcomer.run("list", "--output", "json").code == 0


def test_an_empty_file_is_made_a_queue_by_the_same(newcomer: Cli) -> None:
    path = newcomer.directory / "queue.db"
    path.touch()
    newcomer.environ["QUEUECTL_DATABASE_URL"] = f"sqlite:///{path}"
    result = newcomer.run("status", check=False)
    assert (result.code, result.errors) == (6, [f"there is no queue in {path}: the file is empty"])
    assert path.stat().st_size == 0
    job_id = newcomer.enqueue("true")
    assert list(newcomer.jobs()) == [job_id]


def test_commands_are_not_given_the_workers_umask_but_the_users(newcomer: Cli) -> None:
    newcomer.environ["QUEUECTL_DATABASE_URL"] = f"sqlite:///{newcomer.directory}/queue.db"
    newcomer.start_workers(umask=0o027)
    assert newcomer.wait_for(newcomer.enqueue("umask"))["output"] == "0027\n"


def test_init_says_what_it_did_and_does_it_once(newcomer: Cli) -> None:
    path = newcomer.directory / "queue.db"
    newcomer.environ["QUEUECTL_DATABASE_URL"] = f"sqlite:///{path}"
    assert newcomer.run("init").stdout == f"created the queue in {path}\n"
    assert newcomer.json("init") == {
        "database": f"sqlite:///{path}",
        "changed": False,
        "message": f"sqlite:///{path} is up to date; there was nothing to do",
    }


def test_the_config_file_says_where_the_queue_is(newcomer: Cli) -> None:
    config = newcomer.home / ".config" / "queuectl" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'db-path = "{newcomer.directory}/chosen.db"\noutput = "json"\n')
    newcomer.run("init")
    assert json.loads(newcomer.run("list").stdout) == []
    assert (newcomer.directory / "chosen.db").exists()


def test_a_newcomer_says_where_the_queue_is_before_there_is_one(newcomer: Cli) -> None:
    assert (
        newcomer.run("config", "set", "db-path", "~/mine/jobs.db").stdout == f"db-path\t{newcomer.home}/mine/jobs.db\n"
    )
    shown = newcomer.run("config", "show", check=False)
    assert shown.code == 6
    assert shown.errors[0].endswith(f"there is no queue at {newcomer.home}/mine/jobs.db")
    assert {path.name for path in newcomer.home.iterdir()} == {".config"}
    newcomer.enqueue("true", id="first")
    assert (newcomer.home / "mine" / "jobs.db").exists()
    assert newcomer.run("config", "show").stdout.count(str(newcomer.home / ".config/queuectl/config.toml")) == 4


def test_workers_keep_their_logs_and_outcomes_below_the_home_directory(newcomer: Cli) -> None:
    del newcomer.environ["QUEUECTL_LOG_DIR"]
    newcomer.environ["QUEUECTL_SPOOL_DIR"] = "~/spool"
    newcomer.run("config", "set", "log-dir", "~/log")
    started = newcomer.json("worker", "start")
    assert Path(started["log"]).parent == newcomer.home / "log"
    newcomer.run("worker", "stop")
    assert not (newcomer.directory / "~").exists()
