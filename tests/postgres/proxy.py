"""A TCP proxy between queuectl and its server, which swallows and cuts what passes through it, when a test says so."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit

CHUNK = 65536
REMEMBERED = 500_000
"""Bytes that are kept of what a client said, to know its connection by."""


@dataclass(eq=False)
class _Link:
    """One client's connection, and ours to the server for it."""

    client: socket.socket
    server: socket.socket
    said: bytes = b""
    transaction: bytes = b""
    is_swallowed: bool = False
    cut: "CommitCut | None" = None
    closed: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False)
class CommitCut:
    """The order to cut a connection at a COMMIT. `of`: only of a transaction in which the client said that."""

    of: bytes
    is_made: bool
    after: int
    refuse_then: bool
    happened: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Listens on loopback and passes everything on to the server of a URL, until it is told otherwise."""

    def __init__(self, server_url: str) -> None:
        parts = urlsplit(server_url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()
        self._lock = threading.RLock()
        self._links: set[_Link] = set()
        self._swallows: bytes | None = None
        self._refuses = False
        self._cut: CommitCut | None = None
        self._is_closed = False
        self._rate: float | None = None
        self.accepted = 0
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def swallow(self, of: bytes = b"") -> None:
        """Go on accepting connections and data, but pass nothing on and never answer: neither side learns of it.

        `of`: only on connections on which the client has said that. What is swallowed once stays so after `heal`, as
        when a firewall has forgotten a connection.
        """
        with self._lock:
            self._swallows = of
            for link in self._links:
                link.is_swallowed = link.is_swallowed or of in link.said

    def cut(self) -> None:
        """Break all connections at once, for both sides."""
        with self._lock:
            for link in list(self._links):
                self._break(link)

    def refuse(self) -> None:
        """Break all connections, and every new one."""
        with self._lock:
            self._refuses = True
            self.cut()

    def slow_down(self, rate: float) -> None:
        """Pass on no more than so many bytes a second of what each client says."""
        self._rate = rate

    def heal(self) -> None:
        """Serve new connections again."""
        with self._lock:
            self._swallows, self._refuses, self._cut = None, False, None

    def cut_commit(
        self, of: bytes = b"", *, is_made: bool = True, after: int = 0, refuse_then: bool = False
    ) -> CommitCut:
        """Break one connection when its client commits, after that many commits of all connections have passed.

        With `is_made` the server has committed by then, and only its answer is lost; else it has never heard of it.
        `refuse_then`: nobody gets through afterwards.
        """
        with self._lock:
            self._cut = CommitCut(of, is_made, after, refuse_then)
            return self._cut

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                if self._refuses:
                    _reset(client)
                    continue
                try:
                    server = socket.create_connection(self._server, timeout=10)
                except OSError:
                    _reset(client)
                    continue
                server.settimeout(None)
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link = _Link(client, server, is_swallowed=self._swallows == b"")
                self._links.add(link)
            for pump in (self._from_client, self._from_server):
                threading.Thread(target=self._pumped, args=(pump, link), daemon=True).start()

    def _pumped(self, pump: Callable[[_Link], None], link: _Link) -> None:
        with contextlib.suppress(OSError):
            pump(link)
        self._break(link)

    def _from_client(self, link: _Link) -> None:
        while data := link.client.recv(CHUNK):
            with self._lock:
                self._look_at(link, data)
                cut = self._cut_at(link, data)
                if cut and not cut.is_made:
                    self._carry_out(cut, link)
                    return
                link.cut = cut
            if self._rate is not None:
                time.sleep(len(data) / self._rate)
            if not link.is_swallowed:
                link.server.sendall(data)

    def _from_server(self, link: _Link) -> None:
        while data := link.server.recv(CHUNK):
            if link.cut:
                with self._lock:
                    self._carry_out(link.cut, link)
                return
            if not link.is_swallowed:
                link.client.sendall(data)

    def _look_at(self, link: _Link, data: bytes) -> None:
        link.said = (link.said + data)[-REMEMBERED:]
        link.transaction = data if b"BEGIN" in data else link.transaction + data
        if self._swallows is not None and self._swallows in link.said:
            link.is_swallowed = True

    def _cut_at(self, link: _Link, data: bytes) -> CommitCut | None:
        cut = self._cut
        if cut is None or b"COMMIT" not in data or cut.of not in link.transaction:
            return None
        if cut.after:
            cut.after -= 1
            return None
        self._cut = None
        return cut

    def _carry_out(self, cut: CommitCut, link: _Link) -> None:
        if cut.refuse_then:
            self.refuse()
        self._break(link)
        cut.happened.set()

    def _break(self, link: _Link) -> None:
        with self._lock:
            self._links.discard(link)
            if link.closed.is_set():
                return
            link.closed.set()
            # The server has read and answered all it was sent, or has been sent nothing since: it sees an orderly end.
            for end in (link.server, link.client):
                _reset(end)


def _reset(end: socket.socket) -> None:
    """Close with RST instead of FIN (socket(7), SO_LINGER); wakes the thread that reads from it."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RD)
    end.close()
