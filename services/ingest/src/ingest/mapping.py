"""Protobuf ↔ domain, both ways."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ingest.domain.camera_time import ClockCheck, ClockState
from ingest.domain.errors import InvalidValue
from ingest.domain.frame import CapturedFrame, FrameSpot, PictureSource, StoredPicture
from ingest.domain.geometry import Box, Quad, in_order
from ingest.domain.outcomes import Decision, Outcome, TicketPlate
from ingest.domain.parking_push import Purpose
from ingest.domain.site import CameraRef, CameraSite, CameraStatus, RegisteredSpot
from ingest.domain.site_status import Occupancy, SpotReport
from kit.blobs import StoredBlob
from kit.bus import Event, EventSource
from kit.protobuf_time import TimeOutOfRange, to_datetime
from lookout.camera.v1 import camera_pb2
from lookout.common.v1 import common_pb2
from lookout.parking.v1 import parking_pb2

EVENTS = EventSource("ingest", camera_pb2.FrameCaptured)
"""All that ingest publishes."""

_PURPOSES = {Purpose.ENTRY: camera_pb2.PURPOSE_ENTRY, Purpose.EXIT: camera_pb2.PURPOSE_EXIT}
_PURPOSES_BACK = {value: purpose for purpose, value in _PURPOSES.items()}

_CLOCK_STATES = {
    ClockState.OK: camera_pb2.CLOCK_STATE_OK,
    ClockState.AHEAD: camera_pb2.CLOCK_STATE_AHEAD,
    ClockState.BEHIND: camera_pb2.CLOCK_STATE_BEHIND,
}
# UNSPECIFIED: a pending event that the release before this one stored.
_CLOCK_STATES_BACK = {value: state for state, value in _CLOCK_STATES.items()} | {
    camera_pb2.CLOCK_STATE_UNSPECIFIED: ClockState.OK
}

_SOURCES = {
    PictureSource.PUSHED: camera_pb2.PICTURE_SOURCE_PUSHED,
    PictureSource.FETCHED: camera_pb2.PICTURE_SOURCE_FETCHED,
    PictureSource.PUSHED_FALLBACK: camera_pb2.PICTURE_SOURCE_PUSHED_FALLBACK,
}
_SOURCES_BACK = {value: source for source, value in _SOURCES.items()}

_OUTCOMES = {
    parking_pb2.TRIGGER_OUTCOME_OPENED: Outcome.OPENED,
    parking_pb2.TRIGGER_OUTCOME_REOPENED: Outcome.REOPENED,
    parking_pb2.TRIGGER_OUTCOME_CLOSED: Outcome.CLOSED,
    parking_pb2.TRIGGER_OUTCOME_IGNORED: Outcome.IGNORED,
    parking_pb2.TRIGGER_OUTCOME_STILL_OCCUPIED: Outcome.STILL_OCCUPIED,
}
# For messages of an older tickets service, which does not fill `outcome`, and of a newer one with an outcome that this
# release does not know.
_OUTCOMES_BY_DECISION = {
    parking_pb2.DECISION_OPENED: Outcome.OPENED,
    parking_pb2.DECISION_REOPENED: Outcome.REOPENED,
    parking_pb2.DECISION_CLOSED: Outcome.CLOSED,
    parking_pb2.DECISION_IGNORED: Outcome.IGNORED,
}
_STILL_OCCUPIED_REASON = "Spot still occupied"

_OCCUPANCIES = {
    parking_pb2.SpotStatus.Value(f"SPOT_STATUS_{occupancy.name}"): occupancy for occupancy in Occupancy
}

_REASONS = {
    parking_pb2.IGNORED_REASON_SPOT_ALREADY_OCCUPIED: "Spot already occupied",
    parking_pb2.IGNORED_REASON_NO_CAR_DETECTED: "No car detected",
    parking_pb2.IGNORED_REASON_SPOT_STILL_OCCUPIED: _STILL_OCCUPIED_REASON,
    parking_pb2.IGNORED_REASON_NO_OPEN_TICKET: "No open ticket",
    parking_pb2.IGNORED_REASON_OLDER_THAN_LATEST_TICKET: "Older than the latest ticket",
}


def frame_event(frame: CapturedFrame) -> Event:
    """The frame for the bus; its id is the message's id and the correlation id of all that follows."""
    return EVENTS.event(
        frame_captured(frame),
        scope=(frame.camera.location_code, frame.camera.api_code),
        partition_key=frame.partition_key,
        occurred_at=frame.clock.captured_at,
        correlation_id=str(frame.frame_id),
        message_id=frame.frame_id,
    )


