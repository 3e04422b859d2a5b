"""Attacks on a Lookout that this package starts itself, on this machine only; `make attack` runs them."""
