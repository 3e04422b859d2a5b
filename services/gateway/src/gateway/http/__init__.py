"""REST in: the way of every request, the gateway's own routes, and its pages."""

from gateway.http.accounts import AccountHandlers, account_routes
from gateway.http.auth import AuthHandlers, auth_routes
from gateway.http.pages import page_routes
from gateway.http.schemas import publish_password_lengths

__all__ = [
    "AccountHandlers",
    "AuthHandlers",
    "account_routes",
    "auth_routes",
    "page_routes",
    "publish_password_lengths",
]