def frame_captured(frame: CapturedFrame) -> camera_pb2.FrameCaptured:
    """The frame as a message."""
    camera, spot, clock = frame.camera, frame.spot, frame.clock
    message = camera_pb2.FrameCaptured(
        frame_id=str(frame.frame_id),
        purpose=_PURPOSES[frame.purpose],
        location_id=camera.location_id,
        location_code=camera.location_code,
        zone_id=camera.zone_id,
        zone_code=camera.zone_code,
        pole_id=camera.pole_id,
        pole_code=camera.pole_code,
        camera_id=camera.camera_id,
        camera_name=camera.camera_name,
        camera_api_code=camera.api_code,
        time_zone=camera.time_zone.key,
        spot=camera_pb2.Spot(
            spot_id=spot.spot_id, spot_number=spot.spot_number, polygon=_polygon(spot.corners)
        ),
        captured_at=timestamp(clock.captured_at),
        received_at=timestamp(frame.received_at),
        picture=picture_ref(frame.picture),
        picture_source=_SOURCES[frame.picture_source],
        picture_note=frame.picture_note,
        previous_state_duration=_duration(frame.previous_state_duration_s),
        regions=frame.regions,
        camera=camera_ref(camera),
        spot_ref=common_pb2.SpotRef(spot_id=spot.spot_id, spot_number=spot.spot_number),
        clock_state=_CLOCK_STATES[clock.state],
        clock_skew=_duration(clock.skew_s),
    )
    if (box := frame.vehicle_box) is not None:
        message.vehicle_box.CopyFrom(common_pb2.Box(x=box.x, y=box.y, width=box.width, height=box.height))
    return message


def decode_frame(encoded: bytes) -> CapturedFrame:
    """The frame of a serialized `FrameCaptured`, also of one that the release before this one stored."""
    message = camera_pb2.FrameCaptured.FromString(encoded)
    box = message.vehicle_box
    spot = message.spot_ref if message.HasField("spot_ref") else message.spot
    return CapturedFrame(
        frame_id=UUID(message.frame_id),
        purpose=_PURPOSES_BACK[message.purpose],
        camera=_camera_from(message),
        regions=tuple(message.regions),
        spot=FrameSpot(spot.spot_id, spot.spot_number, _corners(message.spot.polygon)),
        vehicle_box=Box(box.x, box.y, box.width, box.height) if message.HasField("vehicle_box") else None,
        clock=ClockCheck(
            captured_at=message.captured_at.ToDatetime(tzinfo=UTC),
            skew_s=message.clock_skew.ToTimedelta() / timedelta(seconds=1),
            state=_CLOCK_STATES_BACK[message.clock_state],
        ),
        received_at=message.received_at.ToDatetime(tzinfo=UTC),
        previous_state_duration_s=message.previous_state_duration.ToTimedelta() / timedelta(seconds=1),
        picture=StoredPicture(
            key=message.picture.key,
            content_type=message.picture.content_type,
            size_bytes=message.picture.size_bytes,
            sha256=message.picture.sha256,
            width_px=message.picture.width_px,
            height_px=message.picture.height_px,
        ),
        picture_source=_SOURCES_BACK[message.picture_source],
        picture_note=message.picture_note,
    )


def _camera_from(message: camera_pb2.FrameCaptured) -> CameraRef:
    """From `camera`, or from the older fields in a message of the release before this one."""
    has_ref = message.HasField("camera")
    source: common_pb2.CameraRef | camera_pb2.FrameCaptured = message.camera if has_ref else message
    return CameraRef(
        camera_id=source.camera_id,
        camera_name=message.camera.name if has_ref else message.camera_name,
        api_code=message.camera.api_code if has_ref else message.camera_api_code,
        pole_id=source.pole_id,
        pole_code=source.pole_code,
        zone_id=source.zone_id,
        zone_code=source.zone_code,
        location_id=source.location_id,
        location_code=source.location_code,
        time_zone=ZoneInfo(source.time_zone),
        number_of_parking=message.camera.number_of_parking,
    )


def camera_ref(camera: CameraRef) -> common_pb2.CameraRef:
    """A camera and its place in the site, as events carry it."""
    return common_pb2.CameraRef(
        camera_id=camera.camera_id,
        name=camera.camera_name,
        api_code=camera.api_code,
        location_id=camera.location_id,
        location_code=camera.location_code,
        zone_id=camera.zone_id,
        zone_code=camera.zone_code,
        pole_id=camera.pole_id,
        pole_code=camera.pole_code,
        time_zone=camera.time_zone.key,
        number_of_parking=camera.number_of_parking,
    )


