"""The queue's policy, as it is stored."""

from collections.abc import Mapping
from typing import Protocol


class ConfigRepository(Protocol):
    """The queue's policy as stored: normalised texts by key, only those that were set."""

    def stored(self) -> Mapping[str, str]:
        """All keys that were set, with their texts."""

    def store(self, key: str, value: str) -> None:
        """Set one key."""

    def clear(self, key: str) -> None:
        """Back to the default; no effect when it was not set."""
