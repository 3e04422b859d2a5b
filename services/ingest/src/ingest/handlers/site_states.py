"""What is observed of cameras: looked up, noted after calls, and asked for where nothing else shows it."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.site import CameraSite, CameraStatus
from ingest.domain.site_status import CameraState, StatusLimits, camera_status, is_check_due
from ingest.handlers.site_directory import SiteDirectory
from ingest.settings import HealthSettings
from ingest.store import site_states
from kit.clock import Clock
from kit.db import Database
from kit.errors import LookoutError
from kit.logging import Logger


class SiteStates:
    """The states of cameras, within the caller's transaction."""

    def __init__(self, clock: Clock, settings: HealthSettings) -> None:
        self._clock = clock
        self._limits = StatusLimits(
            fresh=timedelta(seconds=settings.check_interval_s),
            silent=timedelta(seconds=settings.silent_after_s),
        )

    async def cameras(
        self, session: AsyncSession, camera_ids: Collection[int] | None = None
    ) -> Mapping[int, CameraState]:
        """The states of those cameras, without their spots; None: of all."""
        now, states = self._clock.now(), {}
        for camera_id, signs in (await site_states.signs(session, camera_ids)).items():
            status, reason = camera_status(signs, now, self._limits)
            states[camera_id] = CameraState(status, reason, signs)
        return states

    async def cameras_with_spots(
        self, session: AsyncSession, camera_ids: Collection[int]
    ) -> Mapping[int, CameraState]:
        """The states of those cameras."""
        counts = await site_states.spots_of_cameras(session, camera_ids)
        states = await self.cameras(session, camera_ids)
        return {camera_id: replace(state, spots=counts[camera_id]) for camera_id, state in states.items()}

    async def with_status(self, session: AsyncSession, status: CameraStatus) -> list[int]:
        """The cameras that have that status now."""
        return [
            camera_id for camera_id, state in (await self.cameras(session)).items() if state.status is status
        ]


class CameraHealth:
    """Notes what calls to cameras ended with. A failure to store it is logged and has no other effect."""

    def __init__(self, *, db: Database, clock: Clock, settings: HealthSettings, logger: Logger) -> None:
        self._db = db
        self._clock = clock
        self._interval = timedelta(seconds=settings.note_interval_s)
        self._logger = logger
        self._noted: dict[int, tuple[datetime, str | None]] = {}

    async def note(self, camera_id: int, failure: str | None) -> None:
        """A call was answered, or failed with the error of that code. The same again soon is not stored again."""
        now = self._clock.now()
        noted = self._noted.get(camera_id)
        if noted is not None and noted[1] == failure and now - noted[0] < self._interval:
            return
        try:
            async with self._db.transaction() as session:
                await site_states.record_call(session, camera_id, now, failure)
        except (LookoutError, IntegrityError) as error:  # the camera may have been deleted meanwhile
            self._logger.warning("health of a camera not stored", camera_id=camera_id, error=str(error))
            return
        self._noted[camera_id] = (now, failure)


class CameraCaller(Protocol):
    """The part of `DeviceCalls` that checks need."""

    async def frame_of(self, site: CameraSite) -> object:
        """Fetch the camera's current picture, and note whether it answered."""
        ...


class CheckCameras:
    """Calls each camera from which nothing came for a while, so that its status is true without its pushes."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        directory: SiteDirectory,
        devices: CameraCaller,
        settings: HealthSettings,
        logger: Logger,
    ) -> None:
        self._db = db
        self._clock = clock
        self._directory = directory
        self._devices = devices
        self._interval = timedelta(seconds=settings.check_interval_s)
        self._attempts = settings.check_attempts
        self._at_once = asyncio.Semaphore(settings.checks_at_once)
        self._logger = logger

    async def check(self) -> int:
        """Call every camera that is due; returns how many were.

        Raises:
            Unavailable: the database cannot be reached.
        """
        async with self._db.reading() as session:
            ids = await site_states.callable_cameras(session)
            signs = await site_states.signs(session, ids)
        now = self._clock.now()
        due = [camera_id for camera_id in ids if is_check_due(signs[camera_id], now, self._interval)]
        async with asyncio.TaskGroup() as tasks:
            for camera_id in due:
                tasks.create_task(self._check(camera_id))
        return len(due)

    async def _check(self, camera_id: int) -> None:
        async with self._at_once:
            for _ in range(self._attempts):
                try:
                    await self._devices.frame_of(await self._directory.by_id(camera_id))
                except LookoutError as error:
                    failure = error
                else:
                    return
            self._logger.info("a camera does not answer", camera_id=camera_id, code=failure.code)
