"""One file for each thing outside: cameras, decoders."""
