"""One file per outside thing: the networks, and the picture decoder."""
