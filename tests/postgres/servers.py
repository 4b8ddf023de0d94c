"""PostgreSQL servers that tests start, stop, kill and make read-only: processes of local binaries, or containers."""

import os
import pwd
import random
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import psutil
import psycopg
from psycopg import sql

USER = PASSWORD = "queuectl"
READY_WITHIN = 60.0
"""Seconds; a start takes one or two, a recovery or a machine with other work longer."""

SETTINGS: Mapping[str, str] = {
    "max_connections": "200",
    # What a commit has written survives the death of the server all the same: only that of the machine would lose it,
    # and no test brings that about.
    "fsync": "off",
    "full_page_writes": "off",
    # A zone that nobody expects, so that code which takes the server's local time for UTC shows.
    "timezone": "Asia/Kathmandu",
}


class Server(Protocol):
    """A PostgreSQL server of the tests' own."""

    url: str
    """Of the maintenance database, for the superuser; the same after each start."""

    def start(self) -> None:
        """Start it again, and return when it answers."""

    def stop(self) -> None:
        """End all sessions and shut down, as an administrator does (`57P01` for the clients)."""

    def kill(self) -> None:
        """End all its processes with SIGKILL; some sessions may just be able to say why they end (`57P01`)."""

    def close(self) -> None:
        """Stop it, and remove all that it has on disk."""


class ServerFailed(Exception):
    """A server did not start; the message carries the end of its log."""


class ProcessServer:
    """Runs the binaries of an installation; as root, for an unprivileged user: PostgreSQL refuses root."""

    # Reads until the tests' process closes the pipe or dies, however it dies: no server outlives it, and no directory.
    _JANITOR = 'read -r _; kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")" && sleep 1; rm -rf "$1"'

    def __init__(self, bin_directory: Path, settings: Mapping[str, str]) -> None:
        self._user = _unprivileged_user()
        self._home = Path(tempfile.mkdtemp(prefix="queuectl-postgres-", dir=_directory_open_to_all()))
        self._janitor = subprocess.Popen(
            ["/bin/sh", "-c", self._JANITOR, "janitor", str(self._home)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # mostly, there is no server any more
            start_new_session=True,
        )
        self._settings = {**SETTINGS, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if self._user:
                os.chown(self._home, self._user["user"], self._user["group"])
            self._bin = bin_directory if self._can_run(bin_directory) else self._copied(bin_directory)
            self._make_cluster()
            self._start_on_a_free_port()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        settings = [argument for name, value in self._settings.items() for argument in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._bin / "postgres"),
                    *("-D", str(self._home / "data"), "-h", "127.0.0.1", "-p", str(self._port)),
                    # No socket file: its path would have to be short, and tests use TCP as hosts do.
                    *("-c", "unix_socket_directories="),
                    *settings,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
                start_new_session=True,  # Ctrl-C ends the tests, which then end their servers
                **self._user,
            )
        wait_until_ready(self.url, self._failure)

    def stop(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(READY_WITHIN)
            self._process = None

    def kill(self) -> None:
        if self._process:
            postmaster = psutil.Process(self._process.pid)
            postmaster.suspend()  # no new children while they are counted
            processes = [*postmaster.children(recursive=True), postmaster]
            for process in processes:
                process.kill()
            self._process.wait(READY_WITHIN)
            psutil.wait_procs(processes, READY_WITHIN)
            (self._home / "data/postmaster.pid").unlink()  # for the janitor: the number may soon be another process's
            self._process = None

    def close(self) -> None:
        self.stop()
        self._janitor.communicate(b"\n", READY_WITHIN)

    @property
    def _log(self) -> Path:
        return self._home / "server.log"

    def _can_run(self, bin_directory: Path) -> bool:
        """Whether the unprivileged user reaches the program: a checkout below /root is closed to it."""
        try:
            self._run(str(bin_directory / "initdb"), "--version")
        except PermissionError:
            return False
        return True

    def _copied(self, bin_directory: Path) -> Path:
        # The wheel's programs look for their libraries beside the package: keep the two where they are to each other.
        program = bin_directory.parent
        package = program.parent
        copy = self._home / "program" / package.name / program.name
        shutil.copytree(program, copy, symlinks=True, ignore=shutil.ignore_patterns("include"))
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, self._home / "program" / libraries.name)
        return copy / bin_directory.name

    def _make_cluster(self) -> None:
        password = self._home / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run(
            str(self._bin / "initdb"),
            f"--pgdata={self._home / 'data'}",
            f"--username={USER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",  # with `trust`, a wrong password would be as good as the right one
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        )

    def _start_on_a_free_port(self) -> None:
        for attempts_left in (2, 1, 0):
            self._port = free_port()
            self.url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self._port}/postgres"
            try:
                return self.start()
            except ServerFailed:
                # Between our look and the server's, somebody else may have taken the port.
                if not attempts_left or "Address already in use" not in self._log.read_text():
                    raise
        raise AssertionError("unreachable")

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=self._home, capture_output=True, text=True, timeout=READY_WITHIN, **self._user
        )
        if done.returncode:
            raise ServerFailed(f"{command[0]} failed with exit code {done.returncode}: {done.stderr.strip()}")

    def _failure(self) -> str | None:
        if self._process is None or self._process.poll() is None:
            return None
        self._process = None
        return "\n".join(self._log.read_text().splitlines()[-20:])


