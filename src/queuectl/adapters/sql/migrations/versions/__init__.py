"""One module per revision; revisions are numbers that only grow."""
