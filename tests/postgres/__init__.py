"""Real PostgreSQL servers for the tests: where they come from, how they run, and the fixtures that hand them out."""
