"""A network whose one machine is this process: what hosts send to its port 5432 goes on to the server elsewhere.

Run in a network namespace of its own, with a descriptor of the network namespace from which the server is reached,
the server's host, and its port. Says "up" on stdout, and ends when stdin does.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import sys
import threading

CLONE_NEWNET = 0x40000000
PORT = 5432
CHUNK = 65536


def main(elsewhere: int, server: str, port: int) -> None:
    listening = socket.create_server(("0.0.0.0", PORT), backlog=100)
    threading.Thread(target=forward, args=(listening, elsewhere, server, port), daemon=True).start()
    print("up", flush=True)  # noqa: T201
    sys.stdin.read()


def forward(listening: socket.socket, elsewhere: int, server: str, port: int) -> None:
    # For this thread alone (setns(2)): the socket it accepts from stays in the network where it was made.
    if ctypes.CDLL(None, use_errno=True).setns(elsewhere, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        probe(writer.get_extra_info("socket"))
        from_server, to_server = await asyncio.open_connection(server, port)
        await asyncio.gather(pump(reader, to_server), pump(from_server, writer))

    async def accept() -> None:
        async with await asyncio.start_server(serve, sock=listening) as accepting:
            await accepting.serve_forever()

    asyncio.run(accept())


def probe(host: socket.socket) -> None:
    """Find out that the host is gone as the server itself would: each session of queuectl asks it for these probes."""
    host.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3)):
        host.setsockopt(socket.IPPROTO_TCP, option, value)
    host.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # a reset ends it as an end of file does
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    os._exit(0)  # the other thread would be waited for
