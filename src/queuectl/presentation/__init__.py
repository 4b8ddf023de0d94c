"""Results as people and programs see them, on the command line and later on the web."""
