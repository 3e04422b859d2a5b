"""The rules of ingest: pure functions over plain values."""
