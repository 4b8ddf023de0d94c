"""A command's output: the pipe through which it comes, and what is kept of it."""

import fcntl
import os
import struct
import termios
from typing import Protocol

from queuectl.adapters.processes.watch import Watch
from queuectl.domain.attempt import Output

CHUNK = 65536
"""Bytes read at a time: the capacity of a Linux pipe (pipe(7))."""

SLACK = 65536
"""Bytes by which the tail may be too long before it is cut: cutting at each chunk would move it each time."""


class OutputSink(Protocol):
    """Takes a command's output as it comes, and keeps of it what the job's result is to show."""

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""

    def output(self) -> Output:
        """Return what is kept so far."""


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
        """Return what is kept so far, with a line in the gap that says how many bytes were dropped."""
        self._cut()
        gap = b"\n[queuectl: %d bytes dropped]\n" % self._dropped if self._dropped else b""
        return Output(content=bytes(self._head + gap + self._tail), truncated=bool(gap))

    def _cut(self) -> None:
        excess = max(0, len(self._tail) - self._tail_limit)
        del self._tail[:excess]
        self._dropped += excess


class OutputPipe:
    """Our end of the pipe that a command writes to: read into a sink, never waited for, closed at its end."""

    def __init__(self, descriptor: int, sink: OutputSink, watch: Watch) -> None:
        os.set_blocking(descriptor, False)
        self.inode = os.fstat(descriptor).st_ino
        """The pipe's number, by which a process that has it open can be found."""
        self.is_open = True
        self._descriptor = descriptor
        self._sink = sink
        self._watch = watch
        watch.add(descriptor, self._read)

    def drain(self) -> None:
        """Read what waits in the pipe now: not to its end, as a survivor may write for ever."""
        if self.is_open:
            unread: int = struct.unpack("i", fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4)))[0]  # pipe(7)
            for _ in range(unread // CHUNK + 1):
                self._read()

    def output(self) -> Output:
        """Return what the sink has kept."""
        return self._sink.output()

    def close(self) -> None:
        """Read no more."""
        if self.is_open:
            self._watch.close(self._descriptor)
            self.is_open = False

    def _read(self) -> None:
        if not self.is_open:
            return
        try:
            chunk = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return
        if chunk:
            self._sink.add(chunk)
        else:
            self.close()
