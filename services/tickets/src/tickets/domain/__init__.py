"""The session rules and their values. Standard library only."""
