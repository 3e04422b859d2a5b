"""gRPC in: the camera service of `lookout.camera.v1`."""

from datetime import UTC, datetime

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from ingest.adapters.http_camera import CameraUnreachable
from ingest.domain.geometry import in_order
from ingest.handlers.device_calls import DeviceCalls
from ingest.handlers.site_directory import SiteDirectory
from ingest.mapping import blob_ref, spot_message, timestamp
from kit.errors import FieldError, Invalid, Unavailable
from lookout.camera.v1 import camera_pb2, camera_pb2_grpc

_RETRY_AFTER_S = 5


class Cameras(camera_pb2_grpc.CamerasServicer):
    """What other services ask of the one that owns the devices."""

    def __init__(self, directory: SiteDirectory, devices: DeviceCalls) -> None:
        self._directory = directory
        self._devices = devices

    async def GetCamera(  # noqa: N802 - the contract's name
        self,
        request: camera_pb2.GetCameraRequest,
        context: "grpc.aio.ServicerContext[camera_pb2.GetCameraRequest, camera_pb2.GetCameraResponse]",
    ) -> camera_pb2.GetCameraResponse:
        """A camera and where it hangs."""
        site = await self._directory.by_id(request.camera_id)
        return camera_pb2.GetCameraResponse(
            camera=camera_pb2.Camera(
                camera_id=site.camera_id,
                name=site.camera_name,
                api_code=site.api_code,
                location_id=site.location_id,
                location_code=site.location_code,
                zone_id=site.zone_id,
                zone_code=site.zone_code,
                pole_id=site.pole_id,
                pole_code=site.pole_code,
                status=site.status.value,
                number_of_parking=site.number_of_parking,
                time_zone=site.time_zone.key,
                portal_id=site.portal_id,
            )
        )

    async def ListSpots(  # noqa: N802 - the contract's name
        self,
        request: camera_pb2.ListSpotsRequest,
        context: "grpc.aio.ServicerContext[camera_pb2.ListSpotsRequest, camera_pb2.ListSpotsResponse]",
    ) -> camera_pb2.ListSpotsResponse:
        """The camera's spots, by number."""
        site = await self._directory.by_id(request.camera_id)
        return camera_pb2.ListSpotsResponse(
            spots=[spot_message(spot, in_order(spot.corners)) for _, spot in sorted(site.spots.items())]
        )

    async def CaptureFrame(  # noqa: N802 - the contract's name
        self,
        request: camera_pb2.CaptureFrameRequest,
        context: "grpc.aio.ServicerContext[camera_pb2.CaptureFrameRequest, camera_pb2.CaptureFrameResponse]",
    ) -> camera_pb2.CaptureFrameResponse:
        """The camera's current picture, in the blob store."""
        try:
            frame, blob = await self._devices.stored_frame(request.camera_id)
        except CameraUnreachable as error:
            raise _unavailable(error) from error
        return camera_pb2.CaptureFrameResponse(
            picture=blob_ref(blob, frame.header.size), captured_at=timestamp(frame.captured_at)
        )

    async def FetchClip(  # noqa: N802 - the contract's name
        self,
        request: camera_pb2.FetchClipRequest,
        context: "grpc.aio.ServicerContext[camera_pb2.FetchClipRequest, camera_pb2.FetchClipResponse]",
    ) -> camera_pb2.FetchClipResponse:
        """A stretch of the camera's recording, in the blob store."""
        start = _instant("start", request.start) if request.HasField("start") else None
        end = _instant("end", request.end) if request.HasField("end") else None
        try:
            clip = await self._devices.clip(request.camera_id, start, end)
        except CameraUnreachable as error:
            raise _unavailable(error) from error
        return camera_pb2.FetchClipResponse(clip=blob_ref(clip.blob))


def _unavailable(error: CameraUnreachable) -> Unavailable:
    """As the contract says: UNAVAILABLE when the camera does not answer."""
    return Unavailable(error.detail, code=error.code, retry_after_s=_RETRY_AFTER_S)


def _instant(field: str, stamp: Timestamp) -> datetime:
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(
            f"{field} is no instant", errors=[FieldError(field, "is no instant of the calendar")]
        ) from error