def camera(site: CameraSite, status: CameraStatus) -> camera_pb2.Camera:
    """A camera as `Cameras.GetCamera` answers it."""
    return camera_pb2.Camera(
        camera_id=site.camera_id,
        name=site.camera_name,
        api_code=site.api_code,
        location_id=site.location_id,
        location_code=site.location_code,
        zone_id=site.zone_id,
        zone_code=site.zone_code,
        pole_id=site.pole_id,
        pole_code=site.pole_code,
        status=status.value,
        number_of_parking=site.number_of_parking,
        time_zone=site.time_zone.key,
        portal_id=site.portal_id,
    )


def registered_spot(spot: RegisteredSpot) -> camera_pb2.Spot:
    """A spot as it is registered, its corners in order."""
    return camera_pb2.Spot(
        spot_id=spot.spot_id, spot_number=spot.spot_number, polygon=_polygon(in_order(spot.corners))
    )


def picture_ref(picture: StoredPicture) -> common_pb2.BlobRef:
    """A stored picture."""
    return common_pb2.BlobRef(
        key=picture.key,
        content_type=picture.content_type,
        size_bytes=picture.size_bytes,
        sha256=picture.sha256,
        width_px=picture.width_px,
        height_px=picture.height_px,
    )


def clip_ref(blob: StoredBlob) -> common_pb2.BlobRef:
    """A stored clip."""
    return common_pb2.BlobRef(
        key=blob.key, content_type=blob.content_type, size_bytes=blob.size_bytes, sha256=blob.sha256
    )


def spot_report(message: parking_pb2.TriggerDecided) -> SpotReport | None:
    """What the message says of its spot; None if its sender is an older tickets service, which says nothing.

    Raises:
        InvalidValue: a time is outside the years 1 to 9999.
    """
    occupancy = _OCCUPANCIES.get(message.spot_status)
    if occupancy is None:
        return None
    return SpotReport(
        camera_id=message.camera.camera_id,
        spot_number=message.spot_ref.spot_number,
        occupancy=occupancy,
        at=instant(message.spot_status_at) if message.HasField("spot_status_at") else None,
        decided_at=_decided_at(message),
    )


def decision(message: parking_pb2.TriggerDecided) -> Decision:
    """What tickets decided, for the answer to a camera.

    Raises:
        InvalidValue: the frame id is no UUID, the outcome and the decision are both unknown to this release, or
            `decided_at` is outside the years 1 to 9999.
    """
    try:
        event_id = UUID(message.frame_id)
    except ValueError as error:
        raise InvalidValue(f"frame_id {message.frame_id!r} is not a UUID") from error
    has_ticket, ticket = message.HasField("ticket"), message.ticket
    plate = ticket.plate
    return Decision(
        event_id=event_id,
        outcome=_outcome(message),
        ticket_id=ticket.ticket_id if has_ticket else None,
        review_id=message.review_id or None,
        reason=_REASONS.get(message.ignored_reason) or message.reason or None,
        plate=TicketPlate(
            text=plate.text,
            code=plate.code,
            number=plate.number,
            city=ticket.plate_city,
            region=plate.region,
            confidence=plate.confidence,
        )
        if has_ticket and plate.text
        else None,
        decided_at=_decided_at(message),
    )


def _decided_at(message: parking_pb2.TriggerDecided) -> datetime:
    try:
        return instant(message.decided_at)
    except InvalidValue as error:
        raise InvalidValue(f"decided_at {error}") from error


def _outcome(message: parking_pb2.TriggerDecided) -> Outcome:
    outcome = _OUTCOMES.get(message.outcome)
    if outcome is None:
        is_still_occupied = message.reason == _STILL_OCCUPIED_REASON
        by_decision = _OUTCOMES_BY_DECISION.get(message.decision)
        outcome = Outcome.STILL_OCCUPIED if is_still_occupied else by_decision
    if outcome is None:
        raise InvalidValue(f"unknown outcome {message.outcome} with decision {message.decision}")
    return outcome


def timestamp(at: datetime) -> Timestamp:
    """An instant; `at` is aware."""
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def instant(stamp: Timestamp) -> datetime:
    """The instant in UTC.

    Raises:
        InvalidValue: it is outside the years 1 to 9999.
    """
    try:
        return to_datetime(stamp)
    except TimeOutOfRange as error:
        raise InvalidValue("is outside the years 1 to 9999") from error


def _polygon(corners: Quad) -> common_pb2.Polygon:
    return common_pb2.Polygon(points=[common_pb2.Point(x=x, y=y) for x, y in corners])


def _corners(polygon: common_pb2.Polygon) -> Quad:
    a, b, c, d = ((point.x, point.y) for point in polygon.points)
    return a, b, c, d


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration
