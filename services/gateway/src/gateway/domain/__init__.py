"""The gateway's rules: which requests are forwarded, where, and who may change which account. No I/O, no clock."""
