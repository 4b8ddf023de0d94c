"""The duties of workers for the whole queue."""
