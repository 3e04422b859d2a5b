"""REST in: the gateway's own routes."""

from gateway.http.accounts import account_routes
from gateway.http.auth import auth_routes
from gateway.http.pages import page_routes

__all__ = ["account_routes", "auth_routes", "page_routes"]
