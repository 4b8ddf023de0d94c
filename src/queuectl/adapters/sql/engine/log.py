"""Lines of a worker's log from beneath the ports. A command has no log, and its user no use for them."""


def warn(line: str) -> None:
    """Write that line, if there is a log."""
    import logging  # which a command has no other use for

    log = logging.getLogger("queuectl")
    if log.hasHandlers():
        log.warning("%s", line)
