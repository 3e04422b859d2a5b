"""The services behind the gateway over HTTP or in this process, the password hash and the token signature."""
