"""What the gateway touches outside itself: the services behind it, and the password hash."""
