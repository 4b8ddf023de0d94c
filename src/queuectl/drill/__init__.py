"""A drill: a queue of its own, harmed on purpose, and a verdict on what became of its jobs."""
