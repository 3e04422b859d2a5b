"""Protobuf in and out: what a `PlatesRead` says to the rules, and tickets as messages."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from kit.bus import Rejected
from lookout.camera.v1.camera_pb2 import FrameCaptured, PictureSource, Purpose
from lookout.common.v1 import common_pb2 as common
from lookout.parking.v1 import parking_pb2 as parking
from lookout.plates.v1 import plates_pb2 as plates
from tickets.domain.plates import UNKNOWN, Character, Picture, Plate
from tickets.domain.tickets import Point, Report, SpotAddress, Ticket, TicketStatus
from tickets.domain.triggers import Kind, Occupancy, Rules, Trigger, time_of
from tickets.domain.triggers import PictureSource as Source

_KINDS = {Purpose.PURPOSE_ENTRY: Kind.ENTRY, Purpose.PURPOSE_EXIT: Kind.EXIT}
_OCCUPANCIES = {
    plates.SPOT_OCCUPANCY_OCCUPIED: Occupancy.OCCUPIED,
    plates.SPOT_OCCUPANCY_FREE: Occupancy.FREE,
}
_SOURCES = {
    PictureSource.PICTURE_SOURCE_PUSHED: Source.PUSHED,
    PictureSource.PICTURE_SOURCE_FETCHED: Source.FETCHED,
    PictureSource.PICTURE_SOURCE_PUSHED_FALLBACK: Source.PUSHED_FALLBACK,
}
_STATUSES = {
    TicketStatus.OPEN: parking.TICKET_STATUS_OPEN,
    TicketStatus.CLOSED: parking.TICKET_STATUS_CLOSED,
}
# Who `Vehicle.source` names when the box is the camera's own.
_CAMERA = "camera"


def report_of(read: plates.PlatesRead, body: bytes, rules: Rules) -> Report | None:
    """What was read in a frame, as a trigger; None for a frame that is no entry or exit and says so.

    Raises:
        Rejected: it lacks what a trigger cannot be without.
    """
    frame = read.frame
    if frame.purpose == Purpose.PURPOSE_UNSPECIFIED:
        raise Rejected("the frame does not say what it is for")
    kind = _KINDS.get(frame.purpose)
    if kind is None:
        return None
    received_at = _moment(frame.received_at if frame.HasField("received_at") else None)
    if received_at is None:
        raise Rejected("the frame does not say when it was received")
    captured_at = _moment(frame.captured_at if frame.HasField("captured_at") else None)
    time = time_of(captured_at, received_at, rules)
    trigger = Trigger(
        frame_id=_frame_id(frame.frame_id),
        kind=kind,
        at=time.at,
        plate=_spot_plate(read),
        occupancy=_OCCUPANCIES.get(read.spot_occupancy, Occupancy.UNKNOWN),
        is_vehicle_seen=any(v.is_in_spot and v.source != _CAMERA for v in read.vehicles),
        picture_source=_SOURCES.get(frame.picture_source, Source.UNSPECIFIED),
        failure=_clean(read.failure),
        notes=(time.note,) if time.note else (),
    )
    return Report(
        trigger=trigger,
        address=_address(frame),
        captured_at=captured_at,
        received_at=received_at,
        picture=_picture(frame.picture) if frame.HasField("picture") else None,
        picture_note=_clean(frame.picture_note),
        polygon_px=_polygon(frame.spot.polygon),
        body=body,
    )


def _frame_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Rejected(f"the frame's id is no UUID: {text[:80]!r}") from None


def _address(frame: FrameCaptured) -> SpotAddress:
    if not frame.HasField("spot") or frame.spot.spot_number < 1 or frame.camera_id < 1:
        raise Rejected("an entry or exit needs a camera and a spot number from 1")
    return SpotAddress(
        location_id=frame.location_id,
        location_code=_clean(frame.location_code),
        zone_id=frame.zone_id,
        zone_code=_clean(frame.zone_code),
        pole_id=frame.pole_id,
        pole_code=_clean(frame.pole_code),
        camera_id=frame.camera_id,
        camera_name=_clean(frame.camera_name),
        camera_api_code=_clean(frame.camera_api_code),
        spot_id=frame.spot.spot_id,
        spot_number=frame.spot.spot_number,
        time_zone=_clean(frame.time_zone) or "UTC",
    )


def _spot_plate(read: plates.PlatesRead) -> Plate | None:
    """The plate in the spot. One elsewhere in the picture is a neighbour's and plays no part."""
    # The index is 0 where its sender left it out, also when there is no plate.
    if not 0 <= read.spot_plate_index < len(read.plates):
        return None
    plate = read.plates[read.spot_plate_index]
    # A plate that was only seen proves a vehicle; whatever text came with it must not reach a ticket.
    is_read = plate.state != common.PLATE_STATE_SEEN_NOT_READ
    return Plate(
        text=_clean(plate.text) if is_read else "",
        region=_clean(plate.region).lower(),
        code=_clean(plate.code) if is_read else "",
        number=_clean(plate.number) if is_read else "",
        confidence=_share(plate.confidence) if is_read else 0.0,
        characters=tuple(Character(_clean(c.text), _share(c.confidence)) for c in plate.characters),
        box_px=_box(plate.box) if plate.HasField("box") else None,
        crop=_picture(plate.crop) if plate.HasField("crop") else None,
        raw_text=_clean(plate.raw_text),
    )


