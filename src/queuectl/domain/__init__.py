"""The rules of the queue, pure and frozen: no clock, no randomness, no library, no input or output."""
