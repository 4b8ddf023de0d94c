"""queuectl: a job queue for shell commands that people can trust with their work."""

__version__ = "0.1.0"
