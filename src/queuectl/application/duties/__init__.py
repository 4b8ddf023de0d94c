"""What the workers do for the whole queue."""
