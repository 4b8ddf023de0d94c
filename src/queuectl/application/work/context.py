"""The parts of a worker that its duties share."""

from collections.abc import Collection

from queuectl.application.work.duty import WorkerPorts
from queuectl.application.work.lease import Heartbeat
from queuectl.application.work.settle import Unsettled
from queuectl.application.work.slots import Slots
from queuectl.domain.policy import Policy
from queuectl.domain.ports.work import FirstDue


class Context:
    """One worker, as its duties know it: each takes what it needs."""

    def __init__(
        self,
        worker_id: str,
        *,
        queues: Collection[str],
        labels: Collection[str],
        concurrency: int,
        heartbeat: Heartbeat,
        ports: WorkerPorts,
    ) -> None:
        self.id = worker_id
        self.queues = tuple(queues)
        self.labels = tuple(labels)
        self.heartbeat = heartbeat
        self.ports = ports
        self.outcomes = Unsettled(ports)
        self.slots = Slots(worker_id, concurrency, lease=heartbeat.lease, outcomes=self.outcomes, ports=ports)
        self.policy = Policy.of({})
        """The policy that it has read last: by `refresh`, or with a claim."""

    def refresh(self) -> Policy:
        """Ask the database for the policy. Raises DatabaseUnavailable."""
        self.adopt(Policy.of(self.ports.config.stored()))
        return self.policy

    def adopt(self, policy: Policy) -> None:
        """Stop commands by this policy from now on, whenever they were claimed."""
        self.policy = policy
        self.ports.runner.set_grace(policy.kill_grace)

    def first_due(self) -> FirstDue:
        """Ask when the first of the jobs that could be claimed are due. Raises DatabaseUnavailable."""
        return self.ports.work.first_due(queues=self.queues, labels=self.labels)
