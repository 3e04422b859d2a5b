"""The gateway's tables and every query on them. Each function works in the caller's transaction."""
