"""Mistakes in a PostgreSQL URL, named in plain words.

Nothing of a URL is repeated but the name of a parameter, and that only where it cannot be a piece of a password that
somebody forgot to escape. libpq itself would take such a password for a host, a port or a database, or quote it.
"""

import re
from urllib.parse import unquote

from psycopg import pq

from queuectl.domain.errors import DatabaseUnreachable, nearest

FORM = "write postgresql://user@host:5432/database"

BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")


def check_url(url: str) -> None:
    """Raises DatabaseUnreachable for what libpq would refuse, or take for something else than was meant."""
    if url.encode(errors="replace").decode() != url or "\0" in url:
        raise _wrong("has bytes that are no UTF-8", "write them as escapes: 0xe9 as %E9")
    rest = url.partition("://")[2]
    before = rest.partition("/")[0]  # so far libpq looks for the @
    if before.count("@") > 1:
        raise _wrong("has more than one @", "write an @ in a user or password as %40")
    credentials, at, _ = before.rpartition("@")
    address, _, query = rest.removeprefix(credentials + at).partition("?")
    host, _, path = address.partition("/")
    if not at and "@" in path:
        raise _wrong("has an @ after a /", "write a / in a user or password as %2F, and an @ in other places as %40")
    if host.startswith("[") and "]" not in host:
        raise _wrong("has an IPv6 address without its ]", "write [::1]:5432")
    for part, text in {"user or password": credentials, "host": host, "database": path, "parameters": query}.items():
        if BROKEN_ESCAPE.search(text):
            raise _wrong(f"has a % in its {part} that begins no escape", "write a % as %25")
    for parameter in query.split("&") if query else ():
        _check_parameter(parameter, may_be_password=not at and "@" in query)


def check_ports(ports: str) -> None:
    """The same for the ports, one for each host. They are a password where `postgresql://user:password` has no host."""
    for port in ports.split(","):
        if port and not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
            raise _wrong("has a port that is no number from 1 to 65535", FORM)


def _check_parameter(parameter: str, *, may_be_password: bool) -> None:
    key, equals, value = parameter.partition("=")
    name = unquote(key)
    known = [option.keyword.decode() for option in pq.Conninfo.get_defaults()]
    if name not in known and (name, value) != ("ssl", "true"):  # which libpq knows from JDBC
        if may_be_password or not re.fullmatch(r"\w{1,40}", name):
            raise _wrong("has an unknown parameter", "escape what belongs to a user or password as in URLs")
        near = nearest(name.lower(), known)
        raise _wrong(
            f"has an unknown parameter {name}" + (f": did you mean {near}?" if near else ""),
            "the parameters are those of libpq: https://www.postgresql.org/docs/current/libpq-connect.html",
        )
    if not equals:
        raise _wrong(f"has a parameter {name} without a value", f"write {name}=VALUE")
    if "=" in value:
        raise _wrong(f"has a second = in its parameter {name}", "write a = in a value as %3D")


def _wrong(what: str, hint: str) -> DatabaseUnreachable:
    return DatabaseUnreachable(f"the database URL {what}", hint=hint)
