"""Descriptors that are waited for all at once, and the bell that ends the wait."""

import contextlib
import os
import select
from collections.abc import Callable, Collection


class Watch:
    """Waits for any number of descriptors, and calls the handler of each that is ready."""

    def __init__(self) -> None:
        # Neither `selectors` nor epoll: what is waited for changes with each command, the one thing they are slow at.
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}

    def add(self, descriptor: int, handle: Callable[[], None]) -> None:
        """Call `handle` from `wait` whenever the descriptor is readable."""
        self._poll.register(descriptor, select.POLLIN)
        self._handlers[descriptor] = handle

    def close(self, descriptor: int) -> None:
        """Watch it no more, and close it."""
        self._poll.unregister(descriptor)
        del self._handlers[descriptor]
        os.close(descriptor)

    def wait(self, milliseconds: int) -> Collection[int]:
        """Wait until something is ready, for so long at most; returns the descriptors that were."""
        ready = [descriptor for descriptor, _ in self._poll.poll(milliseconds)]
        for descriptor in ready:
            if handle := self._handlers.get(descriptor):  # None: closed by one before it
                handle()
        return ready


class Bell:
    """A pipe by which another thread, or a signal handler, ends the wait of a `Watch`."""

    def __init__(self, watch: Watch) -> None:
        self.descriptor, self._rings = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._rings, False)
        self._watch = watch
        watch.add(self.descriptor, self._silence)

    def ring(self) -> None:
        """End the present wait, or the next one."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            os.write(self._rings, b"\0")

    def close(self) -> None:
        """Give its descriptors back."""
        self._watch.close(self.descriptor)
        os.close(self._rings)

    def _silence(self) -> None:
        os.read(self.descriptor, 65536)
