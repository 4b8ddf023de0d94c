"""The ways into the queue: the command line, the worker process and its supervisor."""
