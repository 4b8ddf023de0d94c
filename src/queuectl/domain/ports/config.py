"""The queue's policy, as it is stored."""

from collections.abc import Mapping
from typing import Protocol

from queuectl.domain.policy import StoredSettings


class ConfigRepository(Protocol):
    """The policy as stored: normalised texts by key, only those that were set; of a queue, or `""`, of all of them."""

    def stored(self, queue: str = "") -> Mapping[str, str]:
        """All keys that were set, with their texts."""

    def by_queue(self) -> StoredSettings:
        """The same of all queues."""

    def store(self, key: str, value: str, queue: str = "") -> None:
        """Set one key."""

    def clear(self, key: str, queue: str = "") -> None:
        """Back to the default, of a queue to the policy of all; no effect when it was not set."""
