"""One file per outside thing: the networks, the picture decoder, the grammar files."""
