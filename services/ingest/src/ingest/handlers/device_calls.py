"""Asking a camera for a picture or a recording, now."""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ingest.adapters.http_camera import CameraAccess, CameraUnreachable, HttpCameras
from ingest.domain.circuit import Circuit
from ingest.domain.clips import Window, clip_window
from ingest.domain.errors import InputError
from ingest.domain.pictures import PictureHeader
from ingest.domain.site import CameraSite, CameraStatus
from ingest.handlers.input_errors import mapped_input_errors
from ingest.handlers.pictures import read_header
from ingest.handlers.site_directory import SiteDirectory
from ingest.settings import DeviceSettings, ParkingPushSettings
from kit.blobs import BlobStore, StoredBlob, new_blob_key
from kit.clock import Clock
from kit.errors import LookoutError, UpstreamFailed
from kit.logging import Logger
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


class DeviceCalls:
    """Frames and clips of registered cameras."""

    def __init__(
        self,
        *,
        cameras: HttpCameras,
        directory: SiteDirectory,
        secret_box: SecretBox,
        blobs: BlobStore,
        clock: Clock,
        settings: DeviceSettings,
        reports: ParkingPushSettings,
        is_playable_clip: Callable[[Path], object | None],
        logger: Logger,
    ) -> None:
        self._cameras = cameras
        self._directory = directory
        self._secret_box = secret_box
        self._blobs = blobs
        self._clock = clock
        self._settings = settings
        self._reports = reports
        self._look_at_clip = is_playable_clip
        self._logger = logger
        self._clips_at_once = asyncio.Semaphore(settings.max_clips_at_once)
        self._circuits: dict[int, Circuit] = {}

    def circuit(self, camera_id: int) -> Circuit:
        """Whether that camera has answered of late."""
        return self._circuits.setdefault(
            camera_id,
            Circuit(failures_to_open=self._settings.failures_to_open, rest_s=self._settings.rest_s),
        )

    async def frame(self, camera_id: int) -> Frame:
        """The camera's current picture. A person asks, so it is tried even when it was silent of late.

        Raises:
            NotFound: no such camera.
            CameraUnreachable, UpstreamTimeout, UpstreamFailed: the camera.
        """
        return await self.frame_of(await self._directory.by_id(camera_id))

    async def frame_of(self, site: CameraSite) -> Frame:
        """As `frame`, for a camera at hand."""
        circuit = self.circuit(site.camera_id)
        access = self.access(site)
        try:
            max_bytes = self._reports.max_picture_bytes
            data = await self._cameras.fetch_frame(access, max_bytes=max_bytes)
            header = read_header(data, max_pixels=self._reports.max_picture_pixels, field="picture")
        except InputError as refused:
            circuit.failed(self._clock.now())
            raise UpstreamFailed(
                f"the camera sent no usable picture: {refused.detail}", code=refused.code
            ) from refused
        except LookoutError:
            circuit.failed(self._clock.now())
            raise
        circuit.succeeded()
        return Frame(data, header, self._clock.now())

    async def stored_frame(self, camera_id: int) -> tuple[Frame, StoredBlob]:
        """As `frame`, kept in the blob store."""
        frame = await self.frame(camera_id)
        key = new_blob_key(FRAMES, frame.captured_at, frame.header.suffix)
        return frame, await self._blobs.put(key, frame.data, frame.header.content_type)

    async def clip(self, camera_id: int, start: datetime | None, end: datetime | None) -> Clip:
        """A stretch of the camera's recording, kept in the blob store. Cameras take tens of seconds for it.

        Raises:
            NotFound: no such camera.
            Invalid: a window that cannot be asked for.
            CameraUnreachable, UpstreamTimeout, UpstreamFailed: the camera, each time it was tried.
        """
        site = await self._directory.by_id(camera_id)
        with mapped_input_errors():
            window = clip_window(start, end, self._clock.now(), max_length_s=self._settings.max_clip_length_s)
        access = self.access(site)
        local = Window(window.start.astimezone(site.time_zone), window.end.astimezone(site.time_zone))
        async with self._clips_at_once:
            with tempfile.TemporaryDirectory(prefix="lookout-clip-") as folder:
                path = Path(folder) / "clip.mp4"
                await self._try_for_clip(access, local, path)
                data = await asyncio.to_thread(path.read_bytes)
        key = new_blob_key(CLIPS, self._clock.now(), "mp4")
        return Clip(await self._blobs.put(key, data, "video/mp4"), window)

    async def _try_for_clip(self, access: CameraAccess, window: Window, path: Path) -> None:
        wait_s = self._settings.clip_backoff_s
        for attempt in range(1, self._settings.clip_attempts + 1):
            try:
                await self._cameras.fetch_clip(access, window, path)
                if await asyncio.to_thread(self._look_at_clip, path) is not None:
                    return
                raise UpstreamFailed("the camera's clip does not play", code="clip_broken")
            except CameraUnreachable:
                raise  # it has no address, or a forbidden one: asking again changes nothing
            except LookoutError as error:
                if attempt == self._settings.clip_attempts:
                    raise
                self._logger.info(
                    "clip tried again", camera_id=access.camera_id, attempt=attempt, code=error.code
                )
            await asyncio.sleep(wait_s)
            wait_s *= 2

    def access(self, site: CameraSite) -> CameraAccess:
        """How to call the camera.

        Raises:
            CameraUnreachable: it cannot be called at all, by what is registered.
        """
        if site.status is CameraStatus.OFFLINE:
            raise CameraUnreachable("the camera is set to OFFLINE", code="camera_offline")
        addresses = tuple(address for address in (site.p_ip, site.vpn_ip) if address)
        if not addresses:
            raise CameraUnreachable("the camera has no address", code="camera_without_address")
        try:
            password = self._secret_box.decrypt(site.sealed_camera_pass) if site.sealed_camera_pass else ""
        except DecryptionError as error:
            raise CameraUnreachable(
                "the camera's password was encrypted with a key that is not set",
                code="camera_pass_unreadable",
            ) from error
        return CameraAccess(site.camera_id, addresses, site.camera_user, password)
