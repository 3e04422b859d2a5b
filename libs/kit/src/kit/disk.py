"""A reserve of free space on the file systems that a service writes to, below which it stores no more pictures.

A database on a full disk cannot even delete. The reserve keeps room for what must go on: decisions, sign-ins and
retention.
"""

import asyncio
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from kit.errors import StorageFull
from kit.health import CheckResult
from kit.logging import Logger
from kit.metrics import Metrics
from kit.settings import DiskSettings


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Bytes of one file system, as an unprivileged process may use them."""

    free_bytes: int
    total_bytes: int


def is_reserve_reached(space: DiskSpace, settings: DiskSettings, *, was_reached: bool) -> bool:
    """Whether no more is to be stored. Storing begins again only with a margin, so that it does not alternate."""
    reserve = min(settings.reserve_bytes, space.total_bytes * settings.max_reserve_percent / 100)
    if was_reached:
        reserve *= 1 + settings.resume_margin_percent / 100
    return space.free_bytes < reserve


def local_folders(*urls: str) -> list[Path]:
    """The folders of those URLs that name a local file or folder: `sqlite` and `file`."""
    folders = []
    for url in urls:
        scheme, _, rest = url.partition("://")
        if scheme.startswith("sqlite"):
            folders.append(Path(rest[1:]).absolute().parent)
        elif scheme == "file":
            folders.append(Path(unquote(rest)))
    return folders


class DiskReserve:
    """Watches the file systems of `folders`; none of them is local: never reached. Call `measure` periodically."""

    def __init__(
        self, folders: Iterable[Path], settings: DiskSettings, logger: Logger, metrics: Metrics
    ) -> None:
        self._folders = tuple(folders)
        self._settings = settings
        self._logger = logger
        self._reached: dict[Path, DiskSpace] = {}
        self._free = metrics.gauge(
            "disk_free_bytes", "free bytes of the file system of a folder", ("folder",)
        )
        self._active = metrics.gauge(
            "disk_reserve_reached", "1 while no pictures are stored because the disk is nearly full"
        )

    async def measure(self) -> None:
        """Look at the free space; a change is logged."""
        for folder in self._folders:
            space = await asyncio.to_thread(_space_of, folder)
            self._free.labels(str(folder)).set(space.free_bytes)
            was_reached = folder in self._reached
            is_reached = is_reserve_reached(space, self._settings, was_reached=was_reached)
            if is_reached:
                self._reached[folder] = space
            else:
                self._reached.pop(folder, None)
            if is_reached and not was_reached:
                self._logger.warning(
                    "disk_reserve_reached",
                    folder=str(folder),
                    free_bytes=space.free_bytes,
                    total_bytes=space.total_bytes,
                    remedy="Free space: pictures are refused with 507 until then.",
                )
            elif was_reached and not is_reached:
                self._logger.info("disk_reserve_restored", folder=str(folder), free_bytes=space.free_bytes)
        self._active.set(len(self._reached) > 0)

    def check(self) -> None:
        """Return while there is room to store more.

        Raises:
            StorageFull: at the last measurement the reserve was reached (code `disk_reserve`).
        """
        if self._reached:
            raise StorageFull(
                "The disk is nearly full: nothing is stored until an operator has freed space.",
                code="disk_reserve",
                retry_after_s=self._settings.retry_after_s,
            )

    async def ready(self) -> CheckResult:
        """The check for readiness."""
        texts = [
            f"{folder} has {space.free_bytes >> 20} MiB free of {space.total_bytes >> 20}"
            for folder, space in self._reached.items()
        ]
        return CheckResult(not texts, "; ".join(texts) and f"pictures are refused: {'; '.join(texts)}")


def _space_of(folder: Path) -> DiskSpace:
    """Of the folder, or while it does not exist of the nearest one above it that does."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(existing)
    return DiskSpace(usage.free, usage.total)
