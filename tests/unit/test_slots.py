"""The slots of a worker, and the commands that are noted in them."""

import os
from collections.abc import Iterator
from datetime import timedelta

import pytest

from queuectl.adapters.processes.child import Child, Stop
from queuectl.adapters.processes.output import OutputBuffer, OutputPipe
from queuectl.adapters.processes.slots import Slots
from queuectl.adapters.processes.watch import Watch
from queuectl.domain.ports.work import Run
from tests.builders import a_job, a_lease, a_policy


class SlotsHarness:
    """Slots whose notes are kept, and commands for them that have no process."""

    def __init__(self) -> None:
        self.noted: list[tuple[int, int, int]] = []
        self.slots = Slots(lambda *note: self.noted.append(note))
        self._watch = Watch()
        self._writers: list[int] = []

    def add(self) -> Child:
        reads, writes = os.pipe()
        self._writers.append(writes)
        child = Child(
            run=Run(job=a_job(), lease=a_lease(), policy=a_policy()),
            slot=self.slots.free(),
            spawned_at=timedelta(),
            pipe=OutputPipe(reads, OutputBuffer(100), self._watch),
            watch=self._watch,
            stopping=Stop(times_out=None),
        )
        self.slots.running.append(child)
        return child

    def close(self) -> None:
        for child in [*self.slots.running, *self.slots.stuck]:
            child.pipe.close()
        for writes in self._writers:
            os.close(writes)


@pytest.fixture
def harness() -> Iterator[SlotsHarness]:
    harness = SlotsHarness()
    yield harness
    harness.close()


def test_a_command_that_is_stuck_holds_its_slot_until_it_is_over(harness: SlotsHarness) -> None:
    first, second = harness.add(), harness.add()
    harness.slots.give_up(first)
    assert (second.slot, harness.slots.free()) == (1, 2)
    harness.slots.remove(first)
    assert harness.slots.free() == 0
    assert harness.noted == [(0, 0, 0)]


def test_a_command_that_has_closed_its_output_before_its_start_is_known_is_not_noted(harness: SlotsHarness) -> None:
    child = harness.add()
    harness.slots.note(child, 50)
    child.pipe.close()
    harness.slots.note(child, 50)
    assert harness.noted == [(0, 50, child.pipe.inode)]
