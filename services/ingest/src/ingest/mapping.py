"""The event that tells the others about a frame: `lookout.camera.v1.FrameCaptured`."""

from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ingest.domain.camera_time import ClockJudgement, ClockState
from ingest.domain.geometry import Box, Quad, Size, scale_quad
from ingest.domain.parking_push import ParkingPush, Purpose
from ingest.domain.site import CameraSite, RegisteredSpot
from kit.blobs import StoredBlob
from kit.bus import Event, EventSource
from lookout.camera.v1 import camera_pb2
from lookout.common.v1 import common_pb2

EVENTS = EventSource("ingest", camera_pb2.FrameCaptured)
"""All that ingest publishes."""

_PURPOSES = {Purpose.ENTRY: camera_pb2.PURPOSE_ENTRY, Purpose.EXIT: camera_pb2.PURPOSE_EXIT}

_CLOCK_STATES = {
    ClockState.OK: camera_pb2.CLOCK_STATE_OK,
    ClockState.AHEAD: camera_pb2.CLOCK_STATE_AHEAD,
    ClockState.BEHIND: camera_pb2.CLOCK_STATE_BEHIND,
}


def camera_ref(site: CameraSite) -> common_pb2.CameraRef:
    """A camera and its place in the site, as events carry it."""
    return common_pb2.CameraRef(
        camera_id=site.camera_id,
        name=site.camera_name,
        api_code=site.api_code,
        location_id=site.location_id,
        location_code=site.location_code,
        zone_id=site.zone_id,
        zone_code=site.zone_code,
        pole_id=site.pole_id,
        pole_code=site.pole_code,
        time_zone=site.time_zone.key,
    )


def blob_ref(blob: StoredBlob, size: Size | None = None) -> common_pb2.BlobRef:
    """A stored blob as events name it."""
    return common_pb2.BlobRef(
        key=blob.key,
        content_type=blob.content_type,
        size_bytes=blob.size_bytes,
        sha256=blob.sha256,
        width_px=size.width_px if size is not None else 0,
        height_px=size.height_px if size is not None else 0,
    )


def timestamp(at: datetime) -> Timestamp:
    """An instant as protobuf has it."""
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def polygon(corners: Quad) -> common_pb2.Polygon:
    """A spot's corners as protobuf has them."""
    return common_pb2.Polygon(points=[common_pb2.Point(x=x, y=y) for x, y in corners])


def spot_message(spot: RegisteredSpot, corners: Quad) -> camera_pb2.Spot:
    """A spot with its corners in the picture at hand."""
    return camera_pb2.Spot(spot_id=spot.spot_id, spot_number=spot.spot_number, polygon=polygon(corners))


def frame_captured(
    *,
    frame_id: UUID,
    site: CameraSite,
    report: ParkingPush,
    spot: camera_pb2.Spot,
    vehicle_box: Box | None,
    clock: ClockJudgement,
    received_at: datetime,
    picture: common_pb2.BlobRef,
) -> camera_pb2.FrameCaptured:
    """A pushed frame, complete: its consumers need no call back."""
    frame = camera_pb2.FrameCaptured(
        frame_id=str(frame_id),
        purpose=_PURPOSES[report.purpose],
        location_id=site.location_id,
        location_code=site.location_code,
        zone_id=site.zone_id,
        zone_code=site.zone_code,
        pole_id=site.pole_id,
        pole_code=site.pole_code,
        camera_id=site.camera_id,
        camera_name=site.camera_name,
        camera_api_code=site.api_code,
        time_zone=site.time_zone.key,
        spot=spot,
        captured_at=timestamp(clock.captured_at),
        received_at=timestamp(received_at),
        picture=picture,
        picture_source=camera_pb2.PICTURE_SOURCE_PUSHED,
        previous_state_duration=_duration(report.duration_s),
        regions=site.regions,
        camera=camera_ref(site),
        spot_ref=common_pb2.SpotRef(spot_id=spot.spot_id, spot_number=spot.spot_number),
        clock_state=_CLOCK_STATES[clock.state],
        clock_skew=_duration(clock.skew_s),
    )
    if vehicle_box is not None:
        frame.vehicle_box.CopyFrom(
            common_pb2.Box(
                x=vehicle_box.x, y=vehicle_box.y, width=vehicle_box.width, height=vehicle_box.height
            )
        )
    return frame


def with_fetched_picture(
    frame: camera_pb2.FrameCaptured, picture: common_pb2.BlobRef
) -> camera_pb2.FrameCaptured:
    """The same frame with a fresh picture of the spot.

    The corners move along when the camera's snapshots are of another size than its pushes. The camera's box
    stays behind: it says where the vehicle stood when it was pushed; whether it still does is the question.
    """
    fresh = camera_pb2.FrameCaptured()
    fresh.CopyFrom(frame)
    fresh.ClearField("vehicle_box")
    pushed = Size(frame.picture.width_px, frame.picture.height_px)
    target = Size(picture.width_px, picture.height_px)
    a, b, c, d = ((point.x, point.y) for point in frame.spot.polygon.points)
    fresh.spot.polygon.CopyFrom(polygon(scale_quad((a, b, c, d), pushed, target)))
    fresh.picture.CopyFrom(picture)
    fresh.picture_source = camera_pb2.PICTURE_SOURCE_FETCHED
    return fresh


def with_pushed_fallback(frame: camera_pb2.FrameCaptured, note: str) -> camera_pb2.FrameCaptured:
    """The same frame, saying why its picture is the pushed one."""
    fallback = camera_pb2.FrameCaptured()
    fallback.CopyFrom(frame)
    fallback.picture_source = camera_pb2.PICTURE_SOURCE_PUSHED_FALLBACK
    fallback.picture_note = note
    return fallback


def frame_event(frame: camera_pb2.FrameCaptured, frame_id: UUID) -> Event:
    """The frame on the bus: in order per camera, its own id as message and correlation id."""
    return EVENTS.event(
        frame,
        scope=(frame.location_code, frame.camera_api_code),
        partition_key=f"camera:{frame.camera_id}",
        occurred_at=frame.captured_at.ToDatetime(tzinfo=UTC),
        correlation_id=str(frame_id),
        message_id=frame_id,
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration
