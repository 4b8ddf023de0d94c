"""The queue's policy as a worker follows it now."""

from queuectl.domain.policy import Policy
from queuectl.domain.ports.config import ConfigRepository
from queuectl.domain.ports.runner import Runner


class PolicyInForce:
    """The policy that the worker has read last: by `refresh`, or with a claim."""

    def __init__(self, config: ConfigRepository, runner: Runner) -> None:
        self._config = config
        self._runner = runner
        self.policy = Policy.of({})

    def refresh(self) -> Policy:
        """Ask the database for it. Raises DatabaseUnavailable."""
        self.adopt(Policy.of(self._config.stored()))
        return self.policy

    def adopt(self, policy: Policy) -> None:
        """Stop commands by this policy from now on, whenever they were claimed."""
        self.policy = policy
        self._runner.set_grace(policy.kill_grace)
