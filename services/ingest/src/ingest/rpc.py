"""gRPC in: the camera service of `lookout.camera.v1`."""

from datetime import datetime

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from ingest import mapping
from ingest.domain.errors import InvalidValue
from ingest.handlers.device_calls import DeviceCalls
from ingest.handlers.registry import Registry
from ingest.handlers.site_directory import SiteDirectory
from kit.errors import FieldError, Invalid, Unavailable, UpstreamUnreachable
from lookout.camera.v1 import camera_pb2, camera_pb2_grpc

_RETRY_AFTER_S = 5


class Cameras(camera_pb2_grpc.CamerasServicer):
    """Cameras and their spots, and calls to cameras."""

    def __init__(self, registry: Registry, directory: SiteDirectory, devices: DeviceCalls) -> None:
        self._registry = registry
        self._directory = directory
        self._devices = devices

    async def GetCamera(  # noqa: N802 - the contract's name
        self,
        request: camera_pb2.GetCameraRequest,
        context: "grpc.aio.ServicerContext[camera_pb2.GetCameraRequest, camera_pb2.GetCameraResponse]",
    ) -> camera_pb2.GetCameraResponse:
        """A camera and its place in the site."""
        site = await self._directory.by_id(request.camera_id)
        status = await self._registry.camera_status(request.camera_id)
        return camera_pb2.GetCameraResponse(camera=mapping.camera(site, status))

    async def ListSpots(  # noqa: N802 - the contract's name
        self,
        request: camera_pb2.ListSpotsRequest,
        context: "grpc.aio.ServicerContext[camera_pb2.ListSpotsRequest, camera_pb2.ListSpotsResponse]",
    ) -> camera_pb2.ListSpotsResponse:
        """The camera's spots, by number."""
        site = await self._directory.by_id(request.camera_id)
        return camera_pb2.ListSpotsResponse(
            spots=[mapping.registered_spot(spot) for _, spot in sorted(site.spots.items())]
        )

    async def CaptureFrame(  # noqa: N802 - the contract's name
        self,
        request: camera_pb2.CaptureFrameRequest,
        context: "grpc.aio.ServicerContext[camera_pb2.CaptureFrameRequest, camera_pb2.CaptureFrameResponse]",
    ) -> camera_pb2.CaptureFrameResponse:
        """The camera's current picture, in the blob store."""
        try:
            frame, picture = await self._devices.stored_frame(request.camera_id)
        except UpstreamUnreachable as error:
            raise _unavailable(error) from error
        return camera_pb2.CaptureFrameResponse(
            picture=mapping.picture_ref(picture), captured_at=mapping.timestamp(frame.captured_at)
        )

    async def FetchClip(  # noqa: N802 - the contract's name
        self,
        request: camera_pb2.FetchClipRequest,
        context: "grpc.aio.ServicerContext[camera_pb2.FetchClipRequest, camera_pb2.FetchClipResponse]",
    ) -> camera_pb2.FetchClipResponse:
        """A part of the camera's recording, in the blob store."""
        start = _instant("start", request.start) if request.HasField("start") else None
        end = _instant("end", request.end) if request.HasField("end") else None
        try:
            clip = await self._devices.clip(request.camera_id, start, end)
        except UpstreamUnreachable as error:
            raise _unavailable(error) from error
        return camera_pb2.FetchClipResponse(clip=mapping.clip_ref(clip.blob))


def _unavailable(error: UpstreamUnreachable) -> Unavailable:
    """As the contract says: UNAVAILABLE when the camera does not answer."""
    return Unavailable(error.detail, code=error.code, retry_after_s=_RETRY_AFTER_S)


def _instant(field: str, stamp: Timestamp) -> datetime:
    try:
        return mapping.instant(stamp)
    except InvalidValue as error:
        raise Invalid(f"{field} {error}", errors=[FieldError(field, str(error))]) from error
