"""What surrounds a worker when it is started: its directory, its locale, its terminal, its service manager."""

import os
import signal
import subprocess
from pathlib import Path

from tests.integration.driver import QUEUECTL, Cli, is_running, kill, wait_until


def test_modules_of_the_directory_it_is_started_in_are_not_imported(cli: Cli) -> None:
    for module in ("click", "random", "queuectl"):
        (cli.directory / f"{module}.py").write_text("raise SystemExit('imported from the working directory')")
    cli.start_workers()
    assert cli.wait_for(cli.enqueue("true"))["state"] == "completed"


def test_a_command_gets_its_text_in_utf_8_whatever_the_workers_locale_is(cli: Cli, tmp_path: Path) -> None:
    directory = tmp_path / "größe"
    directory.mkdir()
    cli.start_workers(env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    job = cli.wait_for(cli.enqueue("echo grüße 🎉 $WHO; pwd", env={"WHO": "Zoë"}, cwd=str(directory)))
    assert job["output"] == f"grüße 🎉 Zoë\n{directory}\n"


def test_json_is_json_in_every_encoding_of_stdout(cli: Cli) -> None:
    job_id = cli.enqueue("echo grüße 🎉")
    assert cli.json("info", job_id, env={"PYTHONIOENCODING": "ascii"})["command"] == "echo grüße 🎉"


def test_nohup_protects_workers_from_the_end_of_their_terminal(cli: Cli, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        supervisor = subprocess.Popen(
            ["nohup", QUEUECTL, "worker", "start", "--foreground"],
            env=cli.environ,
            cwd=cli.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: cli.json("status")["workers"])
        os.kill(supervisor.pid, signal.SIGHUP)
        assert cli.wait_for(cli.enqueue("trap"))["output"] == ""  # a trap would be listed if the command inherited it
        assert supervisor.poll() is None
    finally:
        supervisor.terminate()
        assert supervisor.wait(30) == 0


def test_a_service_manager_that_does_not_listen_is_no_reason_to_stop(cli: Cli) -> None:
    cli.environ["NOTIFY_SOCKET"] = str(cli.directory / "nobody")
    cli.start_in_foreground()
    job = cli.wait_for(cli.enqueue("echo ${NOTIFY_SOCKET-unset}"))
    assert job["output"] == "unset\n"


def test_stop_finds_a_supervisor_that_waits_to_replace_its_worker(cli: Cli) -> None:
    workers = cli.start_workers()
    # Each death of a worker has the next one wait twice as long.
    cli.log.wait_for("replaced in 1.6 s", or_until=lambda: _kill_children(workers.supervisor))
    cli.run("worker", "stop")
    wait_until(lambda: not is_running(workers.supervisor))


def _kill_children(pid: int) -> None:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        kill(int(child))
