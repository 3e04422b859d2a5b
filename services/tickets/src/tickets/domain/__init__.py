"""The rules of a parking session, pure: no I/O, no clock, no ids made here."""
