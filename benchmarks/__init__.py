"""Benchmarks: queuectl and its peers on the same work, in turns. `make bench` runs them."""
