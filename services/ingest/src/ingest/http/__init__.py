"""REST in: route → handler."""

from ingest.http.camera_events import camera_event_routes
from ingest.http.devices import device_routes
from ingest.http.parking_push import POST_PATH, post_routes
from ingest.http.refused_pushes import refused_push_routes
from ingest.http.registry import registry_routes

__all__ = [
    "POST_PATH",
    "camera_event_routes",
    "device_routes",
    "post_routes",
    "refused_push_routes",
    "registry_routes",
]
