"""Use cases: load, ask the rules, save, publish."""
