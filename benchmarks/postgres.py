"""The PostgreSQL server of a run: found or started as for the tests, but durable, and a database for each use."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.postgres import servers
from tests.postgres.sources import Given, NoPostgres, choose, choose_private

DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "timezone": "UTC"}
"""Over the settings of the tests' servers, which give durability up for speed."""


class Running:
    """A server that answers at a URL."""

    def __init__(self, url: str, origin: str) -> None:
        self._url = url
        self._origin = origin
        self._made: list[str] = []

    def new_database(self) -> str:
        self._made.append(servers.create_database(self._url))
        return self._made[-1]

    def describe(self) -> str:
        with psycopg.connect(self._url) as connection:

            def show(name: str) -> str:
                row = connection.execute(f"SHOW {name}").fetchone()
                return str(row[0]) if row else "?"

            names = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers")
            settings = ", ".join(f"{name}={show(name)}" for name in names)
            return f"{show('server_version')}, {self._origin}; {settings}"

    def directory(self) -> str | None:
        """Where its data is, if that is on this machine."""
        with psycopg.connect(self._url) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        return str(row[0]) if row else None

    def drop_databases(self) -> None:
        while self._made:
            servers.drop_database(self._url, self._made.pop())


@contextmanager
def running() -> Iterator[Running | str]:
    """The server, or in one line why there is none."""
    try:
        source = choose()
        if isinstance(source, Given):
            server, started = Running(source.url, "given by its URL"), None
        else:
            started = choose_private().start(**DURABLE)
            server = Running(started.url, f"started for this run from {source}")
    except (NoPostgres, servers.ServerFailed, psycopg.Error) as reason:
        yield str(reason).splitlines()[0]
        return
    try:
        yield server
    finally:
        server.drop_databases()
        if started:
            started.close()
