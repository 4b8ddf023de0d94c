"""A queue of its own for a drill, in a schema of the user's PostgreSQL database."""

import secrets
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from queuectl.adapters.sql.postgresql.connection import ResponseTimeout, connect, display_name, explained, is_pooled
from queuectl.domain.errors import DatabaseUnreachable


class PostgresScratch:
    """`Scratch` as a schema: nothing but the search path of its URL leads to it, and nothing of it leads out."""

    directory: Path | None = None

    def __init__(self, url: str) -> None:
        self._url = url
        self._schema = f"queuectl_drill_{secrets.token_hex(4)}"

    @property
    def name(self) -> str:
        """The user's database and, as an option, the schema in it."""
        return _with_search_path(display_name(self._url), self._schema)

    def make(self, directory: Path) -> str:
        """Create the schema; the URL of the queue in it. Raises DatabaseUnavailable."""
        del directory
        url = _with_search_path(self._url, self._schema)
        try:
            with connect(self._url, ResponseTimeout()) as connection:
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self._schema)))
            if not self._leads_to_it(url):
                self.remove()
                raise DatabaseUnreachable(
                    f"{display_name(self._url)} does not keep to the search path that it is given",
                    hint="is that a pooler? A drill needs the URL of the server itself",
                )
        except psycopg.Error as error:
            raise explained(error, display_name(self._url), broke=False) from error
        return url

    def remove(self) -> None:
        """Drop the schema with all that is in it. Raises DatabaseUnavailable."""
        try:
            with connect(self._url, ResponseTimeout()) as connection:
                connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self._schema)))
        except psycopg.Error as error:
            raise explained(error, display_name(self._url), broke=False) from error

    def _leads_to_it(self, url: str) -> bool:
        """A pooler may drop a connection's options, and would lead the drill into the user's own queue."""
        with connect(url, ResponseTimeout()) as connection:
            row = connection.execute("SELECT current_schemas(false)").fetchone()
            return row == ([self._schema],) and not is_pooled(connection)


def _with_search_path(url: str, schema: str) -> str:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    query["options"] = f"{query.get('options', '')} -c search_path={schema}".strip()
    # libpq reads %20, and takes a + for what it is.
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))
