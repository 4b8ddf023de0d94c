"""What is kept of a command's output: all of it, or its head and tail."""

from collections import deque

from queuectl.domain.outcome import Output


class OutputBuffer:
    """Keeps at most `limit` bytes of a stream of any length: the first half of them and the last."""

    def __init__(self, limit: int) -> None:
        self._head_room = limit - limit // 2
        self._tail_limit = limit // 2
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._dropped = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        if self._head_room:
            kept, chunk = chunk[: self._head_room], chunk[self._head_room :]
            self._head.append(kept)
            self._head_room -= len(kept)
        if chunk:
            self._tail.append(chunk)
            self._tail_size += len(chunk)
            self._trim()

    def output(self) -> Output:
        """What is kept so far, with a line in the gap that says how many bytes were dropped."""
        gap = [b"\n[queuectl: %d bytes dropped]\n" % self._dropped] if self._dropped else []
        return Output(content=b"".join([*self._head, *gap, *self._tail]), truncated=bool(gap))

    def _trim(self) -> None:
        while (excess := self._tail_size - self._tail_limit) > 0:
            first = self._tail.popleft()
            if len(first) > excess:
                self._tail.appendleft(first[excess:])
            dropped = min(len(first), excess)
            self._tail_size -= dropped
            self._dropped += dropped
