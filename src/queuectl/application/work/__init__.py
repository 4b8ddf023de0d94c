"""What a worker does: claim jobs, have them run, record how they ended."""
