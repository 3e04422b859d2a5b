"""Between the contract's messages and the domain's values."""

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from lookout.camera.v1 import camera_pb2 as camera
from lookout.common.v1 import common_pb2 as common
from lookout.plates.v1 import plates_pb2 as plates
from plate_ocr.domain.admission import Purpose
from plate_ocr.domain.spots import standing
from plate_ocr.domain.tracks import Track
from plate_ocr.domain.values import (
    Box,
    PlateReading,
    PlateState,
    Point,
    Polygon,
    SpotOccupancy,
    VehicleSighting,
)

OCCUPANCY = {
    SpotOccupancy.OCCUPIED: plates.SPOT_OCCUPANCY_OCCUPIED,
    SpotOccupancy.FREE: plates.SPOT_OCCUPANCY_FREE,
    SpotOccupancy.UNKNOWN: plates.SPOT_OCCUPANCY_UNKNOWN,
}

STATES = {
    PlateState.READ: common.PLATE_STATE_READ,
    PlateState.SINGLE_LOOK: common.PLATE_STATE_SINGLE_LOOK,
    PlateState.SEEN_NOT_READ: common.PLATE_STATE_SEEN_NOT_READ,
}

# One that is new to us waits its turn, and is not dropped.
PURPOSES = {
    camera.PURPOSE_ENTRY: Purpose.ENTRY,
    camera.PURPOSE_EXIT: Purpose.EXIT,
    camera.PURPOSE_SNAPSHOT: Purpose.SNAPSHOT,
    camera.PURPOSE_VIDEO: Purpose.VIDEO,
}


def polygon_of(message: common.Polygon) -> Polygon:
    """Its corners."""
    return tuple(Point(point.x, point.y) for point in message.points)


def box_of(message: common.Box) -> Box:
    """The box."""
    return Box(message.x, message.y, message.width, message.height)


def box_message(box: Box) -> common.Box:
    """The message."""
    return common.Box(x=box.x, y=box.y, width=box.width, height=box.height)


def polygon_message(polygon: Polygon) -> common.Polygon:
    """The message."""
    return common.Polygon(points=[common.Point(x=point.x, y=point.y) for point in polygon])


def plate_message(plate: PlateReading, crop: common.BlobRef | None = None) -> common.Plate:
    """The message; without a crop where none was kept."""
    return common.Plate(
        text=plate.text,
        region=plate.region,
        code=plate.code,
        number=plate.number,
        confidence=plate.confidence,
        characters=[common.Character(text=one.text, confidence=one.confidence) for one in plate.characters],
        box=box_message(plate.box),
        crop=crop,
        raw_text=plate.raw_text,
        state=STATES[plate.state],
        unread_reason=plate.unread_reason or "",
        height_px=plate.height_px,
        outline=polygon_message(plate.outline) if plate.outline else None,
        region_confidence=plate.region_confidence,
        code_confidence=plate.code_confidence,
        number_confidence=plate.number_confidence,
        pattern=plate.pattern,
        looks=plate.looks,
    )


def vehicle_messages(vehicles: Sequence[VehicleSighting], spot: Polygon) -> list[plates.Vehicle]:
    """The messages, each with how it lies to the spot."""
    found = []
    for vehicle in vehicles:
        lies = standing(vehicle.box, spot)
        found.append(
            plates.Vehicle(
                box=box_message(vehicle.box),
                kind=vehicle.kind,
                confidence=vehicle.confidence,
                source=vehicle.source,
                share_in_spot=lies.share,
                is_in_spot=lies.is_in_spot,
            )
        )
    return found


def track_message(
    track: Track, track_id: str, evidence_request_id: str, *, is_final: bool
) -> plates.PlateTrack:
    """The message. Raises: ValueError: a track without a look."""
    if track.vote is None:
        raise ValueError("nobody looked at it")
    evidence = track.vote.evidence
    return plates.PlateTrack(
        track_id=track_id,
        plate=plate_message(track.vote.reading),
        first_seen_at=timestamp(track.first_seen_s),
        last_seen_at=timestamp(track.last_seen_s),
        evidence_request_id=evidence_request_id,
        evidence_box=box_message(evidence.reading.box),
        evidence_text=evidence.text,
        is_composed=track.vote.is_composed,
        looks=track.look_count,
        is_final=is_final,
    )


def timestamp(epoch_s: float) -> Timestamp:
    """The message, to the microsecond."""
    made = Timestamp()
    made.FromMicroseconds(round(epoch_s * 1_000_000))
    return made
