"""Who hears of events: the log."""
