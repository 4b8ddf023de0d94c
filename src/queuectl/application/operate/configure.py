"""Read and change the queue's settings."""

from queuectl.application.operate.queue import Queue
from queuectl.domain.policy import Policy, StoredSettings, checked, setting_of


def policy_of(queue: Queue) -> Policy:
    """The settings in force."""
    return Policy.of(queue.config.stored())


def stored_settings(queue: Queue) -> StoredSettings:
    """The settings that were set, by queue (`""`: of all) and key; the others have their defaults."""
    return queue.config.by_queue()


def set_setting(queue: Queue, key: str, value: str, of_queue: str = "") -> str:
    """Set one key of the policy, of all queues or of one; the text as stored. Raises InvalidSetting."""
    text = checked(key, value, of_queue)
    queue.config.store(key, text, of_queue)
    return text


def unset_setting(queue: Queue, key: str, of_queue: str = "") -> None:
    """Put one key back to its default, of a queue to the policy of all. Raises InvalidSetting for one without it."""
    setting_of(key, of_queue)
    queue.config.clear(key, of_queue)
