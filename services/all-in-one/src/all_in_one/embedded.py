"""Every service in one process on embedded defaults: SQLite, a folder, one shared bus."""

import os
from pathlib import Path
from typing import TypeVar

from starlette.types import ASGIApp

from gateway import wiring as gateway
from gateway.settings import GatewaySettings
from ingest import wiring as ingest
from ingest.settings import IngestSettings
from kit.bus import open_bus
from kit.clock import SystemClock
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.service import Service
from kit.settings import ServiceSettings, load
from plate_ocr import wiring as plate_ocr
from plate_ocr.settings import PlateOcrSettings
from tickets import wiring as tickets
from tickets.settings import TicketsSettings

NAME = "all-in-one"
DEFAULT_PORT = 8000
GENERAL_NAMES = frozenset({"CORS_ORIGINS"})

S = TypeVar("S", bound=ServiceSettings)


def build(data_dir: Path, *, port: int | None = None) -> list[Service]:
    """The services, not started; the gateway, last, is the one that listens.

    Raises:
        SystemExit: a setting in the environment is wrong; what is wrong is printed.
    """
    # Passwords, pictures and plates of people: nobody else on this machine has business in there.
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_dir.chmod(0o700)
    ingest_settings = settings_of(IngestSettings, data_dir)
    clock = SystemClock()
    bus_metrics = Metrics(NAME)
    bus = open_bus(
        ingest_settings.bus,
        logger=make_logger(NAME, ingest_settings.log),
        metrics=bus_metrics,
        clock=clock,
        app_id=NAME,
    )
    # Filled after the others are built, who need the gateway's keys; the gateway reads it at each request.
    apps: dict[str, ASGIApp] = {}
    door = gateway.build(settings_of(GatewaySettings, data_dir, port=port), clock=clock, upstreams=apps)
    behind = [
        ingest.build(ingest_settings, clock=clock, bus=bus, keys=door.keys),
        plate_ocr.build(settings_of(PlateOcrSettings, data_dir), clock=clock, bus=bus, keys=door.keys),
        tickets.build(settings_of(TicketsSettings, data_dir), clock=clock, bus=bus, keys=door.keys),
    ]
    apps.update({service.name: service.app for service in behind})
    door.metrics.include(bus_metrics, *(service.metrics for service in behind))
    # Services start in this order and stop in reverse: the bus delivers when every handler's own parts are
    # there, and is the first to stop.
    door.resources.append(bus)
    return [*behind, door]


def settings_of(cls: type[S], data_dir: Path, *, port: int | None = None) -> S:
    """A service's settings from its own `LOOKOUT_…` names and `GENERAL_NAMES`, over the embedded defaults.

    Other general names such as DATABASE_URL are left out: here they would put every service into one database.
    """
    environ = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("LOOKOUT") or name in GENERAL_NAMES
    }
    defaults = {"mode": "embedded", "data_dir": str(data_dir)}
    if port is not None:
        environ.pop(f"{cls.env_prefix()}HTTP__PORT", None)
        return load(cls, environ=environ, defaults={**defaults, "http.port": port})
    return load(cls, environ=environ, defaults=defaults)
