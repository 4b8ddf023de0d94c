"""The work of a worker: claim jobs, have them run, record how they ended."""
