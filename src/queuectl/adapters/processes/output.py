"""What is kept of a command's output: all of it, or its head and tail."""

from queuectl.domain.attempt import Output

SLACK = 65536
"""Bytes by which the tail may be too long before it is cut: cutting at each chunk would move it each time."""


class OutputBuffer:
    """Keeps at most `limit` bytes of a stream of any length: the first half of them and the last."""

    def __init__(self, limit: int) -> None:
        self._head_limit = limit - limit // 2
        self._tail_limit = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        room = self._head_limit - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        if len(self._tail) > self._tail_limit + SLACK:
            self._cut()

    def output(self) -> Output:
        """What is kept so far, with a line in the gap that says how many bytes were dropped."""
        self._cut()
        gap = b"\n[queuectl: %d bytes dropped]\n" % self._dropped if self._dropped else b""
        return Output(content=bytes(self._head + gap + self._tail), truncated=bool(gap))

    def _cut(self) -> None:
        excess = max(0, len(self._tail) - self._tail_limit)
        del self._tail[:excess]
        self._dropped += excess
