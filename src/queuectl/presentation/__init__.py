"""What people and programs are shown: the command line's, and later the web's."""
