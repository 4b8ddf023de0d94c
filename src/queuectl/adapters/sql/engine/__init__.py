"""How statements are made, run and repeated."""
