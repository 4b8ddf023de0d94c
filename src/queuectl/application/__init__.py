"""The use cases: what an operator asks of the queue, and what a worker does for it."""
