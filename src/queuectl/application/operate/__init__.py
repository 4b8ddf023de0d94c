"""What people ask of the queue."""
