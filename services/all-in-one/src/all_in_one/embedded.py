"""Every service in one process on embedded defaults: SQLite, a folder, one shared bus."""

import asyncio
import os
from pathlib import Path
from typing import TypeVar

from all_in_one import data_folder
from kit.bus import open_bus
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.service import Service, Shared, installed_services
from kit.settings import ServiceSettings, load

NAME = "all-in-one"
DEFAULT_PORT = 8000
GENERAL_NAMES = frozenset({"CORS_ORIGINS"})
GATEWAY = "gateway"
LOG_FILE = Path("logs", "lookout.log")
"""In the data folder."""
BUS_OWNER = "ingest"
"""The service whose `bus` and `log` settings hold for the bus that all share, and for the process."""

S = TypeVar("S", bound=ServiceSettings)


def build(data_dir: Path, *, port: int | None = None) -> list[Service]:
    """The services, not started; the last one, the gateway, has the HTTP port.

    Raises:
        SystemExit: a setting in the environment is wrong; what is wrong is printed.
        ServiceFailed: another process uses the folder, or a file of it is missing or damaged.
    """
    # Passwords, pictures and plates of people: only the owner of the process may read them.
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_dir.chmod(0o700)
    folder_lock = data_folder.lock(data_dir)
    data_folder.check(data_dir)
    services = {service.name: service for service in installed_services()}
    settings = {
        name: settings_of(service.settings, data_dir, port=port if name == GATEWAY else None)
        for name, service in services.items()
    }
    log, bus_metrics = settings[BUS_OWNER].log, Metrics(NAME)
    shared = Shared(apps={})
    file = shared.log_files.of(log)
    shared.logger = make_logger(NAME, log, file=file, is_of_process=True)
    shared.bus = bus = open_bus(
        vars(settings[BUS_OWNER])["bus"],
        logger=make_logger(NAME, log, file=file),  # a service only opens and closes it, for all of them
        metrics=bus_metrics,
        clock=shared.clock,
        app_id=NAME,
    )
    # The gateway is built first: the others check tokens with its keys. It finds their apps at each request.
    gateway = services[GATEWAY].build(settings[GATEWAY], shared)
    others = [service.build(settings[name], shared) for name, service in services.items() if name != GATEWAY]
    gateway.metrics.include(bus_metrics, *(service.metrics for service in others))
    # Services start in this order and stop in reverse: the bus delivers when the resources of every handler are
    # open, and is the first to stop.
    gateway.add_resource(bus)

    async def record() -> None:
        await asyncio.to_thread(data_folder.record, data_dir)

    gateway.startup_steps.append(("data folder", record))  # the last one: every file exists then
    others[0].resources.insert(0, _FolderLock(folder_lock))  # the last one to stop
    return [*others, gateway]


class _FolderLock:
    """Frees the data folder when everything else has stopped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def start(self) -> None:
        """It is held already."""

    async def stop(self) -> None:
        """Let another process use the folder."""
        os.close(self._descriptor)


def settings_of(cls: type[S], data_dir: Path, *, port: int | None = None) -> S:
    """A service's settings from its own `LOOKOUT_…` names and `GENERAL_NAMES`, over the embedded defaults.

    Other general names such as DATABASE_URL are left out: here they would put every service into one database.
    """
    environ = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("LOOKOUT") or name in GENERAL_NAMES
    }
    log_file = data_dir / LOG_FILE
    defaults = {"mode": "embedded", "data_dir": str(data_dir), "log.file": str(log_file)}
    if port is not None:
        environ.pop(f"{cls.env_prefix()}HTTP__PORT", None)
        return load(cls, environ=environ, defaults={**defaults, "http.port": port})
    return load(cls, environ=environ, defaults=defaults)
