"""The machine: clocks, ids, processes, files."""
