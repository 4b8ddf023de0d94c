"""Who hears of what happened, and who is woken by it."""

from collections.abc import Callable

from queuectl.domain.events import Event

EventSink = Callable[["Event"], None]
"""Hears of what happened. Must not raise and must return at once."""


WakeUps = Callable[[Callable[[], None]], None]
"""Starts to call the given function, from another thread, whenever a job may have arrived; returns at once.

A hint only: it may call too often, or never.
"""
