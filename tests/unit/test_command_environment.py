"""The variables that a command alone gets."""

from queuectl.adapters.processes.environment import variables_of
from queuectl.domain.ports.work import Run
from tests.builders import NOON, a_job, a_lease, a_policy


def variables(queue_slot: int | None, **overrides: object) -> dict[bytes, bytes]:
    job = a_job(**overrides).claimed(a_lease(), NOON, queue_slot)
    return variables_of(Run(job=job, lease=a_lease(), policy=a_policy()), 3)


def test_a_command_knows_its_slot_of_the_worker() -> None:
    assert variables(None)[b"QUEUECTL_SLOT"] == b"3"


def test_it_knows_its_slot_of_the_queue_where_that_has_a_limit() -> None:
    assert variables(0)[b"QUEUECTL_QUEUE_SLOT"] == b"0"
    assert b"QUEUECTL_QUEUE_SLOT" not in variables(None)


def test_the_job_cannot_say_otherwise() -> None:
    said = {"QUEUECTL_SLOT": "9", "QUEUECTL_QUEUE_SLOT": "9"}
    assert [variables(1, env=said)[name] for name in (b"QUEUECTL_SLOT", b"QUEUECTL_QUEUE_SLOT")] == [b"3", b"1"]
