"""Fetch a picture or a clip from a camera."""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from ingest.domain.clips import Window, clip_window
from ingest.domain.errors import InputError
from ingest.domain.frame import StoredPicture
from ingest.domain.pictures import PictureHeader
from ingest.domain.site import CameraAccess, CameraSite
from ingest.handlers.input_errors import mapped_input_errors
from ingest.handlers.pictures import read_header, store_picture
from ingest.handlers.site_directory import SiteDirectory
from ingest.handlers.site_states import CameraHealth
from ingest.settings import DeviceSettings
from kit.blobs import BlobStore, StoredBlob, new_blob_key
from kit.circuit import Circuit
from kit.clock import Clock
from kit.disk import DiskReserve
from kit.errors import LookoutError, UpstreamFailed, UpstreamUnreachable
from kit.logging import Logger
from kit.picture_limits import PictureLimits
from kit.secrets import DecryptionError, SecretBox

FRAMES = "frames"
CLIPS = "clips"


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture that a camera has just taken."""

    data: bytes
    header: PictureHeader
    captured_at: datetime


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording in the blob store."""

    blob: StoredBlob
    window: Window


class CameraClient(Protocol):
    """How cameras are called. Every call raises:

    UpstreamUnreachable: the camera has no address at which it may be called, or refuses the connection.
    UpstreamTimeout: it did not answer in time.
    UpstreamFailed: it answered with something else.
    """

    async def fetch_frame(self, access: CameraAccess, *, max_bytes: int) -> bytes:
        """The camera's current picture, as it was sent."""
        ...

    async def fetch_clip(self, access: CameraAccess, window: Window, to: Path) -> int:
        """Write the recording of `window` (aware, in the camera's time zone) to a file; its size in bytes."""
        ...


class CameraNotSetUp(UpstreamUnreachable):
    """It is not called, because of how it is registered: 409."""

    default_status = 409
    title = "Camera not set up for calls"


