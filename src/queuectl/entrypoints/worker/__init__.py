"""The processes of workers, and the supervisor that starts them."""
