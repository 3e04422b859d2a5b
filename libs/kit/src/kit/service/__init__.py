"""The chassis: what every service consists of, and the process around one or several of them."""

from kit.errors import ServiceFailed
from kit.service.installed import InstalledService, installed_services
from kit.service.lifecycle import Resource
from kit.service.parts import PeriodicJob, ThreadPool
from kit.service.runner import ForcedShutdown, HttpListener, ServiceRunner, run, serve_all
from kit.service.service import Service, open_secret_box
from kit.service.shared import Shared

__all__ = [
    "ForcedShutdown",
    "HttpListener",
    "InstalledService",
    "PeriodicJob",
    "Resource",
    "Service",
    "ServiceFailed",
    "ServiceRunner",
    "Shared",
    "ThreadPool",
    "installed_services",
    "open_secret_box",
    "run",
    "serve_all",
]
