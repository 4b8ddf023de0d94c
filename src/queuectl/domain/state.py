"""The states of a job, and the one table of moves between them."""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    """Waits for its `run_at`, then for a worker. From: enqueue, a release, a loss, an operator's retry."""
    PROCESSING = "processing"
    """An attempt runs under a lease. From: a claim."""
    COMPLETED = "completed"
    """The command ended with exit code 0. Only an operator can have it run again."""
    FAILED = "failed"
    """The last attempt failed; it is tried again at `run_at`."""
    DEAD = "dead"
    """Retries used up, or lost too often: in the dead letter queue until an operator retries or removes it."""
    CANCELLED = "cancelled"
    """Stopped by an operator, while it waited or while it ran. Only an operator can have it run again."""


MOVES: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.PROCESSING, State.CANCELLED}),
    State.PROCESSING: frozenset({State.COMPLETED, State.FAILED, State.DEAD, State.PENDING, State.CANCELLED}),
    State.COMPLETED: frozenset({State.PENDING}),
    State.FAILED: frozenset({State.PROCESSING, State.CANCELLED}),
    State.DEAD: frozenset({State.PENDING}),
    State.CANCELLED: frozenset({State.PENDING}),
}
"""Every move that a job can make; from a terminal state, only by an operator's command."""

CLAIMABLE = frozenset(state for state, targets in MOVES.items() if State.PROCESSING in targets)
TERMINAL = frozenset({State.COMPLETED, State.DEAD, State.CANCELLED})
