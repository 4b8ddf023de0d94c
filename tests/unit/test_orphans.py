from collections import Counter
from datetime import timedelta

import pytest

from queuectl.adapters.host import identity
from queuectl.adapters.processes import marks, tree
from queuectl.adapters.processes.tree import Orphans
from queuectl.domain.errors import HostTrouble
from tests.builders import SECOND


class Machine:
    """The children of this process, and how often each was looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.jobs: dict[int, str | None] = {}
        self.looks: Counter[int] = Counter()
        self.has_ended: set[int] = set()
        self.is_exhausted = False
        monkeypatch.setattr(tree, "children", lambda: list(self.jobs))
        monkeypatch.setattr(marks, "variable", self._variable)
        monkeypatch.setattr(tree, "reap", self._reap)
        monkeypatch.setattr(identity, "start_time", lambda pid: pid * identity.TICKS)

    def _variable(self, pid: int, _name: str) -> str | None:
        self.looks[pid] += 1
        if self.is_exhausted:
            raise HostTrouble("too many open files")
        return self.jobs[pid]

    def _reap(self, pid: int) -> bool:
        if pid not in self.has_ended:
            return False
        self.has_ended.remove(pid)
        del self.jobs[pid]
        return True


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_each_orphan_is_looked_at_once_however_many_there_are_and_however_often(machine: Machine) -> None:
    machine.jobs = dict.fromkeys(range(1, 401), "long")
    orphans = Orphans()
    for _ in range(60):
        assert {orphan.job_id for orphan in orphans.look()} == {"long"}
        orphans.reap()
    assert set(machine.looks.values()) == {1}


def test_a_pid_that_was_reaped_is_another_process_the_next_time(machine: Machine) -> None:
    machine.jobs = {7: "a"}
    orphans = Orphans()
    orphans.look()
    machine.has_ended = {7}
    orphans.reap()
    machine.jobs = {7: "b"}
    assert [orphan.job_id for orphan in orphans.look()] == ["b"]


def test_an_orphan_without_a_mark_is_known_by_its_age(machine: Machine) -> None:
    machine.jobs = {7: None}
    [orphan] = Orphans().look()
    assert orphan.is_younger(6.5 * SECOND)
    assert not orphan.is_younger(8 * SECOND)


def test_an_orphan_at_which_nobody_can_look_may_be_anybodys_until_somebody_can(machine: Machine) -> None:
    machine.jobs, machine.is_exhausted = {7: "a"}, True
    orphans = Orphans()
    [orphan] = orphans.look()
    assert orphan.is_younger(timedelta(days=3650))
    machine.is_exhausted = False
    assert [orphan.job_id for orphan in orphans.look()] == ["a"]
