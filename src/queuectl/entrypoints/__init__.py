"""How the queue is reached: the command line, the worker process and its supervisor."""
