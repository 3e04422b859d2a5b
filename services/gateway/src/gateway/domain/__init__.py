"""The gateway's rules: what may pass, where to, and who may change whom. No I/O, no clock."""