def _clean(text: str) -> str:
    """Without U+0000, which PostgreSQL stores in no text."""
    return text.replace("\x00", "")


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def _box(box: common.Box) -> tuple[float, float, float, float] | None:
    values = (box.x, box.y, box.width, box.height)
    return values if all(map(math.isfinite, values)) else None


def _polygon(polygon: common.Polygon) -> tuple[Point, ...]:
    points = tuple((point.x, point.y) for point in polygon.points)
    return points if all(math.isfinite(value) for point in points for value in point) else ()


def _picture(blob: common.BlobRef) -> Picture | None:
    if not blob.key:
        return None
    return Picture(
        key=_clean(blob.key),
        content_type=_clean(blob.content_type),
        size_bytes=blob.size_bytes,
        sha256=_clean(blob.sha256),
        width_px=blob.width_px,
        height_px=blob.height_px,
    )


def _moment(stamp: Timestamp | None) -> datetime | None:
    """None also for what lies outside of the years 1 to 9999."""
    if stamp is None:
        return None
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def bound_of(stamp: Timestamp) -> datetime | None:
    """A time that bounds a list; None, no bound, for the zero time."""
    return _moment(stamp) if stamp.seconds or stamp.nanos else None


def timestamp(moment: datetime) -> Timestamp:
    """As protobuf has it."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def ticket_message(ticket: Ticket) -> parking.Ticket:
    """A ticket as events and gRPC carry it."""
    address, plate = ticket.address, ticket.plate
    return parking.Ticket(
        ticket_id=ticket.ticket_id,
        status=_STATUSES[ticket.status],
        location_id=address.location_id,
        location_code=address.location_code,
        zone_id=address.zone_id,
        zone_code=address.zone_code,
        pole_id=address.pole_id,
        pole_code=address.pole_code,
        camera_id=address.camera_id,
        camera_name=address.camera_name,
        spot_id=address.spot_id,
        spot_number=address.spot_number,
        plate=_plate_message(plate) if plate is not None else common.Plate(text=UNKNOWN),
        plate_city=plate.city if plate is not None else "",
        entry_at=timestamp(ticket.entry_at),
        exit_at=timestamp(ticket.exit_at) if ticket.exit_at is not None else None,
        entry_picture=_blob_message(ticket.entry_picture),
        exit_picture=_blob_message(ticket.exit_picture),
        entry_frame_id=str(ticket.entry_frame_id),
        exit_frame_id=str(ticket.exit_frame_id) if ticket.exit_frame_id is not None else "",
    )


def _plate_message(plate: Plate) -> common.Plate:
    return common.Plate(
        text=plate.text,
        region=plate.region,
        code=plate.code,
        number=plate.number,
        confidence=plate.confidence,
        characters=_character_messages(plate.characters),
        box=_box_message(plate.box_px),
        crop=_blob_message(plate.crop),
        raw_text=plate.raw_text,
    )


def _character_messages(characters: Iterable[Character]) -> list[common.Character]:
    return [common.Character(text=c.text, confidence=c.confidence) for c in characters]


def _box_message(box: tuple[float, float, float, float] | None) -> common.Box | None:
    return None if box is None else common.Box(x=box[0], y=box[1], width=box[2], height=box[3])


def _blob_message(picture: Picture | None) -> common.BlobRef | None:
    if picture is None:
        return None
    return common.BlobRef(
        key=picture.key,
        content_type=picture.content_type,
        size_bytes=picture.size_bytes,
        sha256=picture.sha256,
        width_px=picture.width_px,
        height_px=picture.height_px,
    )
