"""A service's life, and the process around one or several."""

from kit.service.lifecycle import Resource, Service
from kit.service.serving import HttpListener, Interrupted, ServeFailed, Serving, run, serve, serve_all

__all__ = [
    "HttpListener",
    "Interrupted",
    "Resource",
    "ServeFailed",
    "Service",
    "Serving",
    "run",
    "serve",
    "serve_all",
]
