"""The parts of a worker that its duties share."""

from dataclasses import dataclass

from queuectl.application.work.duty import Standing, TimeAndChance
from queuectl.application.work.lease import Heartbeat
from queuectl.application.work.policy_in_force import PolicyInForce
from queuectl.application.work.settle import Unsettled
from queuectl.application.work.slots import Slots
from queuectl.domain.events import EventSink
from queuectl.domain.ports.runner import Runner
from queuectl.domain.ports.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One worker, as its duties know it: each takes what it needs."""

    worker_id: str
    slots: Slots
    outcomes: Unsettled
    policy: PolicyInForce
    standing: Standing
    heartbeat: Heartbeat
    work: Work
    runner: Runner
    events: EventSink
    time: TimeAndChance
