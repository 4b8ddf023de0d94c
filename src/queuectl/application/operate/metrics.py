"""Measure what the queue got done."""

from datetime import timedelta

from queuectl.application.operate.queue import Queue
from queuectl.domain.metrics import Metrics


def metrics_of(queue: Queue, *, window: timedelta, detailed: bool) -> Metrics:
    """Counts and times of the last `window`."""
    return queue.measurements.metrics(since=queue.clock() - window, detailed=detailed)
