"""The engine that makes statements, runs them and repeats them."""
