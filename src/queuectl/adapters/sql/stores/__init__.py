"""The ports of the core in SQL; a file for each."""
