"""Commands that call queuectl themselves: they reach the queue that runs them, and are given no secret."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.probe import FaultProbe
from tests.integration.driver import QUEUECTL, Cli, wait_until
from tests.integration.ledger import Ledger

pytestmark = pytest.mark.fault("F92")


@pytest.fixture(autouse=True)
def passfile(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """The password, in a file that a variable names, where a test's database has one."""
    cli: Cli = request.getfixturevalue("cli" if "cli" in request.fixturenames else "newcomer")
    password = urlsplit(cli.environ.get("QUEUECTL_DATABASE_URL", "")).password
    if "postgres_url" in request.fixturenames:
        password = urlsplit(request.getfixturevalue("postgres_url")).password
    if password:
        file = tmp_path / "pgpass"
        file.touch(mode=0o600)
        file.write_text(f"*:*:*:*:{password}\n")
        cli.environ["PGPASSFILE"] = str(file)
    return password


def test_a_command_enqueues_into_the_queue_that_runs_it(cli: Cli, ledger: Ledger, probe: FaultProbe) -> None:
    parent = probe.enqueue_silent([QUEUECTL, "enqueue", "--id", "child", "-c", f"{QUEUECTL} list --output id"])
    cli.start_workers()
    assert cli.wait_for(parent)["state"] == "completed"
    child = cli.wait_for("child")
    assert (child["state"], child["output"].split()) == ("completed", ["child", parent])
    probe.check(faultless=True)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("said", ["config file", "flag", "relative", "nothing"])
def test_a_queue_is_reached_however_it_was_said(newcomer: Cli, said: str) -> None:
    flag, config = [], newcomer.directory / "mine.toml"
    match said:
        case "config file":
            config.write_text(f'db-path = "{newcomer.directory}/q.db"')
            newcomer.environ["QUEUECTL_CONFIG"] = str(config)
        case "flag":
            flag = ["--database-url", f"sqlite:///{newcomer.directory}/q.db"]
        case "relative":
            newcomer.environ["QUEUECTL_DATABASE_URL"] = "sqlite:///q.db"
    job = {"command": f"cd / && {QUEUECTL} enqueue --id child -- true", "env": {"HOME": "/nowhere"}}
    newcomer.run("enqueue", *flag, json.dumps({"id": "parent", **job}))
    newcomer.run("worker", "start", *flag)

    def states() -> dict[str, str]:
        return {job["id"]: job["state"] for job in json.loads(newcomer.run("list", *flag, "--output", "json").stdout)}

    wait_until(lambda: states() == {"parent": "completed", "child": "completed"})
    newcomer.run("worker", "stop", *flag)


@pytest.mark.sqlite_only
def test_what_a_job_says_of_the_queue_itself_is_left_as_it_is(cli: Cli) -> None:
    other = f"sqlite:///{cli.directory}/other.db"
    parent = cli.enqueue([QUEUECTL, "enqueue", "--id", "child", "--", "true"], env={"QUEUECTL_DATABASE_URL": other})
    cli.start_workers()
    assert cli.wait_for(parent)["state"] == "completed"
    assert list(cli.jobs()) == [parent]
    assert "child" in cli.run("list", "--database-url", other).stdout


def test_a_command_is_not_given_the_password(postgres_url: str, newcomer: Cli, passfile: str | None) -> None:
    parts = urlsplit(postgres_url)
    password = passfile or "sekret"
    url = parts._replace(netloc=f"{parts.username}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
    newcomer.environ |= {"QUEUECTL_DATABASE_URL": url, "PGPASSWORD": password, "PGSSLMODE": "prefer"}
    newcomer.start_workers()
    ended = newcomer.wait_for(newcomer.enqueue(f"env; {QUEUECTL} enqueue --id child -- true"))
    assert ended["state"] == "completed"
    assert password not in ended["output"].replace(urlsplit(postgres_url).username or "", "")
    assert "sslmode=prefer" in ended["output"]  # which the worker was told by a variable
    newcomer.wait_for("child", "completed")


def test_a_password_that_is_missing_is_told_with_where_to_put_it(cli: Cli, tmp_path: Path) -> None:
    # A server that asks for a password, which the one of the tests does not.
    server = tmp_path / "server.py"
    server.write_text(
        "import socket, struct\n"
        "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
        "while True:\n"
        "    c, _ = s.accept()\n"
        "    c.recv(8); c.send(b'N'); c.recv(9999)\n"
        "    c.send(b'R' + struct.pack('!ii', 8, 3)); c.close()\n"
    )
    script = (
        f"exec 3< <(exec python3 {server}); server=$!; read port <&3; "
        f"PGPASSFILE=/nowhere {QUEUECTL} list --database-url postgresql://me@127.0.0.1:$port/q; code=$?; kill $server; "
        "exit $code"
    )
    cli.start_workers()
    ended = cli.wait_for(cli.enqueue(["bash", "-c", script], max_retries=0))
    assert ended["exit_code"] == 6
    assert "put it in ~/.pgpass, or as PGPASSWORD in the job's env" in ended["output"]


def test_a_job_that_stops_its_workers_does_not_wait_for_itself(cli: Cli, ledger: Ledger, probe: FaultProbe) -> None:
    job_id = probe.enqueue(f"{QUEUECTL} worker stop")
    workers = cli.start_workers()
    ended = cli.wait_for(job_id)
    assert ended["state"] == "completed"
    assert "not waiting" in ended["output"]
    wait_until(lambda: not cli.own_processes())
    workers.log.assert_exactly(f"job {job_id} attempt 1 started")
    probe.check(faultless=True)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("how", ["", "--foreground"])
def test_a_job_that_starts_workers_is_told_why_it_cannot(cli: Cli, how: str) -> None:
    job_id = cli.enqueue(f"{QUEUECTL} worker start {how}", max_retries=0)
    cli.start_workers()
    ended = cli.wait_for(job_id)
    assert (ended["state"], ended["exit_code"]) == ("dead", 1)
    assert "would be killed when the job ends" in ended["output"]
    assert len(cli.json("worker", "status")) == 1
