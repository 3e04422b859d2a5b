"""The services that are installed in this environment, found through their packages' entry points."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from kit.service.service import Service
from kit.service.shared import Shared
from kit.settings import ServiceSettings

BUILD_GROUP = "lookout.services"
SETTINGS_GROUP = "lookout.settings"


@dataclass(frozen=True, slots=True)
class InstalledService:
    """A service by its name, with its settings class and its `wiring.build`."""

    name: str
    settings: type[ServiceSettings]
    build: Callable[[Any, Shared], Service]


def installed_services() -> list[InstalledService]:
    """Every service whose package declares the entry points `lookout.services` and `lookout.settings`, by name.

    Raises:
        KeyError: a package declares the first and not the second.
    """
    settings = {point.name: point for point in entry_points(group=SETTINGS_GROUP)}
    builds = sorted(entry_points(group=BUILD_GROUP), key=lambda point: point.name)
    return [InstalledService(point.name, settings[point.name].load(), point.load()) for point in builds]
