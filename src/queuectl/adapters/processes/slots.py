"""The slots of a worker: which command is in which."""

import threading
from collections.abc import Callable
from itertools import count

from queuectl.adapters.processes.child import STARTING, Child

Note = Callable[[int, int, int], None]
"""Hears which command runs in a slot, by its pid and its output: `LocalProcesses.note`."""


class Slots:
    """The commands that hold a slot: `running` until their end is known, or `stuck` when it was given up.

    Each is noted, so that its processes are found also when this one has been killed.
    The lock keeps a stop apart from the end of a start, before which there is no process to signal, and from the
    reaping of a child, after which its group's id may be another's.
    """

    def __init__(self, note: Note) -> None:
        self.running: list[Child] = []
        self.stuck: list[Child] = []
        self._note = note
        self.lock = threading.RLock()

    def free(self) -> int:
        """Return the first slot that nobody holds."""
        taken = {child.slot for child in [*self.running, *self.stuck]}
        return next(slot for slot in count() if slot not in taken)

    def note(self, child: Child, pid: int = 0) -> None:
        """Note the command, before there is a process too: this one may be killed in between."""
        if child.pipe.is_open:
            self._note(child.slot, pid, child.pipe.inode)

    def remove(self, child: Child) -> None:
        """Free the slot of a command that is over."""
        (self.stuck if child in self.stuck else self.running).remove(child)
        self._note(child.slot, 0, 0)

    def give_up(self, child: Child) -> None:
        """Let the command hold its slot, and nobody else."""
        self.running.remove(child)
        self.stuck.append(child)

    def is_any_starting(self) -> bool:
        """Return whether a command has no process yet."""
        return any(child.phase is STARTING for child in self.running)
