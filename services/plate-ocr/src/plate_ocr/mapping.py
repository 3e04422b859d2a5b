"""Between the contract's protobuf messages and the domain's values, both ways."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from kit.bus import EventSource
from kit.errors import FieldError, Invalid
from lookout.camera.v1 import camera_pb2 as camera
from lookout.common.v1 import common_pb2 as common
from lookout.plates.v1 import plates_pb2 as plates
from plate_ocr.domain.admission import Purpose
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
    )


def plates_read_to_message(
    read_id: str,
    frame: camera.FrameCaptured,
    result: PictureResult,
    crops: Sequence[common.BlobRef | None],
    read_at: datetime,
) -> plates.PlatesRead:
    """The event of a frame that was read. `crops`: one a plate, None where none was stored."""
    return plates.PlatesRead(
        read_id=read_id,
        frame=frame,
        vehicles=vehicles_to_messages(result),
        plates=[plate_to_message(plate, crop) for plate, crop in zip(result.plates, crops, strict=True)],
        is_spot_occupied=result.spot.occupancy is SpotOccupancy.OCCUPIED,
        spot_occupancy=_OCCUPANCIES[result.spot.occupancy],
        spot_plate_index=result.spot.plate_index,
        engine=result.engine,
        elapsed_ms=result.elapsed_ms,
        read_at=timestamp_to_message(read_at.timestamp()),
    )


def failed_read_to_message(
    read_id: str,
    frame: camera.FrameCaptured,
    failure: str,
    failure_code: plates.ReadFailure.ValueType,
    read_at: datetime,
) -> plates.PlatesRead:
    """The event of a frame that could not be read."""
    return plates.PlatesRead(
        read_id=read_id,
        frame=frame,
        spot_occupancy=plates.SPOT_OCCUPANCY_UNKNOWN,
        spot_plate_index=-1,
        read_at=timestamp_to_message(read_at.timestamp()),
        failure=failure,
        failure_code=failure_code,
    )


def plate_to_message(plate: PlateReading, crop: common.BlobRef | None = None) -> common.Plate:
    """The plate; `crop` is None where none was stored."""
    return common.Plate(
        text=plate.text,
        region=plate.region,
        code=plate.code,
        number=plate.number,
        confidence=plate.confidence,
        characters=[common.Character(text=one.text, confidence=one.confidence) for one in plate.characters],
        box=box_to_message(plate.box),
        crop=crop,
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
