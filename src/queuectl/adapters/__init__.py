"""The world outside, behind the core's ports."""
