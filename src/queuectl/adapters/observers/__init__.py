"""The observers of events: the log."""
