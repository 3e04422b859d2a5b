"""Between the contract's protobuf messages and the domain's values, both ways."""

from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from kit.bus import Event, EventSource, Metadata, Rejected
from kit.errors import FieldError, Invalid
from kit.protobuf_time import TimeOutOfRange, to_datetime
from lookout.camera.v1 import camera_pb2 as camera
from lookout.common.v1 import common_pb2 as common
from lookout.plates.v1 import plates_pb2 as plates
from plate_ocr.domain.admission import Purpose
from plate_ocr.domain.frames import CapturedFrame, FrameRead, ReadFailure, StoredCrop
from plate_ocr.domain.requests import PictureRequest, PictureResult
from plate_ocr.domain.tracking import Track
from plate_ocr.domain.values import Box, PlateReading, PlateState, Point, Polygon, SpotOccupancy, UnreadReason

EVENTS = EventSource("plate-ocr", plates.PlatesRead)
"""The events that plate-ocr publishes."""

_OCCUPANCIES = {
    SpotOccupancy.OCCUPIED: plates.SPOT_OCCUPANCY_OCCUPIED,
    SpotOccupancy.FREE: plates.SPOT_OCCUPANCY_FREE,
    SpotOccupancy.UNKNOWN: plates.SPOT_OCCUPANCY_UNKNOWN,
}

_STATES = {
    PlateState.READ: common.PLATE_STATE_READ,
    PlateState.SINGLE_LOOK: common.PLATE_STATE_SINGLE_LOOK,
    PlateState.SEEN_NOT_READ: common.PLATE_STATE_SEEN_NOT_READ,
}

_UNREAD_REASONS = {
    None: common.UNREAD_REASON_UNSPECIFIED,
    UnreadReason.TOO_SMALL: common.UNREAD_REASON_TOO_SMALL,
    UnreadReason.TOO_BLURRED: common.UNREAD_REASON_TOO_BLURRED,
    UnreadReason.COVERED: common.UNREAD_REASON_COVERED,
    UnreadReason.UNSURE: common.UNREAD_REASON_UNSURE,
    UnreadReason.TOO_MANY: common.UNREAD_REASON_TOO_MANY,
}

_READ_FAILURES = {
    None: plates.READ_FAILURE_UNSPECIFIED,
    ReadFailure.DROPPED: plates.READ_FAILURE_DROPPED,
    ReadFailure.PICTURE_NOT_FOUND: plates.READ_FAILURE_PICTURE_NOT_FOUND,
    ReadFailure.PICTURE_TOO_LARGE: plates.READ_FAILURE_PICTURE_TOO_LARGE,
    ReadFailure.PICTURE_INVALID: plates.READ_FAILURE_PICTURE_INVALID,
    ReadFailure.GIVEN_UP: plates.READ_FAILURE_GIVEN_UP,
}

_PURPOSES = {
    camera.PURPOSE_ENTRY: Purpose.ENTRY,
    camera.PURPOSE_EXIT: Purpose.EXIT,
    camera.PURPOSE_SNAPSHOT: Purpose.SNAPSHOT,
    camera.PURPOSE_VIDEO: Purpose.VIDEO,
}

_EARLIEST_S, _LATEST_S = -62_135_596_800, 253_402_300_799
"""The range of a Timestamp: the years 1 to 9999."""


def purpose_from_message(purpose: camera.Purpose.ValueType) -> Purpose:
    """A purpose that this version does not know is a call: it waits and is never dropped."""
    return _PURPOSES.get(purpose, Purpose.CALL)


def polygon_from_message(message: common.Polygon) -> Polygon:
    """Its corners."""
    return tuple(Point(point.x, point.y) for point in message.points)


def polygon_to_message(polygon: Polygon) -> common.Polygon:
    """Its corners."""
    return common.Polygon(points=[common.Point(x=point.x, y=point.y) for point in polygon])


def box_from_message(message: common.Box) -> Box:
    """The box."""
    return Box(message.x, message.y, message.width, message.height)


def box_to_message(box: Box) -> common.Box:
    """The box."""
    return common.Box(x=box.x, y=box.y, width=box.width, height=box.height)


