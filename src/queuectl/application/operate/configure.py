"""Read and change the queue's settings."""

from collections.abc import Mapping

from queuectl.application.operate.queue import Queue
from queuectl.domain.policy import Policy, checked, setting


def policy_of(queue: Queue) -> Policy:
    """The settings in force."""
    return Policy.of(queue.config.stored())


def stored_settings(queue: Queue) -> Mapping[str, str]:
    """The settings that were set, by key; the others have their defaults."""
    return queue.config.stored()


def set_setting(queue: Queue, key: str, value: str) -> str:
    """Set one key of the policy; the text as stored. Raises InvalidSetting."""
    text = checked(key, value)
    queue.config.store(key, text)
    return text


def unset_setting(queue: Queue, key: str) -> None:
    """Put one key back to its default. Raises InvalidSetting for a key that does not exist."""
    setting(key)
    queue.config.clear(key)
