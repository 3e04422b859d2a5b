"""A service's life, and the process around one or several."""

from kit.service.lifecycle import Resource, Service
from kit.service.runner import HttpListener, Interrupted, ServiceFailed, ServiceRunner, run, serve, serve_all

__all__ = [
    "HttpListener",
    "Interrupted",
    "Resource",
    "Service",
    "ServiceFailed",
    "ServiceRunner",
    "run",
    "serve",
    "serve_all",
]
