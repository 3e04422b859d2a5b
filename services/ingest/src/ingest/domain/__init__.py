"""What ingest decides, as pure functions over plain values."""