class DeviceCalls:
    """Frames and clips of registered cameras. `is_playable_clip` blocks; it is called on a thread."""

    def __init__(
        self,
        *,
        cameras: CameraClient,
        directory: SiteDirectory,
        secret_box: SecretBox,
        blobs: BlobStore,
        clock: Clock,
        settings: DeviceSettings,
        max_picture_bytes: int,
        picture_limits: PictureLimits,
        is_playable_clip: Callable[[Path], bool],
        health: CameraHealth,
        logger: Logger,
        reserve: DiskReserve,
    ) -> None:
        self._cameras = cameras
        self._directory = directory
        self._secret_box = secret_box
        self._blobs = blobs
        self._clock = clock
        self._settings = settings
        self._max_picture_bytes = max_picture_bytes
        self._picture_limits = picture_limits
        self._is_playable_clip = is_playable_clip
        self._health = health
        self._logger = logger
        self._reserve = reserve
        self._clips_at_once = asyncio.Semaphore(settings.max_clips_at_once)
        self._circuits: dict[int, Circuit] = {}
        self._latest: dict[int, tuple[datetime, Frame]] = {}

    def circuit(self, camera_id: int) -> Circuit:
        """The circuit breaker of that camera."""
        return self._circuits.setdefault(
            camera_id,
            Circuit(
                failures_to_open=self._settings.circuit_max_failures,
                pause_s=self._settings.circuit_open_s,
            ),
        )

    async def frame(self, camera_id: int) -> Frame:
        """The camera's current picture. A user asks, so the camera is called even if the last calls failed.

        Raises:
            NotFound: no such camera.
            UpstreamUnreachable, UpstreamTimeout, UpstreamFailed: the camera.
        """
        return await self.frame_of(await self._directory.by_id(camera_id))

    async def frame_since(self, site: CameraSite, since: datetime) -> Frame:
        """As `frame`, for a camera that is already loaded: a picture that was asked for after `since`, at most
        `frame_share_s` ago. Several spots are often left at the same time; one picture shows all of them.
        """
        known = self._latest.get(site.camera_id)
        if known is not None and known[0] > since:
            return known[1]
        asked_at = self._clock.now()
        frame = await self.frame_of(site)
        if self._settings.frame_share_s:
            self._latest[site.camera_id] = latest = (asked_at, frame)
            asyncio.get_running_loop().call_later(
                self._settings.frame_share_s, self._drop_latest, site.camera_id, latest
            )
        return frame

    def _drop_latest(self, camera_id: int, latest: tuple[datetime, Frame]) -> None:
        if self._latest.get(camera_id) is latest:
            del self._latest[camera_id]

    async def frame_of(self, site: CameraSite) -> Frame:
        """As `frame`, for a camera that is already loaded."""
        circuit = self.circuit(site.camera_id)
        access = self.access(site)
        try:
            data = await self._cameras.fetch_frame(access, max_bytes=self._max_picture_bytes)
            header = read_header(data, limits=self._picture_limits, field="picture")
        except InputError as refused:
            circuit.failed(self._clock.now().timestamp())
            await self._health.note(site.camera_id, refused.code)
            raise UpstreamFailed(
                f"the camera sent no usable picture: {refused.detail}", code=refused.code
            ) from refused
        except LookoutError as error:
            circuit.failed(self._clock.now().timestamp())
            await self._health.note(site.camera_id, error.code)
            raise
        circuit.succeeded()
        await self._health.note(site.camera_id, None)
        return Frame(data, header, self._clock.now())

    async def stored_frame(self, camera_id: int) -> tuple[Frame, StoredPicture]:
        """As `frame`, and stored in the blob store.

        Raises:
            StorageFull: the disk is nearly full.
        """
        self._reserve.check()
        frame = await self.frame(camera_id)
        key = new_blob_key(FRAMES, frame.captured_at, frame.header.suffix)
        return frame, await store_picture(self._blobs, key, frame.data, frame.header)

    async def clip(self, camera_id: int, start: datetime | None, end: datetime | None) -> Clip:
        """A part of the camera's recording, stored in the blob store. Cameras take tens of seconds for it.

        Raises:
            NotFound: no such camera.
            Invalid: a window that cannot be fetched.
            UpstreamUnreachable, UpstreamTimeout, UpstreamFailed: the camera, at every attempt.
            StorageFull: the disk is nearly full.
        """
        self._reserve.check()
        site = await self._directory.by_id(camera_id)
        with mapped_input_errors():
            window = clip_window(start, end, self._clock.now(), max_length_s=self._settings.max_clip_length_s)
        access = self.access(site)
        local_window = Window(window.start.astimezone(site.time_zone), window.end.astimezone(site.time_zone))
        async with self._clips_at_once:
            with tempfile.TemporaryDirectory(prefix="lookout-clip-") as folder:
                path = Path(folder) / "clip.mp4"
                await self._fetch_playable_clip(access, local_window, path)
                data = await asyncio.to_thread(path.read_bytes)
        key = new_blob_key(CLIPS, self._clock.now(), "mp4")
        return Clip(await self._blobs.put(key, data, "video/mp4"), window)

    async def _fetch_playable_clip(self, access: CameraAccess, window: Window, path: Path) -> None:
        wait_s = self._settings.clip_backoff_s
        for attempt in range(1, self._settings.clip_attempts + 1):
            try:
                await self._cameras.fetch_clip(access, window, path)
                if await asyncio.to_thread(self._is_playable_clip, path):
                    return
                raise UpstreamFailed("the camera's clip does not play", code="clip_broken")
            except UpstreamUnreachable:
                raise  # the address is missing or forbidden: another attempt changes nothing
            except LookoutError as error:
                if attempt == self._settings.clip_attempts:
                    raise
                self._logger.info(
                    "clip attempt failed, will be retried",
                    camera_id=access.camera_id,
                    attempt=attempt,
                    code=error.code,
                )
            await asyncio.sleep(wait_s)
            wait_s *= 2

    def access(self, site: CameraSite) -> CameraAccess:
        """How to call the camera.

        Raises:
            CameraNotSetUp: it has no address, or is not enabled.
            UpstreamUnreachable: its password cannot be decrypted.
        """
        if not site.is_enabled:
            raise CameraNotSetUp(
                "the camera is set to be never called (OFFLINE): set its is_enabled to true first",
                code="camera_offline",
            )
        addresses = tuple(address for address in (site.p_ip, site.vpn_ip) if address)
        if not addresses:
            raise CameraNotSetUp(
                "the camera has no address: set its p_ip or vpn_ip first", code="camera_without_address"
            )
        try:
            password = self._secret_box.decrypt(site.sealed_camera_pass) if site.sealed_camera_pass else ""
        except DecryptionError as error:
            raise UpstreamUnreachable(
                "the camera's password was encrypted with a key that is not set",
                code="camera_pass_unreadable",
            ) from error
        return CameraAccess(site.camera_id, addresses, site.camera_user, password)
