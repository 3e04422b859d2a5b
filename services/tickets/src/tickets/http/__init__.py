"""REST in: route to handler."""

from tickets.http.routes import add_routes

__all__ = ["add_routes"]