def picture_request_from_message(message: plates.ReadRequest, regions: tuple[str, ...]) -> PictureRequest:
    """The request, with `regions` in place of its own.

    Raises: Invalid: it has neither a picture nor a blob.
    """
    source = message.WhichOneof("source")
    if source is None:
        raise Invalid("neither image nor blob is set", errors=(FieldError("source", "is missing"),))
    return PictureRequest(
        image=message.image if source == "image" else None,
        blob_key=message.blob.key,
        spot=polygon_from_message(message.spot.polygon),
        camera_box=box_from_message(message.vehicle_box) if message.HasField("vehicle_box") else None,
        purpose=purpose_from_message(message.purpose),
        regions=regions,
    )


def capture_time_from_message(message: plates.ReadStreamRequest) -> float | None:
    """Seconds since the epoch; None where the frame does not say when it was captured.

    Raises: Invalid: it is outside the range of a Timestamp.
    """
    if not message.HasField("captured_at"):
        return None
    at = message.captured_at
    if not _EARLIEST_S <= at.seconds <= _LATEST_S or not 0 <= at.nanos < 1_000_000_000:
        reason = "is outside the years 1 to 9999"
        raise Invalid(f"captured_at {reason}", errors=(FieldError("captured_at", reason),))
    return at.seconds + at.nanos / 1_000_000_000


def read_response_to_message(request_id: str, result: PictureResult) -> plates.ReadResponse:
    """The response to one picture."""
    return plates.ReadResponse(
        request_id=request_id,
        plates=[plate_to_message(plate) for plate in result.plates],
        vehicles=vehicles_to_messages(result),
        spot_occupancy=_OCCUPANCIES[result.spot.occupancy],
        spot_plate_index=result.spot.plate_index,
        width_px=result.width_px,
        height_px=result.height_px,
        engine=result.engine,
        elapsed_ms=result.elapsed_ms,
        is_picture_incomplete=not result.is_complete,
    )


def captured_frame_from_message(message: camera.FrameCaptured) -> CapturedFrame:
    """The frame. Any bytes parse as protobuf, none too, so a frame that no consumer could use is rejected here.

    Raises: Rejected: it has no id, no purpose, or a time of receipt outside the years 1 to 9999.
    """
    try:
        UUID(message.frame_id)
    except ValueError:
        raise Rejected(f"frame_id is not a UUID: {message.frame_id[:80]!r}") from None
    if message.purpose == camera.PURPOSE_UNSPECIFIED:
        raise Rejected("the frame has no purpose")
    try:
        received_at = to_datetime(message.received_at)
    except TimeOutOfRange as error:
        raise Rejected(f"received_at of the frame: {error}") from error
    ref = _camera_ref(message)
    return CapturedFrame(
        frame_id=message.frame_id,
        camera_id=ref.camera_id,
        location_code=ref.location_code,
        received_at=received_at,
        request=PictureRequest(
            blob_key=message.picture.key,
            spot=polygon_from_message(message.spot.polygon),
            camera_box=_camera_box(message),
            purpose=purpose_from_message(message.purpose),
            regions=tuple(message.regions),
        ),
    )


def _camera_ref(message: camera.FrameCaptured) -> common.CameraRef:
    """`camera`, or the older fields in a message of an ingest that does not fill it."""
    if message.HasField("camera"):
        return message.camera
    return common.CameraRef(
        camera_id=message.camera_id,
        api_code=message.camera_api_code,
        location_code=message.location_code,
    )


def _camera_box(message: camera.FrameCaptured) -> Box | None:
    """The vehicle box that the camera detected in this very picture.

    None on an exit, where the box is that of the car that left, and in a picture that was fetched afterwards.
    """
    if message.purpose == camera.PURPOSE_EXIT or message.picture_source == camera.PICTURE_SOURCE_FETCHED:
        return None
    return box_from_message(message.vehicle_box) if message.HasField("vehicle_box") else None


def plates_read_event(message: camera.FrameCaptured, metadata: Metadata, read: FrameRead) -> Event:
    """The event of a frame that was read, or could not be. `message` and `metadata` are the frame's."""
    ref = _camera_ref(message)
    return EVENTS.event(
        _plates_read_to_message(message, read),
        scope=(ref.location_code, ref.api_code),
        partition_key=metadata.partition_key,
        occurred_at=read.read_at,
        correlation_id=metadata.correlation_id,
        message_id=read.read_id,
    )