class ContainerServer:
    """Runs an image that understands what the official PostgreSQL image does, by testcontainers."""

    def __init__(self, image: str, settings: Mapping[str, str]) -> None:
        from testcontainers.community.postgres import PostgresContainer

        options = [option for item in {**SETTINGS, **settings}.items() for option in ("-c", "=".join(item))]
        self._container: Any = (
            PostgresContainer(image, username=USER, password=PASSWORD, dbname="postgres", driver="psycopg")
            .with_command(["postgres", *options])
            # The engine would choose another port at each start, and the tests' clients are to find the server again.
            .with_bind_ports(5432, free_port())
        )
        try:
            self._container.start()
            self.url = self._container.get_connection_url(driver=None)
            wait_until_ready(self.url, self._failure)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        self._container.get_wrapped_container().start()
        wait_until_ready(self.url, self._failure)

    def stop(self) -> None:
        container = self._container.get_wrapped_container()
        container.kill(signal="SIGINT")  # with SIGTERM, the server would wait for its clients to leave
        container.wait(timeout=READY_WITHIN)

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def close(self) -> None:
        self._container.stop()

    def _failure(self) -> str | None:
        container = self._container.get_wrapped_container()
        container.reload()
        return container.logs(tail=20).decode() if container.status in ("exited", "dead") else None


def wait_until_ready(url: str, failure: Callable[[], str | None]) -> None:
    """Return when the server lets us in; raise `ServerFailed` once `failure()` says why, or after a minute."""
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            return psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if reason := failure():
                raise ServerFailed(f"the PostgreSQL server ended while it started:\n{reason}") from error
            if time.monotonic() > deadline:
                raise ServerFailed(f"the PostgreSQL server does not answer: {error}") from error
        time.sleep(0.02)


def execute(url: str, *statements: str | sql.Composed) -> None:
    """Run statements that cannot be in a transaction, as CREATE DATABASE and ALTER SYSTEM."""
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        for statement in statements:
            connection.execute(statement)


def set_read_only(url: str, read_only: bool) -> None:
    """Let every session's next transaction fail to write, with the error (`25006`) that a standby gives."""
    execute(url, f"ALTER SYSTEM SET default_transaction_read_only = {read_only}", "SELECT pg_reload_conf()")
    # The postmaster passes the reload on; a session of ours that sees it says that new sessions do.
    expected = "on" if read_only else "off"
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        with psycopg.connect(url) as connection:
            if connection.execute("SHOW default_transaction_read_only").fetchone() == (expected,):
                return
        time.sleep(0.02)
    raise ServerFailed(f"default_transaction_read_only does not become {expected}")


def create_database(server_url: str, template: str = "template1", name: str | None = None) -> str:
    """Make a database with a name of its own, and return its URL."""
    name = name or f"queuectl_test_{uuid.uuid4().hex[:12]}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    execute(server_url, create)
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


def drop_database(server_url: str, url: str) -> None:
    """Remove a database, with the sessions that a test has left in it."""
    name = database_name(url)
    execute(server_url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def database_name(url: str) -> str:
    """Return the name of the database that a URL leads to."""
    return urlsplit(url).path.removeprefix("/")


def free_port() -> int:
    """Find a port that nobody listens on, below those that the kernel gives to clients.

    A client that tries again and again to reach a stopped server on one of those would sooner or later be given that
    very port, and be connected with itself.
    """
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _unprivileged_user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _directory_open_to_all() -> Path:
    """Return the directory for temporary files, or `/tmp` where root has one that others cannot enter."""
    chosen = Path(tempfile.gettempdir()).resolve()
    open_to_all = all(directory.stat().st_mode & stat.S_IXOTH for directory in (chosen, *chosen.parents))
    return chosen if open_to_all or os.geteuid() != 0 else Path("/tmp")