def _plates_read_to_message(message: camera.FrameCaptured, read: FrameRead) -> plates.PlatesRead:
    read_id, read_at = str(read.read_id), timestamp_to_message(read.read_at.timestamp())
    if (result := read.result) is None:
        return plates.PlatesRead(
            read_id=read_id,
            frame=message,
            spot_occupancy=plates.SPOT_OCCUPANCY_UNKNOWN,
            spot_plate_index=-1,
            read_at=read_at,
            failure=read.failure,
            failure_code=_READ_FAILURES[read.failure_code],
        )
    return plates.PlatesRead(
        read_id=read_id,
        frame=message,
        vehicles=vehicles_to_messages(result),
        plates=[plate_to_message(plate, crop) for plate, crop in zip(result.plates, read.crops, strict=True)],
        is_spot_occupied=result.spot.occupancy is SpotOccupancy.OCCUPIED,
        spot_occupancy=_OCCUPANCIES[result.spot.occupancy],
        spot_plate_index=result.spot.plate_index,
        engine=result.engine,
        elapsed_ms=result.elapsed_ms,
        read_at=read_at,
        is_picture_incomplete=not result.is_complete,
    )


def plate_to_message(plate: PlateReading, crop: StoredCrop | None = None) -> common.Plate:
    """The plate; `crop` is None where none was stored."""
    return common.Plate(
        text=plate.text,
        region=plate.region,
        code=plate.code,
        number=plate.number,
        confidence=plate.confidence,
        characters=[common.Character(text=one.text, confidence=one.confidence) for one in plate.characters],
        box=box_to_message(plate.box),
        crop=_crop_to_message(crop) if crop is not None else None,
        raw_text=plate.raw_text,
        state=_STATES[plate.state],
        unread_reason=plate.unread_reason or "",
        unread_reason_code=_UNREAD_REASONS[plate.unread_reason],
        height_px=plate.height_px,
        outline=polygon_to_message(plate.outline) if plate.outline else None,
        region_confidence=plate.region_confidence,
        code_confidence=plate.code_confidence,
        number_confidence=plate.number_confidence,
        pattern=plate.pattern,
        looks=plate.looks,
    )


def _crop_to_message(crop: StoredCrop) -> common.BlobRef:
    return common.BlobRef(
        key=crop.key,
        content_type=crop.content_type,
        size_bytes=crop.size_bytes,
        sha256=crop.sha256,
        width_px=crop.width_px,
        height_px=crop.height_px,
    )


def vehicles_to_messages(result: PictureResult) -> list[plates.Vehicle]:
    """The vehicles, each with its overlap with the spot."""
    return [
        plates.Vehicle(
            box=box_to_message(vehicle.box),
            kind=vehicle.kind,
            confidence=vehicle.confidence,
            source=vehicle.source,
            share_in_spot=overlap.share,
            is_in_spot=overlap.is_in_spot,
        )
        for vehicle, overlap in zip(result.vehicles, result.overlaps, strict=True)
    ]


def track_to_message(
    track: Track, track_id: str, evidence_request_id: str, *, is_final: bool
) -> plates.PlateTrack:
    """The track. Raises: ValueError: it has no look."""
    if track.vote is None:
        raise ValueError(f"track {track_id} has no look")
    evidence = track.vote.evidence
    return plates.PlateTrack(
        track_id=track_id,
        plate=plate_to_message(track.vote.reading),
        first_seen_at=timestamp_to_message(track.first_seen_s),
        last_seen_at=timestamp_to_message(track.last_seen_s),
        evidence_request_id=evidence_request_id,
        evidence_box=box_to_message(evidence.reading.box),
        evidence_text=evidence.text,
        is_composed=track.vote.is_composed,
        looks=track.look_count,
        is_final=is_final,
    )


def timestamp_to_message(epoch_s: float) -> Timestamp:
    """To the microsecond. `epoch_s`: seconds since the epoch."""
    message = Timestamp()
    message.FromMicroseconds(round(epoch_s * 1_000_000))
    return message
